"""In which form a position is closed when the exchange refuses another one. Pure: values in, values out.

The quantity as it is, then floored to the step, to ten and a hundred steps; what is too much at once in
halves. None is left when every form was refused: the whole position is then closed without a quantity.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from services.execute.error_classes import ErrorKind, VenueRefused
from shared.market import Instrument
from shared.money import ZERO, Rounding, round_to_tick
from shared.values import Side, Value

COARSER = (1, 10, 100)
TOO_MUCH = -4005


class Refusal(Value, frozen=True, kw_only=True):
    """Why the exchange refused a quantity."""

    code: int


def is_of_form(refusal: VenueRefused) -> bool:
    """Tell whether the exchange refused how an order was put, and would refuse it again."""
    return refusal.kind is ErrorKind.STALE_RULES or -1199 <= refusal.code <= -1100


def quantity(left: Decimal, rules: Instrument | None, refused: Mapping[Decimal, Refusal]) -> Decimal | None:
    """Return the largest quantity to close with that was not refused, None when every form was."""
    too_much = min((each for each, why in refused.items() if why.code == TOO_MUCH), default=None)
    for candidate in _candidates(left, rules, too_much):
        if candidate > ZERO and candidate not in refused and (too_much is None or candidate < too_much):
            return candidate
    return None


def _candidates(left: Decimal, rules: Instrument | None, too_much: Decimal | None) -> Iterator[Decimal]:
    most = left if rules is None else min(left, rules.quantity_max)
    yield most
    if rules is None:
        return
    yield from (round_to_tick(most, rules.step_size * each, Rounding.DOWN) for each in COARSER)
    if too_much is not None:
        yield round_to_tick(min(left, too_much / 2), rules.step_size, Rounding.DOWN)


def next_tick(mark: Decimal, side: Side, tick: Decimal) -> Decimal:
    """Return the nearest price ahead of a position at which a target may still be placed."""
    if side is Side.LONG:
        return round_to_tick(mark + tick, tick, Rounding.UP)
    return round_to_tick(mark - tick, tick, Rounding.DOWN)


def is_nearer(trigger: Decimal, other: Decimal, side: Side) -> bool:
    """Tell whether a target at `trigger` fires sooner than one at `other`."""
    return trigger < other if side is Side.LONG else trigger > other
