"""What a score is made from: the alert, and what the market and our own record add to it.

Pure. What the alert lacks comes from bars and ticks; what nobody knows becomes a neutral value and is listed
as defaulted. It must never score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.brain import indicators
from shared.market import Bar, Tick
from shared.money import ZERO
from shared.values import EdgeEstimate, Signal

RSI_NEUTRAL = Decimal(50)
MACD_NEUTRAL = ZERO


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The inputs of a score. Price and MACD in USDT, volume in USDT over 24 h, rates as fractions of 1."""

    confidence: Decimal
    price: Decimal
    rsi: Decimal
    macd: Decimal
    quote_volume_24h_usdt: Decimal
    open_positions: int
    win_rate: Decimal
    closed_trades: int
    defaulted: tuple[str, ...] = ()

    @property
    def momentum(self) -> Decimal:
        """|MACD| as a fraction of the price: the `m` of the rules."""
        return abs(self.macd) / self.price


def gather(
    signal: Signal, tick: Tick | None, bars: Sequence[Bar], open_positions: int, edge: EdgeEstimate
) -> Evidence | None:
    """Return the evidence for `signal`, or None when nobody knows a price."""
    defaulted: list[str] = []

    def known(name: str, sent: Decimal | None, computed: Decimal | None, neutral: Decimal) -> Decimal:
        if sent is not None:
            return sent
        if computed is not None:
            return computed
        defaulted.append(name)
        return neutral

    price = signal.price
    if price is None:
        if tick is None or tick.last <= ZERO:
            return None
        price = tick.last
        defaulted.append("price")
    return Evidence(
        confidence=signal.confidence,
        price=price,
        rsi=known("rsi", signal.rsi, indicators.rsi(bars), RSI_NEUTRAL),
        macd=known("macd", signal.macd, indicators.macd_line(bars), MACD_NEUTRAL),
        quote_volume_24h_usdt=known("volume", None, tick.quote_volume_24h_usdt if tick else None, ZERO),
        open_positions=open_positions,
        win_rate=edge.win_rate,
        closed_trades=edge.closed_trades,
        defaulted=tuple(defaulted),
    )
