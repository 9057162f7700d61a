"""The connection to RabbitMQ: opened in bounded time, re-opened by itself, with the whole topology declared.

It must never publish or consume.
"""

from collections.abc import Awaitable
from typing import Any

import aio_pika
from aio_pika.abc import AbstractRobustConnection

from shared import topology
from shared.errors import BrokerUnavailable, OperatorNeeded
from shared.supervision import Done, Failed, attempt, within

HEARTBEAT_S = 10
CONNECT_TIMEOUT_S = 10.0
RECONNECT_INTERVAL_S = 0.5
CLOSE_TIMEOUT_S = 5.0


async def connect(url: str, name: str) -> AbstractRobustConnection:
    """Open a connection that re-opens itself; `name` is shown in the broker's management page.

    Raises:
        BrokerUnavailable: no connection within `CONNECT_TIMEOUT_S`.
    """
    begun: list[aio_pika.RobustConnection] = []

    def begin(*arguments: Any, **options: Any) -> aio_pika.RobustConnection:
        begun.append(aio_pika.RobustConnection(*arguments, **options))
        return begun[-1]

    work = aio_pika.connect_robust(
        url,
        heartbeat=HEARTBEAT_S,
        timeout=CONNECT_TIMEOUT_S,
        reconnect_interval=RECONNECT_INTERVAL_S,
        client_properties={"connection_name": name},
        connection_class=begin,  # we hold what never comes up
    )
    match await attempt(within(CONNECT_TIMEOUT_S, work)):
        case Done(connection):
            return connection
        case Failed(error):
            for each in begun:  # left alone it would go on trying, and swallow its cancellation, for ever
                await close(each)
            raise BrokerUnavailable(f"cannot connect: {error!r}") from error


async def declare_topology(connection: AbstractRobustConnection) -> None:
    """Declare every exchange, queue and binding of the table; declaring what exists already changes
    nothing.

    Raises:
        BrokerUnavailable: the broker did not answer in time.
        OperatorNeeded: something of this name exists with other arguments.
    """
    await set_up(_declare_all(connection))


async def _declare_all(connection: AbstractRobustConnection) -> None:
    async with connection.channel() as channel:
        for exchange in topology.EXCHANGES:
            await channel.declare_exchange(exchange.name, exchange.kind, durable=True)
        for name, arguments in topology.declared_queues():
            await channel.declare_queue(name, durable=True, arguments=dict(arguments))
        for queue in topology.QUEUES:
            bound = await channel.get_queue(queue.name, ensure=False)
            for routing_key in queue.routing_keys:
                await bound.bind(queue.exchange, routing_key)


async def set_up(work: Awaitable[None]) -> None:
    """Await declarations in bounded time and say of a failure what has to be done about it."""
    match await attempt(within(CONNECT_TIMEOUT_S, work)):
        case Failed(aio_pika.exceptions.ChannelPreconditionFailed() as error):
            raise OperatorNeeded(
                f"the broker has something else under this name; remove it when it is empty: {error}"
            ) from error
        case Failed(error):
            raise BrokerUnavailable(f"cannot declare: {error!r}") from error
        case Done():
            pass


async def close(connection: AbstractRobustConnection | None) -> None:
    """Close the connection if there is one; what fails then is of no interest."""
    if connection is not None:
        await attempt(within(CLOSE_TIMEOUT_S, connection.close()))
