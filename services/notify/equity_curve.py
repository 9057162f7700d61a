"""What trading made of the equity, deposits and withdrawals left out. Pure.

Between two points the account grew by its equity without what was paid in, against the equity before: growth
in proportion, so that neither a transfer nor its time changes it (decision 32).
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

from services.notify.report_rows import EquityPoint
from shared.money import ONE, ZERO

EMPTY_BELOW_USDT = ONE
"""An emptied account has no proportion to grow by."""


def growth_of(points: Sequence[EquityPoint]) -> Decimal | None:
    """Return by what fraction trading changed the equity over `points`, oldest first; None without any."""
    grown = ONE
    for before, after in pairwise(points):
        if before.equity_usdt >= EMPTY_BELOW_USDT:
            grown *= (after.equity_usdt - _paid_in(before, after)) / before.equity_usdt
    return grown - ONE if points else None


def without_transfers(points: Sequence[EquityPoint]) -> Sequence[EquityPoint]:
    """Return the curve as it would have been with today's size of account all the time, as charts of shares
    show splits: the last point is the true equity, and every change is one of trading.
    """
    factor, adjusted = ONE, list(points[-1:])
    for before, after in reversed(list(pairwise(points))):
        untouched = after.equity_usdt - _paid_in(before, after)
        if min(untouched, after.equity_usdt) >= EMPTY_BELOW_USDT:
            factor *= after.equity_usdt / untouched
        adjusted.append(replace(before, equity_usdt=before.equity_usdt * factor))
    return adjusted[::-1]


def paid_in_over(points: Sequence[EquityPoint]) -> Decimal:
    """Return what was paid in over `points`; taken out is negative."""
    return _paid_in(points[0], points[-1]) if points else ZERO


def _paid_in(before: EquityPoint, after: EquityPoint) -> Decimal:
    return after.net_transfers_usdt - before.net_transfers_usdt
