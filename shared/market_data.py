"""How market values stand in Redis: the feed writes, everybody else reads.

Keys: the newest tick per symbol (expires after 60 s, so that stale data is absent and not merely old), the
last bars per symbol, the rules of each instrument, and the symbols that were left out with the reason. A
value that cannot be read is one symbol's trouble: it counts as absent and is named. It must never decide.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from shared import logs, topology
from shared.market import Bar, Instrument, Tick, tick_to_stream
from shared.redis_client import RedisClient, translated

LAST_TICK_TTL_S = 60
BARS_KEPT = 300
INSTRUMENTS_KEY = "market:instruments"
LEFT_OUT_KEY = "market:left_out"

_TICK = msgspec.json.Decoder(Tick)
_BARS = msgspec.json.Decoder(tuple[Bar, ...])
_INSTRUMENT = msgspec.json.Decoder(Instrument)

T = TypeVar("T")

_log = logs.get(__name__)


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

    async def left_out(self, why_by_symbol: Mapping[str, str]) -> None:
        """Replace what is known of the symbols that are to be watched and cannot be."""
        pipeline = self._redis.commands.pipeline(transaction=True)
        pipeline.delete(LEFT_OUT_KEY)
        if why_by_symbol:
            pipeline.hset(LEFT_OUT_KEY, mapping=dict(why_by_symbol))
        async with translated():
            await pipeline.execute()


class MarketReader:
    """Reads what the feed wrote."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def latest(self, symbol: str) -> Tick | None:
        """Return the newest tick, or None when the feed has been silent for `LAST_TICK_TTL_S`."""
        async with translated():
            found = await self._redis.commands.get(_tick_key(symbol))
        return _decoded(_TICK, found, symbol)

    async def bars(self, symbol: str) -> tuple[Bar, ...]:
        """Return the last closed bars, oldest first; empty when there are none."""
        async with translated():
            found = await self._redis.commands.get(_bars_key(symbol))
        return _decoded(_BARS, found, symbol) or ()

    async def instrument(self, symbol: str) -> Instrument | None:
        """Return the rules of one symbol, or None when the exchange does not list it."""
        async with translated():
            found = await self._redis.commands.hget(INSTRUMENTS_KEY, symbol)
        return _decoded(_INSTRUMENT, found, symbol)

    async def symbols(self) -> frozenset[str]:
        """Return the symbols that can be traded; empty before the feed has ever run."""
        async with translated():
            found = await self._redis.commands.hkeys(INSTRUMENTS_KEY)
        return frozenset(found)

    async def left_out(self) -> dict[str, str]:
        """Return the symbols that are to be watched and cannot be, with the reason."""
        async with translated():
            return dict(await self._redis.commands.hgetall(LEFT_OUT_KEY))


def _decoded(decoder: "msgspec.json.Decoder[T]", found: str | bytes | None, symbol: str) -> T | None:
    if found is None:
        return None
    try:
        return decoder.decode(found)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.error("market_value_unreadable", symbol=symbol, error=str(error))
        return None


def _tick_key(symbol: str) -> str:
    return f"market:tick:{symbol}"


def _bars_key(symbol: str) -> str:
    return f"market:bars:1m:{symbol}"
