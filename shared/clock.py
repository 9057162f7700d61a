"""Time as a value that is passed in: the one place that asks the operating system what time it is.

Rules never import this to *read* the time; they take `now` as an argument, so that a recorded day replays
(P11).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current time, always UTC-aware."""


def utc_now() -> datetime:
    """Return the current wall-clock time, UTC-aware."""
    return datetime.now(UTC)


class ManualClock:
    """A clock that moves only when it is told to; for tests, replay and simulation."""

    def __init__(self, start: datetime) -> None:
        assert start.tzinfo is not None, "times are UTC-aware"
        self._now = start

    def __call__(self) -> datetime:
        """Return the time this clock stands at."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`; a clock never goes back."""
        assert seconds >= 0
        self._now += timedelta(seconds=seconds)
