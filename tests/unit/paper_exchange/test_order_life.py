"""What becomes of orders: fills, resting, cancelling, positions and money."""

from decimal import Decimal

import pytest

from infrastructure.paper_exchange.account import Terms
from infrastructure.paper_exchange.commands import CancelAllOrders, CancelOrder, SetLeverage, SetMarginType
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.matching import BookShape
from infrastructure.paper_exchange.orders import find_order
from infrastructure.paper_exchange.values import IncomeType, MarginType, Side, TimeInForce
from tests.unit.paper_exchange.builders import BTC, FREE, desk, summary

D = Decimal
BUY, SELL = Side.BUY, Side.SELL


def test_a_market_order_fills_at_once_and_pays_the_taker_fee() -> None:
    trader = desk()
    order = trader.market(BUY, "0.1", client_id="first")
    assert order["status"] == "FILLED"
    assert order["clientOrderId"] == "first"
    price = D(order["avgPrice"])
    assert price > 50_000
    assert trader.exchange.ledger.position(BTC).amount == D("0.1")
    assert trader.wallet == 10_000 - D("0.1") * price * D("0.0005")


def test_events_of_a_market_fill_come_in_the_documented_order() -> None:
    trader = desk()
    trader.market(BUY, "0.1")
    assert summary(trader.events) == ["order NEW NEW", "account ORDER", "order TRADE FILLED"]


def test_an_order_bigger_than_the_best_level_is_several_trades_at_worse_prices() -> None:
    trader = desk("1000000", Terms(book=BookShape(level_depth_usdt=D(5_000))))
    order = trader.market(BUY, "1")
    trades = trader.exchange.state.trades[BTC]
    assert len(trades) > 1
    assert [trade.price for trade in trades] == sorted({trade.price for trade in trades})
    assert order["status"] == "FILLED"
    assert summary(trader.events)[:3] == ["order NEW NEW", "account ORDER", "order TRADE PARTIALLY_FILLED"]


def test_a_market_order_beyond_the_book_expires_with_what_it_got() -> None:
    trader = desk("10000000", Terms(book=BookShape(level_depth_usdt=D(500))))
    order = trader.market(BUY, "100")
    assert order["status"] == "EXPIRED"
    assert 0 < D(order["executedQty"]) < 100


def test_a_resting_limit_fills_as_maker_at_its_own_price_when_the_market_reaches_it() -> None:
    trader = desk()
    order = trader.limit(BUY, "0.1", "49500")
    assert order["status"] == "NEW"
    trader.price("49600")
    assert trader.exchange.state.open_orders
    trader.forget_events()
    trader.price("49490")
    (trade,) = trader.exchange.state.trades[BTC]
    assert (trade.price, trade.maker, trade.commission) == (D(49_500), True, D("0.1") * 49_500 * D("0.0002"))
    assert summary(trader.events) == ["account ORDER", "order TRADE FILLED"]
    assert not trader.exchange.state.open_orders


def test_an_ioc_limit_that_cannot_fill_expires() -> None:
    assert desk().limit(BUY, "0.1", "49900", TimeInForce.IOC)["status"] == "EXPIRED"


def test_an_ioc_limit_at_the_ask_fills() -> None:
    assert desk().limit(BUY, "0.1", "50050", TimeInForce.IOC)["status"] == "FILLED"


def test_a_marketable_gtc_takes_what_it_can_and_rests_with_the_remainder() -> None:
    trader = desk("1000000", Terms(book=BookShape(level_depth_usdt=D(5_000))))
    order = trader.limit(BUY, "1", "50001")
    assert order["status"] == "PARTIALLY_FILLED"
    assert order["orderId"] in trader.exchange.state.open_orders


def test_fok_fills_whole_or_is_refused() -> None:
    trader = desk("1000000", Terms(book=BookShape(level_depth_usdt=D(5_000))))
    with pytest.raises(ApiError, match="-5021"):
        trader.limit(BUY, "1", "50001", TimeInForce.FOK)
    assert trader.limit(BUY, "0.05", "50001", TimeInForce.FOK)["status"] == "FILLED"


def test_post_only_that_would_take_is_refused() -> None:
    trader = desk()
    with pytest.raises(ApiError, match="-5022"):
        trader.limit(BUY, "0.1", "50100", TimeInForce.GTX)
    assert trader.limit(BUY, "0.1", "49900", TimeInForce.GTX)["status"] == "NEW"


def test_cancelling_by_client_id_and_a_second_time() -> None:
    trader = desk()
    trader.limit(BUY, "0.1", "49000", client_id="mine")
    answer = trader.do(CancelOrder(BTC, client_order_id="mine")).answer
    assert answer["status"] == "CANCELED"
    with pytest.raises(ApiError, match="-2011"):
        trader.do(CancelOrder(BTC, client_order_id="mine"))


def test_cancelling_all_orders_leaves_conditional_ones() -> None:
    trader = desk()
    trader.limit(BUY, "0.1", "49000")
    trader.limit(BUY, "0.1", "48900")
    trader.stop(SELL, "45000")
    trader.do(CancelAllOrders(BTC))
    assert not trader.exchange.state.open_orders
    assert len(trader.exchange.state.open_algos) == 1


def test_the_client_id_of_a_filled_order_may_be_used_again() -> None:
    trader = desk()
    first = trader.market(BUY, "0.1", client_id="again")
    second = trader.market(BUY, "0.1", client_id="again")
    assert trader.exchange.ledger.position(BTC).amount == D("0.2")
    assert (
        find_order(trader.exchange.ledger, BTC, 0, "again").order_id == second["orderId"] > first["orderId"]
    )


def test_a_round_trip_is_explained_by_its_income_rows() -> None:
    trader = desk()
    trader.market(BUY, "0.1")
    trader.price("50500")
    trader.market(SELL, "0.1", reduce_only=True)
    rows = trader.exchange.state.incomes[BTC]
    assert [row.type for row in rows] == [
        IncomeType.COMMISSION,
        IncomeType.REALIZED_PNL,
        IncomeType.COMMISSION,
    ]
    assert trader.wallet == 10_000 + sum(row.amount for row in rows)
    assert not trader.exchange.ledger.position(BTC).amount


def test_isolated_margin_moves_into_the_position_and_back_pro_rata() -> None:
    trader = desk(terms=FREE)
    trader.do(SetMarginType(BTC, MarginType.ISOLATED))
    order = trader.market(BUY, "0.4")
    state, position = trader.exchange.state, trader.exchange.state.positions[BTC]
    assert position.isolated_wallet == D(order["cumQuote"]) / 20
    assert state.cross_wallet + position.isolated_wallet == 10_000
    before = position.isolated_wallet
    trader.market(SELL, "0.1", reduce_only=True)
    assert position.isolated_wallet == before * 3 / 4
    trader.market(SELL, "0.3", reduce_only=True)
    assert position.isolated_wallet == 0


def test_a_flip_closes_everything_and_opens_the_rest() -> None:
    trader = desk(terms=FREE)
    trader.do(SetMarginType(BTC, MarginType.ISOLATED))
    trader.market(BUY, "0.1")
    order = trader.market(SELL, "0.3")
    position = trader.exchange.state.positions[BTC]
    assert position.amount == D("-0.2")
    assert position.entry_price == D(order["avgPrice"])
    assert position.isolated_wallet == D("0.2") * position.entry_price / 20


def test_reduce_only_shrinks_to_the_position() -> None:
    trader = desk()
    trader.market(BUY, "0.1")
    order = trader.market(SELL, "0.5", reduce_only=True)
    assert (order["origQty"], order["status"]) == ("0.1", "FILLED")


def test_a_resting_reduce_only_order_expires_when_its_position_is_gone() -> None:
    trader = desk()
    trader.market(BUY, "0.1")
    order = trader.limit(SELL, "0.1", "51000", reduce_only=True)
    trader.market(SELL, "0.1", reduce_only=True)
    trader.price("51500")
    assert find_order(trader.exchange.ledger, BTC, order["orderId"], "").status == "EXPIRED"
    assert not trader.exchange.ledger.position(BTC).amount


def test_open_orders_bind_margin() -> None:
    trader = desk()
    free = trader.exchange.ledger.available_balance()
    trader.limit(BUY, "0.1", "48000")
    assert free - trader.exchange.ledger.available_balance() == D("0.1") * 48_000 / 20


def test_leverage_changes_are_told_and_bounded() -> None:
    trader = desk()
    answer = trader.do(SetLeverage(BTC, 50)).answer
    assert answer == {"leverage": 50, "maxNotionalValue": "12000000", "symbol": BTC}
    assert trader.events[-1]["ac"] == {"s": BTC, "l": 50}
    for leverage in (0, 151):
        with pytest.raises(ApiError, match="-4028"):
            trader.do(SetLeverage(BTC, leverage))


def test_leverage_of_an_isolated_position_cannot_be_lowered() -> None:
    trader = desk()
    trader.do(SetMarginType(BTC, MarginType.ISOLATED))
    trader.market(BUY, "0.1")
    with pytest.raises(ApiError, match="-4161"):
        trader.do(SetLeverage(BTC, 10))
    assert trader.do(SetLeverage(BTC, 25)).answer["leverage"] == 25


def test_margin_type_cannot_change_under_orders_or_positions() -> None:
    trader = desk()
    with pytest.raises(ApiError, match="-4046"):
        trader.do(SetMarginType(BTC, MarginType.CROSSED))
    trader.limit(BUY, "0.1", "48000")
    with pytest.raises(ApiError, match="-4047"):
        trader.do(SetMarginType(BTC, MarginType.ISOLATED))
    trader.do(CancelAllOrders(BTC))
    trader.market(BUY, "0.1")
    with pytest.raises(ApiError, match="-4048"):
        trader.do(SetMarginType(BTC, MarginType.ISOLATED))
