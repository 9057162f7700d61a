"""What EXECUTE knows of the market when Redis is away, and when prices are old (P4)."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from services.execute.market_view import INSTRUMENT_CACHE_S, RENEW_PAUSE_S, RENEW_PAUSE_S_MAX, MarketView
from shared.clock import ManualClock
from shared.errors import ExchangeRefused, ExchangeUnavailable, RedisUnavailable
from shared.market import Instrument, Tick
from tests.unit.execute.builders import BTC, NOON

RULES = Instrument(
    symbol=BTC,
    tick_size=Decimal("0.1"),
    step_size=Decimal("0.001"),
    quantity_min=Decimal("0.001"),
    quantity_max=Decimal(100),
    notional_min_usdt=Decimal(50),
    taker_fee_rate=Decimal("0.0005"),
    brackets=(),
)


class Reader:
    def __init__(self, known: Instrument | None) -> None:
        self.known = known
        self.is_away = False
        self.reads = 0

    async def instrument(self, symbol: str) -> Instrument | None:
        self.reads += 1
        if self.is_away:
            raise RedisUnavailable("away")
        return self.known


class Exchange:
    def __init__(self) -> None:
        self.asked = 0
        self.listed = [RULES]
        self.failure: Exception | None = None

    async def instruments(self) -> Sequence[Instrument]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.listed


class Ticks:
    def __init__(self, tick: Tick | None = None) -> None:
        self.tick = tick

    def get(self, symbol: str) -> Tick | None:
        return self.tick


def view(reader: Reader, exchange: Exchange, clock: ManualClock, ticks: Ticks | None = None) -> MarketView:
    return MarketView(reader, ticks or Ticks(), exchange, Decimal(5), clock)  # type: ignore[arg-type]


async def test_rules_come_from_the_exchange_when_redis_is_away() -> None:
    reader, exchange = Reader(RULES), Exchange()
    reader.is_away = True
    under_test = view(reader, exchange, ManualClock(NOON))
    assert await under_test.instrument(BTC) == RULES
    assert await under_test.instrument("NOSUCHUSDT") is None
    assert await under_test.instrument(BTC) == RULES
    assert exchange.asked == 2


async def test_rules_that_were_known_once_are_good_enough_without_redis() -> None:
    reader, exchange, clock = Reader(RULES), Exchange(), ManualClock(NOON)
    under_test = view(reader, exchange, clock)
    await under_test.instrument(BTC)
    clock.advance(INSTRUMENT_CACHE_S * 10)
    reader.is_away = True
    assert await under_test.instrument(BTC) == RULES
    assert exchange.asked == 0


async def test_rules_are_read_again_after_a_minute() -> None:
    reader, clock = Reader(RULES), ManualClock(NOON)
    under_test = view(reader, Exchange(), clock)
    for seconds in (0, INSTRUMENT_CACHE_S - 1, 1):
        clock.advance(seconds)
        await under_test.instrument(BTC)
    assert reader.reads == 2


async def test_symbol_that_is_not_listed_is_asked_for_again() -> None:
    reader = Reader(None)
    under_test = view(reader, Exchange(), ManualClock(NOON))
    assert await under_test.instrument(BTC) is None
    assert await under_test.instrument(BTC) is None
    assert reader.reads == 2


async def test_old_prices_are_none() -> None:
    tick = Tick(
        symbol=BTC,
        bid=Decimal(99),
        ask=Decimal(101),
        last=Decimal(100),
        mark=Decimal(100),
        quote_volume_24h_usdt=Decimal(1),
        exchange_time=NOON,
        received_at=NOON,
    )
    under_test = view(Reader(RULES), Exchange(), ManualClock(NOON), Ticks(tick))
    fresh = under_test.fresh_prices(BTC, NOON + timedelta(seconds=5))
    assert fresh is not None
    assert (fresh.bid, fresh.ask) == (Decimal(99), Decimal(101))
    assert under_test.fresh_prices(BTC, NOON + timedelta(seconds=5, microseconds=1)) is None
    assert view(Reader(RULES), Exchange(), ManualClock(NOON)).fresh_prices(BTC, NOON) is None


COARSER = msgspec.structs.replace(RULES, step_size=Decimal(10))


async def test_rules_that_the_exchange_contradicts_are_read_again_at_once() -> None:
    exchange = Exchange()
    under_test = view(Reader(RULES), exchange, ManualClock(NOON))
    assert await under_test.instrument(BTC) == RULES
    exchange.listed = [COARSER]
    assert await under_test.renewed(BTC) == COARSER
    assert await under_test.instrument(BTC) == COARSER, "for everybody, not only for who asked"


async def test_symbol_that_is_listed_no_more_is_none() -> None:
    exchange = Exchange()
    exchange.listed = []
    assert await view(Reader(RULES), exchange, ManualClock(NOON)).renewed(BTC) is None


@pytest.mark.parametrize("failure", [ExchangeUnavailable("away"), ExchangeRefused(-1102, "no")])
async def test_rules_stay_what_they_were_while_the_exchange_does_not_say(failure: Exception) -> None:
    exchange = Exchange()
    exchange.failure = failure
    assert await view(Reader(RULES), exchange, ManualClock(NOON)).renewed(BTC) == RULES


async def test_exchange_that_refuses_for_ever_is_not_asked_at_the_pace_of_its_refusals() -> None:
    exchange, clock = Exchange(), ManualClock(NOON)
    under_test = view(Reader(RULES), exchange, clock)
    for _ in range(3600):
        clock.advance(1)
        await under_test.renewed(BTC)
    assert exchange.asked <= 20
    exchange.listed = [COARSER]
    clock.advance(RENEW_PAUSE_S_MAX)
    assert await under_test.renewed(BTC) == COARSER
    exchange.listed = [RULES]
    clock.advance(RENEW_PAUSE_S)
    assert await under_test.renewed(BTC) == RULES, "what changed is new again after the short pause"
