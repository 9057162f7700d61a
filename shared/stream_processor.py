"""Redis Streams: following a stream's tail, keeping only the newest tick of each symbol.

For readers who need the state of the market, not each message: a gap costs freshness, never correctness,
because every reader checks a tick's age before it uses it. It must never be the only way a decision learns of
a fact.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from shared import logs, metrics, topology
from shared.clock import utc_now
from shared.market import Tick, tick_from_stream
from shared.redis_client import RedisClient, translated

ENTRIES_PER_READ_MAX = 2_000
BEFORE_THE_FIRST_ENTRY = "0-0"

_log = logs.get(__name__)


class LatestTicks:
    """The newest tick of every symbol, conflated from the market stream by a background loop."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._ticks: dict[str, Tick] = {}

    def get(self, symbol: str) -> Tick | None:
        """Return the newest tick seen, or None; look at its age before you trust it."""
        return self._ticks.get(symbol)

    def all(self) -> Mapping[str, Tick]:
        """Return the newest ticks by symbol."""
        return self._ticks

    async def follow(self) -> None:
        """Loop: start with the newest entries there are, then read on; ends only by an error."""
        position = await self._take_newest(ENTRIES_PER_READ_MAX) or BEFORE_THE_FIRST_ENTRY
        while True:
            async with translated():
                answer = await self._redis.commands.xread(
                    {topology.MARKET_STREAM: position},
                    count=ENTRIES_PER_READ_MAX,
                    block=topology.STREAM_BLOCK_MS,
                )
            for _, entries in answer or ():
                position = entries[-1][0]
                metrics.STREAM_LAG_SECONDS.observe(_age_s(position))
                self._keep([fields for _, fields in entries])
            if not answer:
                position = await self._take_newest(1) or position
            await asyncio.sleep(0)  # a reader that is always behind must not starve the loop

    async def _take_newest(self, entries_max: int) -> str | None:
        """Take the newest entries and return where to read on; None when the stream has none.

        Also whenever the stream is silent: ids are times, so a stream that was lost and begun again by a
        clock that stands further back has only ids that a reader of the old one would never be given.
        """
        async with translated():
            entries = await self._redis.commands.xrevrange(topology.MARKET_STREAM, count=entries_max)
        self._keep([fields for _, fields in reversed(entries)])
        return str(entries[0][0]) if entries else None

    def _keep(self, entries: list[dict[str, str]]) -> None:
        newest = {fields.get("symbol", ""): fields for fields in entries if fields}
        for symbol, fields in newest.items():  # only the newest of each is worth decoding
            try:
                self._ticks[symbol] = tick_from_stream(fields)
            except (
                msgspec.ValidationError
            ) as error:  # would stop the reader at every start; the tick just ages
                _log.error("tick_unreadable", symbol=symbol, error=str(error))


def _age_s(entry_id: str) -> float:
    """An entry's id begins with the time it was written, ms; clocks may differ by a little."""
    return max(0.0, utc_now().timestamp() - int(entry_id.partition("-")[0]) / 1000)
