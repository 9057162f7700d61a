"""Who is told next, and when: each channel at its pace, danger first, floods folded together.

Pure: seconds of a monotonic clock and waiting notifications in, decisions out. It must never drop danger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from services.notify.telling.kinds import Kind, Lane
from services.notify.telling.message_format import Notification

CHAT_INTERVAL_S = 1.0
GROUP_INTERVAL_S = 3.0  # groups take 20 messages a minute
ROUTINE_INTERVAL_S = 10.0
"""After a routine message the next one gathers this long: what happens meanwhile is one message."""
SINGLE_MAX: Mapping[Lane, int] = {Lane.TRADES: 5, Lane.WARNING: 3, Lane.ROUTINE: 1}
"""More than this waiting in a lane become one message; danger never does."""
FOLDED_MAX: Mapping[Lane, int] = {Lane.TRADES: 15, Lane.WARNING: 15, Lane.ROUTINE: 200}
"""At most this many go into one: money and warnings are listed line by line and must fit, routine is summed
up.
"""
BACKOFF_S_MIN = 1.0
BACKOFF_S_MAX = 30.0
RETRY_AFTER_MARGIN_S = 0.1

AGE_MAX: Mapping[Lane, timedelta] = {
    Lane.ROUTINE: timedelta(minutes=15),
    Lane.WARNING: timedelta(hours=12),
    Lane.TRADES: timedelta(hours=24),
}
"""Older ones are not sent any more. Danger is not in the table: it does not go stale."""


@dataclass(frozen=True)
class Delivered:
    """The chat has it."""


@dataclass(frozen=True)
class Busy:
    """The server asks for patience."""

    retry_after_s: float


@dataclass(frozen=True)
class Unreachable:
    """No answer, or an answer that may be different later; the message may have arrived all the same."""

    why: str


@dataclass(frozen=True)
class Barred:
    """The receiver takes nothing from us until somebody changes something there or in our settings."""

    why: str


@dataclass(frozen=True)
class Refused:
    """This message will never arrive."""

    why: str


Answer = Delivered | Busy | Unreachable | Barred | Refused


@dataclass(frozen=True)
class Pace:
    """How one channel is paced. Times are seconds of a monotonic clock."""

    interval_s: float
    next_send_at_s: float
    next_routine_at_s: float = 0.0
    failures: int = 0

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait before the next message may leave, 0 when it may leave now."""
        return max(0.0, self.next_send_at_s - now_s)

    def lets_routine(self, now_s: float) -> bool:
        """Tell whether a routine message may leave, too."""
        return now_s >= self.next_routine_at_s

    def after(self, answer: Answer, now_s: float, lane: Lane) -> "Pace":
        """Return the pace once `answer` to a message of `lane` has come at `now_s`."""
        routine_at_s, failures = self.next_routine_at_s, 0
        match answer:
            case Delivered() | Refused():
                pause_s = self.interval_s
                if lane is Lane.ROUTINE:
                    routine_at_s = now_s + ROUTINE_INTERVAL_S
            case Busy(retry_after_s):
                pause_s = max(self.interval_s, retry_after_s + RETRY_AFTER_MARGIN_S)
            case Unreachable() | Barred():
                failures = self.failures + 1
                pause_s = max(self.interval_s, backoff_s(failures))
        return Pace(self.interval_s, now_s + pause_s, routine_at_s, failures)


def start_pace(interval_s: float, now_s: float) -> Pace:
    """Return the pace of a channel nobody here has written to yet.

    Its first message waits one interval: another replica may have written a moment ago.
    """
    return Pace(interval_s, now_s + interval_s)


def interval_of(chat_id: str) -> float:
    """Return the least time between two messages to a Telegram chat, in seconds; a @name is a group or a
    channel, which have the same bound.
    """
    return GROUP_INTERVAL_S if chat_id.startswith(("-", "@")) else CHAT_INTERVAL_S


def backoff_s(failures: int) -> float:
    """Return the pause after so many failures in a row (≥ 1): doubling, capped."""
    assert failures >= 1
    return float(min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2.0 ** min(failures - 1, 16)))


def next_batch(waiting: Sequence[Notification], *, with_routine: bool) -> tuple[Notification, ...]:
    """Return what the next message tells: the oldest of the most urgent lane, or many folded into one."""
    for lane in Lane:
        if lane is Lane.ROUTINE and not with_routine:
            continue
        same = sorted((one for one in waiting if one.lane is lane), key=_by_time)
        if lane is not Lane.DANGER and len(same) > SINGLE_MAX[lane]:
            # The day's report is a page with a picture: a line among others would be all that is left of it.
            folded = tuple(takewhile(lambda one: one.kind is not Kind.DAILY_REPORT, same[: FOLDED_MAX[lane]]))
            return folded or (same[0],)
        if same:
            return (same[0],)
    return ()


def too_old_before(now: datetime) -> Mapping[Lane, datetime]:
    """Return for each lane that ages the time before which it is not sent any more."""
    return {lane: now - age for lane, age in AGE_MAX.items()}


def _by_time(one: Notification) -> tuple[datetime, str]:
    return one.occurred_at, one.event_id
