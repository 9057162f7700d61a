"""What the memory of NOTIFY needs besides facts: repeats told, lost channels given up, old rows deleted.

Every replica does all of it; each statement is safe beside itself. It must never send anything.
"""

import asyncio
from collections.abc import Callable

from services.notify.alarms import AlarmBook
from services.notify.desk_store import DeskStore
from services.notify.metrics_collector import show_database, show_oldest_waiting
from services.notify.store import REPEAT_WINDOW_S, NotificationStore
from services.notify.telling.message_format import again
from services.notify.telling.texts import Language
from shared import logs
from shared.clock import Clock

REPEATS_INTERVAL_S = 5.0
CHANNELS_INTERVAL_S = 60.0
MEASURE_INTERVAL_S = 5.0
PRUNE_INTERVAL_S = 600.0

_log = logs.get(__name__)


class Housekeeping:
    """The loops around the store."""

    def __init__(
        self,
        store: NotificationStore,
        desk: DeskStore,
        alarms: AlarmBook,
        wake: Callable[[], None],
        words: Language,
        clock: Clock,
        kept_days: int,
    ) -> None:
        self._store = store
        self._desk = desk
        self._alarms = alarms
        self._wake = wake
        self._words = words
        self._clock = clock
        self._kept_days = kept_days

    async def tell_repeats(self) -> None:
        """Say how often the same words came again, when their time is over. Loops for ever."""
        minutes = round(REPEAT_WINDOW_S / 60)
        while True:
            told = await self._store.tell_repeats(
                lambda title, repeats: again(title, repeats, minutes, self._words), self._clock()
            )
            if told:
                _log.info("repeats_told", count=told)
                self._wake()
            await asyncio.sleep(REPEATS_INTERVAL_S)

    async def mind_channels(self) -> None:
        """Take over what an older version left, give up what no channel waits for. Loops for ever."""
        while True:
            await self._store.adopt()
            await self._store.retire()
            await asyncio.sleep(CHANNELS_INTERVAL_S)

    async def measure(self) -> None:
        """Show what waits, also when nobody sends and while a channel is away. Loops for ever."""
        while True:
            show_oldest_waiting(await self._store.oldest_waiting_s())
            show_database(await self._store.database_load())
            await asyncio.sleep(MEASURE_INTERVAL_S)

    async def prune(self) -> None:
        """Delete what ended long ago. Loops for ever."""
        while True:
            await self._store.prune(self._kept_days)
            await self._desk.prune()
            await self._alarms.prune()
            await asyncio.sleep(PRUNE_INTERVAL_S)
