"""How much of the account a signal deserves: Kelly's fraction of our own odds, scaled down (DESIGN 6.3).

Pure arithmetic on the `EdgeEstimate` that BRAIN sends. It must never know a price, a symbol or a limit other
than the two numbers passed in.
"""

from decimal import Decimal

from shared.edge import estimate_edge
from shared.money import ONE, ZERO, clamp
from shared.values import EdgeEstimate, Value

KELLY_FRACTION_MAX = Decimal("0.25")
"""Beyond a quarter the estimate's own error costs more than the growth it promises."""

PRIOR = estimate_edge(())
"""The odds assumed where none are sent: a manual order, which nothing was estimated for."""


class Stake(Value, frozen=True, kw_only=True):
    """What the odds allow; without an edge it is zero and a probe takes its place."""

    kelly_fraction: Decimal
    margin_fraction: Decimal

    @property
    def has_edge(self) -> bool:
        """Whether the odds are in our favour at all."""
        return self.margin_fraction > ZERO


def kelly_fraction(edge: EdgeEstimate) -> Decimal:
    """Return f = (b·p − q) / b with b = average win / average loss, limited to 0..`KELLY_FRACTION_MAX`."""
    if edge.average_win <= ZERO:
        return ZERO
    odds_against = max(edge.average_loss, ZERO) / edge.average_win  # 1 / b: defined without losses, too
    fraction = edge.win_rate - (ONE - edge.win_rate) * odds_against
    return clamp(fraction, ZERO, KELLY_FRACTION_MAX)


def stake(edge: EdgeEstimate | None, *, scale: Decimal, margin_fraction_max: Decimal) -> Stake:
    """Return the margin to put up as a fraction of equity: `scale` × Kelly, at most the maximum."""
    fraction = kelly_fraction(PRIOR if edge is None else edge)
    return Stake(kelly_fraction=fraction, margin_fraction=min(fraction * scale, margin_fraction_max))
