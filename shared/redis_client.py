"""Redis: connections whose time-outs and retries are ours.

The library's default re-sends a command whose answer was lost, which doubles an XADD; here nothing is sent
twice. Redis never holds the only copy of anything that matters: what it cannot answer is refused or asked
elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from shared.errors import RedisUnavailable

CONNECT_TIMEOUT_S = 3.0
SOCKET_TIMEOUT_S = 3.0  # above every `block` we use; the library does not add the block time by itself
HEALTH_CHECK_INTERVAL_S = 15
CONNECTIONS_MAX = 500
"""One command at a time uses a connection; with the library's 100, what a burst asks beyond them fails as if
Redis were away.
"""


class Load(NamedTuple):
    """Memory in use, and the length of some streams."""

    used_bytes: int
    stream_entries: Mapping[str, int]


class RedisClient:
    """A connection pool to one Redis; open it with `async with`."""

    def __init__(self, url: str, name: str) -> None:
        # Any: the library types every reply as a union of what all its protocols and options could return.
        self.commands: Any = Redis.from_url(
            url,
            client_name=name.replace(" ", "-"),
            decode_responses=True,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            max_connections=CONNECTIONS_MAX,
            health_check_interval=HEALTH_CHECK_INTERVAL_S,
            retry=Retry(NoBackoff(), 0),
            driver_info=DriverInfo(),  # once, or every new connection reads the package's metadata
        )

    async def __aenter__(self) -> "RedisClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.commands.aclose()

    async def ping(self) -> None:
        """Raise `RedisUnavailable` unless Redis answers."""
        async with translated():
            await self.commands.ping()

    async def load(self, streams: Collection[str]) -> Load:
        """Return what Redis holds. Raises `RedisUnavailable`."""
        async with translated():
            memory = await self.commands.info("memory")
            entries = {stream: int(await self.commands.xlen(stream)) for stream in streams}
        return Load(int(memory["used_memory"]), entries)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn the library's errors into `RedisUnavailable`.

    And honour a cancellation: sending, the library uses `asyncio.wait_for`, which may swallow one. A loop of
    reads would go on for ever.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise RedisUnavailable(f"{type(error).__name__}: {error}") from error
    task = asyncio.current_task()
    if task is not None and task.cancelling() > 0:
        raise asyncio.CancelledError
