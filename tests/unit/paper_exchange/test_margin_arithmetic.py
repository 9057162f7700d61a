"""The worked examples of the margin rules."""

from decimal import Decimal

import pytest

from infrastructure.paper_exchange import margin
from infrastructure.paper_exchange.symbols import bracket_for, listed_symbols, notional_cap
from infrastructure.paper_exchange.values import Side

RULES = listed_symbols()
BTC, DOGE = RULES["BTCUSDT"].brackets, RULES["DOGEUSDT"].brackets
D = Decimal


@pytest.mark.parametrize(
    ("amount", "entry", "wallet", "brackets", "expected"),
    [
        ("0.5", "60000", "1500", BTC, "57228.91566"),
        ("-0.5", "60000", "1500", BTC, "62749.00398"),
        ("10", "60000", "12000", BTC, "59065.32663"),
        ("1000000", "0.12", "4800", DOGE, "0.1160808"),
    ],
    ids=["long", "short", "long in the second bracket", "doge"],
)
def test_isolated_liquidation_price(
    amount: str, entry: str, wallet: str, brackets: object, expected: str
) -> None:
    tables = BTC if brackets is BTC else DOGE
    price = margin.liquidation_price(D(amount), D(entry), D(wallet), tables)
    assert abs(price - D(expected)) < D("0.00001")


def test_margin_equals_maintenance_at_the_liquidation_price() -> None:
    amount, entry, wallet = D(10), D(60_000), D(12_000)
    price = margin.liquidation_price(amount, entry, wallet, BTC)
    left = wallet + margin.unrealized_pnl(amount, entry, price)
    assert abs(left - margin.maintenance_margin(amount, price, BTC)) < D("0.0001")


def test_a_margin_that_no_fall_can_use_up_has_no_liquidation_price() -> None:
    assert margin.liquidation_price(D(1), D(100), D(1000), BTC) == 0


def test_cross_liquidation_price_counts_the_other_positions() -> None:
    alone = margin.liquidation_price(D(1), D(50_000), D(5_000), BTC)
    with_losses = margin.liquidation_price(D(1), D(50_000), D(5_000), BTC, others=D(-1_000))
    assert with_losses > alone


@pytest.mark.parametrize(
    ("symbol", "cums"),
    [
        (
            "BTCUSDT",
            [
                0,
                300,
                1500,
                12000,
                132000,
                482000,
                2982000,
                14482000,
                26482000,
                41482000,
                121482000,
                421482000,
            ],
        ),
        ("BNBUSDT", [0, 10, 810, 4810, 12310, 87310, 837310, 1587310, 6274810, 25024810]),
        ("ADAUSDT", [0, 50, 300, 1300, 6300, 56300, 556300]),
        ("DOGEUSDT", [0, 280, 655, 6280, 16280, 116280, 1116280]),
        ("XRPUSDT", [0, 40, 360, 735, 3735, 8735, 58735, 558735]),
        ("SOLUSDT", [0, 75, 1475, 11475, 31475, 231475, 2231475]),
        ("AVAXUSDT", [0, 125, 525, 1325, 5325, 45325, 445325]),
        ("DOTUSDT", [0, 35, 285, 785, 3285, 23285, 223285]),
        ("LINKUSDT", [0, 50, 1050, 3050, 7050, 47050, 447050]),
        ("ETHUSDT", [0, 300, 1500, 12000, 132000, 382000, 2007000, 9507000, 17507000]),
    ],
)
def test_bracket_cums_keep_maintenance_margin_continuous(symbol: str, cums: list[int]) -> None:
    assert [bracket.cum for bracket in RULES[symbol].brackets][: len(cums)] == cums


def test_bracket_of_a_notional_and_cap_of_a_leverage() -> None:
    assert bracket_for(BTC, D(300_000)).number == 1
    assert bracket_for(BTC, D(300_001)).number == 2
    assert bracket_for(BTC, D(10) ** 12).number == 12
    assert notional_cap(BTC, 20) == D(100_000_000)
    assert notional_cap(BTC, 21) == D(70_000_000)
    assert notional_cap(BTC, 151) == 0


def test_adding_to_a_position_weighs_the_entry_price() -> None:
    result = margin.net(D(1), D(100), Side.BUY, D(130), D(2))
    assert (result.amount, result.entry_price, result.realized_pnl) == (D(3), D(120), D(0))


def test_reducing_keeps_the_entry_price_and_realises_the_closed_part() -> None:
    result = margin.net(D(-3), D(100), Side.BUY, D(90), D(1))
    assert (result.amount, result.entry_price, result.realized_pnl) == (D(-2), D(100), D(10))


def test_crossing_through_flat_opens_the_rest_at_the_fill_price() -> None:
    result = margin.net(D(1), D(100), Side.SELL, D(90), D(3))
    assert (result.amount, result.entry_price, result.realized_pnl) == (D(-2), D(90), D(-10))
    assert (result.closed, result.opened) == (D(1), D(2))


def test_closing_fully_leaves_no_entry_price() -> None:
    result = margin.net(D(1), D(100), Side.SELL, D(90), D(1))
    assert (result.amount, result.entry_price) == (D(0), D(0))


def test_order_cost_adds_the_loss_an_order_opens_with() -> None:
    assert margin.order_cost(Side.BUY, D(100), D(1), D(100), 10) == 10
    assert margin.order_cost(Side.BUY, D(110), D(1), D(100), 10) == 21
    assert margin.order_cost(Side.SELL, D(90), D(1), D(100), 10) == 19
    assert margin.order_cost(Side.SELL, D(110), D(1), D(100), 10) == 11


@pytest.mark.parametrize(
    ("amount", "rate", "payment"), [("2", "0.0001", -20), ("-2", "0.0001", 20), ("2", "-0.0001", 20)]
)
def test_longs_pay_a_positive_funding_rate(amount: str, rate: str, payment: int) -> None:
    assert margin.funding_payment(D(amount), D(100_000), D(rate)) == payment


def test_break_even_price_covers_the_opening_fees() -> None:
    assert margin.break_even_price(D(2), D(100), D(1)) == D("100.5")
    assert margin.break_even_price(D(-2), D(100), D(1)) == D("99.5")
    assert margin.break_even_price(D(0), D(0), D(0)) == 0
