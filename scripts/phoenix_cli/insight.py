"""The commands that look and change nothing: `status`, `positions`, `why`."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape

from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import Failure, Refused, Unreachable
from scripts.phoenix_cli.installation import PROCESSES
from scripts.phoenix_cli.output import table
from shared.headline import Situation, Tone, headline_of
from shared.headline_words import ENGLISH
from shared.story import tell
from shared.story_lines import Chapter, Mark
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
    ("result", "result"),
    ("reason", "reason"),
)
ORDER_COLUMNS = (
    ("symbol", "symbol"),
    ("side", "side"),
    ("type", "order_type"),
    ("quantity", "quantity"),
    ("price", "price"),
    ("trigger", "trigger_price"),
)
FAULTS = {"risk": "account", "positions": "positions"}
"""What the headline calls by the left name is missing under the right one."""
TONE_COLOURS = {Tone.GOOD: "green", Tone.WARN: "yellow", Tone.BAD: "red", Tone.UNKNOWN: "yellow"}
LIMIT_COLUMNS = (("limit", "name"), ("used", "used"), ("of", "limit"), ("unit", "unit"))
QUEUE_COLUMNS = (("queue", "name"), ("depth", "depth"), ("consumers", "consumers"))


def status(api: Api) -> dict[str, Any]:
    """Return everything worth a look in one document; what cannot be had is None, and says so in `missing`.

    Raises:
        Unreachable: no service answers at all.
    """
    questions = {
        "account": lambda: api.get("risk", "/status"),
        "held": lambda: api.get("execute", "/positions"),
        "alarms": lambda: api.get("notify", "/alarms")["alarms"],
        "signals": lambda: api.get("brain", "/signals", limit=SIGNALS_SHOWN)["signals"],
        "queues": api.queues,
    }
    with ThreadPoolExecutor(max_workers=len(PROCESSES) + len(questions)) as pool:
        readiness = dict(zip(PROCESSES, pool.map(api.readiness, PROCESSES), strict=True))
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
    held = document.pop("held") or {}
    if "held" in document["missing"]:
        document["missing"]["positions"] = document["missing"].pop("held")
    document["positions"] = held.get("positions")
    document["foreign_positions"] = held.get("foreign_positions") or []
    document["foreign_orders"] = held.get("foreign_orders") or []
    document["foreign_positions_seen_at"] = held.get("foreign_positions_seen_at")
    document["headline"] = _headline_document(document)
    if not any(found["reached"] for found in readiness.values()):
        raise Unreachable(
            "Phoenix cannot be reached",
            "No service answers. ./scripts/start.sh starts Phoenix; --home names another one.",
        )
    return document


def show_status(document: Mapping[str, Any]) -> RenderableType:
    """Return the status as a page."""
    title, lines = headline(document)
    colour = TONE_COLOURS[headline_of(_situation(document)).tone]
    parts: list[RenderableType] = [f"[bold {colour}]{escape(title)}[/]", *map(escape, lines), ""]
    parts += [_services_line(name, found) for name, found in document["services"].items()]
    if document["account"] is not None:
        parts += _account(document["account"])
    if document["positions"] is not None:
        parts += ["", show_positions(document["positions"]), show_foreign(document)]
    if document["queues"] is not None:
        parts += ["", _queues(document["queues"])]
    if document["signals"] is not None:
        shown = [each | {"result": _result(each)} for each in document["signals"]]
        parts += ["", _rows("Last signals", SIGNAL_COLUMNS, shown)]
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
        | {"leverage": f"{each.get('leverage')}{' cross' if each.get('is_isolated') is False else ''}"}
        for each in map(dict, positions)
    ]
    return _rows("Positions", POSITION_COLUMNS, shown)


def show_foreign(document: Mapping[str, Any]) -> RenderableType:
    """Return what stands on the account and is not ours; nothing when there is none."""
    parts: list[RenderableType] = []
    positions, orders = document.get("foreign_positions") or [], document.get("foreign_orders") or []
    if positions:
        shown = [
            each
            | {name: short(each.get(name)) for name in COMPUTED_PRICES}
            | {
                "unrealised_pnl_usdt": money(each.get("unrealised_pnl_usdt"), sign=True),
                "state": "has a stop" if each["has_stop"] else "NO STOP",
                "signal_id": "not ours",
            }
            for each in map(dict, positions)
        ]
        parts += ["", _rows("Not ours: Phoenix neither protects nor closes it", POSITION_COLUMNS, shown)]
    if orders:
        parts += ["", _rows("Open orders that are not ours", ORDER_COLUMNS, orders)]
    return Group(*parts)


def headline(document: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return whether entries and exits are traded, and every reason with what to do."""
    found = headline_of(_situation(document))
    return ENGLISH.title(found), [f"  {line.what} {line.remedy}".rstrip() for line in ENGLISH.lines(found)]


def _headline_document(document: Mapping[str, Any]) -> dict[str, Any]:
    found = headline_of(_situation(document))
    return {
        "title": ENGLISH.title(found),
        "entries": found.entries,
        "tone": found.tone,
        "reasons": [
            {"name": reason.name, "what": line.what, "remedy": line.remedy}
            for reason, line in zip(found.reasons, ENGLISH.lines(found), strict=True)
        ],
    }


def _situation(document: Mapping[str, Any]) -> Situation:
    queues, missing = document["queues"], document["missing"]
    dead = [one["depth"] or 0 for one in queues or () if one["name"].endswith(".dead")]
    return Situation(
        risk=document["account"],
        readiness=document["services"],
        positions=document["positions"],
        foreign=document.get("foreign_positions") or [],
        dead_letters=None if queues is None else sum(dead),
        alarms=document.get("alarms") or [],
        faults={name: missing.get(key, "") for name, key in FAULTS.items()},
    )


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


def _result(signal: Mapping[str, Any]) -> str:
    """Return what became of a signal: its position, or what an exit brought."""
    if signal.get("position") == "closed":
        net = money(signal["net_pnl_usdt"], sign=True)
        return f"{(signal['closed_reason'] or 'closed').replace('_', ' ')} {net}"
    if signal.get("closed_trades"):
        return f"closed {money(signal['realised_pnl_usdt'], sign=True)}"
    return signal.get("position") or ""


def _services_line(name: str, found: Mapping[str, Any]) -> str:
    label = f"{name.replace('_', ' '):<12}"
    if found["ready"]:
        without = "; ".join((found.get("degraded") or {}).values())
        return f"{label} [green]ready[/]" + (f"  [yellow]{escape(without)}[/]" if without else "")
    wrong = [f"{what}: {answer}" for what, answer in found["dependencies"].items() if answer != "ok"]
    return f"{label} [red]not ready[/]  {escape('; '.join(wrong))}"


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
