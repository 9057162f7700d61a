"""Looks at the disks, shows their room, and tells the operator when entries stop for it and go on again.

A disk that does not answer is looked at in a thread and holds nothing up. It must never decide: the check
`disk_space` does.
"""

import asyncio
import os
from collections.abc import Sequence

from services.risk import disk_space
from services.risk.announcements import PRODUCER
from services.risk.disk_space import DiskSpace
from shared import logs, metrics
from shared.clock import Clock
from shared.database import Database
from shared.outbox import Outbox
from shared.supervision import Done, Failed, attempt, came_round, within

FREE_MB_MIN = 250
FREE_SHARE_MIN = 0.1
"""Of a small disk, which may be one server's alone. RabbitMQ stops at 200 MB, PostgreSQL at none."""
LOOK_INTERVAL_S = 2.0
LOOK_TIMEOUT_S = 2.0
MB = 1_000_000

_log = logs.get(__name__)


class DiskWatch:
    """Knows the disk with the least room."""

    def __init__(
        self, paths: Sequence[str], minimum_mb: int | None, database: Database, outbox: Outbox, clock: Clock
    ) -> None:
        self._paths = paths
        self._minimum_mb = minimum_mb
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._told_short = False
        self.space: DiskSpace | None = None

    def newest(self) -> DiskSpace | None:
        """Return what was last seen, None when nothing is watched or no disk answers."""
        return self.space

    async def keep(self) -> None:
        """Loop: look, show, tell."""
        while True:
            came_round()
            match await attempt(within(LOOK_TIMEOUT_S, asyncio.to_thread(self.look))):
                case Done(space):
                    self.space = space
                case Failed(error):
                    self.space = None
                    _log.warning("disk_space_unknown", error=repr(error))
            _show(self.space)
            if self.space is not None:
                await self._tell(self.space)
            await asyncio.sleep(LOOK_INTERVAL_S)

    def look(self) -> DiskSpace | None:
        """Return the disk with the least room among those of the paths that exist."""
        seen = [space for path in self._paths if (space := self._look_at(path)) is not None]
        return min(seen, key=lambda each: each.free_mb - each.minimum_mb, default=None)

    def _look_at(self, path: str) -> DiskSpace | None:
        """Return what an ordinary user may still write there; None where nothing is."""
        try:
            found = os.statvfs(path)
        except FileNotFoundError:
            return None
        free, size = (blocks * found.f_frsize // MB for blocks in (found.f_bavail, found.f_blocks))
        minimum = self._minimum_mb
        return DiskSpace(
            path, free, min(FREE_MB_MIN, int(size * FREE_SHARE_MIN)) if minimum is None else minimum
        )

    async def _tell(self, space: DiskSpace) -> None:
        if not (space.has_room_again if self._told_short else space.is_short):
            return
        told = [disk_space.told(space, PRODUCER, self._clock())]
        async with self._database.transaction() as tx:
            await self._outbox.stage(tx, told)
        self._told_short = space.is_short
        _log.warning("disk_space_told", path=space.path, free_mb=space.free_mb, short=space.is_short)
        await self._outbox.publish(told)


def _show(space: DiskSpace | None) -> None:
    """Set the gauges; what nobody could look at is absent, so that an alarm stays and none is denied."""
    if space is None:
        metrics.DISK_FREE_BYTES.forget()
        metrics.DISK_SHORT.forget()
    else:
        metrics.DISK_FREE_BYTES.set(space.free_mb * MB)
        metrics.DISK_SHORT.set(1 if space.is_short else 0)
