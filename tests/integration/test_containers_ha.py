"""The companions of the overlay `ha` for real: standby and replica follow, three brokers are one.

Debian's RabbitMQ does not know the keys of 3.13, so those lines of cluster.conf are left out here: queues
that were declared before the others joined keep one copy.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose_files import BASE, HA, services
from tests.containers import Container, Engine, engine, missing_tools, until

pytestmark = [
    pytest.mark.skipif(bool(missing_tools()), reason=f"containers need {', '.join(missing_tools())}"),
    pytest.mark.timeout(400),
]

IMPATIENT = (
    "cluster_formation.discovery_retry_limit = 1",
    "cluster_formation.discovery_retry_interval = 100",
)
"""Here an absent node has an address that is silent; Docker's DNS would not know it, which is quicker."""
PSQL = (
    "PGPASSWORD=$(cat /var/lib/phoenix/postgres/admin.password)"
    ' psql -h {host} -U phoenix_admin -d phoenix -Atc "{sql}"'
)
REDIS_CONF = "/var/lib/phoenix/redis/redis.conf"
REDIS = f"REDISCLI_AUTH=$(sed -n 's/^requirepass //p' {REDIS_CONF}) redis-cli -p 8174 {{command}}"


def up(machine: Engine, name: str) -> Container:
    """Start a service and wait until it is healthy."""
    container = machine.start(name)
    until(container.is_healthy, f"{name}: {container.log}")
    return container


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The servers of base and ha, nothing started but what prepares the home."""
    found = services(BASE, HA)
    text = Path("infrastructure/rabbitmq/cluster.conf").read_text()
    known = tmp_path_factory.mktemp("cluster") / "cluster.conf"
    lines = [line for line in text.splitlines() if "reconciliation" not in line]
    known.write_text("\n".join([*lines, *IMPATIENT]) + "\n")
    for name in ("rabbitmq", "rabbitmq-2", "rabbitmq-3"):
        mount = next(each for each in found[name]["volumes"] if "cluster.conf" in each)
        found[name]["volumes"].remove(mount)
        relative = os.path.relpath(known)
        found[name]["volumes"].append(f"./{relative}:/opt/phoenix/cluster/cluster.conf:ro")
    with engine(found) as machine:
        status, said = machine.run("secrets")
        assert status == 0, said
        yield machine


def test_the_standby_copies_the_primary_and_follows_it(machine: Engine) -> None:
    primary = up(machine, "postgres")
    for one_shot in ("migrate", "postgres-replication", "postgres-replication"):  # a second time as well
        status, said = machine.run(one_shot)
        assert status == 0, said
    standby = up(machine, "postgres-standby")

    def ask(host: str, sql: str) -> str:
        return primary.run("sh", "-c", PSQL.format(host=host, sql=sql)).stdout.strip()

    assert ask("postgres-standby", "SELECT pg_is_in_recovery()") == "t"
    ask("postgres", "CREATE TABLE public.marks (id int); INSERT INTO public.marks VALUES (95)")
    until(lambda: ask("postgres-standby", "SELECT id FROM public.marks") == "95", "not replicated")
    assert ask("postgres", "SELECT slot_name, active FROM pg_replication_slots") == "standby|t"
    assert standby.stop() == 0
    again = up(machine, "postgres-standby")
    assert "pg_basebackup" not in again.log.read_text()
    ask("postgres", "INSERT INTO public.marks VALUES (96)")
    until(lambda: ask("postgres-standby", "SELECT max(id) FROM public.marks") == "96", "does not go on")


def test_the_standby_becomes_the_primary_when_it_is_told_to(machine: Engine) -> None:
    """As docs/DEPLOYMENT.md says, after the primary is gone."""
    machine.containers["postgres-1"].kill()
    standby = machine.containers["postgres-standby-1"]
    told = standby.run("pg_ctl", "promote", "-D", "/var/lib/phoenix/postgres-standby/data")
    assert told.returncode == 0, told.stderr
    state = standby.run("pg_controldata", "/var/lib/phoenix/postgres-standby/data").stdout
    assert "in production" in state


def test_the_redis_replica_follows(machine: Engine) -> None:
    first = up(machine, "redis")
    replica = up(machine, "redis-replica")

    def ask(container: Container, command: str) -> str:
        return container.run("sh", "-c", REDIS.format(command=command)).stdout

    ask(first, "set mark 95")
    until(lambda: ask(replica, "get mark").strip() == "95", "not replicated")
    assert "READONLY" in ask(replica, "set mark 96")


def test_three_brokers_are_one_and_two_of_them_go_on(machine: Engine) -> None:
    first = up(machine, "rabbitmq")
    others = [up(machine, name) for name in ("rabbitmq-2", "rabbitmq-3")]

    def members(asked: Container) -> int:
        said: subprocess.CompletedProcess[str] = asked.run(
            "rabbitmq-diagnostics", "-q", "cluster_status", "--formatter", "json"
        )
        return said.stdout.split("running_nodes")[-1].split("]")[0].count("rabbit@")

    until(lambda: members(first) == 3, "the brokers do not find one another")
    others[1].stop()
    until(lambda: members(first) == 2, "that a broker left is not noticed")
    assert first.is_healthy()
