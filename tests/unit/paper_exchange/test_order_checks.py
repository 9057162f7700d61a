"""Every refusal of the order endpoints, and which comes first."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from infrastructure.paper_exchange import requests
from infrastructure.paper_exchange.account import Terms
from infrastructure.paper_exchange.commands import SetLeverage
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.validation import check_quantity
from infrastructure.paper_exchange.values import AlgoType, Side, WorkingType
from tests.unit.paper_exchange.builders import RULES, Desk, desk

BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("code", "act"),
    [
        (-1111, lambda trader: trader.market(BUY, "0.0005")),
        (-1111, lambda trader: trader.limit(BUY, "0.1", "50000.123")),
        (-4003, lambda trader: trader.market(BUY, "0")),
        (-4005, lambda trader: trader.market(BUY, "121")),
        (-4005, lambda trader: trader.limit(BUY, "1001", "50000")),
        (-4013, lambda trader: trader.limit(BUY, "0.1", "500")),
        (-4002, lambda trader: trader.limit(BUY, "0.1", "5000000")),
        (-4014, lambda trader: trader.limit(BUY, "0.1", "50000.05")),
        (-4016, lambda trader: trader.limit(BUY, "0.1", "52500.1")),
        (-4024, lambda trader: trader.limit(SELL, "0.1", "47499.9")),
        (-4164, lambda trader: trader.limit(BUY, "0.001", "49000")),
        (-2022, lambda trader: trader.market(SELL, "0.1", reduce_only=True)),
        (-2019, lambda trader: trader.market(BUY, "10")),
        (-2027, lambda trader: (trader.do(SetLeverage("BTCUSDT", 150)), trader.market(BUY, "7"))),
    ],
)
def test_refusals_of_orders(code: int, act: Callable[[Desk], object]) -> None:
    with pytest.raises(ApiError, match=str(code)):
        act(desk())


def test_decimals_are_bounded_by_symbol() -> None:
    with pytest.raises(ApiError, match="-1111"):
        desk().market(BUY, "1.5", "ADAUSDT")


@pytest.mark.parametrize(
    ("code", "quantity"), [(-4004, "0.5"), (-4023, "1.5"), (-4003, "-1"), (-4005, "1001")]
)
def test_the_lot_size_filter(code: int, quantity: str) -> None:
    with pytest.raises(ApiError, match=str(code)):
        check_quantity(Decimal(quantity), RULES["ADAUSDT"], Decimal(1000))


def test_a_market_far_from_its_mark_price_is_refused() -> None:
    trader = desk()
    trader.price("55000", mark="50000")
    with pytest.raises(ApiError, match="-4131"):
        trader.market(BUY, "0.1")


def test_precision_is_judged_before_margin() -> None:
    with pytest.raises(ApiError, match="-1111"):
        desk().market(BUY, "100.0005")


def test_a_duplicate_id_is_refused_only_among_open_orders() -> None:
    trader = desk()
    trader.limit(BUY, "0.1", "49000", client_id="one")
    with pytest.raises(ApiError, match="-4116"):
        trader.limit(BUY, "0.1", "48000", client_id="one")
    trader.price("48900")
    assert trader.limit(BUY, "0.1", "48000", client_id="one")["status"] == "NEW"


def test_the_number_of_open_orders_is_bounded() -> None:
    trader = desk(terms=Terms(open_orders_max=1))
    trader.limit(BUY, "0.1", "49000")
    with pytest.raises(ApiError, match="-2025"):
        trader.limit(BUY, "0.1", "49000")


def test_reduce_only_is_exempt_from_the_minimum_notional() -> None:
    trader = desk()
    trader.market(BUY, "0.002")
    assert trader.market(SELL, "0.001", reduce_only=True)["status"] == "FILLED"


def test_a_refused_order_changes_nothing() -> None:
    trader = desk()
    before = trader.exchange.state.counters.order
    with pytest.raises(ApiError):
        trader.market(BUY, "10")
    assert trader.exchange.state.counters.order == before
    assert trader.events == []


@pytest.mark.parametrize(
    ("code", "act"),
    [
        (-2021, lambda trader: trader.stop(SELL, "50000")),
        (-2021, lambda trader: trader.stop(BUY, "49000")),
        (-2021, lambda trader: trader.stop(SELL, "49000", kind=AlgoType.TAKE_PROFIT_MARKET)),
        (-1111, lambda trader: trader.stop(SELL, "49000.123")),
        (-4014, lambda trader: trader.stop(SELL, "49000.05")),
        (-1111, lambda trader: trader.stop(SELL, "49000", "0.0001")),
        (-4164, lambda trader: trader.stop(SELL, "49000", "0.001")),
    ],
)
def test_refusals_of_conditional_orders(code: int, act: Callable[[Desk], object]) -> None:
    with pytest.raises(ApiError, match=str(code)):
        act(desk())


def test_the_working_type_decides_whether_a_stop_would_trigger_at_once() -> None:
    trader = desk()
    trader.price("49000", mark="50000")
    assert trader.stop(SELL, "49500", working_type=WorkingType.MARK_PRICE)["algoStatus"] == "NEW"
    with pytest.raises(ApiError, match="-2021"):
        trader.stop(SELL, "49500", working_type=WorkingType.CONTRACT_PRICE)


def test_conditional_orders_are_bounded_and_unique_among_the_open_ones() -> None:
    trader = desk(terms=Terms(open_algos_max=2))
    trader.stop(SELL, "40000", client_id="s")
    with pytest.raises(ApiError, match="-4116"):
        trader.stop(SELL, "40000", client_id="s")
    trader.stop(SELL, "40000", client_id="t")
    with pytest.raises(ApiError, match="-4045"):
        trader.stop(SELL, "40000", client_id="u")


LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": "1",
    "price": "9000",
    "timeInForce": "GTC",
}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (-1102, {"symbol": ""}),
        (-1121, {"symbol": "NOPEUSDT"}),
        (-1102, {"quantity": ""}),
        (-1102, {"quantity": "1e3"}),
        (-1102, {"quantity": "NaN"}),
        (-1102, {"quantity": "١"}),
        (-1102, {"price": ""}),
        (-1102, {"timeInForce": ""}),
        (-1115, {"timeInForce": "GTD"}),
        (-1116, {"type": "MAGIC"}),
        (-1102, {"type": ""}),
        (-1117, {"side": "LONG"}),
        (-4120, {"type": "STOP_MARKET"}),
        (-4120, {"type": "TRAILING_STOP_MARKET"}),
        (-4061, {"positionSide": "LONG"}),
        (-4015, {"newClientOrderId": "a b"}),
        (-4015, {"newClientOrderId": "x" * 37}),
        (-1130, {"reduceOnly": "yes"}),
    ],
)
def test_refusals_of_malformed_orders(code: int, changes: dict[str, str]) -> None:
    with pytest.raises(ApiError, match=str(code)):
        requests.place_order(LIMIT | changes, RULES)


def test_negative_quantities_reach_the_filter_that_names_them() -> None:
    assert requests.place_order(LIMIT | {"quantity": "-1"}, RULES).quantity == -1


ALGO = {
    "algoType": "CONDITIONAL",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "STOP_MARKET",
    "triggerPrice": "9000",
    "closePosition": "true",
}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (-1102, {"algoType": ""}),
        (-1102, {"triggerPrice": ""}),
        (-4137, {"quantity": "1"}),
        (-1106, {"reduceOnly": "true"}),
        (-1102, {"closePosition": "false"}),
        (-1116, {"type": "LIMIT"}),
        (-1130, {"workingType": "INDEX"}),
    ],
)
def test_refusals_of_malformed_conditional_orders(code: int, changes: dict[str, str]) -> None:
    with pytest.raises(ApiError, match=str(code)):
        requests.place_algo(ALGO | changes, RULES)


def test_booleans_are_read_in_any_case() -> None:
    assert requests.place_order(LIMIT | {"reduceOnly": "True"}, RULES).reduce_only
