"""Facts to words: which facts are told, how loudly, and with which numbers, as one table by schema.

Pure. It must never leave out a schema: one that is not told is listed as quiet, and a test holds that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.notify.texts import (
    ALL_SYMBOLS,
    DIGEST_LINE,
    DIGEST_TITLE,
    DROPPED,
    FOOTER,
    MARKS,
    NO_PRICE,
    REFUSAL,
    STATE_MEANINGS,
    TEXTS,
)
from shared import models
from shared.models import Envelope
from shared.money import CENT, plain
from shared.values import CheckResult, CloseReason, OutcomeKind, Position, Severity, TradingState

TITLE_CHARS_MAX = 200
BODY_CHARS_MAX = 3_000
MESSAGE_CHARS_MAX = 4_096  # Telegram refuses longer ones
SIGNAL_ID_CHARS = 12
"""Enough of the front of a signal id to find it: `phoenix.py why` takes a unique prefix."""
EVENT_TAIL_CHARS = 6


@dataclass(frozen=True, kw_only=True)
class Notification:
    """A fact in words, ready to be told."""

    event_id: str
    correlation_id: str
    kind: str
    severity: Severity
    title: str
    body: str
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Told:
    """How one message is told: which text, how loudly, and the values that fill it."""

    kind: str
    severity: Severity
    values: Mapping[str, str]


CLOSE_SEVERITY: Mapping[CloseReason, Severity] = {
    CloseReason.STOP_LOSS: Severity.INFO,
    CloseReason.TAKE_PROFIT: Severity.INFO,
    CloseReason.EXIT_SIGNAL: Severity.INFO,
    CloseReason.OPPOSITE_SIGNAL: Severity.INFO,
    CloseReason.OPERATOR: Severity.INFO,
    CloseReason.UNPROTECTED: Severity.CRITICAL,
    CloseReason.LIQUIDATION: Severity.CRITICAL,
    CloseReason.ADL: Severity.CRITICAL,
    CloseReason.SETTLEMENT: Severity.WARNING,
    CloseReason.EXTERNAL: Severity.WARNING,
}
OUTCOME_SEVERITY: Mapping[OutcomeKind, Severity] = {
    OutcomeKind.OPENED: Severity.INFO,
    OutcomeKind.CLOSED: Severity.INFO,
    OutcomeKind.NO_OP: Severity.INFO,
    OutcomeKind.REJECTED: Severity.INFO,
    OutcomeKind.EXPIRED: Severity.INFO,
    OutcomeKind.FAILED: Severity.WARNING,
}
STATE_SEVERITY: Mapping[TradingState, Severity] = {
    TradingState.ACTIVE: Severity.INFO,
    TradingState.REDUCING: Severity.WARNING,
    TradingState.HALTED: Severity.CRITICAL,
}


def describe(envelope: Envelope) -> Notification | None:
    """Return the notification of a fact, or None for a fact that is not told."""
    teller = TELLERS.get(envelope.schema)
    if teller is None:
        return None
    told = teller(envelope.payload)
    title, body = TEXTS[told.kind].fill(told.values)
    return Notification(
        event_id=envelope.event_id,
        correlation_id=envelope.correlation_id,
        kind=told.values.get("kind_name", told.kind),
        severity=told.severity,
        title=shortened(title, TITLE_CHARS_MAX),
        body=shortened(body, BODY_CHARS_MAX),
        occurred_at=envelope.occurred_at,
    )


def render(batch: Sequence[Notification], dropped: int = 0) -> str:
    """Return one chat message: a notification or a digest of several, and how many were `dropped` before."""
    told = "" if not batch else _single(batch[0]) if len(batch) == 1 else _digest(batch)
    lost = DROPPED.format(count=dropped) if dropped else ""
    return shortened("\n\n".join(part for part in (told, lost) if part), MESSAGE_CHARS_MAX)


def shortened(text: str, chars_max: int) -> str:
    """Return `text`, cut with an ellipsis where it is longer than `chars_max`."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _single(told: Notification) -> str:
    footer = FOOTER.format(time=f"{told.occurred_at:%H:%M:%S}", tail=told.event_id[-EVENT_TAIL_CHARS:])
    return "\n".join(line for line in (MARKS[told.severity] + told.title, told.body, footer) if line)


def _digest(batch: Sequence[Notification]) -> str:
    lines = (
        DIGEST_LINE.format(
            time=f"{told.occurred_at:%H:%M:%S}",
            title=MARKS[told.severity] + told.title,
            tail=told.event_id[-EVENT_TAIL_CHARS:],
        )
        for told in batch
    )
    return "\n".join((DIGEST_TITLE.format(count=len(batch)), *lines))


def _opened(fact: models.PositionOpened) -> _Told:
    return _Told(
        kind="position_opened",
        severity=Severity.INFO if fact.position.stop_price is not None else Severity.CRITICAL,
        values=_position_values(fact.position),
    )


def _closed(fact: models.PositionClosed) -> _Told:
    values = {
        "reason": _words(fact.reason),
        "net": _signed(fact.net_pnl_usdt),
        "exit": plain(fact.exit_price),
        "held": _duration(fact.closed_at - fact.position.opened_at),
        "pnl": _signed(fact.pnl_usdt),
        "fees": _cents(fact.fees_usdt),
        "funding": _signed(fact.funding_usdt),
        "closed_by": _short_id(fact.closed_by or ""),
    }
    return _Told(
        kind="position_closed",
        severity=CLOSE_SEVERITY[fact.reason],
        values=_position_values(fact.position) | values,
    )


def _order_ended(fact: models.OrderEnded) -> _Told:
    return _Told(
        kind="order_ended",
        severity=OUTCOME_SEVERITY[fact.outcome],
        values=_ended_values(fact) | {"detail": fact.detail},
    )


def _signal_ended(fact: models.SignalEnded) -> _Told:
    return _Told(kind="signal_ended", severity=OUTCOME_SEVERITY[fact.outcome], values=_ended_values(fact))


def _rejected(fact: models.TradeRejected) -> _Told:
    refusals = [
        REFUSAL.format(name=_words(check.name), measured=check.measured, limit=check.limit)
        for check in fact.checks
        if check.result is CheckResult.REFUSE
    ]
    return _Told(
        kind="decision_rejected",
        severity=OUTCOME_SEVERITY[fact.outcome],
        values=_ended_values(fact) | {"side": fact.side.upper(), "refusals": "\n".join(refusals)},
    )


def _close_ignored(fact: models.CloseIgnored) -> _Told:
    values = {
        "symbol": fact.symbol or ALL_SYMBOLS,
        "reason": _words(fact.reason),
        "signal": _short_id(fact.signal_id),
    }
    return _Told(kind="close_ignored", severity=Severity.INFO, values=values)


def _state_changed(fact: models.TradingStateChanged) -> _Told:
    values = {
        "state": fact.state.value,
        "meaning": STATE_MEANINGS[fact.state],
        "changed_by": fact.changed_by,
        "reason": fact.reason,
    }
    return _Told(kind="trading_state", severity=STATE_SEVERITY[fact.state], values=values)


def _alert(fact: models.AlertRaised) -> _Told:
    values = {
        "kind_name": fact.kind,
        "kind": _words(fact.kind).capitalize(),
        "of_symbol": f" {fact.symbol}" if fact.symbol else "",
        "text": fact.text,
    }
    return _Told(kind="alert", severity=fact.severity, values=values)


TELLERS: Mapping[str, Callable[[Any], _Told]] = {
    models.PositionOpened.SCHEMA: _opened,
    models.PositionClosed.SCHEMA: _closed,
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
        models.ProtectionPlaced.SCHEMA,
        models.AccountSnapshot.SCHEMA,
    }
)
"""Steps on the way: the fact that ends them tells the same and more."""


def _position_values(position: Position) -> dict[str, str]:
    return {
        "side": position.side.upper(),
        "symbol": position.symbol,
        "quantity": plain(position.quantity),
        "entry": plain(position.entry_price),
        "stop": _price(position.stop_price, position.entry_price),
        "take_profit": _price(position.take_profit_price, position.entry_price),
        "leverage": str(position.leverage),
        "margin": _cents(position.margin_usdt),
        "risk": _cents(position.risk_usdt),
        "strategy": position.strategy,
        "signal": _short_id(position.signal_id),
    }


def _ended_values(fact: models.OrderEnded | models.SignalEnded | models.TradeRejected) -> dict[str, str]:
    return {
        "symbol": fact.symbol,
        "outcome": _words(fact.outcome),
        "reason": _words(fact.reason),
        "signal": _short_id(fact.signal_id),
    }


def _price(price: Decimal | None, entry: Decimal) -> str:
    """Return a price with its distance from the entry, such as `49000 (-2.00 %)`."""
    if price is None:
        return NO_PRICE
    return f"{plain(price)} ({_signed((price / entry - 1) * 100)} %)"


def _cents(amount: Decimal) -> str:
    return format(amount.quantize(CENT), ",f")


def _signed(amount: Decimal) -> str:
    rounded = amount.quantize(CENT)
    return format(abs(rounded), ",f") if rounded == 0 else format(rounded, "+,f")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _short_id(long: str) -> str:
    return long[:SIGNAL_ID_CHARS]


def _duration(length: timedelta) -> str:
    """Return a length of time in its two largest units, such as `1 h 12 min`."""
    seconds = max(0, int(length.total_seconds()))
    counted = (
        (seconds // 86_400, "d"),
        (seconds // 3_600 % 24, "h"),
        (seconds // 60 % 60, "min"),
        (seconds % 60, "s"),
    )
    parts = [f"{count} {unit}" for count, unit in counted if count]
    return " ".join(parts[:2]) or "0 s"
