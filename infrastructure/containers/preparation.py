"""Writes the home of the containers: settings once, configurations and each reader's part at every start.

It runs before everything else, with the right to hand files to other users, and without a network. It must
never follow a link: the directories belong to servers, and one that is taken over must not reach another's
secrets.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from infrastructure.containers.home import (
    HOSTS,
    OWN_SECRETS,
    OWNERS,
    SETTINGS_OF,
    ContainerPorts,
    container_layout,
    front_door_addresses,
    scrape_targets,
    settings_for,
)
from infrastructure.local import rendering
from infrastructure.local.layout import REPOSITORY, Layout
from infrastructure.local.monitoring import monitoring_files
from infrastructure.local.preparation import prepare_rabbitmq
from infrastructure.local.settings_file import SECRET_BYTES, ensure_env_file, write_private
from infrastructure.nginx_lb.placeholders import TEMPLATES, configuration
from infrastructure.nginx_lb.settings import read as read_front_door
from infrastructure.postgres.replication import ROLE as REPLICATION_ROLE

INFRASTRUCTURE = REPOSITORY / "infrastructure"
PRIVATE_DIRECTORY = 0o700

SETTINGS_FILE = "phoenix.env"
HIGHLY_AVAILABLE = frozenset({"rabbitmq-2", "rabbitmq-3", "redis-replica", "postgres-standby"})
"""Directories of the servers that only deployment/docker-compose.ha.yml has."""

Files = dict[Path, str]


def prepare(
    home: Path, environment: Mapping[str, str], *, highly_available: bool = False, hand_over: bool = True
) -> None:
    """Bring the home up to date; without `hand_over` everything stays with the user who calls.

    Secrets are made once; running it again changes nothing but what follows from the code and from the
    `environment`, whose settings win over the home's.

    Raises:
        ValueError: a setting of nginx or of the monitoring cannot be used; nothing but missing secrets was
            written.
    """
    layout, ports = container_layout(home), ContainerPorts()
    directories = [name for name in OWNERS if highly_available or name not in HIGHLY_AVAILABLE]
    for name in directories:
        (home / name).mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    extra = {key: secrets.token_urlsafe(SECRET_BYTES) for key in OWN_SECRETS}
    settings = ensure_env_file(layout.env_file, ports, extra)
    prepare_rabbitmq(layout, INFRASTRUCTURE / "rabbitmq", settings["PHOENIX_AMQP_PASSWORD"])
    files = _settings_files(home, settings) | _configurations(layout, ports, settings)
    in_force = {**settings, **environment}
    files |= _front_door(layout, ports, in_force)
    files |= monitoring_files(layout, scrape_targets(ports), in_force)
    if highly_available:
        files |= _companions(layout, ports, settings, files)
    for path, text in files.items():
        write_private(path, text)
    if hand_over:
        for name in directories:
            _hand_over(home / name, OWNERS[name])


def _settings_files(home: Path, settings: Mapping[str, str]) -> Files:
    files = {home / "cli" / SETTINGS_FILE: _lines(settings)}
    for reader in SETTINGS_OF:
        files[home / reader / SETTINGS_FILE] = _lines(settings_for(reader, settings))
    return files


def _configurations(layout: Layout, ports: ContainerPorts, settings: Mapping[str, str]) -> Files:
    """Return what the servers read, from the sources and by the functions of the local start."""
    return {
        layout.rabbitmq / "rabbitmq.conf": rendering.rabbitmq_conf(
            _source("rabbitmq/rabbitmq.conf"), layout, ports
        ),
        layout.redis / "redis.conf": rendering.redis_conf(
            _source("redis/redis.conf"),
            layout,
            ports.of("redis"),
            settings["PHOENIX_REDIS_PASSWORD"],
            listen=ports.listen,
        ),
        layout.postgres.parent / "pg_hba.conf": _source("postgres/pg_hba.conf"),
        layout.postgres.parent / "admin.password": settings["PHOENIX_ADMIN_DB_PASSWORD"],
        layout.home / "grafana" / "admin.password": settings["PHOENIX_GRAFANA_PASSWORD"],
    }


def _front_door(layout: Layout, ports: ContainerPorts, settings: Mapping[str, str]) -> Files:
    templates = {name: _source(f"nginx_lb/{name}") for name in TEMPLATES}
    where = front_door_addresses(layout, ports)
    filled = configuration(templates, read_front_door(settings), where)
    return {layout.nginx / name: text for name, text in filled.items()}


def _companions(layout: Layout, ports: ContainerPorts, settings: Mapping[str, str], files: Files) -> Files:
    """Return the files of the companions: in its own container each directory stands for the first's."""
    broker = {path.name: path.read_text(encoding="utf-8") for path in _own_files(layout.rabbitmq)}
    broker |= {path.name: text for path, text in files.items() if path.parent == layout.rabbitmq}
    password = settings["PHOENIX_REDIS_PASSWORD"]
    replica = f"replicaof {HOSTS['redis']} {ports.of('redis')}\nmasterauth {password}\n"
    return {
        **{
            layout.home / node / name: text
            for node in ("rabbitmq-2", "rabbitmq-3")
            for name, text in broker.items()
        },
        layout.home / "redis-replica" / "redis.conf": files[layout.redis / "redis.conf"] + replica,
        layout.home / "postgres-standby" / "pg_hba.conf": _source("postgres/pg_hba.conf"),
        layout.home / "postgres-standby" / "replication.pgpass": _pgpass(ports, settings),
    }


def _pgpass(ports: ContainerPorts, settings: Mapping[str, str]) -> str:
    """Return the line in which libpq finds the password for replication."""
    password = settings["PHOENIX_REPLICATION_DB_PASSWORD"]
    return f"{ports.address('postgres')}:*:{REPLICATION_ROLE}:{password}\n"


def _hand_over(directory: Path, user: int) -> None:
    """Give a directory and its files to the user of its container; data below is that user's already."""
    for path in _own_files(directory):
        os.chown(path, user, user, follow_symlinks=False)
    directory.chmod(PRIVATE_DIRECTORY)
    os.chown(directory, user, user, follow_symlinks=False)


def _own_files(directory: Path) -> list[Path]:
    with os.scandir(directory) as entries:
        return [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _source(name: str) -> str:
    return (INFRASTRUCTURE / name).read_text(encoding="utf-8")
