"""The newest state of every market, merged from several streams. Pure: updates in, ticks out, `now` passed
in.

A tick is complete once all of its prices are known; until then nobody is told of it. It is as old as the
stream that has been silent for longest: marks that still flow must not make dead quotes look fresh. Each
symbol is judged by itself: one that says nothing ages, and no other one with it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from shared.market import Tick, empty_tick
from shared.money import ZERO

QUIET_MAX = timedelta(seconds=30)
"""A calm book may not change for some seconds; quotes older than this are dead, though marks still flow."""


class TickBoard:
    """One row per watched symbol; updates to other symbols are ignored."""

    def __init__(self, symbols: Iterable[str], now: datetime) -> None:
        self._rows: dict[str, Tick] = {}
        self._quoted: dict[str, datetime] = {}
        self._since: dict[str, datetime] = {}
        self._changed: set[str] = set()
        self._quoted_at = self._marked_at = now  # of any symbol: a quiet market is not a silent stream
        self.watch(symbols, now)

    def watch(self, symbols: Iterable[str], now: datetime) -> None:
        """Watch these symbols from now on: what is known of those that stay is kept, the others go."""
        wanted = set(symbols)
        for symbol in self._rows.keys() - wanted:
            for kept in (self._rows, self._quoted, self._since):
                del kept[symbol]
            self._changed.discard(symbol)
        for symbol in wanted - self._rows.keys():
            self._rows[symbol] = empty_tick(symbol, now)
            self._quoted[symbol] = self._since[symbol] = now

    def quote(self, symbol: str, bid: Decimal, ask: Decimal, at: datetime, now: datetime) -> None:
        """Take in a new top of the book."""
        self._quoted_at = now
        if symbol in self._rows:
            self._quoted[symbol] = now
        self._merge(symbol, now, {"bid": bid, "ask": ask, "exchange_time": at})

    def mark(self, symbol: str, mark: Decimal, now: datetime) -> None:
        """Take in a new mark price."""
        self._marked_at = now
        self._merge(symbol, now, {"mark": mark})

    def traded(self, symbol: str, last: Decimal, quote_volume_24h_usdt: Decimal, now: datetime) -> None:
        """Take in the last price and the 24 h turnover."""
        self._merge(symbol, now, {"last": last, "quote_volume_24h_usdt": quote_volume_24h_usdt})

    def take_changed(self) -> list[Tick]:
        """Return the complete ticks that changed since the last call."""
        ready = [self._aged(self._rows[name]) for name in self._changed if _is_complete(self._rows[name])]
        self._changed.difference_update(tick.symbol for tick in ready)
        return ready

    def ages_s(self, now: datetime) -> dict[str, Decimal]:
        """Return how long each symbol has been silent, in seconds."""
        return {symbol: self._aged(tick).age_s(now) for symbol, tick in self._rows.items()}

    def silent(self, now: datetime, age_s_max: Decimal) -> list[str]:
        """Return the symbols without a price that is young enough."""
        return sorted(symbol for symbol, age_s in self.ages_s(now).items() if age_s > age_s_max)

    def _aged(self, tick: Tick) -> Tick:
        oldest = min(tick.received_at, self._quoted_at, self._marked_at)
        if not _is_complete(tick):
            oldest = min(oldest, self._since[tick.symbol])  # no price yet, however much is heard
        if tick.received_at - self._quoted[tick.symbol] > QUIET_MAX:
            oldest = min(oldest, self._quoted[tick.symbol])
        return msgspec.structs.replace(tick, received_at=oldest)

    def _merge(self, symbol: str, now: datetime, fields: dict[str, Decimal | datetime]) -> None:
        row = self._rows.get(symbol)
        if row is not None:
            self._rows[symbol] = msgspec.structs.replace(row, received_at=now, **fields)
            self._changed.add(symbol)


def _is_complete(tick: Tick) -> bool:
    return min(tick.bid, tick.ask, tick.last, tick.mark) > ZERO
