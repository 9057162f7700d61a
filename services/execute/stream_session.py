"""Staying on one of ccxt's streams, and leaving it: shared by the market feed and the user-data stream.

It must never open anything by itself, nor know what a stream says.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from shared.supervision import within

W = TypeVar("W")

CLOSE_TIMEOUT_S = 2.0


async def stay(
    subscription: Awaitable[Any], look_interval_s: float, why_leave: Callable[[], W | None]
) -> W | None:
    """Stay until `why_leave` gives a reason, and return it; None when the subscription ended by itself.

    Raises whatever ended the connection.
    """
    task = asyncio.ensure_future(subscription)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=look_interval_s)
            if done:
                task.result()
                return None
            why = why_leave()
            if why is not None:
                return why
    finally:
        task.cancel()


async def close_streams(venue: Any) -> None:
    """Close every stream of a ccxt exchange; one that does not answer is left to die."""
    for url, client in tuple(venue.clients.items()):
        with suppress(TimeoutError):
            await within(CLOSE_TIMEOUT_S, client.close())
        if venue.clients.get(url) is client:
            del venue.clients[url]
