"""Private servers, and a whole running system, for tests: the code of `./scripts/start.sh`, on free ports.

`servers` gives RabbitMQ, Redis and PostgreSQL, migrated and with the topology imported; `running_system`
gives everything behind nginx. Both start once per test run, only when a test asks, and end with it, even if
it is killed.
"""

import contextlib
import fcntl
import random
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Literal

import pytest

from infrastructure.local.bring_up import StartError, log_tail
from infrastructure.local.plan import SERVERS
from infrastructure.local.ports import Ports
from infrastructure.local.probes import is_port_free
from infrastructure.local.stack import LocalStack

ServerName = Literal["rabbitmq", "redis", "postgres"]
Role = Literal["admin", "brain", "risk", "execute", "feed", "notify"]

TEST_BASES = range(20_000, 32_000, 200)
"""Above the usual servers, below the ports the kernel hands out to clients."""


@dataclass(frozen=True)
class Servers:
    """RabbitMQ, Redis and PostgreSQL of this test run."""

    stack: LocalStack

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """Every PHOENIX_* setting, as a service would read it."""
        return self.stack.settings()

    @property
    def env_file(self) -> str:
        """Value for PHOENIX_ENV_FILE of a service under test."""
        return ":".join(str(path) for path in self.stack.env_files())

    @property
    def amqp_url(self) -> str:
        """Broker, virtual host /trading."""
        return self.settings["PHOENIX_AMQP_URL"]

    @property
    def management_url(self) -> str:
        """HTTP API of the broker, with credentials."""
        return self.settings["PHOENIX_AMQP_MANAGEMENT_URL"]

    @property
    def redis_url(self) -> str:
        """Redis, database 0, with the password."""
        return self.settings["PHOENIX_REDIS_URL"]

    @property
    def postgres_url(self) -> str:
        """Database, without user and password."""
        return self.settings["PHOENIX_POSTGRES_URL"]

    def password(self, role: Role) -> str:
        """Return the password of the database role phoenix_<role>."""
        return self.settings[f"PHOENIX_{role.upper()}_DB_PASSWORD"]

    def postgres_dsn(self, role: Role = "admin") -> str:
        """Return the database's URL with the user and password of a role."""
        user = f"phoenix_{role}:{self.password(role)}@"
        return self.postgres_url.replace("postgresql://", f"postgresql://{user}", 1)

    def stop(self, name: ServerName) -> None:
        """Stop a server in good order; it stays away until `start`."""
        self.stack.stop_program(name)

    def start(self, name: ServerName) -> None:
        """Start a server, or wait for one that is coming back, until it is ready."""
        self.stack.await_program(name)

    def restart(self, name: ServerName) -> None:
        """Stop and start a server and wait until it is ready."""
        self.stack.restart_program(name)

    def kill(self, name: ServerName) -> None:
        """Kill a server with SIGKILL; the supervisor starts it again (`start` waits for that)."""
        self.stack.kill_program(name)

    @contextlib.contextmanager
    def frozen(self, name: ServerName) -> Iterator[None]:
        """Freeze a server's main process for the duration of a block."""
        self.stack.kill_program(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self.stack.kill_program(name, signal.SIGCONT)


@dataclass(frozen=True)
class RunningSystem(Servers):
    """A whole system in paper mode behind nginx."""

    @property
    def public_url(self) -> str:
        """nginx's public port: the webhook."""
        return self.settings["PHOENIX_PUBLIC_URL"]

    @property
    def webhook_secret(self) -> str:
        """What an alert must carry."""
        return self.settings["PHOENIX_WEBHOOK_SECRET"]

    @property
    def api_key(self) -> str:
        """Key of the operator endpoints."""
        return self.settings["PHOENIX_API_KEY"]

    def url(self, service: Literal["brain", "risk", "execute", "notify"]) -> str:
        """Return a service's balanced address."""
        return self.settings[f"PHOENIX_{service.upper()}_URL"]


@contextlib.contextmanager
def free_port_base() -> Iterator[int]:
    """Reserve a port base whose ports are all free, against other test runs as well."""
    bases = list(TEST_BASES)
    random.shuffle(bases)
    for base in bases:
        with (Path(tempfile.gettempdir()) / f"phoenix95-ports-{base}.lock").open("a") as lock:
            if _locks(lock) and all(map(is_port_free, Ports(base).all())):
                yield base
                return
    raise RuntimeError("no free port base for the test servers")


@contextlib.contextmanager
def throwaway_stack(*, monitoring: bool = False) -> Iterator[LocalStack]:
    """Give a stack with a home and ports of its own and delete it afterwards; unwatched, unless asked for."""
    with free_port_base() as base:
        home = Path(tempfile.mkdtemp(prefix="phoenix95-test-"))
        home.chmod(0o711)  # PostgreSQL's user must reach its directory when the tests run as root
        stack = LocalStack(home, port_base=base, end_with_parent=True, monitoring=monitoring, tell=_tell)
        try:
            yield stack
        finally:
            stack.destroy()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """RabbitMQ with the topology, Redis, and PostgreSQL with every migration, private to this test run."""
    with throwaway_stack() as stack:
        stack.start(only=SERVERS)
        yield Servers(stack)


@pytest.fixture(scope="session")
def running_system() -> Iterator[RunningSystem]:
    """Start the whole system, as start.sh does, in a home of its own."""
    with throwaway_stack() as stack:
        try:
            stack.start()
        except StartError:
            for log in sorted(stack.layout.logs.glob("*.log")):
                _tell(f"--- {log.name}\n{log_tail(log)}")
            raise
        yield RunningSystem(stack)
        stack.stop()  # once in a run a whole system ends in good order; what is destroyed does not


def _locks(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
