"""Makes a home ready to start: settings and secrets, rendered configurations, the database cluster.

It knows the file system and `initdb`; it must never start a server that outlives it.
"""

import hashlib
import json
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from infrastructure.local import rendering
from infrastructure.local.layout import REPOSITORY, Binaries, Layout, postgres_user
from infrastructure.local.plan import Program
from infrastructure.local.ports import Ports
from infrastructure.local.settings_file import ensure_env_file, write_private
from infrastructure.nginx_lb.settings import OWN_KEYS

ADMIN_ROLE = "phoenix_admin"
DATABASE = "phoenix"
INITDB_TIMEOUT_S = 120

PASSED_ON = (
    "PATH", "TZ", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
"""What programs inherit from the shell that started the stack; all else stays out, secrets above all."""


LOCALE = "C.UTF-8"
"""Every glibc has it; the shell's may not be installed, or not be UTF-8."""


class PreparationError(Exception):
    """The home could not be made ready; the message is for the operator."""


def prepare_settings(layout: Layout, ports: Ports) -> dict[str, str]:
    """Write or complete phoenix.env and return its values."""
    return ensure_env_file(layout.env_file, ports, {"PHOENIX_PAPER_DATA_DIR": str(layout.paper_exchange)})


def prepare_servers(layout: Layout, ports: Ports, settings: Mapping[str, str]) -> set[str]:
    """Render the configurations of Redis and RabbitMQ; return the programs with a changed one."""
    infrastructure = REPOSITORY / "infrastructure"
    prepare_rabbitmq(layout, infrastructure / "rabbitmq", settings["PHOENIX_AMQP_PASSWORD"])
    rabbitmq_base = (infrastructure / "rabbitmq/rabbitmq.conf").read_text(encoding="utf-8")
    redis_base = (infrastructure / "redis/redis.conf").read_text(encoding="utf-8")
    rendered = {
        layout.rabbitmq / "rabbitmq.conf": rendering.rabbitmq_conf(rabbitmq_base, layout, ports),
        layout.redis / "redis.conf": rendering.redis_conf(
            redis_base, layout, ports.of("redis"), settings["PHOENIX_REDIS_PASSWORD"]
        ),
    }
    return {path.parent.name for path, text in rendered.items() if _write_if_changed(path, text)}


def _write_if_changed(path: Path, text: str) -> bool:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_private(path, text)
    return True


def prepare_supervisor(
    layout: Layout,
    table: Iterable[Program],
    env_files: Sequence[Path],
    settings: Mapping[str, str],
    guardian: Sequence[str],
) -> None:
    """Write supervisord's configuration, and make the log files: a full disk takes no new ones.

    A digest of the settings stands in the services' environment: changed settings change the configuration,
    and supervisord then restarts exactly the programs that read them. What nginx alone reads does not count.
    """
    environment = service_environment(layout, env_files) | {"PHOENIX_SETTINGS_DIGEST": _digest(settings)}
    run_as = "root" if os.getuid() == 0 else None
    table = tuple(table)
    for name in (*(program.name for program in table), rendering.GUARDIAN):
        layout.log_of(name).touch(mode=0o600)
    text = rendering.supervisor_conf(table, layout, environment, run_as=run_as, guardian=guardian)
    write_private(layout.supervisor_conf, text)


def _digest(settings: Mapping[str, str]) -> str:
    read_by_services = {key: value for key, value in settings.items() if key not in OWN_KEYS}
    return hashlib.sha256(json.dumps(read_by_services, sort_keys=True).encode()).hexdigest()[:12]


def service_environment(layout: Layout, env_files: Sequence[Path]) -> dict[str, str]:
    """Return how a program of ours finds its settings: paths, no secrets."""
    disks = (layout.home, layout.postgres, layout.rabbitmq, layout.redis)  # logs may be lost, all else not
    return {
        "PHOENIX_DISK_PATHS": ":".join(map(str, disks)),
        "PHOENIX_ENV_FILE": ":".join(str(path) for path in env_files),
        "PHOENIX_HOME": str(layout.home),
        "PYTHONUNBUFFERED": "1",
    }


def basic_environment() -> dict[str, str]:
    """Return the part of our environment that programs may see."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
        "HOME": os.environ.get("HOME") or "/",
        "LANG": LOCALE,
    }


def prepare_postgres(layout: Layout, binaries: Binaries, password: str) -> None:
    """Create the database cluster, once, with password authentication only.

    Raises:
        PreparationError: initdb failed.
    """
    password_file = layout.postgres.parent / f".{layout.postgres.name}.password"
    if _was_interrupted(layout, password_file):
        _empty(layout.postgres)
    if (layout.postgres / "PG_VERSION").exists():
        password_file.unlink(missing_ok=True)
        return
    user = postgres_user()
    layout.postgres.mkdir(mode=0o700, exist_ok=True)
    layout.postgres.chmod(0o700)
    write_private(password_file, password + "\n")
    try:
        if user:
            account = pwd.getpwnam(user)
            for path in (layout.postgres, password_file):
                os.chown(path, account.pw_uid, account.pw_gid)
        _initdb(layout, binaries, password_file, user)
    finally:
        password_file.unlink()


def _was_interrupted(layout: Layout, password_file: Path) -> bool:
    """Tell whether `initdb` was killed: its password stayed, and no server ever ran on what it left.

    It writes PG_VERSION first, so half a cluster looks like a whole one and never starts.
    """
    return password_file.exists() and not (layout.postgres / "postmaster.opts").exists()


def _empty(directory: Path) -> None:
    for each in directory.iterdir() if directory.exists() else ():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _initdb(layout: Layout, binaries: Binaries, password_file: Path, user: str | None) -> None:
    command = [
        str(binaries.postgres_bin / "initdb"), "--pgdata", str(layout.postgres),
        "--username", ADMIN_ROLE, "--pwfile", str(password_file), "--auth", "scram-sha-256",
        "--encoding", "UTF8", "--locale", LOCALE,
    ]  # fmt: skip
    finished = subprocess.run(
        command,
        cwd=layout.postgres,
        env=basic_environment(),
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        capture_output=True,
        text=True,
        timeout=INITDB_TIMEOUT_S,
        check=False,
    )
    if finished.returncode:
        raise PreparationError(f"initdb failed:\n{finished.stdout}{finished.stderr}")


def prepare_rabbitmq(layout: Layout, source: Path, password: str) -> None:
    """Write what the broker reads beside its configuration: cookie, plugins, topology with our user."""
    home = layout.rabbitmq
    cookie = home / ".erlang.cookie"
    if not cookie.exists():
        write_private(cookie, secrets.token_hex(16))
        cookie.chmod(0o400)
    for name in (
        "rabbitmq-env.conf",
        "advanced.config",
    ):  # empty, so that the machine's own files are not read
        write_private(home / name, "[].\n" if name == "advanced.config" else "")
    write_private(home / "enabled_plugins", (source / "enabled_plugins").read_text(encoding="utf-8"))
    topology = source / "definitions.json"
    write_private(
        home / "definitions.json",
        rendering.broker_definitions(
            topology.read_text(encoding="utf-8") if topology.exists() else None,
            password,
            secrets.token_bytes(4),
        ),
    )
