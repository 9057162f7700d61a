"""What each page shows: its parts, what they have to be asked for, and the values their templates are given.

It must never write HTML (the templates do) nor decide who may see a page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from services.notify.dashboard import figures
from services.notify.dashboard.figures import PositionFigures
from services.notify.dashboard.sources import Sources
from services.notify.ports import SERVICES
from services.notify.report_rows import OpenPosition
from services.notify.telling.languages import HEADLINES
from shared.headline import Headline, Situation, headline_of
from shared.money import ZERO
from shared.values import OutcomeKind

ON_ITS_WAY = "on_its_way"
SYMBOL_CHARS_MAX = 40
OUTCOMES = (ON_ITS_WAY, *(kind.value for kind in OutcomeKind))


class Page(StrEnum):
    """The pages, in the order of their tabs."""

    OVERVIEW = "overview"
    CHART = "chart"
    SIGNALS = "signals"
    RISK = "risk"
    SYSTEM = "system"
    STORY = "story"


TABS = tuple(page for page in Page if page is not Page.STORY)


@dataclass(frozen=True)
class View:
    """How somebody looks: two who look alike are shown the same."""

    page: Page
    language: str
    is_operator: bool
    symbol: str | None = None
    outcome: str | None = None


@dataclass(frozen=True)
class Part:
    """A piece of a page that lives: its template, its sources, and the values made of them."""

    name: str
    asks: tuple[str, ...]
    values: Callable[[Sources, View, datetime], Mapping[str, Any]] = lambda _sources, _view, _now: {}
    for_operators: bool = False


def symbol_of(given: str) -> str | None:
    """Return a symbol as a browser sends it, None for what is none: a NUL byte would stop the database's
    answer, and with it the live pages of everybody.
    """
    return given if 0 < len(given) <= SYMBOL_CHARS_MAX and given.isprintable() else None


def held(sources: Sources, now: datetime) -> Sequence[PositionFigures] | None:
    """Return the positions with what the exchange says of them; None while the record is not known."""
    record = sources.positions.seen.value
    if record is None:
        return None
    seen = sources.marks.seen.value
    marks = seen.marks if seen else {}
    return [figures.figures_of(each, marks.get(each.signal_id), now) for each in record]


def headline_at(sources: Sources, now: datetime) -> Headline:
    """Return the headline from what the sources have seen; what is too old is not known."""
    positions, queues = sources.positions.seen.trusted(now), sources.queues.seen.trusted(now)
    faults = {
        "risk": sources.risk.seen.fault,
        "readiness": sources.readiness.seen.fault,
        "positions": sources.positions.seen.fault,
    }
    return headline_of(
        Situation(
            risk=sources.risk.seen.trusted(now),
            readiness=sources.readiness.seen.trusted(now),
            positions=None if positions is None else [_as_document(each) for each in positions],
            foreign=[
                {"symbol": each.symbol, "has_stop": each.has_stop}
                for each in sources.foreign.seen.value or ()
            ],
            dead_letters=None if queues is None else sum(queue.dead for queue in queues),
            alarms=[alarm._asdict() for alarm in sources.alarms.seen.value or ()],
            faults={name: fault or "no fresh answer" for name, fault in faults.items()},
        )
    )


def _as_document(held: OpenPosition) -> Mapping[str, Any]:
    return {"symbol": held.symbol, "protected_at": held.protected_at, "state": held.state}


def _status(sources: Sources, view: View, now: datetime) -> Mapping[str, Any]:
    headline, words = headline_at(sources, now), HEADLINES[view.language]
    return {"headline": headline, "title": words.title(headline), "reasons": words.lines(headline)}


def _account(sources: Sources, _view: View, now: datetime) -> Mapping[str, Any]:
    account, risk = sources.account.seen.value, sources.risk.seen.value
    positions = held(sources, now) or []
    equity = account.equity_usdt if account else None
    start = account.day_start_equity_usdt if account else None
    day_usdt = account.day_pnl_usdt(now) if account else None
    margin = figures.total_margin([each.held for each in positions])
    return {
        "account": account or {},
        "figures": {
            "day_usdt": day_usdt,
            "day_share": day_usdt / start if day_usdt is not None and start else None,
            "unrealised_usdt": figures.total_unrealised(positions),
            "drawdown": account.drawdown if account else None,
            "drawdown_limit": figures.limit_named(risk, "drawdown_max") if risk else None,
            "risk_limit": figures.limit_named(risk, "portfolio_risk_max") if risk else None,
            "margin_usdt": margin,
            "margin_share": margin / equity if equity else None,
            "today": sources.today.seen.value,
        },
    }


def _positions(sources: Sources, _view: View, now: datetime) -> Mapping[str, Any]:
    seen = sources.marks.seen.value
    return {
        "positions": held(sources, now),
        "foreign": sources.foreign.seen.value or (),
        "foreign_is_old": sources.foreign.seen.trusted(now) is None,
        "foreign_orders": seen.foreign_orders if seen else (),
    }


def _holding(sources: Sources, view: View, now: datetime) -> Mapping[str, Any]:
    here = [each for each in held(sources, now) or [] if each.held.symbol == view.symbol]
    seen = sources.marks.seen.value
    return {
        "holding": here[0] if here else None,
        "foreign": [each for each in sources.foreign.seen.value or () if each.symbol == view.symbol],
        "foreign_is_old": sources.foreign.seen.trusted(now) is None,
        "foreign_orders": [
            each for each in (seen.foreign_orders if seen else ()) if each["symbol"] == view.symbol
        ],
    }


def _exposure(sources: Sources, _view: View, _now: datetime) -> Mapping[str, Any]:
    risk = sources.risk.seen.value
    notional = figures.exposure_usdt(risk) if risk else {"long": ZERO, "short": ZERO}
    equity = Decimal(risk["equity_usdt"]) if risk and risk["equity_usdt"] else None
    return {
        "risk": risk,
        "exposure": {
            "long": notional["long"],
            "short": notional["short"],
            "net": notional["long"] - notional["short"],
            "long_share": notional["long"] / equity if equity else None,
            "short_share": notional["short"] / equity if equity else None,
        },
        "measures": figures.measures_of(risk) if risk else [],
    }


def _limits(sources: Sources, _view: View, _now: datetime) -> Mapping[str, Any]:
    risk = sources.risk.seen.value
    return {
        "risk": risk,
        "limits": figures.limits_in_use(risk) if risk else [],
        "rest": figures.limits_at_rest(risk) if risk else [],
    }


def _risk(sources: Sources, _view: View, _now: datetime) -> Mapping[str, Any]:
    return {"risk": sources.risk.seen.value}


def _services(sources: Sources, _view: View, _now: datetime) -> Mapping[str, Any]:
    return {"services": SERVICES, "versions": sources.versions.seen.value or {}}


STATUS = Part("status", ("state", "risk", "readiness", "positions", "foreign", "queues", "alarms"), _status)
PARTS: Mapping[Page, Sequence[Part]] = {
    Page.OVERVIEW: (
        STATUS,
        Part("account", ("account", "positions", "marks", "risk", "today"), _account),
        Part("alarms", ("alarms",)),
        Part("positions", ("positions", "marks", "foreign"), _positions),
        Part("newest", ("signals",)),
    ),
    Page.CHART: (STATUS, Part("holding", ("positions", "marks", "foreign"), _holding)),
    Page.SIGNALS: (STATUS, Part("stream", ())),
    Page.RISK: (
        STATUS,
        Part("exposure", ("risk",), _exposure),
        Part("limits", ("risk",), _limits),
        Part("findings", ("risk",), _risk),
        Part("reserved", ("risk",), _risk),
    ),
    Page.SYSTEM: (
        STATUS,
        Part("services", ("readiness", "leases", "versions"), _services),
        Part("queues", ("queues",)),
        Part("told", ("notifications",)),
        Part("acts", ("acts",), for_operators=True),
    ),
    Page.STORY: (STATUS,),
}


def parts_of(view: View) -> Sequence[Part]:
    """Return the parts that this view may see."""
    return [part for part in PARTS[view.page] if view.is_operator or not part.for_operators]
