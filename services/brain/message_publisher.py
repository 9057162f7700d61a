"""From an accepted alert to a durable message: the one publish that happens without a database (P1)."""

from shared import codec
from shared.models import SignalReceived
from shared.rabbitmq_client import Publisher
from shared.values import Signal

PRODUCER = "brain"
CONFIRM_TIMEOUT_S = 1.0
"""TradingView hangs up after 3 s and does not send again then. Within them nginx must have got an answer from
one instance or, when that gave none, asked another: the sum is kept in infrastructure/nginx_lb/nginx.conf.
"""


class SignalPublisher:
    """Publishes `SignalReceived` and waits for the broker's confirm; implements `AcceptsSignals`."""

    def __init__(self, publisher: Publisher, instance: str) -> None:
        self._publisher = publisher
        self._instance = instance

    async def accept(self, signal: Signal) -> None:
        """Return when the signal stands on the durable queue.

        Every receipt is an event of its own, so that a repeated alert is counted as such and not taken for a
        redelivery.

        Raises:
            BrokerUnavailable: not confirmed; the alert may be sent again, duplicates are recognised.
        """
        await self._publisher.send(
            codec.envelop(
                SignalReceived(signal=signal),
                correlation_id=signal.signal_id,
                causation_id=None,
                occurred_at=signal.received_at,
                producer=PRODUCER,
                discriminator=(signal.received_at.isoformat(), self._instance),
            )
        )
