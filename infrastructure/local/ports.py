"""Every port of the local stack as an offset from one base, so that two systems can run side by side.

The only place that knows port numbers; pure.
"""

from dataclasses import dataclass

PORT_BASE_DEFAULT = 8000
PORT_BASE_MIN = 1024
PORT_BASE_MAX = 65_000
REPLICAS_MAX = 4

LOOPBACK = "127.0.0.1"

SERVICES = ("brain", "risk", "execute", "notify")

OFFSETS = {
    "nginx": 80,  # the public webhook
    "nginx_redirect": 83,  # plain HTTP that is sent on to TLS, when there are certificates
    "nginx_tls": 84,
    "brain": 100,  # nginx, balanced over the instances; so the next three
    "risk": 101,
    "execute": 102,
    "notify": 103,
    "paper_exchange": 110,
    "market_feed": 160,
    "amqp": 170,
    "amqp_management": 171,
    "erlang_distribution": 172,
    "epmd": 173,
    "redis": 174,
    "postgres": 175,
    "amqp_metrics": 176,
    "prometheus": 190,
    "alertmanager": 191,
    "node_exporter": 192,
}

INSTANCE_OFFSETS = {"brain": 120, "risk": 130, "execute": 140, "notify": 150}


@dataclass(frozen=True)
class Ports:
    """The ports of one system; `base` is 1024..65000."""

    base: int = PORT_BASE_DEFAULT

    @property
    def listen(self) -> str:
        """The address on which servers of this system listen."""
        return LOOPBACK

    def address(self, name: str) -> str:
        """Return `host:port` under which clients reach a server."""
        return f"{LOOPBACK}:{self.of(name)}"

    def __post_init__(self) -> None:
        if not PORT_BASE_MIN <= self.base <= PORT_BASE_MAX:
            raise ValueError(f"port base {self.base} is outside {PORT_BASE_MIN}..{PORT_BASE_MAX}")

    def of(self, name: str) -> int:
        """Return the port of a server, or nginx's balanced port of a service."""
        return self.base + OFFSETS[name]

    def instance(self, service: str, index: int) -> int:
        """Return the port of instance `index` (0..3) of a service, behind nginx."""
        assert 0 <= index < REPLICAS_MAX
        return self.base + INSTANCE_OFFSETS[service] + index

    def all(self) -> tuple[int, ...]:
        """Return every port that the largest possible system of this base may use."""
        fixed = [self.of(name) for name in OFFSETS]
        return tuple(
            sorted(fixed + [self.instance(name, i) for name in SERVICES for i in range(REPLICAS_MAX)])
        )
