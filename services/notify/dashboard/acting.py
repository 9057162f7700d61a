"""An act in two steps, in words: what a confirmation says before, and what became of it after.

Pure but for the texts it is given. It must never act; the desk does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.notify.dashboard import figures, numerals
from services.notify.dashboard.figures import PositionFigures
from services.notify.desk_answers import Failed, Performed, Refused
from services.notify.people import Act, Request
from services.notify.report_rows import ForeignPosition
from shared.wording import DASH

Translator = Callable[..., str]

LOOKS = {Act.RESUME: "btn-success", Act.PAUSE: "btn-warning"}
DANGEROUS = "btn-danger"


@dataclass(frozen=True)
class Told:
    """One sentence and its tone: good, changed or bad."""

    text: str
    tone: str


def title_of(request: Request, t: Translator) -> str:
    """Return what the act is called."""
    return (
        t(f"confirm_{request.act}", symbol=request.symbol) if request.symbol else t(f"confirm_{request.act}")
    )


def look_of(act: Act) -> str:
    """Return how its button looks."""
    return LOOKS.get(act, DANGEROUS)


def consequences(
    request: Request,
    positions: Sequence[PositionFigures],
    foreign: Sequence[ForeignPosition],
    equity_usdt: Decimal | None,
    t: Translator,
) -> Sequence[str]:
    """Return in numbers what will happen, and for a close what of the account it will not touch."""
    lines = _consequences(request, positions, equity_usdt, t)
    spared = [each for each in foreign if request.symbol in (None, each.symbol)]
    if request.act not in (Act.CLOSE, Act.CLOSE_ALL) or not spared:
        return lines
    names = ", ".join(f"{each.symbol} {t(each.side)} {numerals.quantity(each.quantity)}" for each in spared)
    return [*lines, t("will_not_touch", positions=names)]


def _consequences(
    request: Request, positions: Sequence[PositionFigures], equity_usdt: Decimal | None, t: Translator
) -> Sequence[str]:
    match request.act:
        case Act.CLOSE:
            return _closing([each for each in positions if each.held.symbol == request.symbol], t)
        case Act.CLOSE_ALL if len(positions) != 1:
            return _closing_all(positions, t)
        case Act.CLOSE_ALL:
            return _closing(positions, t)
        case Act.RESUME:
            return [t("will_resume", equity=numerals.usdt(equity_usdt), count=len(positions))]
        case _:
            return [t(f"will_{request.act}", count=len(positions))]


def _closing(positions: Sequence[PositionFigures], t: Translator) -> Sequence[str]:
    if not positions:
        return [t("will_close_nothing")]
    lines = [
        t(
            "will_close",
            side=t(each.held.side),
            quantity=numerals.quantity(each.held.quantity),
            symbol=each.held.symbol,
            mark=numerals.price(each.mark.mark_price),
            entry=numerals.price(each.held.entry_price),
        )
        for each in positions
    ]
    return [*lines, _result(positions, t)]


def _closing_all(positions: Sequence[PositionFigures], t: Translator) -> Sequence[str]:
    if not positions:
        return [t("will_close_nothing")]
    margin = figures.total_margin([each.held for each in positions])
    whole = t("will_close_all", count=len(positions), margin=numerals.usdt(margin))
    names = ", ".join(each.held.symbol for each in positions)
    return [whole, names, _result(positions, t)]


def _result(positions: Sequence[PositionFigures], t: Translator) -> str:
    pnl = figures.total_unrealised(positions)
    return t("will_result", pnl=DASH if pnl is None else numerals.usdt(pnl, sign=True))


def closed(done: Performed, outcome: Mapping[str, Any], t: Translator) -> Told:
    """Return what became of a close: what is closed with its result, what is still open."""
    nets = [_net(each) for each in outcome["positions"] if each["state"] == "closed"]
    values = {
        "what": title_of(done.request, t),
        "closed": ", ".join(nets) or DASH,
        "reference": done.reference,
    }
    if outcome["state"] != "done":
        return Told(t("work_pending", open=", ".join(outcome["still_open"]) or DASH, **values), "bad")
    return Told(t("work_done" if nets else "work_nothing", **values), "good" if nets else "changed")


def _net(closed_one: Mapping[str, Any]) -> str:
    net = closed_one["net_pnl_usdt"]
    return f"{closed_one['symbol']} {DASH if net is None else numerals.usdt(Decimal(net), sign=True)}"


def told(result: Performed | Failed | Refused, t: Translator) -> Told:
    """Return what became of a confirmed act."""
    match result:
        case Performed(request, reference) if reference:
            return Told(t("work_asked", what=title_of(request, t), reference=reference), "good")
        case Performed(request):
            return Told(t("done", what=title_of(request, t)), "good")
        case Failed(_, detail, may_be_done):
            return Told(t("unanswered" if may_be_done else "failed", detail=detail), "bad")
        case Refused(why):
            return Told(t(f"refused_{why}"), "bad")
