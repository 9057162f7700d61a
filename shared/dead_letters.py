"""Dead letters: looked at without changing them, put back into their queue, or thrown away.

Letters are taken without an acknowledgement and go back when the channel closes, so nothing is lost or used
up when this process dies in the middle; a letter leaves its queue only after its copy is confirmed elsewhere,
or because somebody chose to delete it. It must never choose by itself.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustConnection

from shared import codec, topology
from shared.errors import BrokerUnavailable, MessageFault, PhoenixError
from shared.models import Envelope
from shared.rabbitmq_client import Publisher
from shared.rabbitmq_connection import close, connect
from shared.supervision import Done, Failed, attempt, within

T = TypeVar("T")

LETTERS_MAX = 1_000
"""So many of a queue are looked at and acted on at a time, the oldest; a letter may have up to 256 KiB."""
CALL_TIMEOUT_S = 5.0
SILENCE_S = 2.0
"""When no letter comes for so long, the others are in somebody else's hands."""
BACK_LOOK_S = 0.05
UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One dead letter. `envelope` is None when its body is no message."""

    key: str
    """What it is known by while it lies here; two copies of one message have two."""
    queue: topology.Queue
    envelope: Envelope | None
    body: bytes
    fault: str
    attempts: int
    parked_at: datetime | None
    """None: the broker moved it, and did not say when."""

    @property
    def event_id(self) -> str | None:
        """The id of the message."""
        return self.envelope.event_id if self.envelope else None

    @property
    def name(self) -> str:
        """What to call it: the id of the message, else its key."""
        return self.event_id or self.key

    @property
    def kind(self) -> str:
        """The schema of the message."""
        return self.envelope.schema if self.envelope else UNREADABLE

    @property
    def since(self) -> datetime | None:
        """When it was parked, else when it was made."""
        return self.parked_at or (self.envelope.occurred_at if self.envelope else None)


@dataclass(frozen=True, kw_only=True)
class DeadQueue:
    """What waits in one dead-letter queue; `kinds` and `oldest` are of the first `LETTERS_MAX`."""

    queue: topology.Queue
    depth: int
    oldest: datetime | None
    kinds: dict[str, int]


class DeadLetters:
    """The dead-letter queues of one broker."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = f"{name} dead letters"
        self._connection: AbstractRobustConnection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await connect(self._url, self._name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await close(self._connection)

    async def overview(self, queues: Sequence[topology.Queue] = topology.QUEUES) -> list[DeadQueue]:
        """Return what waits in each dead-letter queue.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        found: list[DeadQueue] = []
        for queue in queues:
            async with self._source(queue) as source:
                depth = source.declaration_result.message_count or 0
                letters = [_letter(queue, each) async for each in _taken(source, min(depth, LETTERS_MAX))]
            await self._until_back(queue, depth)
            dates = [letter.since for letter in letters if letter.since is not None]
            kinds = Counter(letter.kind for letter in letters)
            found.append(
                DeadQueue(queue=queue, depth=depth, oldest=min(dates, default=None), kinds=dict(kinds))
            )
        return found

    async def look(self, queue: topology.Queue, limit: int = LETTERS_MAX) -> list[Letter]:
        """Return up to `limit` letters, the oldest first, and leave them where they are.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        async with self._source(queue) as source:
            depth = source.declaration_result.message_count or 0
            wanted = min(depth, limit, LETTERS_MAX)
            letters = [_letter(queue, message) async for message in _taken(source, wanted)]
        await self._until_back(queue, depth)
        return letters

    async def replay(
        self, queue: topology.Queue, keys: Collection[str], publisher: Publisher
    ) -> list[Letter]:
        """Put the letters with these keys back into `queue`, as new, and return those that were.

        Each leaves the dead-letter queue after its copy is confirmed: a kill in between leaves both, and the
        receiver's inbox takes one.

        Raises:
            BrokerUnavailable: a copy was not confirmed; it and what comes after it stay where they are.
        """

        async def put_back(message: AbstractIncomingMessage) -> None:
            await publisher.publish("", queue.name, message.body)  # without its headers: attempts begin anew

        return await self._take_out(queue, keys, put_back)

    async def delete(self, queue: topology.Queue, keys: Collection[str]) -> list[Letter]:
        """Throw the letters with these keys away for good and return those that were.

        Raises:
            BrokerUnavailable: the broker does not answer; what was not deleted stays.
        """

        async def let_go(_: AbstractIncomingMessage) -> None:
            return

        return await self._take_out(queue, keys, let_go)

    async def _take_out(
        self,
        queue: topology.Queue,
        keys: Collection[str],
        before: Callable[[AbstractIncomingMessage], Awaitable[None]],
    ) -> list[Letter]:
        """Do `before` with each chosen message and then remove it."""
        left, done = set(keys), list[Letter]()
        async with self._source(queue) as source:
            depth = source.declaration_result.message_count or 0
            async for message in _taken(source, min(depth, LETTERS_MAX)):
                letter = _letter(queue, message)
                if letter.key not in left:
                    continue
                await before(message)
                await _answered(message.ack())
                left.discard(letter.key)
                done.append(letter)
                if not left:
                    break
        await self._until_back(queue, depth - len(done))
        return done

    async def _until_back(self, queue: topology.Queue, letters_min: int) -> None:
        """Wait, in bounded time, until what was taken lies in its queue again for who looks next."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + SILENCE_S
        while letters_min > 0 and clock() < deadline:
            async with self._source(queue) as source:
                if (source.declaration_result.message_count or 0) >= letters_min:
                    return
            await asyncio.sleep(BACK_LOOK_S)

    @asynccontextmanager
    async def _source(self, queue: topology.Queue) -> AsyncIterator[AbstractQueue]:
        """Give the dead-letter queue on a channel of its own; what was taken goes back when that closes."""
        assert self._connection is not None, "not open"
        channel = await _answered(_opened(self._connection))
        try:
            await _answered(channel.set_qos(prefetch_count=LETTERS_MAX))
            yield await _answered(channel.declare_queue(queue.dead, passive=True))
        finally:
            await attempt(within(CALL_TIMEOUT_S, channel.close()))


async def _opened(connection: AbstractRobustConnection) -> Any:
    return await connection.channel(publisher_confirms=False)


async def _answered(call: Awaitable[T]) -> T:
    match await attempt(within(CALL_TIMEOUT_S, call)):
        case Done(value):
            return value
        case Failed(PhoenixError() as error):
            raise error
        case Failed(error):
            raise BrokerUnavailable(f"dead letters: {error!r}") from error


async def _taken(source: AbstractQueue, number: int) -> AsyncIterator[AbstractIncomingMessage]:
    """Yield up to `number` messages of a queue, unacknowledged; fewer when others hold the rest."""
    if not number:
        return
    came: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue(LETTERS_MAX)
    await _answered(source.consume(came.put, no_ack=False))
    for _ in range(number):
        try:
            yield await within(SILENCE_S, came.get())
        except TimeoutError:
            return


def _letter(queue: topology.Queue, message: AbstractIncomingMessage) -> Letter:
    try:
        envelope = codec.decode(message.body)
    except MessageFault:
        envelope = None
    headers = message.headers
    attempts = headers.get(topology.ATTEMPTS_HEADER)
    return Letter(
        key=message.message_id or hashlib.sha256(message.body).hexdigest(),
        queue=queue,
        envelope=envelope,
        body=message.body,
        fault=str(headers.get(topology.FAULT_HEADER) or _why_moved(headers)),
        attempts=attempts if isinstance(attempts, int) else 0,
        parked_at=_parked_at(headers),
    )


def _parked_at(headers: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(headers.get(topology.PARKED_AT_HEADER)))
    except ValueError:
        moved = _last_move(headers).get("time")
        return moved if isinstance(moved, datetime) else None


def _why_moved(headers: Mapping[str, Any]) -> str:
    """Say why the broker itself parked a message."""
    reason = _last_move(headers).get("reason")
    if reason == "delivery_limit":
        return f"its consumer died {topology.DELIVERIES_MAX} times without settling it (delivery_limit)"
    return f"moved by the broker ({reason or 'unknown'})"


def _last_move(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    moves = headers.get("x-death")
    return moves[0] if isinstance(moves, list) and moves and isinstance(moves[0], dict) else {}
