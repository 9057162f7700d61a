"""From an accepted alert to a durable message: the one publish that happens without a database (P1)."""

import msgspec

from services.brain.alert_body import AlertFault
from shared import codec, logs
from shared.errors import MessageFault
from shared.models import Envelope, SignalReceived
from shared.rabbitmq_client import Publisher
from shared.values import Action, Signal

PRODUCER = "brain"
CONFIRM_TIMEOUT_S = 1.0
"""TradingView hangs up after 3 s and does not send again then. Within them nginx must have got an answer from
one instance or, when that gave none, asked another: the sum is kept in infrastructure/nginx_lb/nginx.conf.
"""

_log = logs.get(__name__)


class SignalPublisher:
    """Publishes `SignalReceived` and waits for the broker's confirm; implements `AcceptsSignals`."""

    def __init__(self, publisher: Publisher, instance: str) -> None:
        self._publisher = publisher
        self._instance = instance

    async def accept(self, signal: Signal) -> None:
        """Return when the signal stands on the durable queue.

        Every receipt is an event of its own, so that a repeated alert is counted as such and not taken for a
        redelivery.

        What is published was read back before: nobody could carry out what no consumer can decode (P2).

        Raises:
            AlertFault: it cannot be read back; nothing was published.
            BrokerUnavailable: not confirmed; the alert may be sent again, duplicates are recognised.
        """
        envelope = self._envelope(signal)
        fault = _fault_of(envelope)
        if fault is not None and signal.action is Action.EXIT:  # nothing but its symbol may hold it up (P9)
            _log.error("exit_published_bare", correlation_id=signal.signal_id, error=str(fault))
            envelope = self._envelope(_bare(signal, str(fault)))
            fault = _fault_of(envelope)
        if fault is not None:
            raise AlertFault("alert", None, f"no service could read it: {fault}")
        await self._publisher.send(envelope)

    def _envelope(self, signal: Signal) -> Envelope:
        return codec.envelop(
            SignalReceived(signal=signal),
            correlation_id=signal.signal_id,
            causation_id=None,
            occurred_at=signal.received_at,
            producer=PRODUCER,
            discriminator=(signal.received_at.isoformat(), self._instance),
        )


def _fault_of(envelope: Envelope) -> MessageFault | None:
    try:
        codec.decode(codec.encode(envelope))
    except MessageFault as fault:
        return fault
    return None


def _bare(signal: Signal, fault: str) -> Signal:
    return msgspec.structs.replace(
        signal, price=None, rsi=None, macd=None, bar_volume=None, alert_text="{}", dropped=(fault,)
    )
