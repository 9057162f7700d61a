"""What the account looks like, as metrics: exposure, margin, missing stops, how near each liquidation is.

Shown by the keeper alone, from the snapshot it has just taken, and taken back when it is not the keeper any
more: two replicas that remember different moments would add up to an account that never was. It must never
decide: the rules read the snapshot itself.
"""

from decimal import Decimal

from shared import metrics
from shared.models import AccountSnapshot
from shared.money import ZERO
from shared.values import Side, SnapshotPosition, liquidation_danger


def danger_of(position: SnapshotPosition) -> Decimal:
    """Return how much of the way to liquidation is used up; a position without such a way is in no danger."""
    danger = liquidation_danger(
        position.side, position.entry_price, position.mark_price, position.liquidation_price
    )
    return ZERO if danger is None else danger


def show(snapshot: AccountSnapshot) -> None:
    """Show a snapshot."""
    positions = snapshot.positions
    for side in Side:
        notional = sum((each.quantity * each.mark_price for each in positions if each.side is side), ZERO)
        metrics.EXPOSURE_USDT.labels(side=side.value).set(float(notional))
    metrics.MARGIN_USED_USDT.set(float(sum((each.margin_usdt for each in positions), ZERO)))
    metrics.UNREALISED_PNL_USDT.set(float(sum((each.unrealised_pnl_usdt for each in positions), ZERO)))
    metrics.POSITIONS_WITHOUT_STOP.set(sum(each.stop_price is None for each in positions))
    metrics.LIQUIDATION_DANGER_RATIO.clear()  # a closed position has no danger left, and no series
    for each in positions:
        metrics.LIQUIDATION_DANGER_RATIO.labels(symbol=each.symbol).set(float(danger_of(each)))


def forget() -> None:
    """Show nothing: another replica keeps the account now. Nothing is not zero."""
    metrics.EXPOSURE_USDT.clear()
    metrics.LIQUIDATION_DANGER_RATIO.clear()
    for gauge in (metrics.MARGIN_USED_USDT, metrics.UNREALISED_PNL_USDT, metrics.POSITIONS_WITHOUT_STOP):
        gauge.forget()
