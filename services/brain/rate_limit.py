"""The webhook's rate limit: how many requests one sender may make, over all replicas.

Three budgets of the same size, so that none can be used up by another: what is refused (anybody can send
that), entries, and the exits of each symbol (P9). Redis counts for all replicas; while it does not answer,
each instance counts alone. It must never let an alert wait for Redis longer than `ANSWER_TIMEOUT_S`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.brain.ports import CountsTogether
from services.brain.rate_windows import GIVE_BACK, Ask, FullWindows, Windows
from shared import logs, metrics
from shared.supervision import Done, Failed, attempt
from shared.turns import Turns
from shared.values import Action, Signal

ANSWER_TIMEOUT_S = 0.25
"""With the broker's confirm it must stay below nginx's patience with an instance, see nginx.conf."""
LOOKS_FOR_ANSWER = 5
ALONE_S = 5.0
"""How long an instance counts by itself before it asks Redis again."""
ASKS_PER_TURN_MAX = 100

_log = logs.get(__name__)


class Budget(StrEnum):
    """What a request is counted as."""

    REFUSED = "refused"
    ENTRIES = "entries"
    EXITS = "exits"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a request of one sender is counted against; exits by symbol, so that no other's keep them out."""

    budget: Budget
    sender: str
    symbol: str = ""

    @property
    def key(self) -> str:
        """The name of its window."""
        return ":".join(filter(None, (self.budget.value, self.symbol, self.sender)))


@dataclass(frozen=True, kw_only=True)
class Full:
    """There is no place left: of how many, for how long, and whether this was told in the last minute."""

    claim: Claim
    limit: int
    wait_s: float
    is_news: bool


def claim_of(signal: Signal, sender: str) -> Claim:
    """Return what an alert that carries the secret is counted against."""
    if signal.action is Action.EXIT:
        return Claim(budget=Budget.EXITS, sender=sender, symbol=signal.symbol)
    return Claim(budget=Budget.ENTRIES, sender=sender)


class RateLimit:
    """Counts requests, together with the other replicas or alone."""

    def __init__(
        self, together: CountsTogether, limit: int, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._together = together
        self._limit = limit
        self._clock_s = clock_s
        self._alone = Windows()
        self._alone_until = 0.0
        self._is_alone = False
        self._full = FullWindows()
        self._turns: Turns[Ask, float] = Turns(self._judge, ASKS_PER_TURN_MAX)

    async def take(self, claim: Claim) -> Full | None:
        """Take a place for one request; return what is full when there is none."""
        wait_s, is_news = self._full.wait_s(claim.key, self._clock_s()), False
        if not wait_s:
            wait_s = await self._turns.take(Ask(claim.key, self._limit))
            if not wait_s:
                return None
            is_news = self._full.note(claim.key, wait_s, self._clock_s())
        return Full(claim=claim, limit=self._limit, wait_s=wait_s, is_news=is_news)

    async def give_back(self, claim: Claim) -> None:
        """Undo a take whose request had no effect, so that its repetition finds a place."""
        self._full.forget(claim.key)
        await self._turns.take(Ask(claim.key, GIVE_BACK))

    async def _judge(self, asks: Sequence[Ask]) -> list[float]:
        if self._clock_s() >= self._alone_until:
            match await attempt(_in_time(self._together.judge(asks))):
                case Done(waits):
                    self._count_together()
                    return list(waits)
                case Failed(error):
                    self._count_alone(error)
        now = self._clock_s()
        return [self._alone.judge(ask, now) for ask in asks]

    def _count_together(self) -> None:
        if self._is_alone:
            self._is_alone, self._alone = False, Windows()
            _log.info("rate_limit_together")
        metrics.RATE_LIMIT_ALONE.set(0)

    def _count_alone(self, error: BaseException) -> None:
        if not self._is_alone:
            _log.warning("rate_limit_alone", error=repr(error))
        self._is_alone, self._alone_until = True, self._clock_s() + ALONE_S
        metrics.RATE_LIMIT_ALONE.set(1)


async def _in_time(asking: Coroutine[Any, Any, Sequence[float]]) -> Sequence[float]:
    """Return the answer that comes within `ANSWER_TIMEOUT_S`.

    Looked for several times: in a burst the event loop is late, and one time-out would end the wait for an
    answer that has come and was not read yet.

    Raises:
        TimeoutError: there is none.
    """
    task = asyncio.create_task(asking)
    for _ in range(LOOKS_FOR_ANSWER):
        done, _ = await asyncio.wait({task}, timeout=ANSWER_TIMEOUT_S / LOOKS_FOR_ANSWER)
        if done:
            return task.result()
    task.cancel()  # its connection is dropped with it
    raise TimeoutError
