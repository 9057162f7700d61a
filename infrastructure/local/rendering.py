"""Texts of the configuration files that the local stack writes: pure, from templates and values.

It must never read or write a file; `preparation` does that.
"""

import base64
import hashlib
import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from infrastructure.local.layout import REPOSITORY, SUPERVISED_MARK, Layout
from infrastructure.local.plan import Program
from infrastructure.local.ports import LOOPBACK, SERVICES, Ports
from infrastructure.nginx_lb.placeholders import Addresses

LAUNCHER = Path(__file__).with_name("launch.py")
START_RETRIES = 4
"""supervisord's own pauses grow without end, so it gives up soon what cannot even be spawned; the guardian
starts that again, for ever. What is spawned and ends is held back by the launcher."""
GUARDIAN = "guardian"

BROKER_USER = "phoenix"
VIRTUAL_HOST = "/trading"


def nginx_addresses(
    layout: Layout, ports: Ports, replicas: int, worker_user: str | None, drained: Iterable[str] = ()
) -> Addresses:
    """Return where nginx listens and what is behind it, all on loopback; `drained` are names of instances."""
    instances = {
        service: {
            f"{service}-{index}": _loopback(ports.instance(service, index)) for index in range(replicas)
        }
        for service in SERVICES
    }
    return Addresses(
        directory=str(layout.nginx),
        public=_loopback(ports.of("nginx")),
        tls=_loopback(ports.of("nginx_tls")),
        redirect=_loopback(ports.of("nginx_redirect")),
        services={service: _loopback(ports.of(service)) for service in SERVICES},
        instances={service: tuple(named.values()) for service, named in instances.items()},
        worker_user=worker_user,
        drained=frozenset(
            address for named in instances.values() for name, address in named.items() if name in set(drained)
        ),
    )


def _loopback(port: int) -> str:
    return f"127.0.0.1:{port}"


def redis_conf(base: str, layout: Layout, port: int, password: str, listen: str = LOOPBACK) -> str:
    """Return the configuration of the private Redis: the common one plus address, place and password."""
    return f'{base}\nbind {listen}\nport {port}\ndir "{layout.redis}"\nrequirepass {password}\n'


def rabbitmq_conf(base: str, layout: Layout, ports: Ports) -> str:
    """Return the configuration of the private broker: the common one, the management address, definitions."""
    return (
        f"{base}\nload_definitions = {layout.rabbitmq / 'definitions.json'}\n"
        f"management.tcp.ip = {ports.listen}\nmanagement.tcp.port = {ports.of('amqp_management')}\n"
        f"prometheus.tcp.ip = {ports.listen}\nprometheus.tcp.port = {ports.of('amqp_metrics')}\n"
    )


def broker_definitions(topology: str | None, password: str, salt: bytes) -> str:
    """Return the topology's definitions with our one user; `salt` is 4 random bytes."""
    definitions = json.loads(topology) if topology else {"vhosts": [{"name": VIRTUAL_HOST}]}
    definitions["users"] = [
        {
            "name": BROKER_USER,
            "password_hash": rabbit_password_hash(password, salt),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": "monitoring",
        }
    ]
    definitions["permissions"] = [
        {"user": BROKER_USER, "vhost": VIRTUAL_HOST, "configure": ".*", "write": ".*", "read": ".*"}
    ]
    return json.dumps(definitions, indent=1)


def rabbit_password_hash(password: str, salt: bytes) -> str:
    """Return RabbitMQ's salted SHA-256 form of a password."""
    assert len(salt) == 4
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def supervisor_conf(
    table: Iterable[Program],
    layout: Layout,
    settings_environment: Mapping[str, str],
    *,
    run_as: str | None = None,
    guardian: Iterable[str] = (),
) -> str:
    """Return supervisord's configuration; it holds no secret.

    Programs do not start by themselves: the stack starts each when what it needs is ready. What dies is
    restarted. The guardian alone starts with supervisord: each of the two starts the other when it dies.
    """
    header = [
        "[supervisord]",
        f"logfile={_escaped(layout.logs / 'supervisord.log')}",
        "logfile_maxbytes=0",  # the guardian bounds it: turning a log over on a full disk ends supervisord
        f"pidfile={_escaped(layout.supervisor_pid)}",
        f"childlogdir={_escaped(layout.logs)}",
        "umask=077",
        "silent=true",
        *([f"user={run_as}"] if run_as else []),
        "[unix_http_server]",
        f"file={_escaped(layout.socket)}",
        "chmod=0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    sections = [_guardian_section(guardian, layout)] if guardian else []
    sections += [_program_section(program, layout, settings_environment) for program in table]
    return "\n".join(header) + "\n" + "\n".join(sections) + "\n"


_COMMON = (
    "autorestart=true",
    "startsecs=1",
    f"startretries={START_RETRIES}",
    "killasgroup=true",
    "redirect_stderr=true",
    "stdout_logfile=NONE",  # the program writes its log itself; a pipe of ours could fail it or hold it up
)


def _guardian_section(command: Iterable[str], layout: Layout) -> str:
    launched = _launched(GUARDIAN, tuple(command), layout, sys.executable)
    lines = [
        f"[program:{GUARDIAN}]",
        f"command={_escaped(shlex.join(launched))}",
        f"directory={_escaped(REPOSITORY)}",
        "autostart=true",
        *_COMMON,
        "stopsignal=TERM",
    ]
    return "\n".join(lines)


def _program_section(program: Program, layout: Layout, settings_environment: Mapping[str, str]) -> str:
    environment = {**program.environment, SUPERVISED_MARK: str(layout.home)}
    environment |= dict(settings_environment) if program.reads_settings else {}
    lines = [
        f"[program:{program.name}]",
        f"command={_escaped(shlex.join(_launch_command(program, layout, sys.executable)))}",
        f"directory={_escaped(program.directory)}",
        "autostart=false",
        *_COMMON,
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={int(program.stop_timeout_s)}",
    ]
    if environment:
        pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in environment.items())
        lines.append(f"environment={pairs}")
    return "\n".join(lines)


def _launch_command(program: Program, layout: Layout, python: str) -> tuple[str, ...]:
    return _launched(
        program.name,
        program.command,
        layout,
        python,
        writes_own_pid_file=program.writes_own_pid_file,
        user=program.user,
        fails_with_its_output=program.fails_with_its_output,
    )


def _launched(
    name: str,
    command: tuple[str, ...],
    layout: Layout,
    python: str,
    *,
    writes_own_pid_file: bool = False,
    user: str | None = None,
    fails_with_its_output: bool = False,
) -> tuple[str, ...]:
    """Let the launcher open the log, note the process id and become the program."""
    pid_file = () if writes_own_pid_file else ("--pid-file", str(layout.pid_file_of(name)))
    return (
        *(python, "-I", "-S", str(LAUNCHER), "--log", str(layout.log_of(name)), *pid_file),
        *("--starts", str(layout.starts_file_of(name)), *(("--user", user) if user else ())),
        *(("--lossy",) if fails_with_its_output else ()),
        *command,
    )


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")
