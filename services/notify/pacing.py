"""Who is told next, and when: one message a second per chat, danger first, floods folded together.

Pure: seconds of a monotonic clock and waiting notifications in, decisions out. It must never drop danger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notify.message_format import Notification
from shared.values import Severity

CHAT_INTERVAL_S = 1.0
GROUP_INTERVAL_S = 3.0  # groups take 20 messages a minute
COALESCE_ABOVE = 3
"""More waiting info messages than this become one."""
DIGEST_LINES_MAX = 15  # with the longest titles still below a chat message's limit
BACKOFF_S_MIN = 1.0
BACKOFF_S_MAX = 30.0
RETRY_AFTER_MARGIN_S = 0.1

ORDER = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
AGE_MAX: Mapping[Severity, timedelta] = {
    Severity.INFO: timedelta(minutes=15),
    Severity.WARNING: timedelta(hours=12),
}
"""Older ones are not sent any more. Critical is not in the table: danger does not go stale."""


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
class Refused:
    """This message will never arrive."""

    why: str


Answer = Delivered | Busy | Unreachable | Refused


@dataclass(frozen=True)
class Pace:
    """How one chat is paced. Times are seconds of a monotonic clock."""

    interval_s: float
    next_send_at_s: float
    failures: int = 0

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait before the next message may leave, 0 when it may leave now."""
        return max(0.0, self.next_send_at_s - now_s)

    def after(self, answer: Answer, now_s: float) -> "Pace":
        """Return the pace once `answer` has come at `now_s`."""
        match answer:
            case Delivered() | Refused():
                failures, pause_s = 0, self.interval_s
            case Busy(retry_after_s):
                failures, pause_s = 0, max(self.interval_s, retry_after_s + RETRY_AFTER_MARGIN_S)
            case Unreachable():
                failures = self.failures + 1
                pause_s = max(self.interval_s, backoff_s(failures))
        return Pace(self.interval_s, now_s + pause_s, failures)


def start_pace(chat_id: str, now_s: float) -> Pace:
    """Return the pace of a chat nobody here has written to yet.

    Its first message waits one interval: another replica may have written a moment ago.
    """
    interval_s = GROUP_INTERVAL_S if chat_id.startswith("-") else CHAT_INTERVAL_S
    return Pace(interval_s, now_s + interval_s)


def backoff_s(failures: int) -> float:
    """Return the pause after so many failures in a row (≥ 1): doubling, capped."""
    assert failures >= 1
    return float(min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2.0 ** min(failures - 1, 16)))


def next_batch(waiting: Sequence[Notification]) -> tuple[Notification, ...]:
    """Return what the next message tells: the oldest of the loudest; many infos are folded into one."""
    for severity in ORDER:
        same = sorted((one for one in waiting if one.severity is severity), key=_by_time)
        if severity is Severity.INFO and len(same) > COALESCE_ABOVE:
            return tuple(same[:DIGEST_LINES_MAX])
        if same:
            return (same[0],)
    return ()


def too_old_before(now: datetime) -> Mapping[Severity, datetime]:
    """Return for each severity that ages the time before which it is not sent any more."""
    return {severity: now - age for severity, age in AGE_MAX.items()}


def _by_time(one: Notification) -> tuple[datetime, str]:
    return one.occurred_at, one.event_id
