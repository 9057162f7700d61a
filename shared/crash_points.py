"""Named moments of a signal's life at which a test may kill or freeze the process that reaches them.

Inert unless the setting `crash_points` names a directory, which only mode paper accepts. There, a file with a
point's name arms the point for the one process that reaches it next; its text is KILL or STOP. The file is
renamed to `<point>.met.<pid>` before the signal is raised, so that whoever armed it knows that it was met,
and by whom. It must never cost a running system more than a comparison, nor decide anything.
"""

import os
import signal
from pathlib import Path

from shared import topology

SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}

POINTS = (
    "webhook.before_publish",  # an alert is understood, nothing is durable
    "webhook.confirmed",  # it is durable, the sender does not know
    *(f"{queue.name}.taken" for queue in topology.QUEUES),  # delivered, nothing done
    *(f"{queue.name}.handled" for queue in topology.QUEUES),  # done and committed, not acknowledged
    "brain.committed",  # the answer to a signal is committed, not published
    "risk.decided",  # judged, not committed
    "risk.committed",  # reserved and committed, not published
    "execute.intent_recorded",
    "execute.claimed",  # the right to send is taken, nothing is sent
    "execute.entry_answered",  # the exchange has answered, nothing is recorded
    "execute.fill_recorded",  # protection is under way
    "execute.protection_placed",  # stop and target stand, unrecorded
    "execute.protection_recorded",  # not published
    "execute.closing_recorded",
    "execute.close_answered",  # the closing order has its answer, unrecorded
    "execute.twin_cancelled",  # the position is gone, its other order too; the books are open
    "execute.books_closed",  # not published
    "outbox.swept",  # a swept row is published, unmarked
)

_directory: Path | None = None


def enable(directory: Path | None) -> None:
    """Look for armed points in `directory` from now on; None: never."""
    global _directory  # noqa: PLW0603 - one process, one switch, thrown at its start
    _directory = directory


def reach(point: str) -> None:
    """Say that this process is at `point`; it goes on unless the point is armed."""
    if _directory is not None:
        _meet(point, _directory)


def _meet(point: str, directory: Path) -> None:
    assert point in POINTS, f"{point} is not in the table of crash points"
    armed = directory / point
    met = directory / f"{point}.met.{os.getpid()}"
    try:
        number = SIGNALS[armed.read_text(encoding="ascii").strip()]
        armed.rename(met)  # of two that arrive together, one gets it
    except FileNotFoundError:
        return
    os.kill(os.getpid(), number)
