"""What NOTIFY measures: the business that only the facts together tell, what channels, doors and chat do.

What a service knows by itself it measures itself; nothing here has a second writer. Counters come from told
facts, which are observed once, by whichever replica is given them. No rule reads these numbers.
"""

from decimal import Decimal

from services.notify.people import Door, Why
from services.notify.store import DatabaseLoad
from services.notify.telling.pacing import Answer, Barred, Busy, Delivered, Refused, Unreachable
from shared import metrics
from shared.models import BooksCompleted, Envelope, PositionClosed
from shared.money import ZERO


class BusinessMetrics:
    """Counts what the facts say about the business."""

    def __init__(self) -> None:
        metrics.from_zero(metrics.NET_PNL_USDT, "sign", ("won", "lost"))
        metrics.from_zero(metrics.TRADE_RESULTS, "result", ("won", "lost", "even"))
        metrics.from_zero(metrics.TRADE_FUNDING_USDT, "sign", ("received", "paid"))

    def observe(self, envelope: Envelope) -> None:
        """Count one fact; called once per fact that is told, and for each delivery of the others."""
        fact = envelope.payload
        if isinstance(fact, BooksCompleted) or (isinstance(fact, PositionClosed) and not fact.missing):
            _count_trade(fact)


class StorageMetrics:
    """Counts what is kept."""

    def stored(self, schema: str, severity: str) -> None:
        """One notification was kept."""
        metrics.NOTIFICATIONS_STORED.labels(schema=schema, severity=severity).inc()


class DeliveryMetrics:
    """Counts what becomes of the notifications for one kind of channel, such as `slack`."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        metrics.from_zero(metrics.NOTIFICATIONS_DROPPED, "why", ("too_old", "refused"), channel=channel)

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
            case Barred():
                metrics.NOTIFICATION_FAILURES.labels(channel=self._channel, why="barred").inc()
            case Refused():
                metrics.NOTIFICATION_FAILURES.labels(channel=self._channel, why="refused").inc()


class DoorMetrics:
    """Counts who was turned away."""

    def __init__(self) -> None:
        for door in Door:
            metrics.from_zero(metrics.DOOR_REFUSALS, "why", Why, door=door)

    def refused(self, door: Door, why: Why) -> None:
        """Somebody was refused at a door."""
        metrics.DOOR_REFUSALS.labels(door=door.value, why=why.value).inc()


def show_oldest_waiting(oldest_s: float) -> None:
    """Show for how long the oldest that waits for delivery does."""
    metrics.NOTIFICATIONS_OLDEST_SECONDS.set(oldest_s)


def show_database(load: DatabaseLoad) -> None:
    """Show what the database server carries."""
    metrics.DATABASE_BYTES.set(load.size_bytes)
    metrics.DATABASE_CONNECTIONS.set(load.connections)
    metrics.DATABASE_CONNECTIONS_MAX.set(load.connections_max)


class ChatMetrics:
    """Counts what comes in from the chat."""

    def __init__(self) -> None:
        metrics.from_zero(metrics.CHAT_POLLS, "answer", ("ok", "polled_elsewhere"))

    def asked(self, what: str) -> None:
        """Somebody of ours typed a command or pressed a button; `what` is one of few words."""
        metrics.CHAT_COMMANDS.labels(command=what).inc()

    def polled(self, answer: str) -> None:
        """The chat's server was asked for updates: `ok`, or why it gave none."""
        metrics.CHAT_POLLS.labels(answer=answer).inc()


def _count_trade(closed: PositionClosed | BooksCompleted) -> None:
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


def _reading(amount: Decimal) -> float:
    """Turn money into a gauge's float: the one border where that is right, for nobody computes with it."""
    return float(amount)
