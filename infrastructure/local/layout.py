"""Where the local stack keeps its things: paths below PHOENIX_HOME, and the programs it finds on the machine.

It knows paths only; nothing here starts a process or writes a secret. Directories get the modes they need
whatever the caller's umask is, because PostgreSQL runs as another user.
"""

import os
import pwd
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infrastructure.local.plain_paths import HomeError, plain_name, resolved_name

REPOSITORY = Path(__file__).resolve().parents[2]
HOME_DEFAULT = REPOSITORY / ".phoenix"

POSTGRES_SYSTEM_USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this user."""

POSTGRES_OUTSIDE = Path("/var/lib/phoenix95")
"""Data directories for homes that the PostgreSQL user cannot reach, such as those below /root."""

POSTGRES_NOTE = "postgres.location"
"""Holds, in the home, where its data went."""

SUPERVISED_MARK = "PHOENIX95_SUPERVISED_HOME"
"""In the environment of every process that a supervisor of ours started, and in nobody's shell: people export
`PHOENIX_HOME` too."""

PASSABLE = 0o711
"""A directory that PostgreSQL's user passes through and cannot list."""


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
    """The directories and files of one system; `postgres` may be outside `home`.

    `broker_node` is the name under which the broker's data was written, if there is any: it keeps that name
    when the port base changes or the home is copied.
    """

    home: Path
    postgres: Path
    broker_node: str | None = None

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
        """Where supervisord answers; the home's plain name keeps it short enough for the kernel."""
        return self.run / "supervisor.sock"

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
    home = resolved_name(home)
    note = home / POSTGRES_NOTE
    outside = Path(note.read_text(encoding="utf-8").strip()) if note.is_file() else None
    return Layout(home, outside or home / "postgres", _broker_node(home))


def _broker_node(home: Path) -> str | None:
    """Return the name of the node whose data is there, the one used last if there are several."""
    found = [path for path in (home / "rabbitmq" / "mnesia").glob("*@localhost") if path.is_dir()]
    return max(found, key=lambda path: path.stat().st_mtime).name if found else None


def make_layout(home: Path) -> Layout:
    """Create the directories of `home`, private to this user, and choose where PostgreSQL's data goes.

    Raises:
        HomeError: the home's name cannot be used, or it belongs to another user.
    """
    _make(home, PASSABLE)  # passable, so that PostgreSQL's user reaches its own
    home = plain_name(home)
    for path in (home / "logs", home / "run"):
        _make(path, 0o700)
    if (owner := (home / "run").stat().st_uid) != os.getuid():
        raise HomeError(
            f"{home} belongs to the user {_user_name(owner)}, this is {_user_name(os.getuid())}:"
            f" start Phoenix as {_user_name(owner)}, or choose another home with PHOENIX_HOME"
        )
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
    ):
        _make(path, 0o700)
    return layout


def _make(path: Path, mode: int) -> None:
    """Create a directory with exactly this mode; an existing one keeps its own."""
    if not path.is_dir():
        path.mkdir(mode=mode, parents=True)
        path.chmod(mode)  # the umask took its part


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


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
    parents = {*layout.postgres.parents, *layout.postgres.resolve().parents}
    if all(_may_pass(parent, account) for parent in parents if parent.exists()):
        return layout
    if (layout.postgres / "PG_VERSION").exists():
        raise HomeError(
            f"PostgreSQL's user ({POSTGRES_SYSTEM_USER}) cannot reach its data in {layout.postgres}: a"
            " directory above is closed to others. Open it (chmod o+x), or move the home to where it can"
        )
    outside = new_outside_directory(account)
    (layout.home / POSTGRES_NOTE).write_text(f"{outside}\n", encoding="utf-8")
    return Layout(layout.home, outside, layout.broker_node)


def new_outside_directory(account: pwd.struct_passwd) -> Path:
    """Return a fresh directory for PostgreSQL's data outside of any home, owned by its user."""
    _make(POSTGRES_OUTSIDE, 0o755)
    if not _may_pass(POSTGRES_OUTSIDE, account):  # made under a narrow umask by an earlier version
        POSTGRES_OUTSIDE.chmod(0o755)
    outside = Path(tempfile.mkdtemp(prefix="postgres-", dir=POSTGRES_OUTSIDE))
    os.chown(outside, account.pw_uid, account.pw_gid)
    return outside


def _may_pass(directory: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether `account` may walk through a directory (its owner, its main group or anybody may)."""
    status = directory.stat()
    if status.st_uid == account.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
