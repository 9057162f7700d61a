"""The settings in force as the page shows them: grouped, described, without a secret."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from services.notify.config import NotifySettings
from shared.settings import ENV_PREFIX

GROUPS = (
    ("dashboard", ("dashboard_", "language", "trusted_proxies")),
    ("telegram", ("telegram_", "notifications_")),
    ("places", ("_url",)),
)
REST = "general"
EMPTY = "–"


@dataclass(frozen=True)
class SettingLine:
    """One setting; of a secret `value` says only whether it is set."""

    name: str
    value: str
    about: str
    is_secret: bool


@dataclass(frozen=True)
class SettingGroup:
    """Settings that belong together."""

    name: str
    rows: Sequence[SettingLine]


def groups_of(settings: NotifySettings) -> Sequence[SettingGroup]:
    """Return every setting in its group."""
    lines: dict[str, list[SettingLine]] = {name: [] for name in (*(group for group, _ in GROUPS), REST)}
    for name, field in type(settings).model_fields.items():
        lines[_group_of(name)].append(_line(name, getattr(settings, name), field.description or ""))
    return [SettingGroup(name, rows) for name, rows in lines.items()]


def _group_of(name: str) -> str:
    for group, parts in GROUPS:
        if any(part in name for part in parts):
            return group
    return REST


def _line(name: str, value: object, about: str) -> SettingLine:
    shown_as = f"{ENV_PREFIX}{name.upper()}"
    if isinstance(value, SecretStr) or "SecretStr" in str(NotifySettings.model_fields[name].annotation):
        return SettingLine(shown_as, "set" if value is not None else "", about, is_secret=True)
    if isinstance(value, frozenset | tuple):
        return SettingLine(shown_as, ", ".join(sorted(map(str, value))) or EMPTY, about, is_secret=False)
    return SettingLine(shown_as, EMPTY if value is None else str(value), about, is_secret=False)
