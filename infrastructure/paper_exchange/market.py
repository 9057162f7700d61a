"""Public market data: quotes, minute bars, 24 h statistics, index and mark price, premium and funding rate.

Knows what every client may see. Must never know accounts. It is rebuilt at a start, not journalled; only
the quotes are kept, by the account's state, because orders are judged by them.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median

from infrastructure.paper_exchange.prices import MINUTE_MS, PriceMove, TapeBar
from infrastructure.paper_exchange.symbols import SymbolRules
from infrastructure.paper_exchange.values import ZERO, Quote, money

BARS_KEPT = 1_500
BARS_PER_DAY = 1_440
FUNDING_INTERVAL_MS = 8 * 60 * MINUTE_MS
INDEX_TIME_MS = 5_000
PREMIUM_TIME_MS = 30_000
_FUNDING_CLAMP = Decimal("0.0005")
_FUNDING_CAP = Decimal("0.003")
_RATIO = Decimal("0.00000001")
_QUANTITY = Decimal("0.001")

INTERVALS_MS: Mapping[str, int] = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": 1440 * MINUTE_MS,
}


@dataclass(slots=True)
class Bar:
    """One bar; quantities in the base asset, quote volume in USDT."""

    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO
    quote_volume: Decimal = ZERO
    trades: int = 0

    def add(self, price: Decimal, volume: Decimal, quote_volume: Decimal, trades: int = 1) -> None:
        """Take a trade, or a later bar's close, into the bar."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += volume
        self.quote_volume += quote_volume
        self.trades += trades


@dataclass(frozen=True, slots=True)
class DayStatistics:
    """The last 24 hours of a symbol."""

    open: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int
    open_ms: int


@dataclass(slots=True)
class SymbolMarket:
    """Market data of one symbol."""

    rules: SymbolRules
    last: Decimal
    mark: Decimal
    index: Decimal
    previous_last: Decimal = ZERO
    premium: Decimal = ZERO
    last_quantity: Decimal = ZERO
    updated_ms: int = 0
    update_id: int = 1
    trade_id: int = 1
    bars: deque[Bar] = field(default_factory=lambda: deque(maxlen=BARS_KEPT))
    _closed_day: DayStatistics | None = None

    @property
    def quote(self) -> Quote:
        """The prices that orders are judged by."""
        return Quote(self.last, self.mark)

    def seed(self, history: Sequence[TapeBar], now_ms: int) -> None:
        """Fill the bars with history that ends just before now."""
        first = now_ms - now_ms % MINUTE_MS - len(history) * MINUTE_MS
        for number, bar in enumerate(history[-BARS_KEPT:], start=max(0, len(history) - BARS_KEPT)):
            volume = (bar.quote_volume / bar.close).quantize(_QUANTITY)
            opened = first + number * MINUTE_MS
            self.bars.append(
                Bar(opened, bar.open, bar.high, bar.low, bar.close, volume, money(bar.quote_volume), 60)
            )
        self.updated_ms, self._closed_day = now_ms, None

    def trade(self, move: PriceMove, now_ms: int) -> None:
        """Take a price move: bars, index, premium and mark follow."""
        elapsed = min(max(now_ms - self.updated_ms, 1), PREMIUM_TIME_MS)
        self.previous_last, self.last, self.updated_ms = self.last, move.last, now_ms
        self.index = money(
            self.index + (self.last - self.index) * min(elapsed, INDEX_TIME_MS) / INDEX_TIME_MS
        )
        basis = self.last - self.index
        self.premium = money(self.premium + (basis - self.premium) * elapsed / PREMIUM_TIME_MS)
        by_premium = self.index + self.premium
        by_funding = self.index * (1 + self.funding_rate() * self._funding_share(now_ms))
        self.mark = money(median((by_funding, by_premium, self.last)))
        self._record(move, now_ms)

    def jump(self, price: Decimal, mark: Decimal, now_ms: int) -> None:
        """Put last, index and mark somewhere by force."""
        self.previous_last, self.last = self.last, price
        self.index, self.mark, self.premium = mark, mark, ZERO
        self.updated_ms = now_ms
        self._record(PriceMove(price, ZERO), now_ms)

    def funding_rate(self) -> Decimal:
        """Rate per 8 h as a fraction: average premium plus interest, both held within bounds."""
        premium = self.premium / self.index
        clamped = min(max(self.rules.interest_rate - premium, -_FUNDING_CLAMP), _FUNDING_CLAMP)
        return min(max(premium + clamped, -_FUNDING_CAP), _FUNDING_CAP).quantize(_RATIO)

    def day(self) -> DayStatistics:
        """Statistics over the last 24 h of bars; those of closed bars are added up once a minute."""
        if self._closed_day is None:
            self._closed_day = _statistics(list(self.bars)[-BARS_PER_DAY:-1] or [self.bars[-1]])
        closed, bar = self._closed_day, self.bars[-1]
        if closed.open_ms == bar.open_ms:
            return _statistics([bar])
        return DayStatistics(
            open=closed.open,
            high=max(closed.high, bar.high),
            low=min(closed.low, bar.low),
            volume=closed.volume + bar.volume,
            quote_volume=closed.quote_volume + bar.quote_volume,
            trades=closed.trades + bar.trades,
            open_ms=closed.open_ms,
        )

    def klines(self, interval_ms: int) -> list[Bar]:
        """Bars of an interval, oldest first, the open one last."""
        return list(self.bars) if interval_ms == MINUTE_MS else _merge(self.bars, interval_ms)

    def _record(self, move: PriceMove, now_ms: int) -> None:
        opened = now_ms - now_ms % MINUTE_MS
        volume = (move.quote_volume / move.last).quantize(_QUANTITY)
        if not self.bars or self.bars[-1].open_ms < opened:
            self.bars.append(Bar(opened, move.last, move.last, move.last, move.last))
            self._closed_day = None
        self.bars[-1].add(move.last, volume, money(move.quote_volume))
        self.last_quantity = volume
        self.update_id += 1
        self.trade_id += 1

    def _funding_share(self, now_ms: int) -> Decimal:
        return Decimal(next_funding_ms(now_ms) - now_ms) / FUNDING_INTERVAL_MS


class Market:
    """Market data of all listed symbols."""

    def __init__(self, rules: Mapping[str, SymbolRules], quotes: Mapping[str, Quote]) -> None:
        self.symbols = {
            symbol: SymbolMarket(each, quotes[symbol].last, quotes[symbol].mark, quotes[symbol].mark)
            for symbol, each in rules.items()
        }

    def __getitem__(self, symbol: str) -> SymbolMarket:
        return self.symbols[symbol]

    def apply(self, moves: Mapping[str, PriceMove], now_ms: int) -> dict[str, Quote]:
        """Take price moves; returns the new quotes."""
        for symbol, move in moves.items():
            self.symbols[symbol].trade(move, now_ms)
        return {symbol: self.symbols[symbol].quote for symbol in moves}


def next_funding_ms(now_ms: int) -> int:
    """The next funding time after now: 00, 08 or 16 h UTC."""
    return (now_ms // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS


def _statistics(bars: Sequence[Bar]) -> DayStatistics:
    return DayStatistics(
        open=bars[0].open,
        high=max(bar.high for bar in bars),
        low=min(bar.low for bar in bars),
        volume=sum((bar.volume for bar in bars), ZERO),
        quote_volume=sum((bar.quote_volume for bar in bars), ZERO),
        trades=sum(bar.trades for bar in bars),
        open_ms=bars[0].open_ms,
    )


def _merge(bars: Iterable[Bar], interval_ms: int) -> list[Bar]:
    merged: list[Bar] = []
    for bar in bars:
        opened = bar.open_ms - bar.open_ms % interval_ms
        if not merged or merged[-1].open_ms != opened:
            merged.append(Bar(opened, bar.open, bar.high, bar.low, bar.close))
        current = merged[-1]
        current.high, current.low = max(current.high, bar.high), min(current.low, bar.low)
        current.add(bar.close, bar.volume, bar.quote_volume, bar.trades)
    return merged
