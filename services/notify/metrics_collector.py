"""Business metrics that only the facts together tell: results, costs, holding times, exposure.

What a service knows by itself it measures itself; nothing here has a second writer. Counters come from told
facts, which are observed once; gauges from snapshots, which may repeat. No rule reads these numbers.
"""

from datetime import datetime
from decimal import Decimal

from services.notify.pacing import Answer, Busy, Delivered, Refused, Unreachable
from services.notify.people import Door, Why
from shared import metrics
from shared.models import AccountSnapshot, Envelope, PositionClosed
from shared.money import ZERO
from shared.values import Side


class BusinessMetrics:
    """Counts what the facts say about the business."""

    def __init__(self) -> None:
        self._snapshot_at: datetime | None = None

    def observe(self, envelope: Envelope) -> None:
        """Count one fact; called once per fact that is told, and for each delivery of the others."""
        match envelope.payload:
            case PositionClosed() as closed:
                _count_trade(closed)
            case AccountSnapshot() as snapshot if self._is_newest(snapshot):
                self._snapshot_at = snapshot.taken_at
                _show_account(snapshot)

    def _is_newest(self, snapshot: AccountSnapshot) -> bool:
        return self._snapshot_at is None or snapshot.taken_at > self._snapshot_at


class StorageMetrics:
    """Counts what is kept."""

    def stored(self, schema: str, severity: str) -> None:
        """One notification was kept."""
        metrics.NOTIFICATIONS_STORED.labels(schema=schema, severity=severity).inc()


class DeliveryMetrics:
    """Counts what becomes of the notifications for one kind of channel, such as `slack`."""

    def __init__(self, channel: str) -> None:
        self._channel = channel

    def waiting(self, count: int) -> None:
        """So many are not delivered yet."""
        metrics.NOTIFICATIONS_WAITING.labels(channel=self._channel).set(count)

    def dropped(self, count: int, why: str) -> None:
        """So many will never be delivered."""
        metrics.NOTIFICATIONS_DROPPED.labels(channel=self._channel, why=why).inc(count)

    def answered(self, answer: Answer) -> None:
        """The channel answered an attempt."""
        match answer:
            case Delivered():
                metrics.NOTIFICATIONS_SENT.labels(channel=self._channel).inc()
            case Busy():
                metrics.NOTIFICATION_FAILURES.labels(channel=self._channel, why="busy").inc()
            case Unreachable():
                metrics.NOTIFICATION_FAILURES.labels(channel=self._channel, why="unreachable").inc()
            case Refused():
                metrics.NOTIFICATION_FAILURES.labels(channel=self._channel, why="refused").inc()


class DoorMetrics:
    """Counts who was turned away."""

    def refused(self, door: Door, why: Why) -> None:
        """Somebody was refused at a door."""
        metrics.DOOR_REFUSALS.labels(door=door.value, why=why.value).inc()


def _count_trade(closed: PositionClosed) -> None:
    net = closed.net_pnl_usdt
    metrics.TRADE_RESULTS.labels(result="won" if net > ZERO else "lost" if net < ZERO else "even").inc()
    metrics.NET_PNL_USDT.labels(sign="won" if net >= ZERO else "lost").inc(_reading(abs(net)))
    if closed.position.margin_usdt > ZERO:
        metrics.TRADE_RETURN_RATIO.observe(_reading(net / closed.position.margin_usdt))
    held_s = (closed.closed_at - closed.position.opened_at).total_seconds()
    metrics.TRADE_HOLD_SECONDS.observe(max(0.0, held_s))
    metrics.TRADE_FEES_USDT.inc(_reading(max(ZERO, closed.fees_usdt)))
    funding = "received" if closed.funding_usdt >= ZERO else "paid"
    metrics.TRADE_FUNDING_USDT.labels(sign=funding).inc(_reading(abs(closed.funding_usdt)))


def _show_account(snapshot: AccountSnapshot) -> None:
    for side in Side:
        notional = sum(
            (one.quantity * one.mark_price for one in snapshot.positions if one.side is side), ZERO
        )
        metrics.EXPOSURE_USDT.labels(side=side.value).set(_reading(notional))
    metrics.MARGIN_USED_USDT.set(_reading(sum((one.margin_usdt for one in snapshot.positions), ZERO)))
    metrics.UNREALISED_PNL_USDT.set(
        _reading(sum((one.unrealised_pnl_usdt for one in snapshot.positions), ZERO))
    )
    metrics.POSITIONS_WITHOUT_STOP.set(sum(one.stop_price is None for one in snapshot.positions))


def _reading(amount: Decimal) -> float:
    """Turn money into a gauge's float: the one border where that is right, for nobody computes with it."""
    return float(amount)
