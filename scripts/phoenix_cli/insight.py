"""The commands that look and change nothing: `status`, `positions`, `why`."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape

from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import Failure, Refused, Unreachable
from scripts.phoenix_cli.installation import SERVICES
from scripts.phoenix_cli.output import table
from shared.story import Chapter, Mark, tell
from shared.wording import money, percent, seconds, short

SIGNALS_SHOWN = 5
SIGNALS_SEARCHED_MAX = 500
NEWEST = "last"
ID_PREFIX = "sig-"
HTTP_NOT_FOUND = 404

COLOURS = {Mark.NONE: "", Mark.GOOD: "green", Mark.CHANGED: "yellow", Mark.BAD: "red"}
STATE_COLOURS = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "red"}

POSITION_COLUMNS = (
    ("symbol", "symbol"),
    ("side", "side"),
    ("quantity", "quantity"),
    ("entry", "entry_price"),
    ("mark", "mark_price"),
    ("stop", "stop_price"),
    ("target", "take_profit_price"),
    ("liquidation", "liquidation_price"),
    ("x", "leverage"),
    ("margin", "margin_usdt"),
    ("P&L", "unrealised_pnl_usdt"),
    ("state", "state"),
    ("signal", "signal_id"),
)
COMPUTED_PRICES = ("entry_price", "mark_price", "liquidation_price", "margin_usdt")
SIGNAL_COLUMNS = (
    ("received", "received_at"),
    ("signal", "signal_id"),
    ("symbol", "symbol"),
    ("action", "action"),
    ("score", "phoenix95_score"),
    ("final", "final_confidence"),
    ("outcome", "outcome"),
    ("reason", "reason"),
)
LIMIT_COLUMNS = (("limit", "name"), ("used", "used"), ("of", "limit"), ("unit", "unit"))
QUEUE_COLUMNS = (("queue", "name"), ("depth", "depth"), ("consumers", "consumers"))


def status(api: Api) -> dict[str, Any]:
    """Return everything worth a look in one document; what cannot be had is None, and says so in `missing`.

    Raises:
        Unreachable: no service answers at all.
    """
    questions = {
        "account": lambda: api.get("risk", "/status"),
        "positions": lambda: api.get("execute", "/positions")["positions"],
        "signals": lambda: api.get("brain", "/signals", limit=SIGNALS_SHOWN)["signals"],
        "queues": api.queues,
    }
    with ThreadPoolExecutor(max_workers=len(SERVICES) + len(questions)) as pool:
        readiness = dict(zip(SERVICES, pool.map(api.readiness, SERVICES), strict=True))
        asked = {name: pool.submit(question) for name, question in questions.items()}
    document: dict[str, Any] = {
        "ready": all(found["ready"] for found in readiness.values()),
        "services": readiness,
        "missing": {},
    }
    for name, answer in asked.items():
        failure = answer.exception()
        if isinstance(failure, Failure):
            document["missing"][name] = str(failure)
            document[name] = None
        else:
            document[name] = answer.result()
    if not any(found["reached"] for found in readiness.values()):
        raise Unreachable(
            "Phoenix cannot be reached",
            "No service answers. ./scripts/start.sh starts Phoenix; --home names another one.",
        )
    return document


def show_status(document: Mapping[str, Any]) -> RenderableType:
    """Return the status as a page."""
    parts: list[RenderableType] = [
        _services_line(name, found) for name, found in document["services"].items()
    ]
    if document["account"] is not None:
        parts += _account(document["account"])
    if document["positions"] is not None:
        parts += ["", show_positions(document["positions"])]
    if document["queues"] is not None:
        parts += ["", _queues(document["queues"])]
    if document["signals"] is not None:
        parts += ["", _rows("Last signals", SIGNAL_COLUMNS, document["signals"])]
    parts += [f"[yellow]{escape(name)}: {escape(why)}[/]" for name, why in document["missing"].items()]
    return Group(*parts)


def show_positions(positions: list[Mapping[str, Any]]) -> RenderableType:
    """Return the open positions as a table."""
    if not positions:
        return "[bold]Positions[/] none"
    shown = [
        each
        | {name: short(each.get(name)) for name in COMPUTED_PRICES}
        | {"unrealised_pnl_usdt": money(each.get("unrealised_pnl_usdt"), sign=True)}
        for each in map(dict, positions)
    ]
    return _rows("Positions", POSITION_COLUMNS, shown)


def find_story(api: Api, wanted: str) -> dict[str, Any]:
    """Return the story of the signal with this id, this unique front of an id, or the newest (`last`).

    Raises:
        Refused: there is none, or more than one.
    """
    if wanted != NEWEST:
        found = _story_or_none(api, wanted)
        if found is not None:
            return found
    signal_id = _search(api, wanted)
    story = _story_or_none(api, signal_id)
    if story is None:
        raise Refused("signal not known", f"{signal_id} is not recorded any more.")
    return story


def show_story(chapters: list[Chapter]) -> RenderableType:
    """Return the chapters as text, each with its time since the alert."""
    parts: list[RenderableType] = []
    for chapter in chapters:
        at = "" if chapter.at_ms is None else f"{chapter.at_ms:+,} ms"
        parts.append(f"[dim]{at:>12}[/]  [bold]{escape(chapter.title)}[/]")
        for line in chapter.lines:
            colour = COLOURS[line.mark]
            text = escape(line.text)
            parts.append(f"{'':>14}" + (f"[{colour}]{text}[/]" if colour else text))
    return Group(*parts)


def story_page(document: Mapping[str, Any]) -> RenderableType:
    """Return the story of BRAIN's document as a page."""
    return show_story(tell(document))


def _story_or_none(api: Api, signal_id: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = api.get("brain", f"/signals/{signal_id}")
    except Refused as refusal:
        if refusal.status == HTTP_NOT_FOUND:
            return None
        raise
    return found


def _search(api: Api, wanted: str) -> str:
    limit = 1 if wanted == NEWEST else SIGNALS_SEARCHED_MAX
    known = [str(one["signal_id"]) for one in api.get("brain", "/signals", limit=limit)["signals"]]
    fitting = known if wanted == NEWEST else _starting_with(wanted, known)
    if not fitting:
        text = "No signal has come in yet." if wanted == NEWEST else f"Nothing begins with {wanted!r}."
        raise Refused("signal not known", text)
    if len(fitting) > 1:
        raise Refused("more than one signal", f"{wanted!r} begins each of: {', '.join(fitting[:10])}")
    return fitting[0]


def _starting_with(wanted: str, known: list[str]) -> list[str]:
    return [one for one in known if one.startswith((wanted, ID_PREFIX + wanted))]


def _services_line(name: str, found: Mapping[str, Any]) -> str:
    if found["ready"]:
        return f"{name:<8} [green]ready[/]"
    wrong = [f"{what}: {answer}" for what, answer in found["dependencies"].items() if answer != "ok"]
    return f"{name:<8} [red]not ready[/]  {escape('; '.join(wrong))}"


def _account(account: Mapping[str, Any]) -> list[RenderableType]:
    colour = STATE_COLOURS.get(account["state"], "white")
    return [
        "",
        f"Trading [{colour}]{escape(account['state'])}[/], profile {escape(str(account['profile']))}",
        f"Equity {money(account['equity_usdt'])} USDT, available {money(account['available_usdt'])} USDT, "
        f"day {money(account['day_pnl_usdt'], sign=True)} USDT, drawdown {percent(account['drawdown'])}, "
        f"snapshot {seconds(account['snapshot_age_s'])} s old",
        "",
        _rows("Limits used", LIMIT_COLUMNS, [one for one in account["limits"] if one["used"] is not None]),
    ]


def _queues(queues: list[Mapping[str, Any]]) -> RenderableType:
    """Show every queue that is consumed, and retry and dead-letter queues only when something is in them."""
    shown = [one for one in queues if "." not in one["name"] or one["depth"]]
    return _rows("Queues", QUEUE_COLUMNS, shown)


def _rows(
    title: str, columns: tuple[tuple[str, str], ...], rows: Sequence[Mapping[str, Any]]
) -> RenderableType:
    return table(title, [name for name, _ in columns], [[row.get(key) for _, key in columns] for row in rows])
