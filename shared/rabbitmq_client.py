"""RabbitMQ: publishing with confirms, consuming with manual acknowledgement.

Knows the traps of the AMQP client and closes each here (the tests name them): an unroutable message raises,
every call has a time-out, a lost connection's stray `CancelledError` is a failure and not an end, nothing is
rejected by cancellation, no delivery is left unsettled on an open channel, channels are strongly referenced,
publishing and consuming use separate connections (an alarm blocks publishers only). It must never know what a
message means.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from aio_pika.abc import (
    AbstractIncomingMessage,
)

from shared import codec, crash_points, logs, metrics, parking, topology
from shared.clock import utc_now
from shared.errors import DependencyDown, MessageFault
from shared.models import Envelope
from shared.rabbitmq_delivery import attempts, deliveries, is_taken_back
from shared.rabbitmq_publisher import Publisher
from shared.rabbitmq_subscription import Subscription
from shared.rabbitmq_watchdog import Watchdog
from shared.supervision import Done, Failed, attempt, within

DRAIN_TIMEOUT_S = 5.0
PAUSE_S_MIN = 0.25
PAUSE_S_MAX = 5.0
PAUSE_IN_HAND_S_MAX = 600.0
"""After this a paused message goes a round through the retry queue; the broker would close the channel at 30
minutes unacknowledged.
"""
HANDLING_TIMEOUT_S = 120.0
"""A handler that is still not done then has a wait without a bound: it fails like any other."""
CANCELLED_TASKS_TIMEOUT_S = 1.0
FAULT_CHARS_MAX = 500

__all__ = ["Consumer", "Handler", "Publisher"]

Handler = Callable[[Envelope], Awaitable[None]]

_log = logs.get(__name__)


class Consumer:
    """Hands each message of one queue to a handler and settles it by what the handler did.

    Returned → acknowledged. `DependencyDown` → the message is kept in hand and tried again until the
    dependency is back. Any other exception is the message's fault: it goes to the retry queue, after
    `ATTEMPTS_MAX` attempts to the dead-letter queue. The handler must be idempotent: after a reconnect
    messages come again.
    """

    def __init__(
        self, url: str, name: str, queue: topology.Queue, handler: Handler, publisher: Publisher
    ) -> None:
        self._url = url
        self._name = f"{name} {queue.name}"
        self._queue = queue
        self._handler = handler
        self._publisher = publisher
        self._in_hand: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Task[None], str] = {}
        self._draining = asyncio.Event()
        self._watchdog = Watchdog(queue.name, self._subscribe, lambda: not self._in_hand)
        metrics.CONSUMER_PAUSED.labels(queue=queue.name).set(0)

    async def __aenter__(self) -> Self:
        await self._watchdog.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()
        await self._watchdog.close()

    def _subscribe(self) -> Subscription:
        return Subscription(self._url, self._name, self._queue, self._on_message)

    async def drain(self) -> None:
        """Take no more messages and wait for those in hand; what is unsettled then is redelivered by the
        broker.
        """
        self._draining.set()
        await attempt(within(DRAIN_TIMEOUT_S, self._watchdog.cancel()))
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=DRAIN_TIMEOUT_S)
        if left := tuple(self._in_hand):
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CANCELLED_TASKS_TIMEOUT_S)

    async def ping(self) -> None:
        """Raise unless the consumer is registered, its channel is open and no dependency holds it up."""
        self._watchdog.check()
        for dependency in self._waiting.values():
            raise DependencyDown(dependency, f"{self._queue.name} is paused")

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        # In a task of its own: the library cancels its callbacks when the channel dies, and that would cut a
        # handler off between an order and its answer.
        task = asyncio.create_task(self._take(message), name=self._name)
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        with metrics.MESSAGE_HANDLING_SECONDS.labels(queue=self._queue.name).time():
            match await attempt(self._settle(message)):
                case Failed(error):
                    _log.warning("delivery_unsettled", queue=self._queue.name, error=repr(error))
                    # Back to the queue; it would hold up its place of the prefetch for ever. On a closed
                    # channel this fails and the broker has taken it back already.
                    await attempt(message.reject(requeue=True))

    async def _settle(self, message: AbstractIncomingMessage) -> None:
        try:
            envelope = codec.decode(message.body)
        except MessageFault as fault:
            await self._park(message, fault, None)
            return
        if (times := deliveries(message)) >= topology.DELIVERIES_HANDLED_MAX:
            await self._park(message, MessageFault(f"came back {times} times, never settled"), envelope)
            return
        age_s = (utc_now() - envelope.occurred_at).total_seconds()
        metrics.HOP_SECONDS.labels(queue=self._queue.name).observe(max(age_s, 0.0))
        error = await self._patiently(message, lambda: self._handle(envelope))
        if error is None:
            await message.ack()
            metrics.MESSAGES_HANDLED.labels(queue=self._queue.name, result="acked").inc()
        elif isinstance(error, DependencyDown):
            await self._give_back(message)
        else:
            await self._retry_or_park(message, envelope, error)

    async def _handle(self, envelope: Envelope) -> None:
        crash_points.reach(f"{self._queue.name}.taken")
        async with asyncio.timeout(HANDLING_TIMEOUT_S):
            await self._handler(envelope)
        crash_points.reach(f"{self._queue.name}.handled")

    async def _patiently(
        self, message: AbstractIncomingMessage, work: Callable[[], Awaitable[None]]
    ) -> BaseException | None:
        """Do `work`, again and again while a dependency is down; return its fault, or None when it is done.

        Returns the `DependencyDown` itself when the message cannot be kept in hand: the consumer drains, the
        broker has taken the delivery back, or it has been kept for `PAUSE_IN_HAND_S_MAX`.
        """
        clock = asyncio.get_running_loop().time
        deadline, delay_s = clock() + PAUSE_IN_HAND_S_MAX, PAUSE_S_MIN
        try:
            while True:
                match await attempt(work()):
                    case Done():
                        return None
                    case Failed(DependencyDown() as down):
                        await self._pause(down, delay_s)
                        delay_s = min(delay_s * 2, PAUSE_S_MAX)
                        if self._draining.is_set() or is_taken_back(message) or clock() >= deadline:
                            return down
                    case Failed(error):
                        return error
        finally:
            self._resume()

    async def _pause(self, down: DependencyDown, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        if not self._waiting:
            _log.warning("consumer_paused", queue=self._queue.name, reason=str(down))
        self._waiting[task] = down.dependency
        metrics.CONSUMER_PAUSED.labels(queue=self._queue.name).set(1)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    def _resume(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._waiting.pop(task, None) is not None and not self._waiting:
            metrics.CONSUMER_PAUSED.labels(queue=self._queue.name).set(0)
            _log.info("consumer_resumed", queue=self._queue.name)

    async def _give_back(self, message: AbstractIncomingMessage) -> None:
        """Let go of a message that could not be handled for a dependency; no attempt is counted.

        Kept to the end of the pause it is moved: handed back each time, it would count as a delivery
        (RabbitMQ 3.10), and a message that waits long enough, an exit too, would be parked for it.
        """
        if self._draining.is_set() or is_taken_back(message):
            await message.nack(requeue=True)
        else:
            await self._move(message, self._queue.retry, {topology.ATTEMPTS_HEADER: attempts(message)})
        metrics.MESSAGES_HANDLED.labels(queue=self._queue.name, result="returned").inc()

    async def _retry_or_park(
        self, message: AbstractIncomingMessage, envelope: Envelope, error: BaseException
    ) -> None:
        failed = attempts(message) + 1
        _log.error(
            "message_failed",
            queue=self._queue.name,
            schema=envelope.schema,
            correlation_id=envelope.correlation_id,
            attempts=failed,
            error=repr(error),
            exc_info=error,
        )
        if failed >= topology.ATTEMPTS_MAX:
            await self._park(message, error, envelope)
            return
        await self._move(message, self._queue.retry, {topology.ATTEMPTS_HEADER: failed})
        metrics.MESSAGES_HANDLED.labels(queue=self._queue.name, result="retried").inc()

    async def _park(
        self, message: AbstractIncomingMessage, error: BaseException, envelope: Envelope | None
    ) -> None:
        await self._end_signal(message, envelope)
        why = repr(error)[:FAULT_CHARS_MAX]
        _log.error("message_parked", queue=self._queue.name, dead=self._queue.dead, why=why)
        headers: dict[str, int | str] = {
            topology.FAULT_HEADER: why,
            topology.ATTEMPTS_HEADER: attempts(message) + 1,
            topology.PARKED_AT_HEADER: utc_now().isoformat(),
        }
        await self._move(message, self._queue.dead, headers)
        metrics.MESSAGES_HANDLED.labels(queue=self._queue.name, result="parked").inc()

    async def _end_signal(self, message: AbstractIncomingMessage, envelope: Envelope | None) -> None:
        """Tell, before the message is parked, that its signal has failed; told twice, it counts once.

        Of a message that nobody can decode, its envelope tells enough.
        """
        if envelope is None:
            ended = parking.end_of_unreadable(message.body, self._queue, utc_now())
        else:
            ended = parking.end_of_signal(envelope, self._queue, utc_now())
        if ended:
            failure = await self._patiently(message, lambda: self._publisher.send(ended))
            if failure is not None:
                raise failure

    async def _move(
        self, message: AbstractIncomingMessage, target: str, headers: Mapping[str, int | str]
    ) -> None:
        """Publish the message to `target`, and only when that is confirmed take it from its queue."""
        error = await self._patiently(
            message, lambda: self._publisher.publish("", target, message.body, headers=headers)
        )
        if error is not None:
            raise error
        await message.ack()
