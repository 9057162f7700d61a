"""The home of the containers: its directories, who owns each, which settings each process may know.

Paths below the home, ports and settings are those of the local start; what differs is that a server is
reached by its name, and that every process gets a settings file of its own with nothing in it that it does
not read. It must never touch a file: `preparation` does that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from infrastructure.local.layout import Layout
from infrastructure.local.ports import SERVICES, Ports
from infrastructure.monitoring.targets import Named, Targets
from infrastructure.nginx_lb.placeholders import Addresses
from infrastructure.paper_exchange.config import PaperSettings
from infrastructure.postgres.replication import ReplicationSettings
from services.brain.config import BrainSettings
from services.execute.config import ExecuteSettings, FeedSettings
from services.notify.config import NotifySettings
from services.risk.config import RiskSettings

HOME = Path("/var/lib/phoenix")
"""Where every container has its part of the home."""

HOSTS: Mapping[str, str] = {
    **dict.fromkeys(("nginx", *SERVICES), "nginx"),
    "paper_exchange": "paper-exchange",
    "market_feed": "market-feed",
    **dict.fromkeys(("amqp", "amqp_management", "amqp_metrics"), "rabbitmq"),
    "redis": "redis",
    "postgres": "postgres",
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
    "node_exporter": "node-exporter",
}
"""The name in docker-compose.yml of what serves each port; a service's balanced port is nginx's."""

DNS_SERVER = "127.0.0.11"
"""Docker's own, the same in every container."""

OUR_USER = 10_001
SERVER_USER = 999
"""The user of the RabbitMQ, Redis and PostgreSQL images."""

OWNERS: Mapping[str, int] = {
    **dict.fromkeys(("cli", "migrate", "market_feed", "paper_exchange", *SERVICES), OUR_USER),
    **dict.fromkeys(("postgres", "redis", "rabbitmq"), SERVER_USER),
    **dict.fromkeys(("postgres-standby", "redis-replica", "rabbitmq-2", "rabbitmq-3"), SERVER_USER),
    "nginx": 101,
    **dict.fromkeys(("prometheus", "alertmanager"), 65_534),
    "grafana": 472,
}
"""User id of the container that a directory of the home belongs to."""

SETTINGS_OF: Mapping[str, type[BaseSettings]] = {
    "brain": BrainSettings,
    "risk": RiskSettings,
    "execute": ExecuteSettings,
    "market_feed": FeedSettings,
    "notify": NotifySettings,
    "paper_exchange": PaperSettings,
    "migrate": ReplicationSettings,
}

OWN_SECRETS = ("PHOENIX_GRAFANA_PASSWORD", "PHOENIX_REPLICATION_DB_PASSWORD")
"""Secrets that only the containers have."""


@dataclass(frozen=True)
class ContainerPorts(Ports):
    """The ports of the local start, each on a host of its own."""

    @property
    def listen(self) -> str:
        """The container's network; nothing but what compose publishes is reached from outside."""
        return "0.0.0.0"  # noqa: S104

    def address(self, name: str) -> str:
        """Return `host:port` under which other containers reach a server."""
        return f"{HOSTS[name]}:{self.of(name)}"


def container_layout(home: Path) -> Layout:
    """Return the layout of a home; PostgreSQL's data lies a level deeper: initdb wants an empty directory."""
    return Layout(home, home / "postgres" / "data")


def keys_of(kind: type[BaseSettings]) -> frozenset[str]:
    """Return the names under which settings of this kind are read."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    keys: set[str] = set()
    for name, field in kind.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            keys |= {alias for alias in field.validation_alias.choices if isinstance(alias, str)}
        else:
            keys.add(f"{prefix}{name}".upper())
    return frozenset(keys)


def settings_for(reader: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the settings that one process reads."""
    known = keys_of(SETTINGS_OF[reader])
    return {key: value for key, value in settings.items() if key in known}


def front_door_addresses(layout: Layout, ports: ContainerPorts) -> Addresses:
    """Return where nginx listens and what is behind it: replicas come and go without a word to nginx."""
    return Addresses(
        directory=str(layout.nginx),
        public=f"{ports.listen}:{ports.of('nginx')}",
        services={service: f"{ports.listen}:{ports.of(service)}" for service in SERVICES},
        instances={service: (f"{service}:{ports.instance(service, 0)}",) for service in SERVICES},
        resolver=DNS_SERVER,
    )


def scrape_targets(ports: ContainerPorts) -> Mapping[str, Targets]:
    """Return what Prometheus asks, by names: behind each may be any number of containers."""
    replicated = {service: Named(service, ports.instance(service, 0)) for service in SERVICES}
    single = {
        "market_feed": "market_feed",
        "rabbitmq": "amqp_metrics",
        "host": "node_exporter",
        "prometheus": "prometheus",
        "alertmanager": "alertmanager",
    }
    return replicated | {job: Named(HOSTS[server], ports.of(server)) for job, server in single.items()}
