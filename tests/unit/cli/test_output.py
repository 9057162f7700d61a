"""Numbers are shown as people read them, and never better than they are."""

import pytest

from scripts.phoenix_cli.output import cell
from shared.wording import money, number, percent, readable


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("0.15000000", "0.15"),
        ("10000.00000000", "10000"),
        ("1E+3", "1000"),
        ("47699.44277108", "47699.44277108"),
        ("0.00000012", "0.00000012"),
        ("0.883874112911450116", "0.883874"),
        ("0.84999999999999", "0.849999"),
        ("123456789.123456789", "123456789"),
        ("-0.00000000123456789", "-0.00000000123456"),
        ("slippage", "slippage"),
    ],
)
def test_number(given: str, shown: str) -> None:
    assert number(given) == shown


def test_long_numbers_inside_a_text_are_cut() -> None:
    assert readable("|macd|/price 0.002999454099353917 of 50000.1") == "|macd|/price 0.00299945 of 50000.1"


def test_nothing_is_a_dash() -> None:
    assert {cell(None), cell(""), money(None), percent(None)} == {"–"}


def test_money_and_percent() -> None:
    assert (money("1234.5"), money("-9.084", sign=True), percent("0.02")) == ("1,234.50", "-9.08", "2.00 %")
