"""Facts to words: which facts are told, as which kind of message, and with which numbers, by schema.

Pure. It must never leave out a schema: one that is not told is listed as quiet, and a test holds that.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.notify.alert_intake import RESOLVED
from services.notify.telling.kinds import ALERTS, NEVER_REPEATS, SEVERITIES, Kind, Lane, lane_of
from services.notify.telling.texts import Language
from shared import models
from shared.models import Envelope
from shared.money import CENT, ZERO, plain
from shared.parking import REASON as PARKED
from shared.values import Check, CheckResult, CloseReason, OutcomeKind, Position, Severity, TradingState
from shared.wording import cents, duration, readable, signed

TITLE_CHARS_MAX = 200
BODY_CHARS_MAX = 3_000
GIST_CHARS_MAX = 60
SIGNAL_ID_CHARS = 12
"""Enough of the front of a signal id to find it: `/why` and `phoenix.py why` take a unique prefix."""
LATE_S = Decimal(3)
"""A stop that stood later than this after the first fill is worth a message, seconds."""


@dataclass(frozen=True, kw_only=True)
class Notification:
    """A fact in words, ready to be told. With `repeats_as`, the same words again are counted, not sent."""

    event_id: str
    correlation_id: str
    kind: Kind
    title: str
    body: str
    gist: str
    occurred_at: datetime
    repeats_as: str | None = None
    is_silent: bool = False

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return SEVERITIES[self.kind]

    @property
    def lane(self) -> Lane:
        """How urgently it travels."""
        return lane_of(self.kind)


@dataclass(frozen=True)
class Context:
    """What is known beside the fact: both None when nobody knows."""

    equity_usdt: Decimal | None = None
    final_confidence: Decimal | None = None


NOTHING_KNOWN = Context()
Values = Mapping[str, str]


@dataclass(frozen=True)
class _Telling:
    """What a teller needs to tell a fact."""

    words: Language
    context: Context


Told = tuple[Kind, Values]

CLOSE_KINDS: Mapping[CloseReason, Kind] = {
    CloseReason.STOP_LOSS: Kind.POSITION_CLOSED,
    CloseReason.TAKE_PROFIT: Kind.POSITION_CLOSED,
    CloseReason.EXIT_SIGNAL: Kind.POSITION_CLOSED,
    CloseReason.OPPOSITE_SIGNAL: Kind.POSITION_CLOSED,
    CloseReason.OPERATOR: Kind.POSITION_CLOSED,
    CloseReason.UNPROTECTED: Kind.PROTECTION_FAILED,
    CloseReason.LIQUIDATION: Kind.LIQUIDATION,
    CloseReason.ADL: Kind.ADL,
    CloseReason.SETTLEMENT: Kind.POSITION_CLOSED_OUTSIDE,
    CloseReason.EXTERNAL: Kind.POSITION_CLOSED_OUTSIDE,
}
STATE_KINDS: Mapping[TradingState, Kind] = {
    TradingState.ACTIVE: Kind.TRADING_ACTIVE,
    TradingState.REDUCING: Kind.TRADING_REDUCING,
    TradingState.HALTED: Kind.TRADING_HALTED,
}


def describe(envelope: Envelope, words: Language, context: Context = NOTHING_KNOWN) -> Notification | None:
    """Return the notification of a fact in one language, or None for a fact that is not told."""
    teller = TELLERS.get(envelope.schema)
    told = teller(envelope.payload, _Telling(words, context)) if teller is not None else None
    if told is None:
        return None
    kind, values = told
    title, body, gist = words.texts[kind].fill(values)
    return Notification(
        event_id=envelope.event_id,
        correlation_id=envelope.correlation_id,
        kind=kind,
        title=shortened(title, TITLE_CHARS_MAX),
        body=shortened(body, BODY_CHARS_MAX),
        gist=shortened(gist, GIST_CHARS_MAX),
        occurred_at=envelope.occurred_at,
        repeats_as=None if kind in NEVER_REPEATS else _sameness(kind, values, words),
    )


def again(first_title: str, repeats: int, minutes: int, words: Language) -> str:
    """Return the title that says how often the same words came again."""
    title = words.phrases["repeated"].format(title=first_title, count=repeats, minutes=minutes)
    return shortened(title, TITLE_CHARS_MAX)


def _sameness(kind: Kind, values: Values, words: Language) -> str:
    """Return what two messages have in common that say the same, whichever signal they are about."""
    title, body, _ = words.texts[kind].fill({**values, "signal": ""})
    return f"{kind}\n{title}\n{body}"


def shortened(text: str, chars_max: int) -> str:
    """Return `text`, cut with an ellipsis where it is longer than `chars_max`."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _opened(fact: models.PositionOpened, telling: _Telling) -> Told:
    position, context = fact.position, telling.context
    kind = Kind.POSITION_OPENED if position.stop_price is not None else Kind.POSITION_NAKED
    risk, share = cents(position.risk_usdt), ""
    if context.equity_usdt is not None and context.equity_usdt > ZERO:
        share = format((position.risk_usdt / context.equity_usdt * 100).quantize(CENT), "f")
    confidence = context.final_confidence
    values = {
        "notional": cents(position.quantity * position.entry_price),
        "margin": cents(position.margin_usdt),
        "leverage": str(position.leverage),
        "stop": _price(position.stop_price, position.entry_price, telling.words),
        "take_profit": _price(position.take_profit_price, position.entry_price, telling.words),
        "risk": risk,
        "risk_share": share,
        "risk_alone": "" if share else risk,
        "confidence": "" if confidence is None else readable(plain(confidence)),
    }
    return kind, _position_values(position, telling.words) | values


def _closed(fact: models.PositionClosed, telling: _Telling) -> Told:
    values = _result_values(fact, telling.words) | {
        "closed_by": short_id(fact.closed_by or ""),
        "detail": fact.detail,
        "missing": fact.missing,
    }
    if fact.missing:  # a part of the amounts would read like a result
        values |= dict.fromkeys(("mark", "r_multiple", "exit", "pnl"), "")
        values["net"] = "?"
    return CLOSE_KINDS[fact.reason], values


def _books_completed(fact: models.BooksCompleted, telling: _Telling) -> Told:
    return Kind.BOOKS_COMPLETED, _result_values(fact, telling.words)


def _result_values(fact: models.PositionClosed | models.BooksCompleted, words: Language) -> dict[str, str]:
    position, net = fact.position, fact.net_pnl_usdt
    margin, risk = position.margin_usdt, position.risk_usdt
    values = {
        "mark": "✅ " if net > ZERO else "🔻 " if net < ZERO else "",
        "reason": words.closes[fact.reason],
        "net": signed(net),
        "r_multiple": signed(net / risk) if risk > ZERO else "–",
        "of_margin": signed(net / margin * 100) if margin > ZERO else "–",
        "exit": "" if fact.exit_price is None else plain(fact.exit_price),
        "held": duration(fact.closed_at - position.opened_at, words.units),
        "pnl": signed(fact.pnl_usdt),
        "fees": cents(fact.fees_usdt),
        "funding": signed(fact.funding_usdt),
    }
    return _position_values(position, words) | values


def _order_refused(fact: models.OrderRefused, telling: _Telling) -> Told:
    words = telling.words
    return Kind.ORDER_REFUSED, {
        "symbol": fact.symbol,
        "order": words.phrases[f"order_{fact.role}"],
        "code": str(fact.code),
        "text": fact.text,
        "next_step": words.phrases[f"next_{fact.next_step}"],
        "signal": short_id(fact.signal_id),
    }


def _protected(fact: models.ProtectionPlaced, telling: _Telling) -> Told | None:
    """Only what took long is told: the position's own message tells the rest."""
    del telling
    if fact.unprotected_s <= LATE_S:
        return None
    return Kind.PROTECTION_LATE, {
        "symbol": fact.symbol,
        "unprotected": format(fact.unprotected_s.quantize(Decimal("0.1")), "f"),
        "stop_price": plain(fact.stop_price),
        "take_profit_price": plain(fact.take_profit_price),
        "signal": short_id(fact.signal_id),
    }


def _order_ended(fact: models.OrderEnded, telling: _Telling) -> Told:
    kind = Kind.ORDER_FAILED if fact.outcome is OutcomeKind.FAILED else Kind.ORDER_ENDED
    return kind, _ended_values(fact, telling.words) | {"detail": fact.detail}


def _signal_ended(fact: models.SignalEnded, telling: _Telling) -> Told:
    values = _ended_values(fact, telling.words)
    if fact.reason == PARKED:
        return Kind.SIGNAL_PARKED, values
    return Kind.SIGNAL_FAILED if fact.outcome is OutcomeKind.FAILED else Kind.SIGNAL_ENDED, values


def _rejected(fact: models.TradeRejected, telling: _Telling) -> Told:
    words = telling.words
    refusal = next((check for check in fact.checks if check.result is CheckResult.REFUSE), None)
    values = {
        "side": words.sides[fact.side],
        "why": words.reason(fact.reason) if refusal is None else _refusal(refusal, "refusal", words),
        "gist": words.reason(fact.reason) if refusal is None else _refusal(refusal, "refusal_gist", words),
    }
    return Kind.DECISION_REJECTED, _ended_values(fact, words) | values


def _refusal(check: Check, phrase: str, words: Language) -> str:
    """Return the one check that refused, with its number against its limit."""
    filled = words.phrases[phrase].format(
        name=words.reason(check.name),
        measured=_measure(check.measured, words),
        limit=_measure(check.limit, words),
    )
    return filled[:1].upper() + filled[1:] if phrase == "refusal" else filled


def _measure(text: str, words: Language) -> str:
    text = readable(text)
    for pattern, replacement in words.measures:
        text = re.sub(pattern, replacement, text)
    return text


def _close_ignored(fact: models.CloseIgnored, telling: _Telling) -> Told:
    return Kind.CLOSE_IGNORED, {
        "symbol": fact.symbol or telling.words.phrases["all_symbols"],
        "reason": telling.words.reason(fact.reason),
        "signal": short_id(fact.signal_id),
    }


def _state_changed(fact: models.TradingStateChanged, telling: _Telling) -> Told:
    return STATE_KINDS[fact.state], {
        "state": telling.words.states[fact.state],
        "meaning": telling.words.meanings[fact.state],
        "changed_by": fact.changed_by,
        "reason": fact.reason,
    }


def _alert(fact: models.AlertRaised, telling: _Telling) -> Told:
    base = fact.kind.removesuffix(RESOLVED)
    name = telling.words.alerts.get(base) or base.replace("_", " ")
    name = name[:1].upper() + name[1:]
    if base != fact.kind:
        name = telling.words.phrases["resolved"].format(name=name)
    return ALERTS[fact.severity], {
        "title": f"{name} {fact.symbol}" if fact.symbol else name,
        "symbol": fact.symbol or "",
        "advice": telling.words.advice.get(fact.kind, ""),
        "text": fact.text,
    }


TELLERS: Mapping[str, Callable[[Any, _Telling], Told | None]] = {
    models.PositionOpened.SCHEMA: _opened,
    models.PositionClosed.SCHEMA: _closed,
    models.BooksCompleted.SCHEMA: _books_completed,
    models.OrderRefused.SCHEMA: _order_refused,
    models.ProtectionPlaced.SCHEMA: _protected,
    models.OrderEnded.SCHEMA: _order_ended,
    models.SignalEnded.SCHEMA: _signal_ended,
    models.TradeRejected.SCHEMA: _rejected,
    models.CloseIgnored.SCHEMA: _close_ignored,
    models.TradingStateChanged.SCHEMA: _state_changed,
    models.AlertRaised.SCHEMA: _alert,
}
"""The facts that end something or that a person must know of."""

QUIET: frozenset[str] = frozenset(
    {
        models.SignalReceived.SCHEMA,
        models.AnalysisCompleted.SCHEMA,
        models.ManualTradeProposed.SCHEMA,
        models.TradeApproved.SCHEMA,
        models.CloseRequested.SCHEMA,
        models.OrderPlaced.SCHEMA,
        models.OrderFilled.SCHEMA,
        models.AccountSnapshot.SCHEMA,
    }
)
"""Steps on the way: the fact that ends them tells the same and more."""


def _position_values(position: Position, words: Language) -> dict[str, str]:
    return {
        "side": words.sides[position.side],
        "symbol": position.symbol,
        "quantity": plain(position.quantity),
        "entry": plain(position.entry_price),
        "strategy": position.strategy,
        "signal": short_id(position.signal_id),
    }


def _ended_values(
    fact: models.OrderEnded | models.SignalEnded | models.TradeRejected, words: Language
) -> dict[str, str]:
    return {
        "symbol": fact.symbol,
        "outcome": words.outcomes[fact.outcome],
        "reason": words.reason(fact.reason),
        "signal": short_id(fact.signal_id),
    }


def _price(price: Decimal | None, entry: Decimal, words: Language) -> str:
    """Return a price with its distance from the entry, such as `49000 (-2.00 %)`."""
    if price is None:
        return words.phrases["no_price"]
    return f"{plain(price)} ({signed((price / entry - 1) * 100)} %)"


def short_id(long: str) -> str:
    """Return the front of an id."""
    return long[:SIGNAL_ID_CHARS]
