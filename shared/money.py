"""Decimal arithmetic for money: the one place where prices and quantities are rounded.

Everything rounds *against* ourselves: sizes down, margins up, stops so that the loss stays within the plan.
It must never see a float: floats belong to chart indicators and are converted there.
"""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum

ZERO = Decimal(0)
ONE = Decimal(1)

CENT = Decimal("0.01")
STORED_PLACES = Decimal("0.00000001")
"""What a NUMERIC(20,8) column keeps."""

CARRIED_DIGITS = 28
CARRIED_EXPONENT_MAX = 99
"""What a message carries: so many digits, and no exponent of three. `codec` refuses anything else."""

_CARRIED = Context(prec=CARRIED_DIGITS, rounding=ROUND_HALF_EVEN)


class Rounding(StrEnum):
    """Which way a price moves to reach its tick."""

    DOWN = ROUND_FLOOR
    UP = ROUND_CEILING
    NEAREST = ROUND_HALF_EVEN


def floor_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` that does not exceed `quantity` (both in base units, ≥ 0)."""
    assert step > ZERO, "a lot step is positive"
    return (quantity / step).quantize(ONE, rounding=ROUND_DOWN) * step


def round_to_tick(price: Decimal, tick: Decimal, rounding: Rounding) -> Decimal:
    """Return `price` moved to a multiple of `tick` in the direction asked for."""
    assert tick > ZERO, "a price tick is positive"
    return (price / tick).quantize(ONE, rounding=rounding.value) * tick


def stored(amount: Decimal) -> Decimal:
    """Return `amount` as the database keeps it: eight decimal places."""
    return amount.quantize(STORED_PLACES, rounding=ROUND_HALF_EVEN)


def carried(amount: Decimal) -> Decimal:
    """Return a finite number from outside as every reader of our messages takes it.

    What is too small for them is zero. `amount` is below 10^99: whoever reads it has a limit of his own.
    """
    rounded = _CARRIED.plus(amount)
    if rounded.adjusted() < -CARRIED_EXPONENT_MAX + CARRIED_DIGITS or rounded == ZERO:
        return ZERO
    assert rounded.adjusted() <= CARRIED_EXPONENT_MAX
    return rounded


def plain(amount: Decimal) -> str:
    """Return `amount` without exponent or trailing zeros, for people and for the exchange."""
    if amount == ZERO:
        return "0"  # also for −0
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def clamp(value: Decimal, low: Decimal, high: Decimal) -> Decimal:
    """Return `value` limited to the closed range `low`..`high`."""
    assert low <= high
    return max(low, min(high, value))
