"""What a delivery says of itself: attempts, returns, whether it is still ours. It must never settle one."""

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from shared import topology


def attempts(message: AbstractIncomingMessage) -> int:
    """Return how many attempts at a message have failed."""
    counted = message.headers.get(topology.ATTEMPTS_HEADER, 0)
    return counted if isinstance(counted, int) else 0


def deliveries(message: AbstractIncomingMessage) -> int:
    """Return how often the message came back to its queue unsettled."""
    counted = message.headers.get("x-delivery-count", 0)
    return counted if isinstance(counted, int) else 0


def is_taken_back(message: AbstractIncomingMessage) -> bool:
    """Tell whether the channel of this delivery is closed: the broker gives the message to somebody else."""
    try:
        return message.channel.is_closed
    except aio_pika.exceptions.ChannelInvalidStateError:
        return True
