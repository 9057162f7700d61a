"""What it means that a message was parked: its signal failed and says so (P2); and what replaying it does.

Without the first nobody would ever end the signal, because the one who should have done it never could. The
second only foretells: the receiving services decide by themselves, as on the first day. Pure.
"""

import re
from datetime import datetime, timedelta

from shared.codec import envelop
from shared.models import (
    AlertRaised,
    AnalysisCompleted,
    CloseRequested,
    Envelope,
    SignalEnded,
    SignalReceived,
    TradeApproved,
)
from shared.symbols import could_be
from shared.topology import RISK_ALERTS, Queue
from shared.values import Action, OutcomeKind, Severity, Signal

REASON = "parked"
EVERY_SYMBOL = "*"
UNKNOWN_SYMBOL = "unknown"
UNREADABLE = "message_unreadable"

_STORY = re.compile(rb'"correlation_id"\s*:\s*"((?:sig|req)-[a-z0-9]{1,40})"')
_NAMED = re.compile(rb'"symbol"\s*:\s*"([^"\\]{1,160})"')
_NO_WORK = re.compile(rb'"schema"\s*:\s*"trading\.state\.')


def end_of_signal(envelope: Envelope, queue: Queue, now: datetime) -> Envelope | None:
    """Return the fact that ends the signal of a message parked from `queue`, None when it ends no signal.

    Only what carries a signal's work on ends it; a parked fact is a lost piece of news.
    """
    match envelope.payload:
        case SignalReceived(signal=signal) | AnalysisCompleted(signal=signal):
            signal_id, symbol = signal.signal_id, signal.symbol
        case TradeApproved(signal_id=signal_id, symbol=symbol):
            pass
        case CloseRequested(signal_id=signal_id, symbol=named):
            symbol = named or EVERY_SYMBOL
        case _:
            return None
    if not queue.carries_signals:
        return None
    return _ended(signal_id, symbol, envelope.event_id, queue, now)


def end_of_unreadable(body: bytes, queue: Queue, now: datetime) -> Envelope | None:
    """Return the fact that ends the signal of a message that cannot be decoded, from what its envelope still
    shows; an alert where it shows not even that; None for a queue of facts.
    """
    if not queue.carries_signals or _NO_WORK.search(body):
        return None
    story, named = _STORY.search(body), _NAMED.search(body)
    if story is None:
        return envelop(
            AlertRaised(
                severity=Severity.CRITICAL,
                kind=UNREADABLE,
                text=f"A message of {len(body)} bytes in {queue.name} is not readable, not even whose it was."
                f" It is kept in {queue.dead}: look at it with `phoenix.py dlq show {queue.name}`. If it was"
                " an exit, its position is still open.",
            ),
            correlation_id=f"alert-{UNREADABLE}",
            causation_id=None,
            occurred_at=now,
            producer=queue.name,
            discriminator=(queue.name, now.isoformat()),
        )
    symbol = named[1].decode(errors="replace") if named else ""
    symbol = symbol if could_be(symbol) else UNKNOWN_SYMBOL
    return _ended(story[1].decode(), symbol, None, queue, now)


def _ended(signal_id: str, symbol: str, cause: str | None, queue: Queue, now: datetime) -> Envelope:
    return envelop(
        SignalEnded(signal_id=signal_id, symbol=symbol, outcome=OutcomeKind.FAILED, reason=REASON),
        correlation_id=signal_id,
        causation_id=cause,
        occurred_at=now,
        producer=queue.name,
        discriminator=(REASON, queue.name),
    )


def forecast(envelope: Envelope | None, queue: Queue, entry_age_max: timedelta, now: datetime) -> str:
    """Return in words what becomes of a dead letter that is put back into `queue` now.

    None stands for a body that is no message. Whatever happens, the signal's outcome stays: the first counts.
    """
    if envelope is None:
        return "is parked again: it is not a message"
    if not queue.carries_signals:
        return (
            "is told, late" if queue.name == RISK_ALERTS.name else "is booked; what is known changes nothing"
        )
    match envelope.payload:
        case CloseRequested(requested_at=requested_at):
            return f"closes what was opened before {requested_at:%Y-%m-%d %H:%M:%S} UTC, and nothing younger"
        case SignalReceived(signal=signal) if signal.action is Action.EXIT:
            return (
                f"closes what was opened before {signal.received_at:%Y-%m-%d %H:%M:%S} UTC, nothing younger"
            )
        case SignalReceived(signal=signal) | AnalysisCompleted(signal=signal):
            return _of_entry(now - _born_at(signal), entry_age_max)
        case TradeApproved(valid_until=valid_until):
            if valid_until <= now:
                return "expires: its approval ran out; no order is sent"
            return "MAY BE TRADED: its approval is still valid"
        case _:
            return "is recorded, unless something newer is known"


def _of_entry(age: timedelta, age_max: timedelta) -> str:
    if age > age_max:
        return f"expires: older than {age_max.total_seconds():.0f} s; no order is sent"
    return "MAY BE TRADED: it is young enough"


def _born_at(signal: Signal) -> datetime:
    return min(signal.alert_time or signal.received_at, signal.received_at)
