"""The process table: what runs in the local stack, after what, how to see that it is ready, how to stop it.

Pure: from paths, ports and a number of replicas it computes the programs. It must never look at the machine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from infrastructure.local.layout import REPOSITORY, Binaries, Layout
from infrastructure.local.ports import SERVICES, Ports

SERVERS = ("postgres", "redis", "rabbitmq")
"""The three private servers that the services stand on."""

READY_TIMEOUT_S = 120.0
"""Patience for slow machines; what crashes is noticed long before."""
READY_TIMEOUT_BROKER_S = 180.0
STOP_TIMEOUT_S = 12.0
"""A service may take 10 s to finish what it holds."""
STOP_TIMEOUT_SERVER_S = 30.0

POSTGRES_CONNECTIONS_MAX = 300
"""Four replicas of four services with ten connections each, the feed, migrations and a person with psql."""


class ProbeKind(StrEnum):
    """Ways to see that a program does its work."""

    TCP = "tcp"
    HTTP = "http"
    REDIS = "redis"
    POSTGRES = "postgres"
    BROKER = "broker"


@dataclass(frozen=True)
class Probe:
    """One question; `path` only for HTTP, which must answer 200."""

    kind: ProbeKind
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        """Where the program answers, without credentials."""
        scheme = {
            ProbeKind.TCP: "tcp",
            ProbeKind.HTTP: "http",
            ProbeKind.REDIS: "redis",
            ProbeKind.POSTGRES: "postgresql",
            ProbeKind.BROKER: "amqp",
        }[self.kind]
        return f"{scheme}://127.0.0.1:{self.port}{self.path}"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One supervised process.

    `needs` are the families of programs, or tasks, that must be ready before; `follows` those it starts after
    whether they came up or not. It stops before all of them. What does not answer `alive` for long is ended.
    """

    name: str
    family: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    ports: tuple[int, ...]
    ready: tuple[Probe, ...]
    alive: Probe | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = REPOSITORY
    user: str | None = None
    writes_own_pid_file: bool = False
    fails_with_its_output: bool = False
    reads_settings: bool = False
    stop_signal: str = "TERM"
    stop_timeout_s: float = STOP_TIMEOUT_S
    ready_timeout_s: float = READY_TIMEOUT_S


class UnknownProgramError(Exception):
    """`--only` or `--without` names something that is not in the table."""


def programs(
    layout: Layout, ports: Ports, binaries: Binaries, *, replicas: int = 1, postgres_user: str | None = None
) -> tuple[Program, ...]:
    """Return every program of a system with `replicas` (1..4) instances of each service, in order of need."""
    return (
        *_servers(layout, ports, binaries, postgres_user),
        _paper_exchange(layout, ports, binaries),
        *(_instance(service, index, ports, binaries) for service in SERVICES for index in range(replicas)),
        _market_feed(ports, binaries),
        _nginx(layout, ports, binaries, replicas),
    )


def select(
    table: Iterable[Program], *, only: Iterable[str] = (), without: Iterable[str] = ()
) -> tuple[Program, ...]:
    """Return the programs to start, by name or family; with the broker comes its port mapper.

    Raises:
        UnknownProgramError: a name is not in the table.
    """
    table = tuple(table)
    only, without = set(only), set(without)
    known = {program.name for program in table} | {program.family for program in table}
    if unknown := sorted((only | without) - known):
        raise UnknownProgramError(
            f"no such program: {', '.join(unknown)} (known: {', '.join(sorted(known))})"
        )
    if "rabbitmq" in only:
        only.add("epmd")
    chosen = [p for p in table if not only or {p.name, p.family} & only]
    return tuple(p for p in chosen if not {p.name, p.family} & without)


def stop_waves(table: Iterable[Program]) -> tuple[tuple[str, ...], ...]:
    """Return program names in waves: each wave may stop at once, when the waves before it are gone."""
    left = {program.name: program for program in table}
    waves: list[tuple[str, ...]] = []
    while left:
        needed = {
            name for program in left.values() for name in _names_of((*program.needs, *program.follows), left)
        }
        wave = tuple(name for name in left if name not in needed)
        assert wave, "the needs of the process table form a circle"
        waves.append(wave)
        left = {name: program for name, program in left.items() if name not in wave}
    return tuple(waves)


def needed_programs(program: Program, table: Iterable[Program]) -> tuple[str, ...]:
    """Return the names in `table` that must be ready before `program` starts."""
    return tuple(sorted(_names_of(program.needs, {other.name: other for other in table})))


def _names_of(families: Iterable[str], table: Mapping[str, Program]) -> set[str]:
    return {name for name, other in table.items() if other.family in families}


def _servers(
    layout: Layout, ports: Ports, binaries: Binaries, postgres_user: str | None
) -> tuple[Program, ...]:
    return (
        Program(
            name="postgres",
            family="postgres",
            command=(
                str(binaries.postgres_bin / "postgres"),
                "-D", str(layout.postgres),
                "-c", f"port={ports.of('postgres')}",
                "-c", "listen_addresses=127.0.0.1",
                "-c", "unix_socket_directories=",
                "-c", f"max_connections={POSTGRES_CONNECTIONS_MAX}",
                "-c", "logging_collector=off",
                "-c", "log_line_prefix=%m [%p] %u %a ",
                "-c", "timezone=UTC",
            ),
            needs=("initdb",),
            ports=(ports.of("postgres"),),
            ready=(Probe(ProbeKind.POSTGRES, ports.of("postgres")),),
            directory=layout.postgres,
            user=postgres_user,
            writes_own_pid_file=True,
            stop_signal="INT",  # fast shutdown: TERM would wait for every client to leave
            stop_timeout_s=STOP_TIMEOUT_SERVER_S,
        ),
        Program(
            name="redis",
            family="redis",
            command=(str(binaries.redis_server), str(layout.redis / "redis.conf")),
            ports=(ports.of("redis"),),
            ready=(Probe(ProbeKind.REDIS, ports.of("redis")),),
            directory=layout.redis,
            stop_timeout_s=STOP_TIMEOUT_SERVER_S,
        ),
        Program(
            name="epmd",
            family="epmd",
            command=(str(binaries.epmd), "-address", "127.0.0.1", "-port", str(ports.of("epmd"))),
            ports=(ports.of("epmd"),),
            ready=(Probe(ProbeKind.TCP, ports.of("epmd")),),
            directory=layout.rabbitmq,
        ),
        _rabbitmq(layout, ports, binaries),
    )  # fmt: skip


def _rabbitmq(layout: Layout, ports: Ports, binaries: Binaries) -> Program:
    return Program(
        name="rabbitmq",
        family="rabbitmq",
        command=(str(binaries.rabbitmq_server),),
        fails_with_its_output=True,  # Erlang: what fails to be written, on a full disk, stops its writer
        needs=("epmd",),
        ports=(
            ports.of("amqp"),
            ports.of("amqp_management"),
            ports.of("amqp_metrics"),
            ports.of("erlang_distribution"),
        ),
        ready=(Probe(ProbeKind.BROKER, ports.of("amqp_management")), Probe(ProbeKind.TCP, ports.of("amqp"))),
        environment=rabbitmq_environment(layout, ports),
        directory=layout.rabbitmq,
        stop_timeout_s=STOP_TIMEOUT_SERVER_S,
        ready_timeout_s=READY_TIMEOUT_BROKER_S,
    )


def rabbitmq_environment(layout: Layout, ports: Ports) -> dict[str, str]:
    """Return what makes the broker (and `rabbitmqctl`) private: names, ports and directories of its own."""
    home = layout.rabbitmq
    return {
        "HOME": str(home),  # where the Erlang cookie is
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(ports.of("epmd")),
        "RABBITMQ_NODENAME": layout.broker_node or f"phoenix95_{ports.base}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ports.of("amqp")),
        "RABBITMQ_DIST_PORT": str(ports.of("erlang_distribution")),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        # The start script then becomes the Erlang machine instead of its parent: signals reach it.
        "RUNNING_UNDER_SYSTEMD": "true",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
            " +sbwt none +sbwtdcpu none +sbwtdio none"  # idle schedulers must not spin on a shared machine
        ),
    }


def _paper_exchange(layout: Layout, ports: Ports, binaries: Binaries) -> Program:
    port = ports.of("paper_exchange")
    return Program(
        name="paper_exchange",
        family="paper_exchange",
        command=(
            str(binaries.python), "-m", "infrastructure.paper_exchange",
            "--port", str(port), "--data-dir", str(layout.paper_exchange),
        ),
        ports=(port,),
        ready=(Probe(ProbeKind.HTTP, port, "/health"),),
        alive=Probe(ProbeKind.HTTP, port, "/health"),
        reads_settings=True,
    )  # fmt: skip


_SERVERS_READY = ("postgres", "database", "redis", "rabbitmq")
SERVICE_NEEDS = {
    "brain": _SERVERS_READY,
    "risk": _SERVERS_READY,
    "execute": (*_SERVERS_READY, "paper_exchange"),
    "notify": _SERVERS_READY,
}


def _instance(service: str, index: int, ports: Ports, binaries: Binaries) -> Program:
    port = ports.instance(service, index)
    return Program(
        name=f"{service}-{index}",
        family=service,
        command=(
            str(binaries.python), "-m", f"services.{service}", "--port", str(port), "--instance", str(index),
        ),
        needs=SERVICE_NEEDS[service],
        ports=(port,),
        ready=(Probe(ProbeKind.HTTP, port, "/ready"),),
        alive=Probe(ProbeKind.HTTP, port, "/health"),
        reads_settings=True,
    )  # fmt: skip


def _market_feed(ports: Ports, binaries: Binaries) -> Program:
    port = ports.of("market_feed")
    return Program(
        name="market_feed",
        family="market_feed",
        command=(str(binaries.python), "-m", "services.execute.market_feed", "--port", str(port)),
        needs=(*_SERVERS_READY, "paper_exchange"),
        ports=(port,),
        ready=(Probe(ProbeKind.HTTP, port, "/ready"),),
        alive=Probe(ProbeKind.HTTP, port, "/health"),
        reads_settings=True,
    )


NEEDED_BY_NGINX = tuple(service for service in SERVICES if service != "execute")
"""EXECUTE is not ready while the exchange is away; alerts, exits among them, are taken all the same."""


def _nginx(layout: Layout, ports: Ports, binaries: Binaries, replicas: int) -> Program:
    assert replicas >= 1
    return Program(
        name="nginx",
        family="nginx",
        command=(
            str(binaries.nginx), "-p", str(layout.nginx), "-c", str(layout.nginx / "nginx.conf"),
            "-g", "daemon off;",
        ),
        needs=NEEDED_BY_NGINX,
        follows=("execute",),
        ports=(ports.of("nginx"), *(ports.of(service) for service in SERVICES)),
        ready=tuple(
            Probe(ProbeKind.HTTP, ports.of(name), "/health") for name in (*NEEDED_BY_NGINX, "nginx")
        ),
        directory=layout.nginx,
        stop_signal="QUIT",  # finishes the requests it holds
    )  # fmt: skip
