"""Where prices come from: a seeded random walk with regimes, and a tape of recorded bars.

Knows how prices move. Must never know accounts or read clocks and files: time passed is given, the tape is
handed in. Inside a walk prices are floats; they become `Decimal` at one border, `_to_tick`.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple, Protocol

from infrastructure.paper_exchange.symbols import SymbolRules

MINUTE_MS = 60_000
WALK_BOUND_RATIO = 5.0
_DAY_MS = 86_400_000
_YEAR_MS = 365 * _DAY_MS
_BETA = 0.6
_REVERSION_PER_DAY = 0.3


class PriceMove(NamedTuple):
    """A new last price and the quote volume (USDT) traded on the way to it."""

    last: Decimal
    quote_volume: Decimal


class TapeBar(NamedTuple):
    """One recorded minute; volume in USDT."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    quote_volume: Decimal


class PriceSource(Protocol):
    """Produces the price moves of some symbols."""

    def step(self, elapsed_ms: int) -> list[dict[str, PriceMove]]:
        """Moves of the elapsed time, in order; several when a symbol passed several prices on its way."""
        ...

    def jump(self, symbol: str, price: Decimal) -> None:
        """Go on from this price."""
        ...


@dataclass(frozen=True, slots=True)
class Regime:
    """A mood of the market: yearly volatility, daily drift, volume multiple, mean stay."""

    name: str
    volatility: float
    drift_per_day: float
    volume_factor: float
    stay_ms: int


REGIMES: tuple[Regime, ...] = (
    Regime("calm", 0.35, 0.0, 0.7, 40 * MINUTE_MS),
    Regime("trend_up", 0.55, 0.06, 1.2, 20 * MINUTE_MS),
    Regime("trend_down", 0.60, -0.06, 1.2, 20 * MINUTE_MS),
    Regime("volatile", 1.30, 0.0, 2.5, 10 * MINUTE_MS),
)


class _Walk:
    """One symbol's geometric random walk around an anchor price."""

    def __init__(self, rules: SymbolRules, seed: str) -> None:
        self.rules = rules
        self.random = random.Random(seed)
        self.anchor = float(rules.start_price)
        self.price = self.anchor
        self.regime = REGIMES[0]

    def advance(self, elapsed_ms: int, common_shock: float) -> None:
        """Move the price by one step; `common_shock` is the market's share of a standard normal."""
        if self.random.random() < elapsed_ms / self.regime.stay_ms:
            self.regime = self.random.choice(REGIMES)
        shock = _BETA * common_shock + math.sqrt(1 - _BETA**2) * self.random.gauss(0, 1)
        days = elapsed_ms / _DAY_MS
        pull = _REVERSION_PER_DAY * math.log(self.anchor / self.price)
        sigma = self.regime.volatility * math.sqrt(elapsed_ms / _YEAR_MS)
        moved = self.price * math.exp((self.regime.drift_per_day + pull) * days + sigma * shock)
        self.price = min(max(moved, self.anchor / WALK_BOUND_RATIO), self.anchor * WALK_BOUND_RATIO)

    def minute(self, common_shock: float) -> tuple[list[float], Decimal]:
        """Move by a minute at once: open, two wicks and close, and the volume."""
        start = self.price
        self.advance(MINUTE_MS, common_shock)
        wick = self.price * self.regime.volatility * math.sqrt(MINUTE_MS / _YEAR_MS)
        top = max(start, self.price) + wick * self.random.random()
        bottom = min(start, self.price) - wick * self.random.random()
        return [start, top, bottom, self.price], self.volume(MINUTE_MS)

    def volume(self, elapsed_ms: int) -> Decimal:
        """Quote volume (USDT) of a step."""
        mean = float(self.rules.daily_quote_volume) * elapsed_ms / _DAY_MS
        return Decimal(round(mean * self.regime.volume_factor * self.random.uniform(0.5, 1.5), 2))


class WalkSource:
    """Seeded walks of several symbols that share a market factor."""

    def __init__(self, rules: Mapping[str, SymbolRules], seed: int, cursor: int = 0) -> None:
        self._market = random.Random(f"{seed}:{cursor}:market")
        self._walks = {symbol: _Walk(each, f"{seed}:{cursor}:{symbol}") for symbol, each in rules.items()}

    def step(self, elapsed_ms: int) -> list[dict[str, PriceMove]]:
        """One move of every symbol."""
        shock = self._market.gauss(0, 1)
        moves: dict[str, PriceMove] = {}
        for symbol, walk in self._walks.items():
            walk.advance(elapsed_ms, shock)
            moves[symbol] = PriceMove(_to_tick(walk.price, walk.rules), walk.volume(elapsed_ms))
        return [moves]

    def jump(self, symbol: str, price: Decimal) -> None:
        """Put a symbol at a price; its walk goes on around it."""
        walk = self._walks[symbol]
        walk.price = walk.anchor = float(price)

    def resume(self, symbol: str, price: Decimal) -> None:
        """Go on from a price that the walk itself reached before; its anchor stays."""
        self._walks[symbol].price = float(price)

    def history(self, symbol: str, bars: int) -> list[TapeBar]:
        """Minute bars of a walk that ends at the symbol's current price, oldest first."""
        walk = self._walks[symbol]
        end = walk.price
        minutes = [walk.minute(self._market.gauss(0, 1)) for _ in range(bars)]
        scale = end / walk.price
        walk.price = end
        return [_bar([price * scale for price in path], volume, walk.rules) for path, volume in minutes]


class TapeSource:
    """Plays recorded minute bars of one symbol at a multiple of real time, then holds the last price."""

    def __init__(self, rules: SymbolRules, bars: Sequence[TapeBar], speed: int, cursor_ms: int = 0) -> None:
        assert bars, "a tape has at least one bar"
        self._rules = rules
        self._bars = bars
        self._speed = speed
        self._played_ms = cursor_ms * speed

    @property
    def first_price(self) -> Decimal:
        """The price at the cursor."""
        return self._at(self._played_ms)

    def step(self, elapsed_ms: int, symbol: str) -> list[dict[str, PriceMove]]:
        """The turning points passed since the last step, then the price now: no wick is skipped."""
        before, after = self._played_ms, self._played_ms + elapsed_ms * self._speed
        self._played_ms = after
        points = [*self._turning_points(before, after), after]
        moves: list[dict[str, PriceMove]] = []
        for point in points:
            moves.append({symbol: PriceMove(self._at(point), self._volume(before, point))})
            before = point
        return moves

    def _turning_points(self, before: int, after: int) -> list[int]:
        third = MINUTE_MS // 3
        end = min(after, len(self._bars) * MINUTE_MS)
        first = before // third + 1
        return [index * third for index in range(first, (end - 1) // third + 1)]

    def _bar_index(self, played_ms: int) -> int:
        return min(played_ms // MINUTE_MS, len(self._bars) - 1)

    def _at(self, played_ms: int) -> Decimal:
        if played_ms >= len(self._bars) * MINUTE_MS:
            return _round(self._bars[-1].close, self._rules)
        bar = self._bars[self._bar_index(played_ms)]
        path = _walk_of(bar)
        third = MINUTE_MS // 3
        leg, done = divmod(played_ms % MINUTE_MS, third)
        start, end = path[leg], path[leg + 1]
        return _round(start + (end - start) * done / third, self._rules)

    def _volume(self, before: int, after: int) -> Decimal:
        if before >= len(self._bars) * MINUTE_MS:
            return Decimal(0)
        return self._bars[self._bar_index(before)].quote_volume * (after - before) / MINUTE_MS


class MarketSource:
    """The walks of all symbols, with the tape's symbol replaced by the tape until someone moves its price."""

    def __init__(self, walks: WalkSource, tape: TapeSource | None = None, tape_symbol: str = "") -> None:
        self._walks = walks
        self._tape = tape
        self._tape_symbol = tape_symbol

    def step(self, elapsed_ms: int) -> list[dict[str, PriceMove]]:
        """Moves of the elapsed time, the tape's extra turning points last."""
        moves = self._walks.step(elapsed_ms)
        if self._tape is not None:
            taped = self._tape.step(elapsed_ms, self._tape_symbol)
            moves[0] |= taped[0]
            moves.extend(taped[1:])
        return moves

    def jump(self, symbol: str, price: Decimal) -> None:
        """Go on from this price by a walk; a tape that is overruled stops."""
        if symbol == self._tape_symbol:
            self._tape = None
        self._walks.jump(symbol, price)


def _walk_of(bar: TapeBar) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """A rising bar is walked through its low first, a falling one through its high first."""
    if bar.close >= bar.open:
        return bar.open, bar.low, bar.high, bar.close
    return bar.open, bar.high, bar.low, bar.close


def _bar(path: Sequence[float], quote_volume: Decimal, rules: SymbolRules) -> TapeBar:
    start, top, bottom, end = (_to_tick(price, rules) for price in path)
    return TapeBar(start, top, bottom, end, quote_volume)


def _to_tick(price: float, rules: SymbolRules) -> Decimal:
    return max(1, round(price / float(rules.tick))) * rules.tick


def _round(price: Decimal, rules: SymbolRules) -> Decimal:
    ticks = (price / rules.tick).to_integral_value(ROUND_HALF_EVEN)
    return max(rules.tick, ticks * rules.tick)
