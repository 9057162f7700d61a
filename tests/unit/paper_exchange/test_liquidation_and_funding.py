"""What the exchange takes: liquidations, insurance and funding."""

from decimal import Decimal

from infrastructure.paper_exchange import views
from infrastructure.paper_exchange.account import Terms
from infrastructure.paper_exchange.commands import (
    ChargeFunding,
    ResetAccount,
    SetLeverage,
    SetMarginType,
    SetWallet,
)
from infrastructure.paper_exchange.matching import BookShape
from infrastructure.paper_exchange.requests import RowFilter
from infrastructure.paper_exchange.values import IncomeType, MarginType, Side
from tests.unit.paper_exchange.builders import BTC, FREE, START_MS, Desk, desk, summary

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
ETH = "ETHUSDT"


def isolated_long(wallet: str = "10000", leverage: int = 20) -> Desk:
    trader = desk(wallet, FREE)
    trader.do(SetMarginType(BTC, MarginType.ISOLATED))
    trader.do(SetLeverage(BTC, leverage))
    trader.market(BUY, "0.5")
    trader.forget_events()
    return trader


def liquidation_price(trader: Desk) -> Decimal:
    (risk,) = views.position_risk_v3(trader.exchange.ledger, BTC)
    return D(risk["liquidationPrice"])


def income(trader: Desk, kind: IncomeType, symbol: str = BTC) -> Decimal:
    rows = trader.exchange.state.incomes[symbol]
    return sum((row.amount for row in rows if row.type is kind), D(0))


def test_a_position_lives_just_above_its_liquidation_price_and_dies_at_it() -> None:
    trader = isolated_long()
    price = liquidation_price(trader)
    trader.price(str(price + D("0.1")))
    assert trader.exchange.ledger.position(BTC).amount
    trader.price(str(price))
    assert not trader.exchange.ledger.position(BTC).amount


def test_events_of_a_liquidation() -> None:
    trader = isolated_long()
    trader.limit(BUY, "0.1", "47600")
    trader.forget_events()
    outcome = trader.price("47650")
    assert summary(trader.events) == [
        "order CANCELED CANCELED",
        "order NEW NEW",
        "account ORDER",
        "order CALCULATED FILLED",
    ]
    liquidation = trader.events[-1]["o"]
    assert liquidation["c"].startswith("autoclose-")
    assert (liquidation["S"], liquidation["o"], liquidation["f"]) == ("SELL", "LIMIT", "IOC")
    assert [event["e"] for event in outcome.liquidations] == ["forceOrder"]


def test_an_isolated_loss_never_exceeds_the_isolated_wallet() -> None:
    trader = isolated_long()
    at_stake = trader.exchange.state.positions[BTC].isolated_wallet
    others = trader.exchange.state.cross_wallet
    trader.price("40000")
    assert trader.wallet == others
    assert income(trader, IncomeType.INSURANCE_CLEAR) > 0
    assert income(trader, IncomeType.REALIZED_PNL) + income(trader, IncomeType.INSURANCE_CLEAR) == -at_stake


def test_the_clearance_fee_takes_what_is_left_of_the_margin() -> None:
    trader = isolated_long()
    trader.price(str(liquidation_price(trader)))
    assert income(trader, IncomeType.INSURANCE_CLEAR) < 0
    assert trader.wallet >= 10_000 - D("0.5") * 50_001 / 20


def test_a_short_is_liquidated_by_a_rise_of_the_mark_price_only() -> None:
    trader = desk(terms=FREE)
    trader.do(SetMarginType(BTC, MarginType.ISOLATED))
    trader.market(SELL, "0.5")
    trader.price("53000", mark="50000")
    assert trader.exchange.ledger.position(BTC).amount
    trader.price("50000", mark="53000")
    assert not trader.exchange.ledger.position(BTC).amount


def test_cross_positions_share_the_wallet_and_the_largest_dies_first() -> None:
    terms = Terms(taker_fee=D(0), book=BookShape(level_depth_usdt=D(10) ** 7))
    trader = desk("5000", terms)
    trader.market(BUY, "2", ETH)
    trader.market(BUY, "1")
    trader.price("45300")
    assert len(list(trader.exchange.ledger.open_positions())) == 2
    outcome = trader.price("45190")
    assert [event["o"]["s"] for event in outcome.liquidations] == [BTC, ETH]
    assert trader.wallet == 0


def test_an_isolated_position_survives_the_death_of_the_cross_ones() -> None:
    trader = desk("5000", FREE)
    trader.do(SetMarginType(ETH, MarginType.ISOLATED))
    trader.market(BUY, "2", ETH)
    trader.market(BUY, "0.9")
    trader.price("40000")
    assert [position.symbol for position in trader.exchange.ledger.open_positions()] == [ETH]
    assert trader.wallet == trader.exchange.state.positions[ETH].isolated_wallet


def test_a_cross_wallet_never_goes_below_zero() -> None:
    trader = desk("5000", FREE)
    trader.market(BUY, "1")
    trader.price("30000")
    assert trader.wallet == 0
    assert income(trader, IncomeType.INSURANCE_CLEAR) > 0


def test_funding_is_paid_by_longs_from_the_wallet_that_owns_the_position() -> None:
    trader = isolated_long()
    trader.market(SELL, "1", ETH)
    before, cross = trader.exchange.state.positions[BTC].isolated_wallet, trader.exchange.state.cross_wallet
    trader.forget_events()
    rate = D("0.0001")
    trader.do(ChargeFunding({BTC: rate, ETH: rate}, START_MS + 1))
    assert before - trader.exchange.state.positions[BTC].isolated_wallet == D("0.5") * 50_000 * rate
    assert trader.exchange.state.cross_wallet - cross == 1 * 2_500 * rate
    assert summary(trader.events) == ["account FUNDING_FEE", "account FUNDING_FEE"]
    isolated, crossed = trader.events
    assert [row["s"] for row in isolated["a"]["P"]] == [BTC]
    assert crossed["a"]["P"] == []
    assert trader.exchange.state.next_funding_ms == START_MS + 1


def test_setting_the_wallet_is_a_transfer() -> None:
    trader = desk()
    trader.do(SetWallet(D(12_345)))
    assert trader.wallet == 12_345
    assert income(trader, IncomeType.TRANSFER, "") == 2_345
    assert summary(trader.events) == ["account DEPOSIT"]


def test_a_reset_forgets_everything_but_never_reuses_ids() -> None:
    trader = isolated_long()
    trader.stop(SELL, "49000")
    counter = trader.exchange.state.counters.order
    trader.do(ResetAccount(D(500)))
    state = trader.exchange.state
    assert trader.wallet == 500
    assert not any((state.open_algos, state.trades, state.incomes, state.positions))
    assert state.counters.order == counter


def test_account_figures_agree_with_one_another() -> None:
    trader = isolated_long()
    trader.price("50500")
    account = views.account_v3(trader.exchange.ledger)
    (risk,) = views.position_risk_v3(trader.exchange.ledger, "")
    assert D(risk["isolatedMargin"]) == D(risk["isolatedWallet"]) + D(risk["unRealizedProfit"])
    assert D(risk["positionInitialMargin"]) == abs(D(risk["notional"])) / 20
    wallet, profit = D(account["totalWalletBalance"]), D(account["totalUnrealizedProfit"])
    assert D(account["totalMarginBalance"]) == wallet + profit
    assert D(account["availableBalance"]) == D(account["totalCrossWalletBalance"])


def test_histories_are_filtered_and_limited() -> None:
    trader = desk()
    for _ in range(5):
        trader.market(BUY, "0.01")
    ledger = trader.exchange.ledger
    everything = RowFilter(BTC, 0, 2**62, 0, 0, 1000)
    trades = views.user_trades(ledger, everything)
    assert len(trades) == 5
    assert views.user_trades(ledger, everything._replace(limit=2)) == trades[-2:]
    assert views.user_trades(ledger, everything._replace(from_id=trades[1]["id"], limit=2)) == trades[1:3]
    assert views.user_trades(ledger, everything._replace(order_id=trades[3]["orderId"])) == [trades[3]]
    assert views.user_trades(ledger, everything._replace(start_ms=trades[4]["time"])) == [trades[4]]
    assert len(views.incomes(ledger, everything, "COMMISSION")) == 5
    assert views.incomes(ledger, everything, "FUNDING_FEE") == []
    assert [order.order_id for order in views.orders(ledger, everything._replace(limit=1))] == [
        trades[4]["orderId"]
    ]
