"""What tests of the consumer look at: a handler that takes notes, and conditions to wait for."""

from collections.abc import Awaitable, Callable

import aio_pika

from shared import codec, topology
from shared.errors import BrokerUnavailable, DependencyDown
from shared.models import Envelope
from shared.rabbitmq_client import Consumer, Handler, Publisher
from tests.broker import Broker
from tests.messages import a_message

Opens = Callable[[Handler], Awaitable[Consumer]]
Sends = Callable[[], Awaitable[str]]


class Recorder:
    """A handler that writes down what it gets and then does what the test says."""

    def __init__(self, then: Handler | None = None) -> None:
        self.seen: list[str] = []
        self._then = then

    async def __call__(self, envelope: Envelope) -> None:
        """Take one message."""
        self.seen.append(envelope.event_id)
        if self._then is not None:
            await self._then(envelope)


async def has(broker: Broker, name: str, messages: int) -> bool:
    """Tell whether so many messages wait in a queue."""
    return await broker.count(name) == messages


async def has_consumers(broker: Broker, queue: topology.Queue, number: int) -> bool:
    """Tell whether a queue has so many consumers."""
    return await broker.consumers(queue.name) == number


async def is_cancelled(broker: Broker, queue: topology.Queue) -> bool:
    """Tell whether nobody consumes; the queue still counts a cancelled consumer that holds messages."""
    return queue.name not in await broker.ctl("list_consumers", "-p", topology.VIRTUAL_HOST)


async def is_declared(broker: Broker, queue: topology.Queue) -> bool:
    """Tell whether a queue exists."""
    try:
        await broker.count(queue.name)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return False
    return True


async def answers(consumer: Consumer) -> bool:
    """Tell whether a consumer is ready."""
    try:
        await consumer.ping()
    except DependencyDown:
        return False
    return True


async def is_held_up(consumer: Consumer) -> bool:
    """Tell whether a consumer is not ready."""
    return not await answers(consumer)


async def publishes(publisher: Publisher, queue: topology.Queue) -> bool:
    """Put a message into a queue and tell whether that was confirmed."""
    try:
        await publisher.publish("", queue.name, codec.encode(a_message()))
    except BrokerUnavailable:
        return False
    return True


async def is_refused(publisher: Publisher, queue: topology.Queue) -> bool:
    """Try to put a message into a queue and tell whether that was not confirmed."""
    return not await publishes(publisher, queue)
