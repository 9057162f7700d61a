"""The one place that catches everything: the edge of a consumer, and of a loop that must not die.

Everything else names the exceptions that it handles. A failure is returned as a value, so that the caller
must decide what it means; a cancellation that was asked for always passes through.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared import logs, metrics
from shared.errors import DependencyDown

T = TypeVar("T")

RESTART_DELAY_S_MIN = 0.2
RESTART_DELAY_S_MAX = 5.0
CANCEL_AGAIN_S = 1.0

_log = logs.get(__name__)


@dataclass(frozen=True)
class Done(Generic[T]):
    """The work came to its end."""

    value: T


@dataclass(frozen=True)
class Failed:
    """The work raised `error`."""

    error: BaseException


async def attempt(work: Awaitable[T]) -> Done[T] | Failed:
    """Await `work` and return what became of it.

    The AMQP client wakes waiters with a `CancelledError` when its connection dies although nobody cancelled
    them; that is a failure like any other. A cancellation of the current task is raised.
    """
    try:
        return Done(await work)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling() > 0:
            raise
        return Failed(error)
    except Exception as error:  # noqa: BLE001 - this is the one broad except of Phoenix
        return Failed(error)


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Await `work` for at most `seconds`.

    Not `asyncio.wait_for`: until Python 3.12 that swallows a cancellation which arrives as its work
    completes, and the loop around it can no longer be stopped.

    Raises:
        TimeoutError: it took longer.
    """
    async with asyncio.timeout(seconds):
        return await work


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended; a library may swallow a cancellation, so it is repeated."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


class Pulse:
    """When a loop last came round; a loop that may be quiet for ever has no limit."""

    def __init__(self, quiet_s_max: float | None = None) -> None:
        self._quiet_s_max = quiet_s_max
        self._came_round_at = time.monotonic()

    def beat(self) -> None:
        """Note that the loop came round."""
        self._came_round_at = time.monotonic()

    @property
    def is_overdue(self) -> bool:
        """Tell whether the loop has been quiet for longer than it may."""
        return self._quiet_s_max is not None and time.monotonic() - self._came_round_at > self._quiet_s_max


_pulse: ContextVar[Pulse | None] = ContextVar("pulse", default=None)


def came_round() -> None:
    """Say, from within a loop that `keep_running` runs, that it came round once more."""
    if (pulse := _pulse.get()) is not None:
        pulse.beat()


async def keep_running(name: str, loop: Callable[[], Awaitable[None]], pulse: Pulse | None = None) -> None:
    """Run `loop` for ever: when it fails or ends, log it, wait (doubling, with jitter) and start it again."""
    _pulse.set(pulse)
    delay_s = RESTART_DELAY_S_MIN
    event_loop = asyncio.get_running_loop()
    while True:
        came_round()
        started = event_loop.time()
        match await attempt(loop()):
            case Failed(DependencyDown() as down):  # every loop waits then; a line of each is enough
                _log.warning("loop_waits", loop=name, error=str(down))
            case Failed(error):
                _log.error("loop_failed", loop=name, error=repr(error), exc_info=error)
            case Done():
                _log.warning("loop_ended", loop=name)
        metrics.LOOP_RESTARTS.labels(loop=name).inc()
        if event_loop.time() - started > RESTART_DELAY_S_MAX:
            delay_s = RESTART_DELAY_S_MIN
        await asyncio.sleep(delay_s * random.uniform(0.8, 1.2))
        delay_s = min(delay_s * 2, RESTART_DELAY_S_MAX)
