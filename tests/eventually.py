"""Waiting for a condition instead of for time: the only way a test waits."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, overload

T = TypeVar("T")

PATIENCE_S = 10.0
LOOK_INTERVAL_S = 0.02


@overload
async def eventually(
    look: Callable[[], Awaitable[T]], timeout_s: float = PATIENCE_S, *, what: str = ""
) -> T: ...


@overload
async def eventually(look: Callable[[], T], timeout_s: float = PATIENCE_S, *, what: str = "") -> T: ...


async def eventually(look: Callable[[], Any], timeout_s: float = PATIENCE_S, *, what: str = "") -> Any:
    """Look again and again until the look gives something true, and return that.

    `look` may be a coroutine function; an exception of it ends the wait.

    Raises:
        AssertionError: nothing true within `timeout_s`; the text has the last thing seen.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        seen = look()
        value = await seen if isawaitable(seen) else seen
        if value:
            return value
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or look}; last seen: {value!r}")
        await asyncio.sleep(LOOK_INTERVAL_S)


async def stays(look: Callable[[], object], duration_s: float) -> None:
    """Assert that `look` gives something true during the whole of `duration_s`.

    For what must *not* happen: the shorter the time the weaker the proof, so wait for a condition that shows
    the opposite wherever there is one.
    """
    deadline = asyncio.get_running_loop().time() + duration_s
    while asyncio.get_running_loop().time() < deadline:
        assert look(), "did not stay true"
        await asyncio.sleep(LOOK_INTERVAL_S)
