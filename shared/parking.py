"""What it means that a message was parked: its signal failed and says so (P2); and what replaying it does.

Without the first nobody would ever end the signal, because the one who should have done it never could. The
second only foretells: the receiving services decide by themselves, as on the first day. Pure.
"""

from datetime import datetime, timedelta

from shared.codec import envelop
from shared.models import (
    AnalysisCompleted,
    CloseRequested,
    Envelope,
    SignalEnded,
    SignalReceived,
    TradeApproved,
)
from shared.topology import RISK_ALERTS, Queue
from shared.values import Action, OutcomeKind, Signal

REASON = "parked"
EVERY_SYMBOL = "*"


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
    return envelop(
        SignalEnded(signal_id=signal_id, symbol=symbol, outcome=OutcomeKind.FAILED, reason=REASON),
        correlation_id=signal_id,
        causation_id=envelope.event_id,
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
