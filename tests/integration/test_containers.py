"""The containers' exact command lines, run as compose would run them: one system, from secrets to a position.

What cannot be had without an engine: the images, Docker's DNS, and nginx newer than Debian's; its look-ups of
addresses while it runs are taken out of the configuration here.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.compose_files import BASE, services, waves
from tests.containers import Engine, engine, missing_tools, until

pytestmark = [
    pytest.mark.skipif(bool(missing_tools()), reason=f"containers need {', '.join(missing_tools())}"),
    pytest.mark.timeout(500),
]

MONITORING = {"prometheus", "alertmanager", "node-exporter", "grafana"}
TOOLS = {"cli"}
REPLICAS = dict.fromkeys(("brain", "risk", "execute", "notify"), 2)


def come_up(machine: Engine, wave: list[str]) -> None:
    """Start the replicas of these services and wait for what others would wait for."""
    started = []
    for name in wave:
        if machine.services[name]["restart"] == "no":
            status, said = machine.run(name)
            assert status == 0, f"{name}: {said}"
        else:
            started += [machine.start(name, replica=number + 1) for number in range(REPLICAS.get(name, 1))]
    for container in started:
        until(container.is_healthy, f"{container.name} is not healthy: {container.log}")


def without_look_ups(machine: Engine) -> None:
    """Let nginx resolve at its start, once: that is all Debian's can."""
    path = machine.place / "volumes" / "nginx" / "upstream.conf"
    text = path.read_text()
    assert len(re.findall(r" resolve ", text)) == 8
    path.write_text(re.sub(r"resolver [^;]*;", "", text).replace(" resolve ", " "))


@pytest.fixture(scope="module")
def machine() -> Iterator[Engine]:
    """Every container of docker-compose.yml but the monitoring, two of each service, healthy."""
    found = {name: each for name, each in services(BASE).items() if name not in MONITORING}
    with engine(found, REPLICAS) as machine:
        for wave in waves(found):
            if "nginx" in wave:
                without_look_ups(machine)
            come_up(machine, [name for name in wave if name not in TOOLS])
        yield machine


def test_an_alert_becomes_a_position(machine: Engine) -> None:
    status, secret = machine.run(
        "secrets", ["python", "-m", "infrastructure.containers", "get", "PHOENIX_WEBHOOK_SECRET"]
    )
    assert status == 0
    alert = {
        "secret": secret.strip().splitlines()[-1],
        "symbol": "BTCUSDT",
        "action": "buy",
        "strategy": "containers",
        "confidence": 0.95,
        "timenow": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    url = f"http://{machine.addresses['nginx-1']}:8080/webhook/tradingview"
    answer = machine.http("-H", "Content-Type: application/json", "-d", json.dumps(alert), url)
    assert json.loads(answer.stdout)["status"] == "accepted", answer.stdout
    positions = f"http://{machine.addresses['nginx-1']}:8102/positions"
    until(lambda: "BTCUSDT" in machine.http(positions).stdout, "no position")


def test_the_tool_of_the_operator_reaches_every_service(machine: Engine) -> None:
    status, said = machine.run("cli", ["status"])
    assert status == 0, said


def test_nothing_can_be_written_but_volumes_and_tmp_and_no_secret_of_others_is_there(machine: Engine) -> None:
    brain = machine.containers["brain-1"]
    assert brain.run("sh", "-c", "echo > /app/intruder").returncode != 0
    assert brain.run("sh", "-c", "echo > /var/lib/phoenix/brain/phoenix.env").returncode != 0
    assert brain.run("sh", "-c", "echo > /tmp/scratch").returncode == 0
    assert brain.run("ls", "/var/lib/phoenix").stdout.split() == ["brain"]
    rights = brain.run("grep", "CapEff\\|NoNewPrivs", "/proc/1/status").stdout.split()
    assert rights == ["CapEff:", "0" * 16, "NoNewPrivs:", "1"]


def test_two_containers_of_a_service_share_no_lease(machine: Engine) -> None:
    """Both are instance 0: with one name each would believe to be the keeper."""
    names = set()
    for replica in (1, 2):
        said = machine.containers[f"execute-{replica}"].run("hostname").stdout.strip()
        names.add(f"execute-0@{said}")
    sql = "SELECT application_name FROM pg_stat_activity WHERE usename = 'phoenix_execute'"
    postgres = machine.containers["postgres-1"]
    password = 'PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")'
    answer = postgres.run(
        "sh", "-c", f'{password} psql -h 127.0.0.1 -U phoenix_admin -d phoenix -Atc "{sql}"'
    )
    assert names == set(answer.stdout.split()), answer.stderr


def test_preparing_again_while_all_runs_changes_nothing(machine: Engine) -> None:
    before = (machine.place / "volumes" / "brain" / "phoenix.env").read_text()
    assert machine.run("secrets")[0] == 0
    without_look_ups(machine)
    assert (machine.place / "volumes" / "brain" / "phoenix.env").read_text() == before
    assert machine.containers["redis-1"].is_healthy()


def test_everything_stops_in_good_order_within_its_time(machine: Engine) -> None:
    everything = [name for wave in waves(machine.services) for name in wave]
    for name in reversed([name for name in everything if machine.services[name]["restart"] != "no"]):
        for replica in range(1, REPLICAS.get(name, 1) + 1):
            container = machine.containers[f"{name}-{replica}"]
            assert container.stop() == 0, f"{name}: {container.log.read_text()[-2000:]}"
