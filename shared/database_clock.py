"""The database's clock as the time of the installation: asked now and then, by every process (decision 31).

While the database is away, time goes on by the counter. It must never hold up what asks for the time.
"""

import asyncio
from datetime import timedelta

from shared import clock, logs, metrics
from shared.database import Database
from shared.lifecycle import Runtime
from shared.supervision import Failed, attempt, came_round

ASK_INTERVAL_S = 2.0
QUIET_S_MAX = 30.0
STEP_LOGGED_MIN = timedelta(milliseconds=100)

_log = logs.get(__name__)


class DatabaseClock:
    """Keeps one process's time with the database's."""

    def __init__(self, database: Database, process: clock.ProcessClock) -> None:
        self._database = database
        self._process = process

    async def ask(self) -> None:
        """Ask the database for its time once, and heed it; raises `DatabaseUnavailable`."""
        asked = self._process.count()
        told = await self._database.fetch_value("SELECT clock_timestamp()")
        moved = self._process.agree(asked, told, self._process.count())
        if abs(moved) >= STEP_LOGGED_MIN:
            metrics.CLOCK_PUT_RIGHT.inc()
            _log.warning("clock_put_right", moved_s=moved.total_seconds())

    async def keep(self) -> None:
        """Loop: ask every `ASK_INTERVAL_S`."""
        is_away = False
        while True:
            await asyncio.sleep(ASK_INTERVAL_S)
            came_round()
            match await attempt(self.ask()):
                case Failed(error):
                    if not is_away:
                        _log.warning("database_clock_not_asked", error=repr(error))
                    is_away = True
                case _:
                    is_away = False


async def follow(runtime: Runtime, database: Database) -> None:
    """Keep this process's time with the database's from now on."""
    followed = DatabaseClock(database, clock.of_process())
    await followed.ask()
    runtime.spawn("database_clock", followed.keep, quiet_s_max=QUIET_S_MAX)
