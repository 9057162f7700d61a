"""What it means for a signal that one of its messages was parked: it has failed, and says so (P2).

Without this nobody would ever end the signal, because the one who should have done it never could. Pure.
"""

from datetime import datetime

from shared.codec import envelop
from shared.models import (
    AnalysisCompleted,
    CloseRequested,
    Envelope,
    SignalEnded,
    SignalReceived,
    TradeApproved,
)
from shared.topology import Queue
from shared.values import OutcomeKind

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
