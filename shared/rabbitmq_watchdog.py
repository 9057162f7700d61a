"""Keeps a subscription alive: what the broker no longer delivers to, though it is there, is built anew.

The library restores a consumer after most troubles and is given the time to; this is for what it misses (its
history has many). It must never handle a message.
"""

import asyncio
from collections.abc import Callable

from shared import logs, metrics
from shared.errors import BrokerUnavailable, PhoenixError
from shared.rabbitmq_subscription import Subscription
from shared.supervision import Done, Failed, attempt, end, keep_running, within

WATCH_INTERVAL_S = 5.0
ASK_TIMEOUT_S = 5.0
REBUILD_AFTER_S = 30.0
"""A consumer that is lost for longer gets a new connection; until then the library tries."""
BEGIN_AGAIN_S_MIN = 2.0
BEGIN_AGAIN_S_MAX = 32.0
"""A dead queue cuts off whoever asks, and the broker writes a page about it each time."""
LOST_AFTER_FAILURES = 2
"""One look may fall into the moment in which a message is on its way to us."""

_log = logs.get(__name__)


class Watchdog:
    """Holds the subscription to one queue and replaces it when it stays lost."""

    def __init__(
        self, queue: str, subscribe: Callable[[], Subscription], is_idle: Callable[[], bool]
    ) -> None:
        self._queue = queue
        self._subscribe = subscribe
        self._is_idle = is_idle
        self._subscription = subscribe()
        self._lost: BaseException | None = None
        self._has_begun = False
        self._pause_s = BEGIN_AGAIN_S_MIN
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to consume and to watch. A queue that does not answer is tried again, beside all others.

        Raises:
            OperatorNeeded: the queue exists with other arguments.
        """
        match await attempt(self._begin()):
            case Failed(BrokerUnavailable() as away):
                self._note(away)
            case Failed(error):
                raise error
            case Done():
                self._has_begun = True
        name = f"watch {self._queue}"
        self._watching = asyncio.create_task(keep_running(name, self._watch), name=name)

    async def _begin(self) -> None:
        await self._subscription.connect()
        try:
            await self._subscription.begin()
        except PhoenixError:  # left open it would be cut off again and again
            await self._subscription.close()
            raise

    async def cancel(self) -> None:
        """Stop watching and take no more messages; those in hand can still be settled."""
        if self._watching is not None:
            await end((self._watching,))
        await self._subscription.cancel()

    async def close(self) -> None:
        """Close the connection; the broker takes back what was not settled."""
        await self._subscription.close()

    def check(self) -> None:
        """Raise `BrokerUnavailable` unless messages are delivered, as far as the last look could tell."""
        self._subscription.check()
        if self._watching is None or self._watching.done():
            raise BrokerUnavailable(f"nothing watches whether {self._queue} is consumed")
        if self._lost is not None:
            raise BrokerUnavailable(f"{self._queue} is not consumed: {self._lost}")

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        failures, since = 0, clock()
        while True:
            while not self._has_begun:  # the library restores only what once was there
                await asyncio.sleep(self._pause_s)
                if await self._rebuild():
                    failures, since = 0, clock()
                    self._note(None)
            await asyncio.sleep(WATCH_INTERVAL_S)
            match await attempt(within(ASK_TIMEOUT_S, self._subscription.prove(idle=self._is_idle()))):
                case Done():
                    failures, since = 0, clock()
                    self._note(None)
                case Failed(error):
                    failures += 1
                    if failures >= LOST_AFTER_FAILURES:
                        self._note(error)
                    is_late = failures >= LOST_AFTER_FAILURES and clock() - since >= REBUILD_AFTER_S
                    if is_late and await self._rebuild():
                        failures, since = 0, clock()
                        self._note(None)

    def _note(self, lost: BaseException | None) -> None:
        if lost is not None and self._lost is None:
            _log.error("consumer_lost", queue=self._queue, why=repr(lost))
        if lost is None and self._lost is not None:
            _log.info("consumer_found", queue=self._queue)
        self._lost = lost
        metrics.CONSUMER_LOST.labels(queue=self._queue).set(0 if lost is None else 1)

    async def _rebuild(self) -> bool:
        """Replace the connection once a new one stands: until then the library goes on with the old one."""
        fresh = self._subscribe()
        if isinstance(failed := await attempt(fresh.connect()), Failed):
            _log.warning("consumer_not_rebuilt", queue=self._queue, why=repr(failed.error))
            self._pause_s = BEGIN_AGAIN_S_MIN  # exits may wait behind a broker that comes back
            return False
        old, self._subscription = self._subscription, fresh
        self._has_begun = False
        await old.close()  # before the new one begins, or the queue would have us twice
        if isinstance(failed := await attempt(fresh.begin()), Failed):
            _log.error("consumer_not_rebuilt", queue=self._queue, why=repr(failed.error))
            self._pause_s = min(self._pause_s * 2, BEGIN_AGAIN_S_MAX)
            await fresh.close()  # left open it would be cut off again and again
            return False
        self._has_begun, self._pause_s = True, BEGIN_AGAIN_S_MIN
        metrics.CONSUMERS_REBUILT.labels(queue=self._queue).inc()
        _log.warning("consumer_rebuilt", queue=self._queue)
        return True
