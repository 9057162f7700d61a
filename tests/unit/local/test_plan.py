"""The process table: complete, free of port clashes, and in an order that starts and stops sensibly."""

from pathlib import Path

import pytest

from infrastructure.local.layout import Binaries, Layout
from infrastructure.local.plan import (
    Program,
    UnknownProgramError,
    needed_programs,
    programs,
    select,
    stop_waves,
)
from infrastructure.local.ports import PORT_BASE_MAX, PORT_BASE_MIN, REPLICAS_MAX, SERVICES, Ports

LAYOUT = Layout(Path("/home/trader/.phoenix"), Path("/home/trader/.phoenix/postgres"))
BINARIES = Binaries(
    epmd=Path("/usr/bin/epmd"),
    rabbitmq_server=Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    redis_server=Path("/usr/bin/redis-server"),
    postgres_bin=Path("/usr/lib/postgresql/15/bin"),
    nginx=Path("/usr/sbin/nginx"),
    python=Path("/repo/.venv/bin/python"),
)


def table(replicas: int = 1) -> tuple[Program, ...]:
    return programs(LAYOUT, Ports(8000), BINARIES, replicas=replicas)


def test_one_replica_gives_the_eleven_programs_of_the_design() -> None:
    assert [program.name for program in table()] == [
        "postgres", "redis", "epmd", "rabbitmq", "paper_exchange", "brain-0", "risk-0", "execute-0",
        "notify-0", "market_feed", "nginx",
    ]  # fmt: skip


def test_ports_of_the_default_base_are_those_of_the_design() -> None:
    ports = {program.name: program.ports for program in table(replicas=2)}
    assert ports["nginx"] == (8080, 8100, 8101, 8102, 8103)
    assert ports["paper_exchange"] == (8110,)
    assert (ports["brain-1"], ports["risk-1"], ports["execute-1"], ports["notify-1"]) == (
        (8121,), (8131,), (8141,), (8151,),
    )  # fmt: skip
    assert ports["rabbitmq"] == (8170, 8171, 8176, 8172)
    assert (ports["epmd"], ports["redis"], ports["postgres"]) == ((8173,), (8174,), (8175,))


@pytest.mark.parametrize("replicas", range(1, REPLICAS_MAX + 1))
def test_no_two_programs_share_a_port_and_all_stay_within_the_base(replicas: int) -> None:
    used = [port for program in table(replicas) for port in program.ports]
    assert len(used) == len(set(used))
    assert set(used) <= set(Ports(8000).all())
    assert max(used) < 8200


@pytest.mark.parametrize("base", [PORT_BASE_MIN - 1, PORT_BASE_MAX + 1])
def test_a_port_base_that_cannot_work_is_refused(base: int) -> None:
    with pytest.raises(ValueError, match="port base"):
        Ports(base)


@pytest.mark.parametrize("replicas", range(1, REPLICAS_MAX + 1))
def test_stopping_goes_from_the_front_door_to_the_servers(replicas: int) -> None:
    waves = stop_waves(table(replicas))
    wave_of = {name: number for number, wave in enumerate(waves) for name in wave}
    assert wave_of["nginx"] == 0
    assert wave_of["nginx"] < wave_of["execute-0"] < wave_of["paper_exchange"]
    assert wave_of["brain-0"] < wave_of["rabbitmq"] < wave_of["epmd"]
    assert wave_of["market_feed"] < wave_of["redis"]
    assert sorted(wave_of) == sorted(program.name for program in table(replicas))


def test_a_service_waits_for_every_server_it_stands_on() -> None:
    execute = next(program for program in table() if program.name == "execute-0")
    assert needed_programs(execute, table()) == ("paper_exchange", "postgres", "rabbitmq", "redis")
    assert "database" in execute.needs, "migrations come before services"


def test_nginx_opens_when_all_instances_but_those_of_execute_are_ready() -> None:
    nginx = next(program for program in table(2) if program.name == "nginx")
    awaited = needed_programs(nginx, table(2))
    assert len(awaited) == 2 * (len(SERVICES) - 1)
    assert "execute-0" not in awaited, (
        "it is not ready while the exchange is away, and alerts are taken all the same"
    )


def test_the_broker_brings_its_port_mapper_along() -> None:
    assert [program.name for program in select(table(), only=["rabbitmq"])] == ["epmd", "rabbitmq"]


def test_a_family_names_all_its_instances() -> None:
    assert [p.name for p in select(table(3), only=["risk"])] == ["risk-0", "risk-1", "risk-2"]
    assert "risk-1" not in [p.name for p in select(table(3), without=["risk"])]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownProgramError, match=r"no such program: kafka \(known: brain, brain-0"):
        select(table(), only=["kafka"])
