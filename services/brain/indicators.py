"""RSI and MACD of one-minute bars, for alerts that bring none.

Pure. Floats are allowed inside: an indicator is a picture of the past and not money. They become `Decimal` at
the border, rounded to what a column keeps.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from shared.market import Bar
from shared.money import stored

RSI_BARS = 14
MACD_FAST_BARS = 12
MACD_SLOW_BARS = 26


def rsi(bars: Sequence[Bar], period: int = RSI_BARS) -> Decimal | None:
    """Return Wilder's RSI (0..100) of the closes, oldest first; None with fewer than `period` + 1 bars."""
    if len(bars) <= period:
        return None
    closes = [float(bar.close) for bar in bars]
    moves = [after - before for before, after in pairwise(closes)]
    gain = sum(max(move, 0.0) for move in moves[:period]) / period
    loss = sum(max(-move, 0.0) for move in moves[:period]) / period
    for move in moves[period:]:
        gain = (gain * (period - 1) + max(move, 0.0)) / period
        loss = (loss * (period - 1) + max(-move, 0.0)) / period
    if gain + loss == 0.0:
        return Decimal(50)  # a market that did not move leans to neither side
    return _decimal(100.0 * gain / (gain + loss))


def macd_line(bars: Sequence[Bar]) -> Decimal | None:
    """Return the MACD line (fast minus slow average, USDT) of the closes; None with fewer than 26 bars."""
    if len(bars) < MACD_SLOW_BARS:
        return None
    closes = [float(bar.close) for bar in bars]
    return _decimal(
        _exponential_average(closes, MACD_FAST_BARS) - _exponential_average(closes, MACD_SLOW_BARS)
    )


def _exponential_average(values: Sequence[float], period: int) -> float:
    """Return the exponential average, seeded with the plain average of the first `period` values."""
    average = sum(values[:period]) / period
    weight = 2.0 / (period + 1)
    for value in values[period:]:
        average += weight * (value - average)
    return average


def _decimal(value: float) -> Decimal:
    return stored(Decimal(repr(value)))
