"""Keeps the log files of a system within bounds, beginning of an incident included.

A file that has grown too large is copied beside itself and emptied; its writer appends and goes on. Three
copies are kept. The oldest is replaced only when it is a day old: in a storm of lines it is the newest copy
that gives way, and what began it can still be read. It must never hold up who writes a log.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from shared.clock import utc_now

BYTES_MAX = 10_000_000
COPIES = 3
OLDEST_KEPT_S = 86_400.0


def bound(directory: Path) -> None:
    """Look at every log of a directory."""
    for path in (*directory.glob("*.log"), *directory.glob("*.out")):
        with suppress(OSError):
            bound_one(path, utc_now().timestamp())


def bound_one(path: Path, now: float) -> None:
    """Copy and empty one log that has grown too large; one that cannot be copied may grow to the double."""
    size = path.stat().st_size
    if size < BYTES_MAX:
        return
    fresh = path.with_name(path.name + ".new")
    try:
        shutil.copyfile(path, fresh)
        fresh.chmod(0o600)
        _shift(path, now)
        fresh.rename(_copy(path, 1))
    except OSError:
        fresh.unlink(missing_ok=True)
        if size < 2 * BYTES_MAX:
            return
    os.truncate(path, 0)


def _shift(path: Path, now: float) -> None:
    """Make room for a new first copy: all move on by one, unless the oldest is to stay."""
    oldest = _copy(path, COPIES)
    if oldest.exists() and now - oldest.stat().st_mtime < OLDEST_KEPT_S:
        return
    for number in range(COPIES - 1, 0, -1):
        with suppress(FileNotFoundError):
            _copy(path, number).rename(_copy(path, number + 1))


def _copy(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
