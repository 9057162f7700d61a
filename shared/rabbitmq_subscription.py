"""One registered consumer: its connection, channel, queue and tag, and the proof that the broker knows it.

The library restores all of it after most troubles; this module can tell when it did not. It must never handle
a message, and never decide what to do about a lost consumer.
"""

from collections.abc import Awaitable, Callable
from typing import cast

import aiormq
from aio_pika.abc import (
    AbstractIncomingMessage,
    AbstractRobustChannel,
    AbstractRobustConnection,
    AbstractRobustQueue,
)

from shared import topology
from shared.errors import BrokerUnavailable
from shared.rabbitmq_connection import close, connect, set_up

PROOF_TIMEOUT_S = 5.0

OnMessage = Callable[[AbstractIncomingMessage], Awaitable[None]]


class Subscription:
    """Consumes one queue on a connection of its own, `prefetch` messages at once."""

    def __init__(self, url: str, name: str, queue: topology.Queue, on_message: OnMessage) -> None:
        self._url = url
        self._name = name
        self._queue = queue
        self._on_message = on_message
        self._connection: AbstractRobustConnection | None = None
        self._channel: AbstractRobustChannel | None = None
        self._source: AbstractRobustQueue | None = None
        self._tag: str | None = None

    async def connect(self) -> None:
        """Open the connection; nothing is consumed yet.

        Raises:
            BrokerUnavailable: the broker does not let us in, in time.
        """
        self._connection = await connect(self._url, self._name)

    async def begin(self) -> None:
        """Declare the queue and register the consumer.

        Raises:
            BrokerUnavailable: the broker did not answer in time.
            OperatorNeeded: the queue exists with other arguments.
        """
        assert self._connection is not None, "connect first"
        await set_up(self._begin(self._connection))

    async def _begin(self, connection: AbstractRobustConnection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        assert isinstance(channel, AbstractRobustChannel)
        self._channel = channel  # kept: the library holds its channels weakly
        await channel.set_qos(prefetch_count=self._queue.prefetch)
        # Declared and bound on this channel, so that the library restores all of it after a reconnect.
        source = await channel.declare_queue(
            self._queue.name, durable=True, arguments=dict(topology.main_arguments(self._queue))
        )
        for routing_key in self._queue.routing_keys:
            await source.bind(self._queue.exchange, routing_key)
        assert isinstance(source, AbstractRobustQueue)
        self._source = source
        self._tag = await source.consume(self._on_message, no_ack=False)

    async def cancel(self) -> None:
        """Take no more messages; those in hand can still be settled."""
        if self._source is not None and self._tag is not None:
            tag, self._tag = self._tag, None
            await self._source.cancel(tag)

    async def close(self) -> None:
        """Close the connection; the broker takes back what was not settled."""
        await close(self._connection)

    def check(self) -> None:
        """Raise `BrokerUnavailable` unless, as far as this process knows, the consumer is registered."""
        connection, channel = self._connection, self._channel
        if connection is None or channel is None or channel.is_closed or not connection.connected.is_set():
            raise BrokerUnavailable(f"the channel of {self._queue.name} is closed")
        if self._tag is None:
            raise BrokerUnavailable(f"nothing consumes {self._queue.name}")

    async def prove(self, *, idle: bool) -> None:
        """Ask the broker whether the consumer is registered; `idle` says that it has no message in hand.

        The broker counts the consumers of all replicas, so one of ours can be missing behind another's. It
        shows when messages wait although we hold none: the broker would have given us one.

        Raises:
            BrokerUnavailable: it is not, or the broker does not answer.
        """
        self.check()
        assert self._connection is not None
        assert self._channel is not None
        channel = cast(aiormq.Channel, await self._channel.get_underlay_channel())
        if self._tag not in channel.consumers:
            raise BrokerUnavailable(f"the consumer of {self._queue.name} was cancelled")
        found = await _look(channel.connection, self._queue.name)
        if not found.consumer_count:
            raise BrokerUnavailable(f"the broker knows no consumer of {self._queue.name}")
        if found.message_count and idle:
            raise BrokerUnavailable(f"messages wait in {self._queue.name} and none is delivered")


async def _look(connection: aiormq.abc.AbstractConnection, queue: str) -> aiormq.spec.Queue.DeclareOk:
    """Ask on a channel of its own: the answer "no such queue" closes it."""
    channel = await connection.channel(publisher_confirms=False, timeout=PROOF_TIMEOUT_S)
    try:
        return await channel.queue_declare(queue, passive=True, timeout=PROOF_TIMEOUT_S)
    finally:
        await channel.close()
