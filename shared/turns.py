"""Handling in turns: what arrives while one turn is under way is handled together in the next.

One transaction, or one question to a server, for many items costs hardly more than for one, and only one of a
process is under way. It must never know what it hands on, nor keep anything after it was handed on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from shared.errors import DependencyDown
from shared.supervision import Done, Failed, attempt

T = TypeVar("T")
R = TypeVar("R")

ITEMS_PER_TURN_MAX = 20


class _Waiting(NamedTuple, Generic[T, R]):
    item: T
    answer: "asyncio.Future[R]"


class Turns(Generic[T, R]):
    """Hands items to `handle`, which gives one result for each, in order."""

    def __init__(
        self,
        handle: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        items_per_turn_max: int = ITEMS_PER_TURN_MAX,
    ) -> None:
        self._handle = handle
        self._items_per_turn_max = items_per_turn_max
        self._waiting: list[_Waiting[T, R]] = []  # bounded by who calls: a prefetch, open HTTP requests
        self._turning: asyncio.Task[None] | None = None

    async def take(self, item: T) -> R:
        """Wait for a turn and return the item's result, or raise what its handling raised.

        A turn that failed for the fault of one item is repeated item by item, so that only the culprit fails.
        """
        waiting: _Waiting[T, R] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._turning is None:
            self._turning = asyncio.create_task(self._turn_until_idle())
        return await waiting.answer

    async def _turn_until_idle(self) -> None:
        try:
            while self._waiting:
                turn = self._waiting[: self._items_per_turn_max]
                del self._waiting[: self._items_per_turn_max]
                await self._run(turn)
        finally:
            self._turning = None

    async def _run(self, turn: Sequence[_Waiting[T, R]]) -> None:
        match await attempt(self._results(turn)):
            case Done(results):
                for each, result in zip(turn, results, strict=True):
                    if not each.answer.done():  # its caller may have been cancelled
                        each.answer.set_result(result)
            case Failed(error) if len(turn) > 1 and not isinstance(error, DependencyDown):
                for each in turn:
                    await self._run([each])
            case Failed(error):
                for each in turn:
                    if not each.answer.done():
                        each.answer.set_exception(error)

    async def _results(self, turn: Sequence[_Waiting[T, R]]) -> Sequence[R]:
        """Have the turn handled. A wrong number of results fails it, or somebody would wait for ever."""
        results = await self._handle([each.item for each in turn])
        if len(results) != len(turn):
            raise RuntimeError(f"{len(turn)} items were handled and {len(results)} results came back")
        return results
