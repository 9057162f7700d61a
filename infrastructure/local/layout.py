"""Where the local stack keeps its things: paths below PHOENIX_HOME, and the programs it finds on the machine.

It knows paths only; nothing here starts a process or writes a secret.
"""

import hashlib
import os
import pwd
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HOME_DEFAULT = REPOSITORY / ".phoenix"

POSTGRES_SYSTEM_USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this user."""

POSTGRES_OUTSIDE = Path("/var/lib/phoenix95")
"""Data directories for homes that the PostgreSQL user cannot reach, such as those below /root."""

SOCKET_PATH_BYTES_MAX = 90
"""Unix socket paths end at 107 bytes, and supervisord binds under a longer temporary name first."""


class MissingServerError(Exception):
    """A server program is not installed."""


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """Server programs of this machine. Those with a default may be missing: the monitoring is optional."""

    epmd: Path
    rabbitmq_server: Path
    redis_server: Path
    postgres_bin: Path
    nginx: Path
    prometheus: Path = Path("/usr/bin/prometheus")
    alertmanager: Path = Path("/usr/bin/prometheus-alertmanager")
    node_exporter: Path = Path("/usr/bin/prometheus-node-exporter")
    python: Path = Path(sys.executable)


@dataclass(frozen=True)
class Layout:
    """The directories and files of one system; `postgres` may be outside `home`."""

    home: Path
    postgres: Path

    @property
    def env_file(self) -> Path:
        """Settings and secrets of this installation."""
        return self.home / "phoenix.env"

    @property
    def overrides_file(self) -> Path:
        """Settings given for this run only."""
        return self.run / "overrides.env"

    @property
    def logs(self) -> Path:
        """One log per program."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """What is only true while the system runs: pid files, supervisor configuration."""
        return self.home / "run"

    @property
    def supervisor_conf(self) -> Path:
        """The generated configuration of supervisord."""
        return self.run / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        """Written by supervisord."""
        return self.run / "supervisord.pid"

    @property
    def session_file(self) -> Path:
        """Holds the number of the session that supervisord and all it starts are in."""
        return self.run / "session"

    @property
    def guardian_pid(self) -> Path:
        """The process id of the guardian."""
        return self.pid_file_of("guardian")

    @property
    def socket(self) -> Path:
        """Where supervisord answers; short, because the kernel limits such paths."""
        path = self.run / "supervisor.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            return path
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"phoenix95-{os.getuid()}-{digest}" / "supervisor.sock"

    @property
    def rabbitmq(self) -> Path:
        """Home directory of the broker."""
        return self.home / "rabbitmq"

    @property
    def redis(self) -> Path:
        """Append-only file and rendered configuration."""
        return self.home / "redis"

    @property
    def nginx(self) -> Path:
        """Prefix of nginx: rendered configuration and (unused) temporary directories."""
        return self.home / "nginx"

    @property
    def prometheus(self) -> Path:
        """Rendered configuration, rules and recorded series."""
        return self.home / "prometheus"

    @property
    def alertmanager(self) -> Path:
        """Rendered configuration, the key for NOTIFY, silences."""
        return self.home / "alertmanager"

    @property
    def paper_exchange(self) -> Path:
        """State of the paper exchange."""
        return self.home / "paper_exchange"

    def log_of(self, program: str) -> Path:
        """Return the log file of a program."""
        return self.logs / f"{program}.log"

    def starts_file_of(self, program: str) -> Path:
        """Return the file that is there while a program is meant to run; it counts its quick ends."""
        return self.run / f"{program}.starts"

    def pid_file_of(self, program: str) -> Path:
        """Return the file that holds a program's process id; PostgreSQL writes its own."""
        return self.postgres / "postmaster.pid" if program == "postgres" else self.run / f"{program}.pid"


def find_layout(home: Path) -> Layout:
    """Return the layout of `home`; where PostgreSQL's data went is remembered in a note there."""
    note = home / "postgres.location"
    if note.is_file():
        return Layout(home, Path(note.read_text(encoding="utf-8").strip()))
    return Layout(home, home / "postgres")


def make_layout(home: Path) -> Layout:
    """Create the directories of `home`, private to this user, and choose where PostgreSQL's data goes."""
    home.mkdir(mode=0o711, parents=True, exist_ok=True)  # passable, so that PostgreSQL's user reaches its own
    for path in (home / "logs", home / "run"):
        path.mkdir(mode=0o700, exist_ok=True)
    layout = find_layout(home)
    if os.getuid() == 0 and layout.postgres == home / "postgres":
        layout = _reachable_for_postgres(layout)
    for path in (
        layout.rabbitmq,
        layout.redis,
        layout.nginx,
        layout.prometheus,
        layout.alertmanager,
        layout.paper_exchange,
        layout.socket.parent,
    ):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if layout.socket.parent.stat().st_uid != os.getuid():
        raise PermissionError(f"{layout.socket.parent} belongs to somebody else")
    return layout


def find_binaries() -> Binaries:
    """Find the installed servers, the newest PostgreSQL first.

    Raises:
        MissingServerError: something is not installed; the message names all of it.
    """
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    versions = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    versions.sort(key=lambda p: float(p.parent.name))
    rabbitmq = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = {
        "epmd": shutil.which("epmd", path=path),
        "rabbitmq_server": rabbitmq if rabbitmq.exists() else None,
        "redis_server": shutil.which("redis-server", path=path),
        "postgres_bin": versions[-1] if versions else None,
        "nginx": shutil.which("nginx", path=path),
    }
    missing = sorted(name for name, where in found.items() if where is None)
    if missing:
        raise MissingServerError(
            f"not installed: {', '.join(missing)} (run ./scripts/start.sh without --no-install)"
        )
    return Binaries(**{name: Path(where) for name, where in found.items() if where is not None})


def postgres_user() -> str | None:
    """Return the system user PostgreSQL runs as, or None for our own."""
    return POSTGRES_SYSTEM_USER if os.getuid() == 0 else None


def _reachable_for_postgres(layout: Layout) -> Layout:
    """Keep the data in the home if PostgreSQL's user can get there, else put it outside and leave a note."""
    account = pwd.getpwnam(POSTGRES_SYSTEM_USER)
    if layout.postgres.exists() or all(
        _may_pass(parent, account)
        for parent in (layout.postgres, *layout.postgres.parents)
        if parent.exists()
    ):
        return layout
    POSTGRES_OUTSIDE.mkdir(mode=0o755, parents=True, exist_ok=True)
    outside = Path(tempfile.mkdtemp(prefix="postgres-", dir=POSTGRES_OUTSIDE))
    os.chown(outside, account.pw_uid, account.pw_gid)
    (layout.home / "postgres.location").write_text(f"{outside}\n", encoding="utf-8")
    return Layout(layout.home, outside)


def _may_pass(directory: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether `account` may walk through a directory (its owner, its main group or anybody may)."""
    status = directory.stat()
    if status.st_uid == account.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
