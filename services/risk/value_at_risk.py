"""What the open positions may lose within a day: value at risk and expected shortfall (DESIGN 6.5).

Pure. One simple, stated model: the minute returns of the last hours, as the portfolio held now would have
taken them, a normal distribution without drift, a day of 1440 such minutes. It is for looking at: no limit
reads it, and it knows nothing of stops.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from services.risk.correlation import Returns
from shared.money import ZERO

MINUTES_PER_DAY = 1_440
MINUTES_MIN = 60
"""Fewer common returns say nothing about a day."""


class Quantile(NamedTuple):
    """A confidence of the normal distribution: how many deviations, and their mean beyond it."""

    name: str
    deviations: Decimal
    beyond: Decimal


QUANTILES = (
    Quantile("95", Decimal("1.644854"), Decimal("2.062713")),
    Quantile("99", Decimal("2.326348"), Decimal("2.665214")),
)


class Loss(NamedTuple):
    """What one confidence gives, USDT, both zero or more."""

    value_at_risk_usdt: Decimal
    expected_shortfall_usdt: Decimal


def holdings(positions: Sequence[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Add up signed notionals (USDT, short below zero) by symbol."""
    total: dict[str, Decimal] = {}
    for symbol, notional_usdt in positions:
        total[symbol] = total.get(symbol, ZERO) + notional_usdt
    return total


def losses(held: Mapping[str, Decimal], returns_of: Mapping[str, Returns]) -> dict[str, Loss] | None:
    """Return the losses by confidence; None when a symbol's returns are missing or too few are common.

    Args:
        held: signed notional by symbol, USDT; nothing held loses nothing.
        returns_of: minute returns by symbol.
    """
    if not held:
        return {each.name: Loss(ZERO, ZERO) for each in QUANTILES}
    if held.keys() - returns_of.keys():
        return None
    common = set.intersection(*(set(returns_of[symbol]) for symbol in held))
    if len(common) < MINUTES_MIN:
        return None
    minutes = [sum((held[s] * returns_of[s][at] for s in held), ZERO) for at in common]
    variance = sum((result * result for result in minutes), ZERO) / len(minutes)
    of_a_day = (variance * MINUTES_PER_DAY).sqrt()
    return {each.name: Loss(each.deviations * of_a_day, each.beyond * of_a_day) for each in QUANTILES}
