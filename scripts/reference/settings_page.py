"""docs/CONFIGURATION.md from the settings classes and RISK's table of limits. Pure."""

from collections.abc import Iterable

from scripts.phoenix_cli.catalogue import ADMIN_ONLY, FRONT_DOOR, READERS, Setting, settings
from services.risk.profiles import PROFILES, SPECS, Profile, as_text
from shared.money import plain

HEAD = """\
# Settings

<!-- Made by `python -m scripts.reference`; edit the descriptions in the settings classes, not here. -->

A setting is an environment variable. A service reads it from these places, the later ones win:

1. `phoenix.env` in the home (`.phoenix/`), written at the first start with fresh secrets;
2. `.env` beside the README: yours, never touched by Phoenix;
3. `--env KEY=VALUE` of `./scripts/start.sh`, and the `PHOENIX_*` of the shell that runs it: for that run.

With containers it is the `environment` and the secrets volume of `docker-compose.yml`. A changed setting
takes effect at the next start. `python3 scripts/phoenix.py config check` says whether the settings can be
used and what is at odds among them; `config show` prints what is in force and where it comes from.

*Required* settings are written by the first start. A secret is shown as `***` everywhere. "Fraction" is a
share of 1: 0.02 is 2 %.
"""

TITLES = {
    "every": ("Every service", "Read by all services and the market feed."),
    "BRAIN": ("BRAIN", "Takes in alerts and scores them."),
    "RISK": ("RISK", "Decides and sizes. Its single limits stand in their own table below."),
    "EXECUTE": ("EXECUTE and the market feed", "The only ones who talk to the exchange."),
    "NOTIFY": ("NOTIFY", "Tells the operator."),
    "nginx": ("nginx, the front door", "Who may come in, how often, with which certificate."),
    "paper exchange": ("Paper exchange", "The exchange behind mode `paper`; nothing else reads these."),
    "migrate": ("Database migrations", "Who owns the schema."),
    "steering": ("The start and the command line", "No service reads these."),
}
LIMITS_HEAD = """\
## Limits

The profile (`PHOENIX_RISK_PROFILE`) sets them all; `PHOENIX_RISK_LIMITS={"positions_max": 5}` changes
single ones, and `POST /update` of RISK does so while it runs. What is used of each: `GET
http://127.0.0.1:8101/status`.

| limit | unit | range | what it does | mission | balanced | bench |
|---|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    sections: dict[str, list[Setting]] = {name: [] for name in TITLES}
    for setting in settings():
        sections[_section(setting)].append(setting)
    parts = [HEAD]
    for name, found in sections.items():
        title, about = TITLES[name]
        parts.append(f"\n## {title}\n\n{about}\n\n{_table(found)}")
        if name == "RISK":
            parts.append(f"\n{LIMITS_HEAD}{_limits()}")
    return "".join(parts)


def _section(setting: Setting) -> str:
    if setting.readers == (ADMIN_ONLY,):
        return "steering"
    if len(set(setting.readers) & {"BRAIN", "RISK", "EXECUTE", "NOTIFY"}) > 1:
        return "every"
    first = setting.readers[0]
    assert first in READERS or first == FRONT_DOOR
    return "EXECUTE" if first == "market feed" else first


def _table(found: Iterable[Setting]) -> str:
    lines = ["| setting | unit | default | range | what it does | read by |", "|---|---|---|---|---|---|"]
    for each in found:
        default = "*required*" if each.default is None else _code(each.default)
        about = _cell(each.description) + (" **Secret.**" if each.is_secret else "")
        readers = ", ".join(each.readers)
        lines.append(
            f"| `{each.key}` | {each.unit} | {default} | {_cell(each.range)} | {about} | {readers} |"
        )
    return "\n".join(lines) + "\n"


def _limits() -> str:
    lines = []
    for name, spec in SPECS.items():
        bounds = "" if spec.low is None or spec.high is None else f"{plain(spec.low)} … {plain(spec.high)}"
        values = [_code(as_text(getattr(PROFILES[profile], name))) for profile in Profile]
        lines.append(f"| `{name}` | {spec.unit} | {bounds} | {_cell(spec.about)} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{_cell(text.replace(',', ', '))}`" if text else "–"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
