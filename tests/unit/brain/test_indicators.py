"""RSI and MACD against values worked out by hand or by definition."""

from decimal import Decimal

import pytest

from services.brain.indicators import macd_line, rsi
from tests.unit.brain.builders import bars

WILDER = [
    "44.3389", "44.0902", "44.1497", "43.6124", "44.3278", "44.8264", "45.0955", "45.4245", "45.8433",
    "46.0826", "45.8931", "46.0328", "45.6140", "46.2820", "46.2820", "46.0028", "46.0328",
]  # fmt: skip


def test_rsi_of_a_published_series() -> None:
    """The fourteen-day example that textbooks print: 70.53, then 66.32, then 66.55."""
    found = [rsi(bars(WILDER[:length])) for length in (15, 16, 17)]
    rounded = [value.quantize(Decimal("0.01")) for value in found if value is not None]
    assert rounded == [Decimal("70.53"), Decimal("66.32"), Decimal("66.55")]


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        ([str(100 + number) for number in range(20)], 100),
        ([str(100 - number) for number in range(20)], 0),
        (["100"] * 20, 50),
    ],
)
def test_rsi_at_its_ends(closes: list[str], expected: int) -> None:
    assert rsi(bars(closes)) == expected


def test_macd_of_a_still_market_is_zero_and_of_a_rising_one_positive() -> None:
    assert macd_line(bars(["100"] * 30)) == 0
    rising = macd_line(bars([str(100 + number) for number in range(60)]))
    assert rising is not None
    assert Decimal("6.9") < rising <= 7  # two averages of a line with slope 1 lag 5.5 and 12.5 bars


def test_too_few_bars_give_no_value() -> None:
    assert rsi(bars(["1"] * 14)) is None
    assert macd_line(bars(["1"] * 25)) is None
