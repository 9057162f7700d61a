"""How market values stand in Redis: the feed writes, everybody else reads.

Keys: the newest tick per symbol (expires after 60 s, so that stale data is absent and not merely old), the
last bars per symbol, and the rules of each instrument. It must never decide.
"""

from collections.abc import Iterable, Sequence

import msgspec

from shared import topology
from shared.market import Bar, Instrument, Tick, tick_to_stream
from shared.redis_client import RedisClient, translated

LAST_TICK_TTL_S = 60
BARS_KEPT = 300
INSTRUMENTS_KEY = "market:instruments"

_TICK = msgspec.json.Decoder(Tick)
_BARS = msgspec.json.Decoder(tuple[Bar, ...])
_INSTRUMENT = msgspec.json.Decoder(Instrument)


class MarketWriter:
    """Writes what the feed sees."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def ticks(self, ticks: Iterable[Tick]) -> None:
        """Append the ticks to the market stream and replace each symbol's newest one, in one round trip."""
        pipeline = self._redis.commands.pipeline(transaction=False)
        for tick in ticks:
            pipeline.xadd(
                topology.MARKET_STREAM,
                dict(tick_to_stream(tick)),
                maxlen=topology.STREAM_ENTRIES_MAX,
                approximate=True,
            )
            pipeline.set(_tick_key(tick.symbol), msgspec.json.encode(tick), ex=LAST_TICK_TTL_S)
        async with translated():
            await pipeline.execute()

    async def bars(self, symbol: str, bars: Sequence[Bar]) -> None:
        """Replace the last bars of a symbol (oldest first, at most `BARS_KEPT`)."""
        async with translated():
            await self._redis.commands.set(_bars_key(symbol), msgspec.json.encode(tuple(bars[-BARS_KEPT:])))

    async def instruments(self, instruments: Iterable[Instrument]) -> None:
        """Replace the instrument rules; an empty list is a fault of its source and changes nothing."""
        fresh = {each.symbol: msgspec.json.encode(each).decode() for each in instruments}
        if not fresh:
            return
        pipeline = self._redis.commands.pipeline(transaction=True)
        pipeline.delete(INSTRUMENTS_KEY)
        pipeline.hset(INSTRUMENTS_KEY, mapping=dict(fresh))
        async with translated():
            await pipeline.execute()

    async def renew(self, instrument: Instrument) -> None:
        """Replace the rules of one instrument that is watched; one that is not stays unknown."""
        async with translated():
            if await self._redis.commands.hexists(INSTRUMENTS_KEY, instrument.symbol):
                encoded = msgspec.json.encode(instrument).decode()
                await self._redis.commands.hset(INSTRUMENTS_KEY, instrument.symbol, encoded)


class MarketReader:
    """Reads what the feed wrote."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def latest(self, symbol: str) -> Tick | None:
        """Return the newest tick, or None when the feed has been silent for `LAST_TICK_TTL_S`."""
        async with translated():
            found = await self._redis.commands.get(_tick_key(symbol))
        return None if found is None else _TICK.decode(found)

    async def bars(self, symbol: str) -> tuple[Bar, ...]:
        """Return the last closed bars, oldest first; empty when there are none."""
        async with translated():
            found = await self._redis.commands.get(_bars_key(symbol))
        return () if found is None else _BARS.decode(found)

    async def instrument(self, symbol: str) -> Instrument | None:
        """Return the rules of one symbol, or None when the exchange does not list it."""
        async with translated():
            found = await self._redis.commands.hget(INSTRUMENTS_KEY, symbol)
        return None if found is None else _INSTRUMENT.decode(found)

    async def symbols(self) -> frozenset[str]:
        """Return the symbols that can be traded; empty before the feed has ever run."""
        async with translated():
            found = await self._redis.commands.hkeys(INSTRUMENTS_KEY)
        return frozenset(found)


def _tick_key(symbol: str) -> str:
    return f"market:tick:{symbol}"


def _bars_key(symbol: str) -> str:
    return f"market:bars:1m:{symbol}"
