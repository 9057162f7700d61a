"""Proof at start that every queue works end to end, and the mending of those that never did.

A broker that is killed within a second of declaring a quorum queue may come back with the queue's name and
without the queue: a declaration is answered, publishing and consuming are not, for ever, and the depth reads
0. Such a queue shows by a consumer that is not registered in time.

What it held can only be nothing if nobody was ever allowed to publish. So every process proves before it
publishes, and a queue that is proven is marked, at the broker: an unmarked queue is empty and is re-created,
a marked one is named and left as it is: it may hold messages, and all others work without it. A probe message
is not needed, so none stands behind a backlog.

A queue whose data is damaged ends the connection of whoever consumes it (541 INTERNAL_ERROR), and with it the
proof of all others: who is cut off proves each queue by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from shared import logs, metrics, topology
from shared.errors import BrokerUnavailable, PhoenixError
from shared.rabbitmq_connection import CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, HEARTBEAT_S
from shared.supervision import Done, Failed, attempt, within

T = TypeVar("T")

PROOF_TIMEOUT_S = 10.0
"""Longer than a queue needs to elect its leader after the broker's start."""
CALL_TIMEOUT_S = 10.0
MARK_TIMEOUT_S = 3.0
MARK_AGAIN_INTERVAL_S = 30.0
MARK_AGAIN_TRIES_MAX = 3_000
"""A day of a broker that takes no publishes."""
MARKS = "phoenix.proven"
"""A direct exchange and its only queue, which keeps nothing: the bindings between them are the marks."""
MARKS_ARGUMENTS: Mapping[str, Any] = {"x-queue-type": "classic", "x-message-ttl": 0}
CONNECTIONS_AT_ONCE_MAX = 8
MENDING = "phoenix.mending"
"""An exclusive queue as a lock: it goes with its holder's connection."""

Queues = Mapping[str, dict[str, Any]]

_log = logs.get(__name__)


class Proven(NamedTuple):
    """What a proof found: whether all that works is marked, and which queues are dead."""

    are_marked: bool
    dead: tuple[str, ...] = ()


async def prove_topology(url: str, name: str) -> Proven:
    """Prove every queue of the table; re-create those that never worked, name those that work no more.

    What is not marked yet, `mark_topology_later` has to go on trying.

    Raises:
        BrokerUnavailable: the broker does not answer, or another process is mending.
    """
    return await prove(url, name, dict(topology.declared_queues()), topology.QUEUES)


async def mark_topology_later(url: str, name: str) -> None:
    """Mark what a start during a broker alarm could not, as soon as the broker takes publishes again."""
    queues = [queue for queue, _ in topology.declared_queues()]
    for _ in range(MARK_AGAIN_TRIES_MAX):
        await asyncio.sleep(MARK_AGAIN_INTERVAL_S)
        match await attempt(_mark(url, name, queues)):
            case Done():
                _log.info("queues_marked_late")
                return
            case Failed(error):
                _log.warning("queues_not_marked", why=str(error))
    _log.error("queues_given_up_marking", tries=MARK_AGAIN_TRIES_MAX)


async def prove(url: str, name: str, queues: Queues, table: Iterable[topology.Queue]) -> Proven:
    """Prove `queues` (names with their arguments); `table` says how they are bound. See `prove_topology`."""
    dead: list[str] = []
    if broken := await _silent(url, name, queues):
        async with _channel(url, name) as channel:
            dead = await _mend(url, name, channel, {each: queues[each] for each in broken}, table)
    if dead:
        _log.error("queues_dead", queues=dead, what_to_do=_advice(dead))
    match await attempt(_mark(url, name, [each for each in queues if each not in dead])):
        case Failed(BrokerUnavailable() as error):  # an alarm, say: exits must be taken in all the same
            _log.warning("queues_not_marked", why=str(error))
            return Proven(False, tuple(dead))
        case Failed(error):
            raise error
        case Done():
            return Proven(True, tuple(dead))


async def _mark(url: str, name: str, queues: Iterable[str]) -> None:
    """Mark what is proven and is not marked yet."""
    async with _channel(url, name) as channel:
        await _declare_marks(channel)
        if unmarked := await _unmarked(channel, queues):
            await _flush_registry(channel)
            marks = await _answered(channel.get_queue(MARKS, ensure=False))
            for each in unmarked:
                await _answered(marks.bind(MARKS, each))


async def _silent(url: str, name: str, queues: Iterable[str]) -> list[str]:
    """Return the queues that do not register a consumer in time."""
    names = list(queues)
    match await attempt(_ask_together(url, name, names)):
        case Done(silent):
            return silent
        case Failed(BrokerUnavailable()):  # away, or one of them has cut off all: that one is to be named
            return await _ask_each(url, name, names)
        case Failed(error):
            raise error


async def _ask_together(url: str, name: str, names: list[str]) -> list[str]:
    async with _connection(url, name) as connection:
        answers = await asyncio.gather(*(_registers(connection, each) for each in names))
    return [each for each, answers_us in zip(names, answers, strict=True) if not answers_us]


async def _ask_each(url: str, name: str, names: list[str]) -> list[str]:
    """Prove each queue on a connection of its own.

    Raises:
        BrokerUnavailable: a connection cannot be made: the broker is away, and no queue is judged.
    """
    gate = asyncio.Semaphore(CONNECTIONS_AT_ONCE_MAX)

    async def answers_alone(queue: str) -> bool:
        async with gate, _connection(url, name) as connection:
            match await attempt(within(PROOF_TIMEOUT_S, _register(connection, queue))):
                case Done():
                    return True
                case Failed(TimeoutError()) | Failed(aio_pika.exceptions.ChannelClosed()):
                    return False
                case Failed(aiormq.exceptions.ConnectionInternalError()):
                    return False  # 541: the broker is well enough to say so
                case Failed(error):
                    raise BrokerUnavailable(f"cannot prove {queue}: {error!r}") from error

    answers = await asyncio.gather(*(answers_alone(each) for each in names))
    return [each for each, answers_us in zip(names, answers, strict=True) if not answers_us]


async def _registers(connection: AbstractConnection, name: str) -> bool:
    """Tell whether a queue works; one with messages or consumers has told its depth itself and does.

    The channel of a silent queue cannot be closed either; it goes with its connection.
    """
    match await attempt(within(PROOF_TIMEOUT_S, _register(connection, name))):
        case Done():
            return True
        case Failed(TimeoutError()):
            return False
        case Failed(error):
            raise BrokerUnavailable(f"cannot prove {name}: {error!r}") from error


async def _register(connection: AbstractConnection, name: str) -> None:
    channel = await connection.channel(publisher_confirms=False)
    await channel.set_qos(prefetch_count=1)
    queue = await channel.declare_queue(name, passive=True)
    found = queue.declaration_result
    if not found.message_count and not found.consumer_count:
        await queue.consume(_leave, no_ack=False)
    await channel.close()  # what came in between goes back


async def _leave(_: AbstractIncomingMessage) -> None:
    return


async def _mend(
    url: str, name: str, channel: AbstractChannel, broken: Queues, table: Iterable[topology.Queue]
) -> list[str]:
    """Re-create the broken queues that cannot hold messages; return the others. One process at a time."""
    match await attempt(within(CALL_TIMEOUT_S, channel.declare_queue(MENDING, exclusive=True))):
        case Failed(error):
            raise BrokerUnavailable(f"another process is mending queues: {error!r}") from error
        case Done():
            pass
    await _declare_marks(channel)
    unmarked = await _unmarked(channel, broken)
    marked = [each for each in broken if each not in unmarked]
    if not unmarked:
        return marked
    await _flush_registry(channel)  # a broker that cannot do this has another trouble than a broken queue
    for each in await _silent(url, name, unmarked):
        _log.error("queue_recreated", queue=each)
        metrics.QUEUES_RECREATED.labels(queue=each).inc()
        await _answered(channel.queue_delete(each))
        await _answered(channel.declare_queue(each, durable=True, arguments=broken[each]))
    for queue in table:
        if queue.name in unmarked:
            bound = await _answered(channel.get_queue(queue.name, ensure=False))
            for routing_key in queue.routing_keys:
                await _answered(bound.bind(queue.exchange, routing_key))
    return [*marked, *await _silent(url, name, unmarked)]


def _advice(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return (
        f"these queues exist and do not answer, though the broker does: {listed}. They may hold messages. "
        "All others are used meanwhile. Restart the broker (in a cluster: bring the missing nodes back). If "
        "that does not help, keep a copy of its data directory, delete the queues (rabbitmqctl delete_queue) "
        "and restart the services: they are declared anew. See docs/RUNBOOK.md, QueueGone."
    )


async def _declare_marks(channel: AbstractChannel) -> None:
    await _answered(channel.declare_exchange(MARKS, "direct", durable=True))
    await _answered(channel.declare_queue(MARKS, durable=True, arguments=dict(MARKS_ARGUMENTS)))


async def _unmarked(channel: AbstractChannel, names: Iterable[str]) -> list[str]:
    """Return the names without a mark: what is sent to them by way of the marks comes back."""
    marks = await _answered(channel.get_exchange(MARKS, ensure=False))
    unmarked: list[str] = []
    for name in names:
        match await attempt(within(MARK_TIMEOUT_S, marks.publish(aio_pika.Message(b""), name))):
            case Failed(aio_pika.exceptions.DeliveryError()):
                unmarked.append(name)
            case Failed(error):
                raise BrokerUnavailable(f"cannot read the mark of {name}: {error!r}") from error
            case Done():
                pass
    return unmarked


async def _flush_registry(channel: AbstractChannel) -> None:
    """Declare and delete one more queue, which makes the broker write down all that were declared before."""
    name = f"phoenix.flush.{uuid4().hex[:8]}"
    queue = await _answered(
        channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum", "x-expires": 60_000})
    )
    await _answered(queue.cancel(await _answered(queue.consume(_leave))))
    await _answered(queue.delete(if_unused=False, if_empty=False))


@asynccontextmanager
async def _channel(url: str, name: str) -> AsyncIterator[AbstractChannel]:
    async with _connection(url, name) as connection:
        yield await _answered(_opened(connection))


async def _opened(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel(publisher_confirms=True, on_return_raises=True)


@asynccontextmanager
async def _connection(url: str, name: str) -> AsyncIterator[AbstractConnection]:
    """Open a connection that does not come back by itself: a proof that is interrupted is no proof."""
    work = aio_pika.connect(
        url,
        timeout=CONNECT_TIMEOUT_S,
        heartbeat=HEARTBEAT_S,
        client_properties={"connection_name": f"{name} proof"},
    )
    connection = await _answered(work)
    try:
        yield connection
    finally:
        await attempt(within(CLOSE_TIMEOUT_S, connection.close()))


async def _answered(call: Awaitable[T]) -> T:
    match await attempt(within(CALL_TIMEOUT_S, call)):
        case Done(value):
            return value
        case Failed(PhoenixError() as error):
            raise error
        case Failed(error):
            raise BrokerUnavailable(f"proving the queues: {error!r}") from error
