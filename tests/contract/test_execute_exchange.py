"""The exchange as EXECUTE needs it: the twin in memory and the paper exchange on the wire answer alike."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import pytest

from services.execute.binance_client import BinanceClient
from services.execute.error_classes import ClockSkewed, ErrorKind, VenueRefused
from services.execute.venue import EntryOrder, MarginSetup, OrderSide, ProtectiveOrder
from shared.clock import ManualClock, utc_now
from shared.errors import ExchangeUnavailable
from shared.values import Side
from tests.exchange_process import ExchangeProcess, exchange_process
from tests.twins.execution import SETTINGS
from tests.twins.venue import VenueTwin
from tests.unit.execute.builders import BTC, NOON

MINUTE = timedelta(minutes=1)


class Bench(Protocol):
    """An exchange under test with its controls."""

    client: BinanceClient

    def now(self) -> datetime: ...
    def price(self, price: str) -> None: ...
    def wallet(self) -> Decimal: ...


class TwinBench:
    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.venue = VenueTwin(self.clock)
        self.client = BinanceClient(SETTINGS, self.venue)

    def now(self) -> datetime:
        return self.clock()

    def price(self, price: str) -> None:
        self.venue.price(price)

    def wallet(self) -> Decimal:
        return self.venue.core.exchange.ledger.wallet_balance()


class ProcessBench:
    def __init__(self, process: ExchangeProcess) -> None:
        self.process = process
        self.client = BinanceClient(SETTINGS.model_copy(update={"exchange_base_url": process.url}))

    def now(self) -> datetime:
        return utc_now()

    def price(self, price: str) -> None:
        self.process.price(price)

    def wallet(self) -> Decimal:
        return self.process.wallet


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeProcess]:
    with exchange_process(tmp_path_factory.mktemp("paper")) as running:
        yield running


@pytest.fixture(params=["memory", "wire"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    made: TwinBench | ProcessBench
    if request.param == "memory":
        made = TwinBench()
    else:
        process = request.getfixturevalue("process")
        process.reset()
        made = ProcessBench(process)
    made.price("50000")
    async with made.client as client:
        await client.preflight()
        await client.set_isolated(BTC)
        await client.set_leverage(BTC, 20)
        yield made


def order(client_id: str = "entry", side: OrderSide = OrderSide.BUY, **changes: Any) -> EntryOrder:
    given: dict[str, Any] = {"quantity": Decimal("0.1"), "limit_price": Decimal(50_050)}
    return EntryOrder(client_id=client_id, symbol=BTC, side=side, **(given | changes))


def protective(client_id: str, price: str, *, is_stop: bool = True) -> ProtectiveOrder:
    return ProtectiveOrder(
        client_id=client_id,
        symbol=BTC,
        side=OrderSide.SELL,
        is_stop=is_stop,
        trigger_price=Decimal(price),
    )


async def protect(bench: Bench) -> None:
    assert await bench.client.place_protection(protective("stop", "49000"))
    assert await bench.client.place_protection(protective("target", "51000", is_stop=False))


@contextmanager
def refusal(kind: ErrorKind) -> Iterator[None]:
    with pytest.raises(VenueRefused) as caught:
        yield
    assert caught.value.kind is kind


async def test_entry_is_filled_and_found_by_its_client_id(bench: Bench) -> None:
    report = await bench.client.place_entry(order(), bench.now())
    assert (report.client_id, report.status, report.filled_quantity) == ("entry", "FILLED", Decimal("0.1"))
    assert report.is_final
    assert report.average_price == Decimal("50000.2")
    assert report == await bench.client.find_order(BTC, "entry")
    assert report == await bench.client.find_order_by_id(BTC, report.order_id)
    assert abs(report.updated_at - bench.now()) < MINUTE
    [position] = await bench.client.positions(BTC)
    assert (position.side, position.quantity) == (Side.LONG, Decimal("0.1"))
    assert position.entry_price == report.average_price
    assert Decimal(47_000) < position.liquidation_price < Decimal(48_000)


async def test_limit_that_meets_nobody_ends_unfilled(bench: Bench) -> None:
    report = await bench.client.place_entry(order(limit_price=Decimal(49_900)), bench.now())
    assert (report.is_final, report.filled_quantity, report.average_price) == (True, Decimal(0), None)
    assert await bench.client.positions() == ()


async def test_market_entry_needs_no_price(bench: Bench) -> None:
    report = await bench.client.place_entry(order(limit_price=None, side=OrderSide.SELL), bench.now())
    assert report.status == "FILLED"
    assert (await bench.client.positions())[0].side is Side.SHORT


@pytest.mark.parametrize("seconds", [-5, 5])
async def test_order_of_a_frozen_sender_is_refused(bench: Bench, seconds: int) -> None:
    """P3: signed with the time of its claim, an order that was held up comes too late."""
    with pytest.raises(ExchangeUnavailable, match="-1021"):
        await bench.client.place_entry(order(), bench.now() + timedelta(seconds=seconds))
    assert await bench.client.find_order(BTC, "entry") is None


async def test_close_of_a_frozen_sender_is_refused(bench: Bench) -> None:
    """P9: what it meant to close is closed long ago; the position that stands now is another one."""
    await bench.client.place_entry(order(), bench.now())
    late = bench.now() - timedelta(seconds=5)
    with pytest.raises(ExchangeUnavailable, match="-1021"):
        await bench.client.close_market("late", BTC, OrderSide.SELL, Decimal("0.1"), late)
    assert len(await bench.client.positions()) == 1


async def test_skew_of_our_clock_is_corrected(bench: Bench) -> None:
    ahead = timedelta(seconds=30)
    bench.client.venue.options["timeDifference"] = 30_000
    assert bench.client.clock_ahead() == ahead
    if isinstance(bench, ProcessBench):
        bench.client.venue.milliseconds = lambda: int((utc_now() + ahead).timestamp() * 1000)
    assert (await bench.client.place_entry(order(), bench.now() + ahead)).status == "FILLED"


async def test_clock_that_jumped_is_measured_again_by_the_first_refusal(bench: Bench) -> None:
    bench.client.venue.options["timeDifference"] = 30_000
    with pytest.raises(ClockSkewed):
        await bench.client.place_entry(order(), bench.now())
    assert abs(bench.client.clock_ahead()) < timedelta(seconds=1)
    assert (await bench.client.place_entry(order(), bench.now())).status == "FILLED"


async def test_orders_that_nobody_knows(bench: Bench) -> None:
    client = bench.client
    assert await client.find_order(BTC, "nobody") is None
    assert await client.find_algo("nobody") is None
    assert await client.cancel_algo("nobody") is False
    assert await client.cancel_order(BTC, "nobody") is False


async def test_stop_and_target_stand_until_they_are_cancelled(bench: Bench) -> None:
    await bench.client.place_entry(order(), bench.now())
    await protect(bench)
    stop = await bench.client.find_algo("stop")
    assert stop is not None
    assert (stop.is_standing, stop.trigger_price, stop.side) == (True, Decimal(49_000), OrderSide.SELL)
    view = await bench.client.view()
    assert {each.client_id for each in view.algos} == {"stop", "target"}
    assert view.orders == ()
    assert await bench.client.cancel_algo("stop") is True
    cancelled = await bench.client.find_algo("stop")
    assert cancelled is not None
    assert not cancelled.is_standing
    assert await bench.client.cancel_algo("stop") is False


async def test_placing_what_stands_already_is_no_error(bench: Bench) -> None:
    await bench.client.place_entry(order(), bench.now())
    await protect(bench)
    assert await bench.client.place_protection(protective("stop", "49000")) is False
    assert len(await bench.client.open_algos()) == 2


async def test_stop_beyond_the_price_would_trigger(bench: Bench) -> None:
    await bench.client.place_entry(order(), bench.now())
    with refusal(ErrorKind.WOULD_TRIGGER):
        await bench.client.place_protection(protective("stop", "50001"))


async def test_stop_that_fires_names_the_order_it_became(bench: Bench) -> None:
    await bench.client.place_entry(order(), bench.now())
    await protect(bench)
    bench.price("48990")
    assert await bench.client.positions() == ()
    stop, target = await bench.client.find_algo("stop"), await bench.client.find_algo("target")
    assert stop is not None
    assert target is not None
    assert stop.has_fired
    assert stop.actual_order_id is not None
    fired = await bench.client.find_order_by_id(BTC, stop.actual_order_id)
    assert fired is not None
    assert (fired.side, fired.filled_quantity) == (OrderSide.SELL, Decimal("0.1"))
    assert target.is_standing


async def test_closing_is_reduce_only(bench: Bench) -> None:
    with refusal(ErrorKind.NOTHING_TO_REDUCE):
        await bench.client.close_market("close", BTC, OrderSide.SELL, Decimal("0.1"), bench.now())
    await bench.client.place_entry(order(), bench.now())
    report = await bench.client.close_market("close", BTC, OrderSide.SELL, Decimal("0.1"), bench.now())
    assert report.filled_quantity == Decimal("0.1")
    assert await bench.client.positions() == ()


async def test_trades_explain_the_wallet_to_the_last_digit(bench: Bench) -> None:
    before = bench.wallet()
    await bench.client.place_entry(order(), bench.now())
    bench.price("50111.1")
    await bench.client.close_market("close", BTC, OrderSide.SELL, Decimal("0.1"), bench.now())
    trades = await bench.client.trades(BTC, bench.now() - MINUTE)
    assert [each.side for each in trades] == [OrderSide.BUY, OrderSide.SELL]
    gained = sum(each.realised_pnl_usdt - each.fee_usdt for each in trades)
    assert (
        bench.wallet() - before
        == gained + (await bench.client.charges(BTC, bench.now() - MINUTE, bench.now() + MINUTE)).funding_usdt
    )
    assert await bench.client.trades(BTC, bench.now() + MINUTE) == ()


async def test_margin_setups_say_how_symbols_stand(bench: Bench) -> None:
    await bench.client.set_isolated(BTC)  # already so
    await bench.client.set_leverage(BTC, 7)
    setups = await bench.client.margin_setups()
    assert setups[BTC] == MarginSetup(is_isolated=True, leverage=7)
    assert not setups["ETHUSDT"].is_isolated


async def test_leverage_that_is_not_legal_is_refused(bench: Bench) -> None:
    with refusal(ErrorKind.STALE_RULES):
        await bench.client.set_leverage(BTC, 151)


async def test_account_prices_and_rules(bench: Bench) -> None:
    account = await bench.client.account()
    assert account.wallet_usdt == account.equity_usdt == account.available_usdt == Decimal(10_000)
    prices = await bench.client.best_prices(BTC)
    assert prices.bid <= Decimal(50_000) <= prices.ask
    rules = {each.symbol: each for each in await bench.client.instruments()}
    assert rules[BTC].tick_size == Decimal("0.1")
    assert rules[BTC].step_size == Decimal("0.001")
    assert rules[BTC].brackets[0].leverage_max == 150
    assert rules[BTC].brackets[0].maintenance_rate == Decimal("0.004")
    assert rules[BTC].taker_fee_rate == Decimal("0.0005")
    bench.client.demand_open_for_entries()
    await bench.client.ping()


async def test_unknown_symbol_is_refused(bench: Bench) -> None:
    with refusal(ErrorKind.STALE_RULES):
        await bench.client.best_prices("NOSUCHUSDT")
