"""What fills the templates of Prometheus and Alertmanager: who is asked where, how often, who is told.

Pure. The same templates serve fixed addresses on one machine and names looked up in a container network. It
must never hold a secret: Alertmanager reads NOTIFY's key from a file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

INTERVAL_S = 10
"""How often everything is asked and every rule is looked at."""
GROUP_WAIT_S = 10
"""How long a warning waits for others of its kind."""
TIMEOUT_SHARE = 0.8
"""An answer must be there before the next question."""
DNS_REFRESH = "10s"

JOBS = ("brain", "risk", "execute", "notify", "market_feed", "rabbitmq", "host", "prometheus", "alertmanager")
"""Everything that is asked, by the name of its placeholder and its job."""


@dataclass(frozen=True)
class Fixed:
    """Instances at known addresses: `name → host:port`."""

    addresses: Mapping[str, str]

    def as_yaml(self) -> str:
        """Return the lines for a scrape configuration; JSON is YAML, and needs no indentation."""
        groups = [
            {"targets": [address], "labels": {"instance": name}} for name, address in self.addresses.items()
        ]
        return f"static_configs: {json.dumps(groups)}"


@dataclass(frozen=True)
class Named:
    """Instances behind one name: every address that it resolves to, whichever there are at the time."""

    name: str
    port: int

    def as_yaml(self) -> str:
        """Return the lines for a scrape configuration."""
        group = {"names": [self.name], "type": "A", "port": self.port, "refresh_interval": DNS_REFRESH}
        return f"dns_sd_configs: {json.dumps([group])}"


Targets = Fixed | Named


def prometheus_values(
    targets: Mapping[str, Targets], rules_file: str, interval_s: float = INTERVAL_S
) -> dict[str, str]:
    """Return the values of prometheus.yml; a job of `JOBS` without targets is a KeyError."""
    return {
        "PHOENIX_MONITORING_INTERVAL": _duration(interval_s),
        "PHOENIX_MONITORING_TIMEOUT": _duration(interval_s * TIMEOUT_SHARE),
        "PHOENIX_ALERT_RULES": rules_file,
    } | {f"PHOENIX_{job.upper()}_TARGETS": targets[job].as_yaml() for job in JOBS}


def alertmanager_values(
    notify_url: str, key_file: str, heartbeat_url: str = "", group_wait_s: float = GROUP_WAIT_S
) -> dict[str, str]:
    """Return the values of alertmanager.yml; without a heartbeat address nobody outside is called."""
    heartbeat = [{"url": heartbeat_url, "send_resolved": False}] if heartbeat_url else []
    return {
        "PHOENIX_ALERT_GROUP_WAIT": _duration(group_wait_s),
        "PHOENIX_NOTIFY_ALERT_URL": json.dumps(f"{notify_url}/alert"),
        "PHOENIX_NOTIFY_KEY_FILE": json.dumps(key_file),
        "PHOENIX_HEARTBEAT_WEBHOOK": f"webhook_configs: {json.dumps(heartbeat)}",
    }


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
