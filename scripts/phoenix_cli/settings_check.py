"""Whether the settings can be used, and what is at odds among them: the services' own classes decide.

Loaded only by the commands that need it. It must never show a secret: what came is not repeated, only its
name and what would fit.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from infrastructure.local.settings_file import SETTINGS as WRITTEN
from infrastructure.nginx_lb.settings import FrontDoorError
from infrastructure.nginx_lb.settings import read as read_front_door
from scripts.phoenix_cli.catalogue import FRONT_DOOR, READERS, SECRET_LOOK, Setting, key_of, settings
from scripts.phoenix_cli.checkup import Finding, green, grey, is_well, red, yellow
from scripts.phoenix_cli.installation import PREFIX, SETTINGS_FILE, Installation
from services.execute.config import ExchangeSettings
from services.notify.config import NotifySettings
from services.risk.config import RiskSettings
from services.risk.findings import config_findings
from services.risk.profiles import Profile
from shared.errors import OperatorNeeded

UNREAD_BY_US = frozenset({"PHOENIX_SETTINGS_DIGEST"} | {setting.key for setting in WRITTEN})
"""Known keys that are in no settings class and in no table."""
SIMILARITY_MIN = 0.75
FILE_MODE = 0o600
SECRET_CHARS_MIN = 16
WEAK_KINDS_MIN = 6
"""Fewer different characters than this is a secret that somebody typed."""
USER_IN_URL = re.compile(r"://[^/]*@")
GENERATED = ("PHOENIX_EXCHANGE_API_KEY", "PHOENIX_EXCHANGE_API_SECRET")


def check(installation: Installation) -> list[Finding]:
    """Return what is wrong with or worth knowing of an installation's settings; red: a service refuses it."""
    if not installation.env_files:
        return [
            red(
                "settings",
                f"there is no {SETTINGS_FILE} in {installation.home}",
                "./scripts/start.sh writes one with fresh secrets; --home names another home.",
            )
        ]
    faulty = list(unreadable(installation))
    if not is_well(faulty):
        return [*faulty, *_unknown(installation), *file_modes(installation.env_files)]
    with installation.read_by_services():
        findings = [*faulty]
        findings += [finding for name, kind in READERS.items() for finding in _usable(name, kind)]
        unusable = {each.subject for each in findings if not is_well([each])}
        if "RISK" not in unusable:
            findings += _limits()
        if not unusable & {"RISK", "EXECUTE", "market feed"}:
            findings += _modes(installation)
        if "NOTIFY" not in unusable:
            findings += _telling()
    findings += _front_door(installation)
    return [*findings, *_unknown(installation), *secrets(installation), *file_modes(installation.env_files)]


def unread(installation: Installation) -> list[Finding]:
    """Return what stands in the files and has no effect: what cannot be read, and what nobody reads."""
    return [*unreadable(installation), *_unknown(installation)]


def unreadable(installation: Installation) -> Iterable[Finding]:
    """Yield what cannot be read, or can and is worth a look, with file and line."""
    for each in installation.faults:
        said = f"{each.path}, line {each.fault.line}: {each.fault.said}"
        yield (red if each.fault.is_serious else yellow)("settings file", said, each.fault.do)


def in_force(installation: Installation) -> list[tuple[Setting, str, str]]:
    """Return every setting with its value in force (secrets masked) and where that comes from."""
    shown = []
    for setting in settings():
        value = installation.text(setting.key)
        source = installation.sources.get(setting.key, "default") if value is not None else "default"
        if value is None:
            value = "not set" if setting.default is None else setting.default
        elif setting.is_secret or SECRET_LOOK.search(setting.key) or USER_IN_URL.search(value):
            value = "***"
        shown.append((setting, value, source))
    return shown


def secrets(installation: Installation) -> Iterable[Finding]:
    """Yield secrets that are missing, short, or look typed."""
    weak = []
    for setting in settings():
        value = installation.text(setting.key)
        if not setting.is_secret or setting.unit == "URL" or value is None:
            continue
        if len(value) < SECRET_CHARS_MIN or len(set(value)) < WEAK_KINDS_MIN:
            weak.append(setting.key)
    if weak:
        yield yellow(
            "secrets",
            f"short or of few different characters: {', '.join(weak)}",
            "Make a new one: python3 -c 'import secrets; print(secrets.token_urlsafe(24))', and start again.",
        )
    else:
        yield green("secrets", "long enough")


def file_modes(files: Iterable[Path]) -> Iterable[Finding]:
    """Yield whether the settings files are for their owner only."""
    for path in files:
        mode = path.stat().st_mode & 0o777
        if mode & ~FILE_MODE:
            yield red(
                path.name, f"{path} can be read by others (mode {mode:04o})", f"Run: chmod 600 '{path}'"
            )
        else:
            yield green(path.name, f"{path}, mode {mode:04o}")


def _usable(name: str, kind: type[BaseSettings]) -> Iterable[Finding]:
    try:
        kind()
    except SettingsError as error:
        key = next(
            (key_of(kind, *item) for item in kind.model_fields.items() if f'"{item[0]}"' in str(error)), ""
        )
        yield red(
            name,
            f"{key} cannot be read as JSON",
            'Write it on one line, such as PHOENIX_RISK_LIMITS={"positions_max": 5}',
        )
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            yield _fault(name, kind, [str(part) for part in item["loc"]], str(item["msg"]), str(item["type"]))
    else:
        yield green(name, "its settings can be used")


def _fault(name: str, kind: type[BaseSettings], place: list[str], message: str, fault: str) -> Finding:
    if not place:
        return red(
            name, message.removeprefix("Value error, "), "Change one of them; see docs/CONFIGURATION.md."
        )
    field = kind.model_fields.get(place[0])
    key = place[0].upper() if field is None else key_of(kind, place[0], field)
    if fault == "missing":
        return red(
            name, f"{key} is not set", "./scripts/start.sh writes what is missing; or set it yourself."
        )
    about = field.description if field is not None and field.description else "See docs/CONFIGURATION.md."
    return red(name, f"{key}: {message.removeprefix('Value error, ')}", about)


def _limits() -> Iterable[Finding]:
    risk = RiskSettings()  # type: ignore[call-arg]
    try:
        limits = risk.limits()
    except OperatorNeeded as error:
        yield red("limits", str(error), "The names and ranges are in docs/CONFIGURATION.md, under limits.")
        return
    for text in config_findings(limits):
        yield yellow(
            "limits",
            f"profile {risk.risk_profile.value}: {text}",
            "Yours to decide: PHOENIX_RISK_PROFILE=balanced is milder, PHOENIX_RISK_LIMITS sets one.",
        )


def _modes(installation: Installation) -> Iterable[Finding]:
    exchange = ExchangeSettings()  # type: ignore[call-arg]
    if exchange.mode == "paper":
        yield green("mode", "paper: no real money, no exchange account needed")
        return
    own = [
        key for key in GENERATED if installation.sources.get(key) == str(installation.home / SETTINGS_FILE)
    ]
    if own:
        yield yellow(
            "mode",
            f"{exchange.mode}, and {' and '.join(own)} still stand in {SETTINGS_FILE}",
            "Written by the first start they fit the paper exchange only: put your own keys in .env.",
        )
    else:
        yield green("mode", f"{exchange.mode}, with keys of your own")
    risk = RiskSettings()  # type: ignore[call-arg]
    if exchange.mode == "live" and risk.risk_profile is not Profile.BALANCED:
        yield yellow(
            "mode",
            f"live with the risk profile {risk.risk_profile.value}",
            "PHOENIX_RISK_PROFILE=balanced is recommended for real money.",
        )


def _front_door(installation: Installation) -> Iterable[Finding]:
    values = {key: text for key in installation.settings if (text := installation.text(key)) is not None}
    try:
        door = read_front_door(values)
    except FrontDoorError as error:
        yield red(FRONT_DOOR, str(error), "The names and ranges are in docs/CONFIGURATION.md, under nginx.")
        return
    if values.get("PHOENIX_MODE") == "live" and door.allowed_networks is None:
        yield yellow(
            FRONT_DOOR,
            "live, and anybody who knows the secret may send alerts",
            "PHOENIX_WEBHOOK_ALLOWED_NETWORKS=tradingview lets TradingView's addresses only; behind a proxy"
            " or tunnel name that in PHOENIX_NGINX_TRUSTED_PROXIES.",
        )
    else:
        yield green(FRONT_DOOR, "its settings can be used")


def _telling() -> Iterable[Finding]:
    notify = NotifySettings()  # type: ignore[call-arg]
    if notify.telegram_bot_token is None:
        yield grey("telegram", "no bot token: messages are kept and sent to nobody")


def _unknown(installation: Installation) -> Iterable[Finding]:
    """Yield names that nobody reads: all of ours, and of others those that are nearly one of ours."""
    known = {setting.key for setting in settings()} | UNREAD_BY_US
    for key in sorted(installation.settings.keys() | installation.sources.keys()):
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1, cutoff=SIMILARITY_MIN)
        if not key.startswith(PREFIX):
            without_prefix = f"{PREFIX}{key}"
            near = [without_prefix] if without_prefix in known else _slips(key, near)
            if not near:
                continue  # a variable of somebody else, such as COMPOSE_PROJECT_NAME
        yield yellow(
            "unknown setting",
            f"{key} ({installation.place(key)}) is read by nobody",
            f"Did you mean {near[0]}?" if near else "Remove it, or look it up in docs/CONFIGURATION.md.",
        )


def _slips(key: str, near: list[str]) -> list[str]:
    """Return what is near only if the prefix itself seems to be misspelt."""
    front = key.partition("_")[0]
    return near if difflib.SequenceMatcher(None, front, PREFIX.rstrip("_")).ratio() >= SIMILARITY_MIN else []
