"""`phoenix.env`: settings and secrets of one installation, written at the first start, later only completed.

It knows which keys a system needs and how to make them. It must never overwrite what a person changed: a line
is replaced only when it still holds what this module derived from the former port base.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from infrastructure.local.ports import PORT_BASE_MAX, PORT_BASE_MIN, Ports
from shared.errors import OperatorNeeded
from shared.settings_files import look, read
from shared.settings_text import decoded, merged

INSTALLATION_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
INSTALLATION_LENGTH = 4
SECRET_BYTES = 24

PORT_BASE_KEY = "PHOENIX_PORT_BASE"

HEADER = """\
# Settings and secrets of this installation, written at the first start. Yours to change: missing lines are
# added at the next start, and lines with a port follow PHOENIX_PORT_BASE while you leave them as they are.
"""

Known = Mapping[str, str]


def _secret(_ports: Ports, _known: Known) -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def _installation(_ports: Ports, _known: Known) -> str:
    return "".join(secrets.choice(INSTALLATION_ALPHABET) for _ in range(INSTALLATION_LENGTH))


def _url(server: str) -> Callable[[Ports, Known], str]:
    return lambda ports, _known: f"http://{ports.address(server)}"


@dataclass(frozen=True)
class Setting:
    """One line of the file: how to make its value, and whether that depends on the port base."""

    key: str
    make: Callable[[Ports, Known], str]
    follows_ports: bool = False


SETTINGS = (
    Setting("PHOENIX_MODE", lambda _ports, _known: "paper"),
    Setting("PHOENIX_INSTALLATION", _installation),
    Setting(PORT_BASE_KEY, lambda ports, _known: str(ports.base)),
    Setting("PHOENIX_WEBHOOK_SECRET", _secret),
    Setting("PHOENIX_API_KEY", _secret),
    Setting("PHOENIX_DASHBOARD_OPERATOR_PASSWORD", _secret),
    Setting("PHOENIX_DASHBOARD_VIEWER_PASSWORD", _secret),
    Setting("PHOENIX_AMQP_PASSWORD", _secret),
    Setting("PHOENIX_REDIS_PASSWORD", _secret),
    Setting("PHOENIX_ADMIN_DB_PASSWORD", _secret),
    Setting("PHOENIX_BRAIN_DB_PASSWORD", _secret),
    Setting("PHOENIX_RISK_DB_PASSWORD", _secret),
    Setting("PHOENIX_EXECUTE_DB_PASSWORD", _secret),
    Setting("PHOENIX_FEED_DB_PASSWORD", _secret),
    Setting("PHOENIX_NOTIFY_DB_PASSWORD", _secret),
    Setting(
        "PHOENIX_AMQP_URL",
        lambda ports, known: (
            f"amqp://phoenix:{known['PHOENIX_AMQP_PASSWORD']}@{ports.address('amqp')}/%2Ftrading"
        ),
        follows_ports=True,
    ),
    Setting(
        "PHOENIX_AMQP_MANAGEMENT_URL",
        lambda ports, known: (
            f"http://phoenix:{known['PHOENIX_AMQP_PASSWORD']}@{ports.address('amqp_management')}"
        ),
        follows_ports=True,
    ),
    Setting(
        "PHOENIX_REDIS_URL",
        lambda ports, known: f"redis://:{known['PHOENIX_REDIS_PASSWORD']}@{ports.address('redis')}/0",
        follows_ports=True,
    ),
    Setting(
        "PHOENIX_POSTGRES_URL",
        lambda ports, _known: f"postgresql://{ports.address('postgres')}/phoenix",
        follows_ports=True,
    ),
    Setting("PHOENIX_EXCHANGE_BASE_URL", _url("paper_exchange"), follows_ports=True),
    Setting("PHOENIX_EXCHANGE_API_KEY", _secret),
    Setting("PHOENIX_EXCHANGE_API_SECRET", _secret),
    Setting("PHOENIX_PAPER_PORT", lambda ports, _known: str(ports.of("paper_exchange")), follows_ports=True),
    Setting("PHOENIX_BRAIN_URL", _url("brain"), follows_ports=True),
    Setting("PHOENIX_RISK_URL", _url("risk"), follows_ports=True),
    Setting("PHOENIX_EXECUTE_URL", _url("execute"), follows_ports=True),
    Setting("PHOENIX_NOTIFY_URL", _url("notify"), follows_ports=True),
    Setting("PHOENIX_PUBLIC_URL", _url("nginx"), follows_ports=True),
    Setting("PHOENIX_MARKET_FEED_URL", _url("market_feed"), follows_ports=True),
    Setting("PHOENIX_PROMETHEUS_URL", _url("prometheus"), follows_ports=True),
    Setting("PHOENIX_ALERTMANAGER_URL", _url("alertmanager"), follows_ports=True),
)


def recorded_base(values: Known) -> int | None:
    """Return the port base that a settings file holds, None when it holds none.

    Raises:
        OperatorNeeded: it is no number of a port.
    """
    text = values.get(PORT_BASE_KEY, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and PORT_BASE_MIN <= int(text[:6]) <= PORT_BASE_MAX):
        raise OperatorNeeded(
            f"{PORT_BASE_KEY}={text[:20]} in the settings file:"
            f" write a number {PORT_BASE_MIN}..{PORT_BASE_MAX}, or delete the line"
        )
    return int(text)


def complete(existing: Known, ports: Ports, extra: Known) -> dict[str, str]:
    """Return `existing` with what is missing added and derived port lines moved to `ports`.

    `extra` holds what only the caller knows: paths in the home.
    """
    former = replace(ports, base=recorded_base(existing) or ports.base)
    values = dict(existing)
    for setting in SETTINGS:
        present = values.get(setting.key)
        untouched = setting.follows_ports and present == setting.make(former, values)
        if not present or untouched:
            values[setting.key] = setting.make(ports, values)
    values[PORT_BASE_KEY] = str(ports.base)
    for key, value in extra.items():
        if Path(values.get(key, value)).name == Path(value).name:  # ours: it follows the home when that moves
            values[key] = value
    return values


def ensure_env_file(path: Path, ports: Ports, extra: Known) -> dict[str, str]:
    """Write or complete the settings file (mode 0600) and return its values.

    Raises:
        OperatorNeeded: something in it cannot be read; nothing was written.
    """
    values = complete(read(path), ports, extra)
    text = decoded(path.read_bytes()) if path.exists() else ""
    completed = merged(text or HEADER, values.items())
    if completed != text:
        write_private(path, completed)
    return values


def read_env_file(path: Path) -> dict[str, str]:
    """Return the values of a settings file as far as they can be read, empty when there is none."""
    return look(path).values


def write_private(path: Path, text: str) -> None:
    """Replace a file at once with one that only its owner can read."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp gives 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)
