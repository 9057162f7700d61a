"""What the market looks like: ticks, bars and instruments as values.

It must never know where they come from or where they are kept (`shared.market_data` does).
"""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from shared.money import ZERO
from shared.values import UtcTime, Value

AHEAD_S_MAX = Decimal(2)
"""What is younger than minus this is of a clock that is wrong: it would stay fresh for too long."""


class Tick(Value, frozen=True, kw_only=True):
    """The newest state of one market. Prices in USDT, volume in USDT over 24 h."""

    symbol: str
    bid: Decimal
    ask: Decimal
    last: Decimal
    mark: Decimal
    quote_volume_24h_usdt: Decimal
    exchange_time: UtcTime
    received_at: UtcTime

    def age_s(self, now: datetime) -> Decimal:
        """Return how old the tick is in seconds, by when we received it."""
        return Decimal(str((now - self.received_at).total_seconds()))

    def is_fresh(self, now: datetime, age_s_max: Decimal) -> bool:
        """Tell whether the tick is young enough; one from the future is of a clock that is wrong."""
        return -AHEAD_S_MAX <= self.age_s(now) <= age_s_max


class Bar(Value, frozen=True, kw_only=True):
    """One minute of one market; `volume` in base units."""

    opened_at: UtcTime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Bracket(Value, frozen=True, kw_only=True):
    """One leverage bracket: which leverage and maintenance margin hold up to `notional_cap_usdt`."""

    leverage_max: int
    notional_floor_usdt: Decimal
    notional_cap_usdt: Decimal
    maintenance_rate: Decimal
    maintenance_amount_usdt: Decimal


class Instrument(Value, frozen=True, kw_only=True):
    """What the exchange demands of an order in this symbol."""

    symbol: str
    tick_size: Decimal
    step_size: Decimal
    quantity_min: Decimal
    quantity_max: Decimal
    notional_min_usdt: Decimal
    taker_fee_rate: Decimal
    brackets: tuple[Bracket, ...]


def tick_to_stream(tick: Tick) -> dict[str, str]:
    """Return the tick as the fields of a stream entry."""
    return {
        "symbol": tick.symbol,
        "bid": format(tick.bid, "f"),
        "ask": format(tick.ask, "f"),
        "last": format(tick.last, "f"),
        "mark": format(tick.mark, "f"),
        "quote_volume_24h_usdt": format(tick.quote_volume_24h_usdt, "f"),
        "exchange_time": tick.exchange_time.isoformat(),
        "received_at": tick.received_at.isoformat(),
    }


def tick_from_stream(fields: dict[str, str]) -> Tick:
    """Return the tick in the fields of a stream entry."""
    return msgspec.convert(fields, Tick, strict=False)


def empty_tick(symbol: str, now: datetime) -> Tick:
    """Return a tick that knows nothing yet: where the feed starts from."""
    epoch = datetime.fromtimestamp(0, UTC)
    return Tick(
        symbol=symbol,
        bid=ZERO,
        ask=ZERO,
        last=ZERO,
        mark=ZERO,
        quote_volume_24h_usdt=ZERO,
        exchange_time=epoch,
        received_at=now,
    )
