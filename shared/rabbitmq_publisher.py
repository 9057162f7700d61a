"""Publishing with confirms: returns only when the broker has the message, and says so when it has not.

An unroutable or refused message raises, every call has a time-out, and a broker that is away may be waited
for beside whoever opened the publisher. It must never consume.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractRobustChannel, AbstractRobustConnection

from shared import codec, logs, metrics, topology
from shared.errors import BrokerUnavailable, QueueRefused
from shared.models import Envelope
from shared.queue_proof import mark_topology_later, prove_topology
from shared.rabbitmq_connection import close, connect, declare_topology, set_up
from shared.supervision import Done, Failed, attempt, end

CONFIRM_TIMEOUT_S = 2.0  # TradingView hangs up after 3 s
PUBLISHES_IN_FLIGHT_MAX = 1_000
OPEN_AGAIN_S = 2.0

_log = logs.get(__name__)


class Publisher:
    """Publishes persistent messages and returns only when the broker has confirmed them."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        confirm_timeout_s: float = CONFIRM_TIMEOUT_S,
        in_background: bool = False,
    ) -> None:
        """With `in_background`, a broker that is away is waited for beside whoever opened this."""
        self._url = url
        self._in_background = in_background
        self._why_closed = "the publishing channel is closed"
        self._name = f"{name} publisher"
        self._confirm_timeout_s = confirm_timeout_s
        self._in_flight = asyncio.Semaphore(PUBLISHES_IN_FLIGHT_MAX)
        self._connection: AbstractRobustConnection | None = None
        self._channel: AbstractRobustChannel | None = None
        self._exchanges: dict[str, AbstractExchange] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        if not self._in_background:
            await self._open()
            return self
        match await attempt(self._open()):
            case Failed(BrokerUnavailable() as away):
                self._note_away(away)
                self._tasks.append(asyncio.create_task(self._keep_opening()))
            case Failed(error):
                raise error
            case Done():
                pass
        return self

    async def _open(self) -> None:
        connection = await connect(self._url, self._name)
        try:
            await declare_topology(connection)
            proven = await prove_topology(self._url, self._name)
            await set_up(self._open_channel(connection))
            self._connection = connection
        finally:
            if self._connection is not connection:
                await close(connection)
        if not proven.are_marked:
            self._tasks.append(asyncio.create_task(mark_topology_later(self._url, self._name)))

    async def _keep_opening(self) -> None:
        """Try until the broker is there; its messages wait in their outbox, and nothing else waits."""
        while True:
            await asyncio.sleep(OPEN_AGAIN_S)
            match await attempt(self._open()):
                case Done():
                    _log.info("broker_found")
                    return
                case Failed(error):
                    self._note_away(error)

    def _note_away(self, error: BaseException) -> None:
        self._why_closed = str(error)
        _log.warning("broker_waited_for", why=str(error))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end(self._tasks)
        await close(self._connection)

    async def _open_channel(self, connection: AbstractRobustConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        assert isinstance(channel, AbstractRobustChannel)
        self._channel = channel  # kept: the library holds its channels weakly
        for exchange in topology.EXCHANGES:
            self._exchanges[exchange.name] = await channel.declare_exchange(
                exchange.name, exchange.kind, durable=True
            )
        self._exchanges[""] = channel.default_exchange

    async def send(self, envelope: Envelope) -> None:
        """Publish `envelope` on every route of its schema and wait for the confirms.

        Raises:
            BrokerUnavailable: at least one route was not confirmed; publishing again is safe (receivers
            dedupe).
        """
        body = codec.encode(envelope)
        routes = topology.ROUTES[envelope.schema]
        if len(routes) == 1:
            await self.publish(routes[0].exchange, routes[0].routing_key, body)
            return
        results = await asyncio.gather(
            *(self.publish(route.exchange, route.routing_key, body) for route in routes),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, *, headers: Mapping[str, int | str] | None = None
    ) -> None:
        """Publish one persistent message and wait for the broker's confirm.

        Raises:
            BrokerUnavailable: not confirmed in time, refused, or no queue takes this routing key.
        """
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=uuid4().hex,  # unique per attempt: returns are matched by it within a channel
            headers=dict(headers or {}),
        )
        started = asyncio.get_running_loop().time()
        match await attempt(self._confirmed(exchange, routing_key, message)):
            case Failed(error):
                metrics.PUBLISH_FAILURES.labels(exchange=exchange).inc()
                is_refused = isinstance(error, aio_pika.exceptions.DeliveryError)
                raise (QueueRefused if is_refused else BrokerUnavailable)(
                    f"{exchange}/{routing_key}: {error!r}"
                ) from error
            case Done():
                metrics.PUBLISH_SECONDS.observe(asyncio.get_running_loop().time() - started)
                metrics.MESSAGES_PUBLISHED.labels(exchange=exchange, routing_key=routing_key).inc()

    async def _confirmed(self, exchange: str, routing_key: str, message: aio_pika.Message) -> None:
        async with asyncio.timeout(self._confirm_timeout_s), self._in_flight:
            transport = None if self._connection is None else self._connection.transport
            if transport is None or self._channel is None or self._channel.is_closed:
                raise ConnectionError("the channel is closed")
            await transport.ready()  # blocked by an alarm: wait here, for what is sent now is published later
            await self._exchanges[exchange].publish(
                message, routing_key, mandatory=True, timeout=self._confirm_timeout_s
            )

    async def ping(self) -> None:
        """Raise `BrokerUnavailable` unless the connection and its channel are open."""
        connection, channel = self._connection, self._channel
        if connection is None or channel is None or connection.is_closed or channel.is_closed:
            raise BrokerUnavailable(self._why_closed)
        if not connection.connected.is_set():
            raise BrokerUnavailable("the publishing connection is being re-opened")
