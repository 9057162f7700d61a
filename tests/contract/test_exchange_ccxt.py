"""Unmodified ccxt (REST and pro) trades on the paper exchange as it would on Binance USD-M futures.

The exchange runs as its own process, is told where prices go through its admin API, and is killed when that
is the point of a test.
"""

from decimal import Decimal
from itertools import pairwise
from typing import Any, cast

import pytest

from tests.contract.exchange_over_ccxt import BTC, TRIGGER, exchange, opened_long, protect, server
from tests.unit.paper_exchange.server_process import Exchange, Server, admin, price

__all__ = ["exchange", "server"]


# -- market data -----------------------------------------------------------------------------------


async def test_markets_carry_the_limits_that_clients_round_by(exchange: Exchange) -> None:
    market = exchange.market(BTC)
    assert market["linear"]
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.001, 0.1)
    assert market["limits"]["cost"]["min"] == 50
    assert exchange.amount_to_precision(BTC, 0.0129) == "0.012"
    assert len(exchange.markets) == 10


async def test_time_tickers_and_books(exchange: Exchange) -> None:
    assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 1_000
    ticker = await exchange.fetch_ticker(BTC)
    assert ticker["last"] == 50_000
    assert ticker["quoteVolume"] > 100_000_000
    assert len(await exchange.fetch_tickers()) == 10
    book = await exchange.fetch_order_book(BTC, 20)
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert book["bids"][0][0] <= 50_000 <= book["asks"][0][0]
    best = (await exchange.fetch_bids_asks([BTC]))[BTC]
    assert (best["bid"], best["ask"]) == (book["bids"][0][0], book["asks"][0][0])
    mark = await exchange.fetch_mark_price(BTC)
    assert mark["markPrice"] == 50_000
    funding = await exchange.fetch_funding_rate(BTC)
    assert funding["fundingRate"] == 0.0001
    assert funding["fundingTimestamp"] > exchange.milliseconds()


async def test_bars_are_there_from_the_start(exchange: Exchange) -> None:
    bars = await exchange.fetch_ohlcv(BTC, "1m", limit=500)
    assert len(bars) == 500
    steps = {after[0] - before[0] for before, after in pairwise(bars)}
    assert steps == {60_000}
    since = await exchange.fetch_ohlcv(BTC, "1m", since=bars[10][0], limit=5)
    assert [bar[0] for bar in since] == [bar[0] for bar in bars[10:15]]
    hours = await exchange.fetch_ohlcv(BTC, "1h", limit=3)
    assert all(bar[0] % 3_600_000 == 0 for bar in hours)


# -- account ---------------------------------------------------------------------------------------


async def test_balance_leverage_and_settings(exchange: Exchange) -> None:
    balance = await exchange.fetch_balance()
    usdt = balance["USDT"]
    assert (usdt["free"], usdt["used"], usdt["total"]) == (10_000, 0, 10_000)
    assert (await exchange.set_leverage(20, BTC))["leverage"] == 20
    await exchange.set_margin_mode("isolated", BTC)
    modes = await exchange.fetch_margin_modes([BTC])
    assert modes[BTC]["marginMode"] == "isolated"
    leverages = await exchange.fetch_leverages([BTC])
    assert leverages[BTC]["longLeverage"] == 20
    tiers = (await exchange.fetch_leverage_tiers([BTC]))[BTC]
    assert (tiers[0]["maxLeverage"], tiers[0]["maxNotional"]) == (150, 300_000)
    fee = await exchange.fetch_trading_fee(BTC)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)
    assert (await exchange.fetch_position_mode(BTC))["hedged"] is False
    assert (await exchange.fapiPrivateGetMultiAssetsMargin())["multiAssetsMargin"] is False
    assert (await exchange.fapiPrivateGetAccountConfig())["canTrade"] is True


async def test_setting_the_same_margin_mode_twice_is_tolerated(exchange: Exchange) -> None:
    await exchange.set_margin_mode("isolated", BTC)
    answer = await exchange.set_margin_mode("isolated", BTC)
    assert answer["code"] in (-4046, "-4046")


# -- orders ----------------------------------------------------------------------------------------


async def test_a_market_order_by_client_id_opens_an_isolated_position(exchange: Exchange) -> None:
    order = await opened_long(exchange)
    assert (order["status"], order["filled"], order["clientOrderId"]) == ("closed", 0.1, "entry")
    found = await exchange.fetch_order(None, BTC, {"clientOrderId": "entry"})
    assert (found["id"], found["average"]) == (order["id"], order["average"])
    (position,) = await exchange.fetch_positions([BTC])
    assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 0.1, "isolated")
    assert position["entryPrice"] == order["average"]
    assert 47_000 < position["liquidationPrice"] < 48_000
    (trade,) = await exchange.fetch_my_trades(BTC)
    assert trade["order"] == order["id"]
    assert trade["fee"]["cost"] == pytest.approx(order["average"] * 0.1 * 0.0005)
    balance = await exchange.fetch_balance()
    assert balance["USDT"]["total"] == pytest.approx(10_000 - trade["fee"]["cost"], abs=1)


@pytest.mark.parametrize("method", ["account", "positionRisk"])
async def test_positions_by_either_endpoint(exchange: Exchange, method: str) -> None:
    await opened_long(exchange)
    (position,) = await exchange.fetch_positions([BTC], {"method": method})
    assert position["contracts"] == 0.1
    (position,) = await exchange.fetch_positions([BTC], {"method": method, "useV2": True})
    assert (position["contracts"], position["leverage"]) == (0.1, 20)


async def test_an_ioc_limit_fills_or_expires(exchange: Exchange) -> None:
    ioc = {"timeInForce": "IOC"}
    filled = await exchange.create_order(BTC, "limit", "buy", 0.01, 50_050, ioc)
    assert (filled["status"], filled["filled"]) == ("closed", 0.01)
    missed = await exchange.create_order(BTC, "limit", "buy", 0.01, 49_900, ioc)
    assert (missed["status"], missed["filled"]) == ("expired", 0)


async def test_a_resting_order_is_listed_cancelled_and_kept_in_history(exchange: Exchange) -> None:
    order = await exchange.create_order(BTC, "limit", "buy", 0.01, 49_000, {"clientOrderId": "rest"})
    (listed,) = await exchange.fetch_open_orders(BTC)
    assert listed["clientOrderId"] == "rest"
    assert len(await exchange.fetch_open_orders()) == 1
    assert (await exchange.cancel_order(order["id"], BTC))["status"] == "canceled"
    assert await exchange.fetch_open_orders(BTC) == []
    assert (await exchange.fetch_orders(BTC))[-1]["status"] == "canceled"
    await exchange.create_order(BTC, "limit", "buy", 0.01, 49_000)
    await exchange.cancel_all_orders(BTC)
    assert await exchange.fetch_open_orders(BTC) == []


async def test_a_resting_order_fills_when_the_price_comes(exchange: Exchange, server: Server) -> None:
    order = await exchange.create_order(BTC, "limit", "buy", 0.01, 49_000)
    await price(server, 48_900)
    found = await exchange.fetch_order(order["id"], BTC)
    assert (found["status"], found["average"]) == ("closed", 49_000)
    (trade,) = await exchange.fetch_my_trades(BTC)
    assert trade["takerOrMaker"] == "maker"


# -- conditional orders ----------------------------------------------------------------------------


async def fetch_conditional(exchange: Exchange, client_id: str) -> dict[str, Any]:
    return cast(dict[str, Any], await exchange.fetch_order(None, BTC, TRIGGER | {"clientAlgoId": client_id}))


async def test_stop_and_target_are_listed_apart_from_orders(exchange: Exchange) -> None:
    await opened_long(exchange)
    await protect(exchange)
    assert await exchange.fetch_open_orders(BTC) == []
    listed = await exchange.fetch_open_orders(BTC, params=TRIGGER)
    assert [order["clientOrderId"] for order in listed] == ["stop", "target"]
    stop = await fetch_conditional(exchange, "stop")
    assert (stop["status"], stop["triggerPrice"], stop["info"]["orderType"]) == (
        "open",
        49_000,
        "STOP_MARKET",
    )
    await exchange.cancel_order(stop["id"], BTC, TRIGGER)
    assert (await fetch_conditional(exchange, "stop"))["status"] == "canceled"
    await exchange.cancel_all_orders(BTC, TRIGGER)
    assert await exchange.fetch_open_orders(BTC, params=TRIGGER) == []
    assert len(await exchange.fetch_orders(BTC, params=TRIGGER)) >= 2


async def test_stop_loss_and_take_profit_with_a_quantity(exchange: Exchange) -> None:
    await opened_long(exchange)
    reduce = {"reduceOnly": True, "workingType": "MARK_PRICE"}
    stop = await exchange.create_order(BTC, "market", "sell", 0.1, None, reduce | {"stopLossPrice": 49_000})
    target = await exchange.create_order(
        BTC, "market", "sell", 0.1, None, reduce | {"takeProfitPrice": 51_000}
    )
    kinds = [
        (await exchange.fetch_order(each["id"], BTC, TRIGGER))["info"]["orderType"] for each in (stop, target)
    ]
    assert kinds == ["STOP_MARKET", "TAKE_PROFIT_MARKET"]


async def test_a_stop_triggered_by_the_price_closes_the_position(exchange: Exchange, server: Server) -> None:
    await opened_long(exchange)
    await protect(exchange)
    await price(server, 48_990)
    assert await exchange.fetch_positions([BTC]) == []
    stop = await fetch_conditional(exchange, "stop")
    assert stop["status"] == "closed"
    fired = await exchange.fetch_order(stop["info"]["actualOrderId"], BTC)
    assert (fired["status"], fired["filled"], fired["side"]) == ("closed", 0.1, "sell")
    assert (await fetch_conditional(exchange, "target"))["status"] == "open"
    rows = await exchange.fapiPrivateGetIncome({"symbol": "BTCUSDT"})
    explained = 10_000 + sum(Decimal(row["income"]) for row in rows)
    assert Decimal((await admin(server, "GET", "state"))["walletBalance"]) == explained
    await price(server, 51_500)
    assert (await fetch_conditional(exchange, "target"))["status"] == "expired"


async def test_a_liquidation_is_an_order_of_the_exchanges_own(exchange: Exchange, server: Server) -> None:
    await opened_long(exchange)
    await price(server, 47_000)
    assert await exchange.fetch_positions([BTC]) == []
    orders = await exchange.fetch_orders(BTC)
    assert orders[-1]["clientOrderId"].startswith("autoclose-")
