"""One start, restart or stop of a home at a time. Whoever waits for another says so, and not for ever.

It must never take the lock from somebody: what is half done would go on beside it.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.local.supervision import SupervisorError

QUIET_S = 2.0
"""The guardian holds the lock for moments; that is not worth a word."""
TIMEOUT_S = 600.0
"""Longer than a first start on a slow machine."""
POLL_S = 0.1


@contextmanager
def only_one(lock: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock; wait for whoever has it, who may have been suspended.

    Raises:
        SupervisorError: it was not free within `TIMEOUT_S`.
    """
    since, is_told = time.monotonic(), False
    with lock.open("w") as file:
        while not _is_taken(file.fileno()):
            waited_s = time.monotonic() - since
            if waited_s > TIMEOUT_S:
                raise SupervisorError(
                    f"another start, restart or stop has held {lock} for {TIMEOUT_S:.0f} s;"
                    " if it was suspended (Ctrl-Z), continue it with fg, or end it"
                )
            if waited_s > QUIET_S and not is_told:
                tell("  · another start, restart or stop of this home is under way: waiting for it")
                is_told = True
            time.sleep(POLL_S)
        yield


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
