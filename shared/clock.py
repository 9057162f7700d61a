"""Time as a value that is passed in: the one place that asks the operating system what time it is.

Rules never import this to *read* the time; they take `now` as an argument, so that a recorded day replays
(P11). All processes of an installation keep one time, the database's (`shared.database_clock`): between two
looks at it, time goes on by a counter that nobody sets. So a clock that is set, wrong or stepping on one
machine changes nothing about another one's record (decision 31).
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

Clock = Callable[[], datetime]
"""Returns the current time, always UTC-aware."""
StepHandler = Callable[[timedelta], None]

STEPS_READ_INTERVAL = timedelta(milliseconds=100)
_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where there is such a counter."""


def utc_now() -> datetime:
    """Return the time of the installation, UTC-aware; this machine's until the database has told its own."""
    return _process.now()


class ProcessClock:
    """The time of one process: this machine's at first, then what was agreed with the database."""

    def __init__(self, wall: Clock, counter: Callable[[], timedelta]) -> None:
        self._wall = wall
        self._counter = counter
        self._began: datetime | None = None
        self._on_step: list[StepHandler] = []

    def now(self) -> datetime:
        """Return the time."""
        return self._wall() if self._began is None else self._began + self._counter()

    def count(self) -> timedelta:
        """Return the counter, for `agree`."""
        return self._counter()

    def on_step(self, handler: StepHandler) -> None:
        """Call `handler` with the difference whenever this clock is put right."""
        self._on_step.append(handler)

    def agree(self, asked: timedelta, told: datetime, answered: timedelta) -> timedelta:
        """Take in that the database's clock stood at `told` between two counts; return by how much we moved.

        What fits stays as it is, so that processes of one machine agree to the microsecond and no answer's
        delay sets a clock.
        """
        earliest, latest = told - answered, told - asked
        began = self._wall() - self._counter() if self._began is None else self._began
        self._began = began if earliest <= began <= latest else earliest + (latest - earliest) / 2
        moved = self._began - began
        if moved:
            for handler in self._on_step:
                handler(moved)
        return moved


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


class _Machine:
    """This machine's clock and counter, and by how much a test wants them to be wrong in this process."""

    def __init__(self) -> None:
        self._steps: Path | None = None
        self._read_at = timedelta()
        self._wall_off = self._counter_off = timedelta()

    def step_by(self, steps: Path | None) -> None:
        self._steps, self._read_at = steps, timedelta()
        self._wall_off = self._counter_off = timedelta()

    def wall(self) -> datetime:
        self._read()
        return datetime.now(UTC) + self._wall_off

    def counter(self) -> timedelta:
        self._read()
        return _count() + self._counter_off

    def _read(self) -> None:
        if self._steps is None or abs(_count() - self._read_at) < STEPS_READ_INTERVAL:
            return
        self._read_at = _count()
        try:
            seconds, _, which = self._steps.read_text(encoding="ascii").strip().partition(" ")
            off = timedelta(milliseconds=int(Decimal(seconds) * 1_000))
        except (OSError, ValueError, ArithmeticError):
            seconds, which, off = "", "", timedelta()
        self._wall_off, self._counter_off = off, off if which == "all" else timedelta()


def _count() -> timedelta:
    return timedelta(microseconds=time.clock_gettime_ns(_COUNTER) // 1_000)


_machine = _Machine()
_process = ProcessClock(_machine.wall, _machine.counter)


def of_process() -> ProcessClock:
    """Return the clock that `utc_now` reads."""
    return _process


def make_steppable(directory: Path | None, name: str) -> None:
    """Let a test set this process's clock; None: never. Mode paper only (`shared.settings`).

    The file `<directory>/<name>` (`execute-0`, say) holds seconds, read ten times a second: `3600` sets the
    clock of the machine as this process sees it an hour ahead, `-40 all` the counter as well, which no real
    clock does: the worst case. Without the file the clock is right again.
    """
    _machine.step_by(None if directory is None else directory / name)
