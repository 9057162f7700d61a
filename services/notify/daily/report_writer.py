"""The daily report's loop: when a day is over, its numbers and its picture become a notification, once.

A row decides over all replicas and restarts. The picture is made by a child process: when that fails, the
report goes without one. It must never hold up a fact.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from services.notify.daily.numbers import DailyNumbers
from services.notify.daily.report import due_day, write
from services.notify.ports import HoldsLease
from services.notify.reports import EquityPoint
from services.notify.store import NotificationStore
from services.notify.telling.texts import Language
from shared import logs
from shared.clock import Clock

LEASE_NAME = "daily_report"
LOOK_INTERVAL_S = 20.0
DRAW_TIMEOUT_S = 30.0
PNG_BYTES_MAX = 2_000_000
POINTS_MIN = 2
DRAWER = "services.notify.daily.equity_picture"
ROOT = Path(__file__).parents[3]

_log = logs.get(__name__)


class ReportWriter:
    """Writes the report of each day."""

    def __init__(
        self,
        numbers: DailyNumbers,
        store: NotificationStore,
        lease: HoldsLease,
        at: str,
        words: Language,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._numbers = numbers
        self._store = store
        self._lease = lease
        self._at = at
        self._words = words
        self._clock = clock
        self._wake = wake

    async def run(self) -> None:
        """Look now and then whether a report is due. Loops for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def look(self) -> bool:
        """Write the report that is due, if nobody has; True when this replica kept it."""
        day = due_day(self._clock(), self._at)
        if day is None or await self._store.is_report_made(day) or not await self._lease.hold():
            return False
        try:
            return await self._write(day)
        finally:
            await self._lease.release()

    async def _write(self, day: date) -> bool:
        curve = await self._numbers.curve(day)
        if not curve:
            return False  # a new installation: nothing was there yet that could be reported
        picture = await draw(self._words.phrases["report_title"], curve)
        report = write(day, await self._numbers.of(day), self._clock(), self._words)
        is_ours = await self._store.keep_report(day, report, picture)
        if is_ours:
            _log.info("daily_report_kept", day=day.isoformat(), has_picture=picture is not None)
            self._wake()
        return is_ours


async def draw(title: str, points: Sequence[EquityPoint], timeout_s: float = DRAW_TIMEOUT_S) -> bytes | None:
    """Return the curve as PNG, or None when there is nothing to draw or drawing failed."""
    if len(points) < POINTS_MIN:
        return None
    asked = json.dumps(
        {"title": title, "points": [[one.taken_at.timestamp(), float(one.equity_usdt)] for one in points]}
    )
    with tempfile.TemporaryDirectory(prefix="phoenix-picture-") as cache:
        # Nothing of our environment: the child needs no secret.
        environment = {"PATH": os.defpath, "MPLCONFIGDIR": cache, "HOME": cache}
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            DRAWER,
            cwd=ROOT,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return await _result(child, asked.encode(), timeout_s)


async def _result(child: asyncio.subprocess.Process, asked: bytes, timeout_s: float) -> bytes | None:
    try:
        async with asyncio.timeout(timeout_s):
            picture, complaint = await child.communicate(asked)
    except TimeoutError:
        picture, complaint = b"", b"time-out"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode == 0 and picture.startswith(b"\x89PNG") and len(picture) <= PNG_BYTES_MAX:
        return picture
    _log.warning(
        "equity_picture_failed", code=child.returncode, why=complaint.decode(errors="replace")[-500:]
    )
    return None
