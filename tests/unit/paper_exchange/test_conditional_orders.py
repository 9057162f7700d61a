"""When stops and targets fire, and what the user data stream then says."""

from decimal import Decimal

import pytest

from infrastructure.paper_exchange.commands import CancelAlgo, CancelAllAlgos, SetLeverage
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.triggers import find_algo
from infrastructure.paper_exchange.values import AlgoStatus, AlgoType, Side, WorkingType
from tests.unit.paper_exchange.builders import BTC, Desk, desk, summary

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
TARGET = AlgoType.TAKE_PROFIT_MARKET


def protected_long() -> Desk:
    trader = desk()
    trader.market(BUY, "0.1", client_id="entry")
    trader.stop(SELL, "49000", client_id="stop")
    trader.stop(SELL, "51000", kind=TARGET, client_id="target")
    trader.forget_events()
    return trader


def status(trader: Desk, client_id: str) -> AlgoStatus:
    return find_algo(trader.exchange.ledger, 0, client_id).status


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "quiet", "fires"),
    [
        (AlgoType.STOP_MARKET, SELL, "49000", "49000.1", "49000"),
        (AlgoType.STOP_MARKET, BUY, "51000", "50999.9", "51000"),
        (TARGET, SELL, "51000", "50999.9", "51000"),
        (TARGET, BUY, "49000", "49000.1", "49000"),
    ],
)
def test_trigger_directions(kind: AlgoType, side: Side, trigger: str, quiet: str, fires: str) -> None:
    trader = desk()
    trader.market(side.opposite, "0.1")
    trader.stop(side, trigger, kind=kind, client_id="c")
    trader.price(quiet)
    assert status(trader, "c") is AlgoStatus.NEW
    trader.price(fires)
    assert status(trader, "c") is AlgoStatus.FINISHED
    assert not trader.exchange.ledger.position(BTC).amount


def test_events_of_a_firing_stop_come_in_the_documented_order() -> None:
    trader = protected_long()
    trader.price("48900")
    assert summary(trader.events) == [
        "algo TRIGGERING",
        "algo TRIGGERED",
        "order NEW NEW",
        "account ORDER",
        "order TRADE FILLED",
        "algo FINISHED",
    ]
    triggered, finished = trader.events[1]["o"], trader.events[-1]["o"]
    assert triggered["ai"] == str(trader.events[2]["o"]["i"])
    assert D(finished["aq"]) == D("0.1")
    assert D(finished["ap"]) < 49_000


def test_the_fired_order_carries_the_conditional_orders_name_and_type() -> None:
    trader = protected_long()
    trader.price("48900")
    order = trader.exchange.state.done_orders[BTC][-1]
    assert (order.client_order_id, order.type, order.orig_type) == ("stop", "MARKET", "STOP_MARKET")
    assert order.close_position
    assert find_algo(trader.exchange.ledger, 0, "stop").order_id == order.order_id


def test_the_twin_stays_open_until_it_is_cancelled() -> None:
    trader = protected_long()
    trader.price("48900")
    assert status(trader, "target") is AlgoStatus.NEW
    trader.do(CancelAlgo(client_algo_id="target"))
    assert status(trader, "target") is AlgoStatus.CANCELED


def test_a_twin_without_a_position_expires_when_it_would_fire() -> None:
    trader = protected_long()
    trader.price("48900")
    orders = len(trader.exchange.state.done_orders[BTC])
    trader.forget_events()
    trader.price("51500")
    assert summary(trader.events) == ["algo EXPIRED"]
    assert len(trader.exchange.state.done_orders[BTC]) == orders


def test_a_close_position_stop_never_opens_the_other_way() -> None:
    trader = protected_long()
    trader.market(SELL, "0.3")
    trader.price("48900")
    assert trader.exchange.ledger.position(BTC).amount == D("-0.2")
    assert status(trader, "stop") is AlgoStatus.EXPIRED


def test_a_stop_with_a_quantity_closes_at_most_the_position() -> None:
    trader = desk()
    trader.market(BUY, "0.1")
    trader.stop(SELL, "49000", "0.5", reduce_only=True, client_id="s")
    trader.price("48900")
    assert not trader.exchange.ledger.position(BTC).amount
    assert find_algo(trader.exchange.ledger, 0, "s").executed == D("0.1")


def test_a_reduce_only_stop_without_a_position_is_rejected_when_it_fires() -> None:
    trader = desk()
    trader.stop(SELL, "49000", "0.1", reduce_only=True, client_id="s")
    trader.price("48900")
    assert status(trader, "s") is AlgoStatus.REJECTED
    assert trader.events[-1]["o"]["rm"]


def test_a_stop_entry_opens_a_position() -> None:
    trader = desk()
    trader.stop(BUY, "51000", "0.1", client_id="s")
    trader.price("51010")
    assert trader.exchange.ledger.position(BTC).amount == D("0.1")


def test_a_stop_entry_without_margin_is_rejected_when_it_fires() -> None:
    trader = desk("300")
    trader.stop(BUY, "51000", "0.5", client_id="s")
    trader.price("51010")
    assert status(trader, "s") is AlgoStatus.REJECTED
    assert trader.events[-1]["o"]["rm"] == "Margin is insufficient."
    assert summary(trader.events)[-2:] == ["algo TRIGGERING", "algo REJECTED"]


def test_a_mark_price_stop_ignores_the_last_price() -> None:
    trader = desk()
    trader.market(BUY, "0.1")
    trader.stop(SELL, "49000", client_id="mark", working_type=WorkingType.MARK_PRICE)
    trader.stop(SELL, "48000", client_id="contract", working_type=WorkingType.CONTRACT_PRICE)
    trader.price("48500", mark="49500")
    assert status(trader, "mark") is AlgoStatus.NEW
    trader.price("47900", mark="49500")
    assert status(trader, "contract") is AlgoStatus.FINISHED


def test_price_protection_holds_a_stop_back_while_mark_and_last_differ() -> None:
    trader = desk()
    trader.market(BUY, "0.1")
    trader.stop(SELL, "49000", working_type=WorkingType.CONTRACT_PRICE, price_protect=True, client_id="s")
    trader.price("45000", mark="50000")
    assert status(trader, "s") is AlgoStatus.NEW
    trader.price("48900", mark="50000")
    assert status(trader, "s") is AlgoStatus.FINISHED


def test_a_gap_through_stop_and_liquidation_price_liquidates() -> None:
    trader = desk("600")
    trader.do(SetLeverage(BTC, 50))
    trader.market(BUY, "0.5")
    trader.stop(SELL, "49700", client_id="s")
    trader.price("49000")
    assert trader.exchange.state.done_orders[BTC][-1].client_order_id.startswith("autoclose-")
    assert status(trader, "s") is AlgoStatus.EXPIRED


def test_cancelling_all_conditional_orders_of_a_symbol() -> None:
    trader = protected_long()
    trader.do(CancelAllAlgos(BTC))
    assert summary(trader.events) == ["algo CANCELED", "algo CANCELED"]
    with pytest.raises(ApiError, match="-2011"):
        trader.do(CancelAlgo(client_algo_id="stop"))


def test_an_unknown_conditional_order_is_not_found() -> None:
    with pytest.raises(ApiError, match="-2013"):
        find_algo(desk().exchange.ledger, 0, "nobody")
