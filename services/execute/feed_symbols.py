"""Which symbols the feed watches: the exchange's list, looked at again every minute.

What cannot be watched is left out, named (log, metric, readiness, one message) and taken up again when the
exchange lists it; so is what is new with `*`. It must never read a price, and never refuse the rest for one.
"""

import asyncio
from collections.abc import Mapping, Set
from typing import Protocol

from services.execute import facts, listing
from services.execute.binance_client import BinanceClient
from shared import logs, metrics
from shared.clock import utc_now
from shared.database import Database
from shared.errors import ExchangeUnavailable
from shared.market_data import MarketReader, MarketWriter
from shared.models import Envelope
from shared.outbox import Outbox
from shared.values import Severity

LOOK_INTERVAL_S = 60.0
"""Weighs 22 of 2 400 a minute; a symbol that ends or begins is noticed within it."""
UNKNOWN_TO_STREAMS = "its row cannot be read by the streams"
SUBJECT_SYMBOLS_MAX = 5

_log = logs.get(__name__)


class Watches(Protocol):
    """The feed."""

    @property
    def holds(self) -> bool:
        """Whether it is the one that writes."""
        ...

    def watch(self, stream_names: Mapping[str, str]) -> None:
        """Watch these symbols and no others."""
        ...


class FeedSymbols:
    """Keeps what is watched equal to what is wanted and listed."""

    def __init__(
        self,
        wanted: str,
        exchange: BinanceClient,
        writer: MarketWriter,
        reader: MarketReader,
        outbox: Outbox,
        database: Database,
        feed: Watches,
    ) -> None:
        self._wanted = wanted
        self._exchange = exchange
        self._writer = writer
        self._reader = reader
        self._outbox = outbox
        self._database = database
        self._feed = feed
        self._watched: frozenset[str] = frozenset()
        self._left_out: dict[str, str] = {}
        self._is_clock_known = False

    async def ping(self) -> None:
        """Raise `ExchangeUnavailable` while there is nothing that could be watched."""
        if not self._watched:
            why = listing.in_words(self._left_out) or "the exchange's list has not been read yet"
            raise ExchangeUnavailable(f"no symbol can be watched: {why}")

    def note(self) -> str | None:
        """Return which symbols are left out and why, None when none is."""
        return f"left out: {listing.in_words(self._left_out)}" if self._left_out else None

    async def follow(self) -> None:
        """Loop: look again and again."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def look(self) -> None:
        """Read the list once, and watch what of it is wanted.

        Raises:
            DependencyDown: the exchange, Redis or the database does not answer; what is watched stays.
        """
        if not self._is_clock_known:
            await self._exchange.clock.measure()
            self._is_clock_known = True
        known = self._watched | self._left_out.keys()
        chosen = listing.choose(self._wanted, await self._exchange.listing(), known)
        names = await self._stream_names(chosen.watched.keys())
        left_out = {
            **chosen.left_out,
            **dict.fromkeys(chosen.watched.keys() - names.keys(), UNKNOWN_TO_STREAMS),
        }
        if self._feed.holds:
            await self._writer.instruments(chosen.watched[name] for name in names)
        self._feed.watch(names)
        self._watched = frozenset(names)
        self._show(left_out)
        if self._feed.holds:
            await self._tell(left_out)

    async def _stream_names(self, symbols: Set[str]) -> dict[str, str]:
        names = self._exchange.stream_names(symbols)
        if symbols - names.keys():
            await self._exchange.load_markets()
            names = self._exchange.stream_names(symbols)
        return names

    def _show(self, left_out: dict[str, str]) -> None:
        for gone in self._left_out.keys() - left_out.keys() - self._watched:
            metrics.SYMBOL_LEFT_OUT.remove(gone)
        for symbol in self._watched:
            metrics.SYMBOL_LEFT_OUT.labels(symbol=symbol).set(0)
        for symbol, why in left_out.items():
            metrics.SYMBOL_LEFT_OUT.labels(symbol=symbol).set(1)
            if self._left_out.get(symbol) != why:
                _log.warning("symbol_left_out", symbol=symbol, why=why)
        self._left_out = left_out

    async def _tell(self, left_out: dict[str, str]) -> None:
        """Tell what changed since anybody was told, a restart ago too: that is kept beside the prices."""
        before = await self._reader.left_out()
        fresh = {symbol: why for symbol, why in left_out.items() if symbol not in before}
        back = sorted(before.keys() & self._watched)
        letters = []
        if fresh:
            text = f"Not watched, and no entry in it is taken: {listing.in_words(fresh)}. All others are."
            letters.append(_alert("symbols_left_out", text, Severity.WARNING, sorted(fresh)))
        if back:
            text = f"Watched and traded again: {', '.join(back)}."
            letters.append(_alert("symbols_back", text, Severity.INFO, back))
        if letters:
            async with self._database.transaction() as tx:
                await self._outbox.stage(tx, letters)
        if before != left_out:
            await self._writer.left_out(left_out)
        await self._outbox.publish(letters)


def _alert(kind: str, text: str, severity: Severity, symbols: list[str]) -> Envelope:
    subject = "feed:" + ",".join(symbols[:SUBJECT_SYMBOLS_MAX])
    return facts.alert(kind, text, severity, subject, utc_now())
