"""Orders filled in part by a fault, positions that the exchange closes by itself, and the books of both."""

from decimal import Decimal

import pytest

from infrastructure.paper_exchange.account import Terms
from infrastructure.paper_exchange.commands import (
    ForceClose,
    PlaceOrder,
    ResetAccount,
    SetMarginType,
    SetWallet,
)
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.ledger_view import ledger_view
from infrastructure.paper_exchange.values import (
    ZERO,
    ForcedClose,
    IncomeType,
    MarginType,
    OrderType,
    Payload,
    Side,
    TimeInForce,
)
from tests.unit.paper_exchange.builders import BTC, Desk, desk, summary

D = Decimal
BUY, SELL = Side.BUY, Side.SELL


def bought_in_part(trader: Desk, quantity: str, share: str, kind: OrderType = OrderType.MARKET) -> Payload:
    is_limit = kind is OrderType.LIMIT
    return trader.do(
        PlaceOrder(
            BTC,
            BUY,
            kind,
            D(quantity),
            D("50100") if is_limit else ZERO,
            TimeInForce.IOC if is_limit else TimeInForce.GTC,
            fill_share=D(share),
        )
    ).answer


def holding(trader: Desk) -> Decimal:
    return trader.exchange.ledger.position(BTC).amount


@pytest.mark.parametrize("kind", list(OrderType))
@pytest.mark.parametrize(
    ("quantity", "share", "filled"),
    [
        ("0.1", "0.5", "0.050"),
        ("0.003", "0.5", "0.001"),
        ("0.1", "0.001", "0.001"),
        ("0.1", "0.999", "0.099"),
    ],
)
def test_a_share_is_filled_in_whole_steps_and_the_rest_expires(
    kind: OrderType, quantity: str, share: str, filled: str
) -> None:
    trader = desk()
    order = bought_in_part(trader, quantity, share, kind)
    assert (order["status"], D(order["executedQty"])) == ("EXPIRED", D(filled))
    assert holding(trader) == D(filled)
    assert summary(trader.events)[-2:] == ["order TRADE PARTIALLY_FILLED", "order EXPIRED EXPIRED"]


@pytest.mark.parametrize(
    ("reason", "client_id"),
    [
        (ForcedClose.LIQUIDATION, "autoclose-"),
        (ForcedClose.ADL, "adl_autoclose"),
        (ForcedClose.SETTLEMENT, "settlement_autoclose-"),
    ],
)
@pytest.mark.parametrize("side", list(Side))
def test_the_exchange_closes_a_position_by_an_order_of_its_own(
    side: Side, reason: ForcedClose, client_id: str
) -> None:
    trader = desk()
    trader.market(side, "0.1")
    trader.forget_events()
    outcome = trader.do(ForceClose(BTC, reason))
    assert holding(trader) == 0
    assert outcome.answer["clientOrderId"].startswith(client_id)
    assert outcome.answer["status"] == "FILLED"
    assert summary(outcome.events) == ["order NEW NEW", "account ORDER", "order CALCULATED FILLED"]
    assert len(outcome.liquidations) == (reason is ForcedClose.LIQUIDATION)


def test_a_liquidation_costs_the_clearance_fee_the_others_the_taker_fee() -> None:
    fees: dict[ForcedClose, Decimal] = {}
    for reason in ForcedClose:
        trader = desk()
        trader.market(BUY, "0.1")
        before = {row.tran_id for row in trader.exchange.state.incomes[BTC]}
        trader.do(ForceClose(BTC, reason))
        rows = [row for row in trader.exchange.state.incomes[BTC] if row.tran_id not in before]
        fees[reason] = -sum(
            (row.amount for row in rows if row.type in (IncomeType.COMMISSION, IncomeType.INSURANCE_CLEAR)),
            ZERO,
        )
    rules = desk().exchange.rules[BTC]
    assert fees[ForcedClose.LIQUIDATION] == rules.liquidation_fee * 5_000
    assert fees[ForcedClose.ADL] == fees[ForcedClose.SETTLEMENT] == D("2.5")


def test_deleveraging_may_take_a_part_and_leaves_resting_orders() -> None:
    trader = desk()
    trader.do(SetMarginType(BTC, MarginType.ISOLATED))
    trader.market(BUY, "0.1")
    trader.limit(BUY, "0.1", "49000")
    trader.do(ForceClose(BTC, ForcedClose.ADL, D("0.04")))
    assert holding(trader) == D("0.06")
    assert len(trader.exchange.state.open_orders) == 1
    trader.do(ForceClose(BTC, ForcedClose.SETTLEMENT))
    assert holding(trader) == 0
    assert trader.exchange.state.open_orders == {}
    assert trader.exchange.ledger.position(BTC).isolated_wallet == 0


def test_nothing_is_closed_where_nothing_is_held() -> None:
    with pytest.raises(ApiError, match="-2022"):
        desk().do(ForceClose(BTC, ForcedClose.ADL))


# -- the ledger ------------------------------------------------------------------------------------


def test_the_ledger_tells_everything_and_adds_up() -> None:
    trader = desk()
    trader.do(ResetAccount(D(5_000)))
    trader.market(BUY, "0.1", client_id="entry")
    trader.stop(SELL, "49000", client_id="stop")
    trader.stop(SELL, "48000", client_id="unused")
    trader.limit(BUY, "0.01", "40000", client_id="rest")
    trader.price("48900")
    trader.do(SetWallet(trader.wallet + 7))
    books = ledger_view(trader.exchange.ledger, trader.now_ms)
    assert [order["clientOrderId"] for order in books["orders"]] == ["entry", "rest", "stop"]
    assert [order["status"] for order in books["orders"]] == ["FILLED", "NEW", "FILLED"]
    assert {order["clientAlgoId"]: order["algoStatus"] for order in books["algoOrders"]} == {
        "stop": "FINISHED",
        "unused": "NEW",
    }
    assert books["algoOrders"][0]["actualOrderId"] == str(books["orders"][2]["orderId"])
    assert [row["income"] for row in books["transfers"]] == ["7.00000000"]
    income = sum(D(row["income"]) for row in books["income"])
    assert D(books["initialWallet"]) + income == D(books["walletBalance"])
    filled = sum(D(row["qty"]) * (1 if row["side"] == BUY else -1) for row in books["trades"])
    assert filled == sum(D(row["positionAmt"]) for row in books["positions"]) == 0
    assert books["complete"] is True


def test_the_ledger_says_what_its_histories_have_forgotten() -> None:
    trader = desk(terms=Terms(history_kept=10))
    for _ in range(60):
        trader.market(BUY, "0.001")
        trader.market(SELL, "0.001")
    books = ledger_view(trader.exchange.ledger, trader.now_ms)
    assert books["complete"] is False
    assert len(books["orders"]) + books["cut"]["orders"] == 120
    assert len(books["trades"]) + books["cut"]["trades"] == 120
    trader.do(ResetAccount(D(1_000)))
    assert ledger_view(trader.exchange.ledger, trader.now_ms)["complete"] is True
