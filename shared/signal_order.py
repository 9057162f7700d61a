"""Which of two alerts came first: by what they say of themselves, else by when they were received. Pure.

TradingView stamps both alerts of a reversal with the same second and sends them at once, so they arrive in
either order. Their meaning has only one: the exit of the old position, then the entry of the new one. BRAIN,
RISK and EXECUTE ask here, so that they cannot disagree. It must never read a clock.
"""

from datetime import datetime, timedelta

from shared.values import Signal, UtcTime, Value

TOGETHER_S = 10
"""An exit received more than this after an entry is never taken for the first half of its reversal: whatever
its stamp says, closing works (P9).
"""
AHEAD_S_MAX = 5
"""A stamp further ahead of its own receipt than this comes from a wrong clock and counts as none."""


class Moment(Value, frozen=True, kw_only=True):
    """When a signal, or a request to close, came; `made_at` is the alert's own stamp."""

    strategy: str
    received_at: UtcTime
    made_at: UtcTime | None = None


def made_at(signal: Signal) -> datetime | None:
    """Return the alert's own stamp, None when it has none that can be compared."""
    stamp = signal.alert_time
    if stamp is None or stamp > signal.received_at + timedelta(seconds=AHEAD_S_MAX):
        return None
    return stamp


def moment_of(signal: Signal) -> Moment:
    """Return when a signal came."""
    return Moment(strategy=signal.strategy, received_at=signal.received_at, made_at=made_at(signal))


def group_of(leave: Moment) -> tuple[str, datetime | None]:
    """Return strategy and stamp under which an exit is kept; those without both are one group, `("", None)`.

    Of each symbol and group only the newest receipt and the newest stamp matter to the question below.
    """
    is_stamped = leave.made_at is not None and leave.strategy != ""
    return (leave.strategy, leave.made_at) if is_stamped else ("", None)


def is_after_exit(entry: Moment, leave: Moment) -> bool:
    """Tell whether an entry comes after an exit: the exit neither closes nor supersedes it.

    Stamps are compared within one strategy: they come from one chart. An equal one means a reversal.
    """
    is_one_chart = entry.strategy == leave.strategy != ""
    if is_one_chart and entry.made_at is not None and leave.made_at is not None:
        is_late = leave.received_at > entry.received_at + timedelta(seconds=TOGETHER_S)
        return leave.made_at <= entry.made_at and not is_late
    return entry.received_at > leave.received_at
