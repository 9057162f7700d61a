"""Every setting of Phoenix as data, read from the settings classes: name, unit, default, range, reader.

The one source of `config show`, of "did you mean", and of docs/CONFIGURATION.md. It must never read a value
that is in force.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from infrastructure.nginx_lb.settings import ENV_PREFIX, FrontDoorSettings
from infrastructure.paper_exchange.config import PaperSettings
from infrastructure.postgres.migrate import MigrationSettings
from services.brain.config import BrainSettings
from services.execute.config import ExecuteSettings, FeedSettings
from services.notify.config import NotifySettings
from services.risk.config import RiskSettings

READERS: Mapping[str, type[BaseSettings]] = {
    "BRAIN": BrainSettings,
    "RISK": RiskSettings,
    "EXECUTE": ExecuteSettings,
    "market feed": FeedSettings,
    "NOTIFY": NotifySettings,
    "paper exchange": PaperSettings,
    "migrate": MigrationSettings,
}
"""Who reads settings, and the class that says which."""

FRONT_DOOR = "nginx"
"""Its settings are read by whoever writes its configuration."""

ADMIN_ONLY = "the command line and the local start"

UNITS = (
    (r"_ms$", "ms"),
    (r"_s(_max|_min)?$", "s"),
    (r"_days$", "days"),
    (r"_hours$", "hours"),
    (r"_per_minute$", "per minute"),
    (r"_usdt$", "USDT"),
    (r"_url$", "URL"),
    (r"(^|_)port$", "port"),
    (r"(password|secret|key|token)$", "text"),
)
"""The unit stands last in a setting's name; what has no such ending is named by its type."""

_UNITS_OF_TYPES = {
    "boolean": "true/false",
    "integer": "count",
    "number": "fraction",
    "object": "JSON",
    "array": "list",
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting; `default` is None when the setting must be given."""

    key: str
    unit: str
    default: str | None
    range: str
    description: str
    readers: tuple[str, ...]
    is_secret: bool


STEERING = {
    "PHOENIX_HOME": (
        "path",
        "Directory of settings, data and logs; `.phoenix` beside the README by default.",
    ),
    "PHOENIX_ENV_FILE": ("paths", "Settings files a service reads, separated by `:`; later ones win."),
    "PHOENIX_PORT_BASE": ("port", "Where the ports of the local start begin, 1024..65000; 8000 by default."),
    "PHOENIX_AMQP_PASSWORD": ("text", "The broker's password, of which the local start makes the addresses."),
    "PHOENIX_REDIS_PASSWORD": ("text", "Redis's password, of which the local start makes the address."),
    "PHOENIX_AMQP_MANAGEMENT_URL": ("URL", "The broker's HTTP API with user and password; for `phoenix.py`."),
    "PHOENIX_PUBLIC_URL": ("URL", "Where the webhook is reached from this machine; for `phoenix.py`."),
    "PHOENIX_BRAIN_URL": ("URL", "BRAIN's address for `phoenix.py`."),
    "PHOENIX_RISK_URL": ("URL", "RISK's address for `phoenix.py`."),
    "PHOENIX_EXECUTE_URL": ("URL", "EXECUTE's address for `phoenix.py`."),
    "PHOENIX_NOTIFY_URL": ("URL", "NOTIFY's address for `phoenix.py`."),
    "PHOENIX_MARKET_FEED_URL": ("URL", "The market feed's address for `phoenix.py`."),
    "PHOENIX_PROMETHEUS_URL": ("URL", "Prometheus's address, for `phoenix.py doctor`."),
    "PHOENIX_ALERTMANAGER_URL": ("URL", "Alertmanager's address, for `phoenix.py doctor`."),
    "PHOENIX_GRAFANA_URL": ("URL", "Grafana's address, for `phoenix.py doctor`."),
    "PHOENIX_MONITORING_INTERVAL_S": (
        "s",
        "How often Prometheus asks and looks at its rules; 10 by default.",
    ),
    "PHOENIX_MONITORING_GROUP_WAIT_S": ("s", "How long a warning waits for others; 10 by default."),
    "PHOENIX_HEARTBEAT_URL": ("URL", "A watchdog elsewhere that is called while the alarms work; optional."),
    "PHOENIX_REPLICAS": ("count", "Containers of each service in compose; 1 by default."),
    "PHOENIX_VERSION": ("text", "Tag of the image that compose builds and runs."),
    "PHOENIX_NETWORK": ("text", "First three numbers of compose's inner network; 172.31.95 by default."),
    "PHOENIX_PUBLIC_ADDRESS": (
        "address",
        "Where the prod overlay publishes 80 and 443; 127.0.0.1 by default.",
    ),
    "PHOENIX_TLS_DIR": ("path", "Directory with fullchain.pem and privkey.pem for the prod overlay."),
    "PHOENIX_GRAFANA_PASSWORD": ("text", "Password of Grafana's user `phoenix`, in containers."),
    "PHOENIX_REPLICATION_DB_PASSWORD": ("text", "Password for PostgreSQL's standby, in the ha overlay."),
}
"""What no service reads: it steers the start and tells the command line where everything is."""

SECRET_STEERING = (
    "PHOENIX_AMQP_PASSWORD",
    "PHOENIX_REDIS_PASSWORD",
    "PHOENIX_AMQP_MANAGEMENT_URL",
    "PHOENIX_GRAFANA_PASSWORD",
    "PHOENIX_REPLICATION_DB_PASSWORD",
)

SECRET_LOOK = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY|AMQP_.*URL|REDIS_URL|PASSPHRASE|CREDENTIAL")
"""A key that looks so is never shown, even one that nobody knows: it may be a misspelt secret."""


def settings() -> list[Setting]:
    """Return every setting once, in the order of its first reader."""
    found: dict[str, Setting] = {}
    classes: dict[str, type[BaseModel]] = {**READERS, FRONT_DOOR: FrontDoorSettings}
    for reader, kind in classes.items():
        for setting in settings_of(reader, kind):
            before = found.get(setting.key)
            found[setting.key] = (
                setting
                if before is None
                else replace(
                    before,
                    readers=before.readers + setting.readers,
                    description=before.description or setting.description,
                )
            )
    return [*found.values(), *_steering(found)]


def settings_of(reader: str, kind: type[BaseModel]) -> Iterable[Setting]:
    """Yield the settings of one class."""
    schema = kind.model_json_schema(mode="validation")
    for name, field in kind.model_fields.items():
        shape = _flat(schema["properties"].get(_name_in_schema(name, field), {}), schema)
        yield Setting(
            key=key_of(kind, name, field),
            unit=_unit(name, shape),
            default=_default(field),
            range=_range(shape),
            description=_capital(field.description or ""),
            readers=(reader,),
            is_secret=shape.get("format") == "password",
        )


def key_of(kind: type[BaseModel], name: str, field: FieldInfo) -> str:
    """Return the environment variable of a setting."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    prefix = kind.model_config.get("env_prefix", "") if issubclass(kind, BaseSettings) else ENV_PREFIX
    return f"{prefix}{name}".upper()


def _steering(known: Mapping[str, Setting]) -> Iterable[Setting]:
    for key, (unit, description) in STEERING.items():
        if key not in known:
            yield Setting(
                key=key,
                unit=unit,
                default="",
                range="",
                description=description,
                readers=(ADMIN_ONLY,),
                is_secret=key in SECRET_STEERING,
            )


def _name_in_schema(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name


def _flat(shape: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a property with its reference and its alternatives (null aside) laid into one another."""
    flat = dict(shape)
    if (reference := flat.pop("$ref", None)) is not None:
        flat = dict(schema["$defs"][reference.rpartition("/")[2]]) | flat
    for option in flat.pop("anyOf", ()):
        if option.get("type") != "null":
            flat = {**_flat(option, schema), **flat}
    return flat


def _unit(name: str, shape: Mapping[str, Any]) -> str:
    for ending, unit in UNITS:
        if re.search(ending, name):
            return unit
    if shape.get("enum"):
        return "one of"
    return _UNITS_OF_TYPES.get(str(shape.get("type")), "path" if shape.get("format") == "path" else "text")


def _default(field: FieldInfo) -> str | None:
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True)
    if value is None or value == {}:
        return ""
    if hasattr(value, "get_secret_value"):
        return "(set)"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _range(shape: Mapping[str, Any]) -> str:
    if choices := shape.get("enum"):
        return " | ".join(map(str, choices))
    low, high = shape.get("minimum"), shape.get("maximum")
    above, below = shape.get("exclusiveMinimum"), shape.get("exclusiveMaximum")
    parts = [
        f"≥ {_number(low)}" if low is not None else "",
        f"> {_number(above)}" if above is not None else "",
        f"≤ {_number(high)}" if high is not None else "",
        f"< {_number(below)}" if below is not None else "",
        f"at least {shape['minLength']} characters" if "minLength" in shape else "",
        f"like `{shape['pattern']}`" if shape.get("pattern") and shape.get("type") != "number" else "",
    ]
    return ", ".join(part for part in parts if part)


def _number(value: Any) -> str:
    return f"{value:g}" if abs(value) < 1_000_000 else str(int(value))


def _capital(text: str) -> str:
    """Return a description with a capital in front; whoever wrote it as a note is shown as a sentence."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() else text
