"""How positions move together: correlations of minute returns, and the combined risk sqrt(rᵀCr) in Decimal.

Correlations are shrunk towards 1 by how little data there is: what is not known is taken to fall together. It
must never fetch a bar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from shared.market import Bar
from shared.money import ONE, ZERO, clamp
from shared.values import Side

SHRINK_RETURNS = 60
"""With this many common returns a measured correlation counts half, the assumption of 1 the other half."""
RETURNS_MIN = 10

Returns = Mapping[datetime, Decimal]
"""Minute returns by the time the bar opened."""


class Exposure(NamedTuple):
    """One position as a share of the portfolio's risk; `risk_usdt` is what it loses at its stop."""

    symbol: str
    side: Side
    risk_usdt: Decimal


class Measured(NamedTuple):
    """A sample correlation and the number of returns behind it."""

    correlation: Decimal
    returns: int


@dataclass(frozen=True)
class Correlations:
    """What is known about pairs of symbols; keys are ordered by name."""

    pairs: Mapping[tuple[str, str], Measured] = field(default_factory=dict)

    def between(self, a: Exposure, b: Exposure) -> Decimal:
        """Return how far two positions lose together, 0..1; 1 when nothing is known.

        Opposite sides turn the sign. A hedge counts as independent, never as relief: both stops can be hit.
        """
        measured = self.pairs.get(pair(a.symbol, b.symbol))
        if measured is None:
            return ONE
        together = clamp(measured.correlation * a.side.sign * b.side.sign, ZERO, ONE)
        weight = Decimal(measured.returns) / (measured.returns + SHRINK_RETURNS)
        return weight * together + (ONE - weight)


def pair(a: str, b: str) -> tuple[str, str]:
    """Return the key of two symbols, independent of their order."""
    return (a, b) if a <= b else (b, a)


def returns(bars: Sequence[Bar]) -> Returns:
    """Return close-to-close returns by the later bar's opening time; bars oldest first."""
    return {
        after.opened_at: after.close / before.close - ONE
        for before, after in pairwise(bars)
        if before.close > ZERO
    }


def measure(a: Returns, b: Returns) -> Measured | None:
    """Return the correlation over the minutes both have, or None with too few of them or no movement."""
    common = a.keys() & b.keys()
    count = len(common)
    if count < RETURNS_MIN:
        return None
    mean_a = sum((a[at] for at in common), ZERO) / count
    mean_b = sum((b[at] for at in common), ZERO) / count
    covariance = variance_a = variance_b = ZERO
    for at in common:
        off_a, off_b = a[at] - mean_a, b[at] - mean_b
        covariance += off_a * off_b
        variance_a += off_a * off_a
        variance_b += off_b * off_b
    if variance_a == ZERO or variance_b == ZERO:
        return None
    return Measured(clamp(covariance / (variance_a * variance_b).sqrt(), -ONE, ONE), count)


def portfolio_risk(exposures: Sequence[Exposure], correlations: Correlations) -> Decimal:
    """Return sqrt(rᵀCr) in USDT: at most the sum of the risks, at least the largest of them."""
    return _variance(exposures, correlations).sqrt()


def room_for(
    symbol: str, side: Side, others: Sequence[Exposure], correlations: Correlations, limit_usdt: Decimal
) -> Decimal:
    """Return the largest risk (USDT) a new position may add so that sqrt(rᵀCr) stays within `limit_usdt`.

    It is the positive root of x² + 2·x·Σ(c·r) + rᵀCr = limit².
    """
    standing = _variance(others, correlations)
    if standing >= limit_usdt * limit_usdt:
        return ZERO
    newcomer = Exposure(symbol, side, ONE)
    shared = sum((correlations.between(newcomer, other) * other.risk_usdt for other in others), ZERO)
    return (shared * shared + limit_usdt * limit_usdt - standing).sqrt() - shared


def _variance(exposures: Sequence[Exposure], correlations: Correlations) -> Decimal:
    total = ZERO
    for index, a in enumerate(exposures):
        total += a.risk_usdt * a.risk_usdt
        for b in exposures[index + 1 :]:
            total += 2 * a.risk_usdt * b.risk_usdt * correlations.between(a, b)
    return total
