"""RISK's view of the market: ticks from memory, instruments kept for a moment, correlations for a minute.

What Redis cannot answer is missing in the view, never old beyond its time: the checks refuse on it. It must
never decide.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from datetime import datetime
from decimal import Decimal
from itertools import combinations
from typing import Generic, NamedTuple, Protocol, TypeVar

from services.risk.correlation import Correlations, Measured, Returns, measure, returns
from services.risk.proposal import Market
from shared.errors import RedisUnavailable
from shared.market import AHEAD_S_MAX, Bar, Instrument, Tick

KEPT_S = 60.0
INSTRUMENT_KEPT_S = 1.0
"""EXECUTE renews the rules that the exchange contradicts: the next size must fit them."""
WARM_INTERVAL_S = 20.0
COLD_INTERVAL_S = 1.0
"""While the feed has not written enough bars for every pair."""
INSTRUMENTS_KEPT_MAX = 2_000
RETURNS_KEPT_MAX = 500
PAIRS_KEPT_MAX = 5_000
SYMBOLS_CORRELATED_MAX = 20
"""Beyond this many held symbols the rest counts as moving together: the matrix would cost more than it tells.
"""
TICK_TRUSTED_S = Decimal(2)
"""An older tick in memory is compared with the newest one kept in Redis."""

K = TypeVar("K")
V = TypeVar("V")


class ReadsMarket(Protocol):
    """Reads what the feed wrote. Raises `RedisUnavailable`."""

    async def latest(self, symbol: str) -> Tick | None:
        """Return the newest tick."""
        ...

    async def bars(self, symbol: str) -> tuple[Bar, ...]:
        """Return the last one-minute bars, oldest first."""
        ...

    async def instrument(self, symbol: str) -> Instrument | None:
        """Return the rules of one symbol."""
        ...

    async def symbols(self) -> frozenset[str]:
        """Return the symbols that can be traded."""
        ...


class SeesTicks(Protocol):
    """Holds the newest ticks in memory."""

    def get(self, symbol: str) -> Tick | None:
        """Return the newest tick seen, or None."""
        ...


class _Kept(NamedTuple, Generic[V]):
    value: V
    until_s: float


class _Cache(Generic[K, V]):
    """Values for a time; the longest-kept one makes room when it is full."""

    def __init__(self, entries_max: int, monotonic_s: Callable[[], float], kept_s: float = KEPT_S) -> None:
        self._entries_max = entries_max
        self._kept_s = kept_s
        self._monotonic_s = monotonic_s
        self._entries: dict[K, _Kept[V]] = {}

    def get(self, key: K) -> V | None:
        """Return the value, or None when it is not there or its time is over."""
        kept = self._entries.get(key)
        return None if kept is None or kept.until_s < self._monotonic_s() else kept.value

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        self._entries.pop(key, None)
        while len(self._entries) >= self._entries_max:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = _Kept(value, self._monotonic_s() + self._kept_s)


class MarketView:
    """Prices, instruments and correlations as RISK's decisions see them."""

    def __init__(
        self, reader: ReadsMarket, ticks: SeesTicks, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._ticks = ticks
        self._instruments: _Cache[str, Instrument] = _Cache(
            INSTRUMENTS_KEPT_MAX, monotonic_s, INSTRUMENT_KEPT_S
        )
        self._returns: _Cache[str, Returns] = _Cache(RETURNS_KEPT_MAX, monotonic_s)
        # A pair that cannot be measured is kept as None inside the one-element tuple.
        self._pairs: _Cache[tuple[str, str], tuple[Measured | None]] = _Cache(PAIRS_KEPT_MAX, monotonic_s)
        self._watched: frozenset[str] = frozenset()

    @property
    def is_warm(self) -> bool:
        """Whether the pairs of all watched symbols have been measured once."""
        return bool(self._watched)

    async def keep_warm(self) -> None:
        """Loop: measure every pair of watched symbols ahead of need.

        Proposals that come together are then judged with the same correlations as one that comes alone: a
        symbol that another one reserved a moment ago is known as well, and no decision waits for the sums.
        """
        while True:
            symbols = sorted(await self._reader.symbols())[:SYMBOLS_CORRELATED_MAX]
            for symbol in symbols:
                self._returns.put(symbol, returns(await self._reader.bars(symbol)))
            complete = bool(symbols)
            for key in combinations(symbols, 2):
                complete &= await self._measure(key) is not None
                await asyncio.sleep(0)  # the sums are many: let the decisions in between
            self._watched = frozenset(symbols)
            await asyncio.sleep(WARM_INTERVAL_S if complete else COLD_INTERVAL_S)

    async def view(self, symbol: str, beside: Collection[str], now: datetime) -> Market:
        """Return the market of `symbol`, and how it and the symbols `beside` it move together."""
        try:
            return Market(
                instrument=await self._instrument(symbol),
                tick=await self._tick(symbol, now),
                correlations=await self._correlations(symbol, beside),
            )
        except RedisUnavailable:
            return Market(
                instrument=self._instruments.get(symbol),
                tick=self._ticks.get(symbol),
                correlations=Correlations(),
                is_reachable=False,
            )

    async def returns_of(self, symbols: Collection[str]) -> dict[str, Returns]:
        """Return the minute returns of `symbols`, as far as the feed has written them.

        Raises:
            RedisUnavailable: what is not in memory could not be read.
        """
        return {symbol: await self._returns_of(symbol) for symbol in symbols}

    async def _instrument(self, symbol: str) -> Instrument | None:
        found = self._instruments.get(symbol)
        if found is None:
            found = await self._reader.instrument(symbol)
            if found is not None:
                self._instruments.put(symbol, found)
        return found

    async def _tick(self, symbol: str, now: datetime) -> Tick | None:
        seen = self._ticks.get(symbol)
        if seen is not None and seen.is_fresh(now, TICK_TRUSTED_S):
            return seen
        kept = await self._reader.latest(symbol)
        if seen is None or kept is None:
            return kept or seen
        if seen.age_s(now) < -AHEAD_S_MAX:  # of a clock that was ahead: not the newest for as long as it was
            return kept
        return max(kept, seen, key=lambda tick: tick.received_at)

    async def _correlations(self, symbol: str, beside: Collection[str]) -> Correlations:
        together = self._watched.union(beside) if len(self._watched) < SYMBOLS_CORRELATED_MAX else beside
        others = sorted(each for each in together if each != symbol)
        known: dict[tuple[str, str], Measured] = {}
        for key in combinations(sorted([symbol, *others[: SYMBOLS_CORRELATED_MAX - 1]]), 2):
            found = await self._pair(key)
            if found is not None:
                known[key] = found
        return Correlations(known)

    async def _pair(self, key: tuple[str, str]) -> Measured | None:
        kept = self._pairs.get(key)
        return await self._measure(key) if kept is None else kept[0]

    async def _measure(self, key: tuple[str, str]) -> Measured | None:
        measured = measure(await self._returns_of(key[0]), await self._returns_of(key[1]))
        self._pairs.put(key, (measured,))
        return measured

    async def _returns_of(self, symbol: str) -> Returns:
        found = self._returns.get(symbol)
        if found is None:
            found = returns(await self._reader.bars(symbol))
            self._returns.put(symbol, found)
        return found
