"""Completing the books of positions that closed with incomplete ones.

What is due is stored: claiming a try sets the time of the next one, twice as far away each time, so that
replicas share the work, a killed one loses nothing, and what fails for ever is tried ever more seldom.
It must never touch an order: nothing here is needed for safety.
"""

import asyncio
from datetime import timedelta

from services.execute import facts
from services.execute.book_reader import BookReader
from services.execute.execution_rules import ClosedBooks
from services.execute.ports import DueBooks, KeepsBooks, OwesMessages, Sleep
from services.execute.venue_parse import HISTORY_KEPT
from shared import logs, metrics
from shared.clock import Clock
from shared.values import Severity

LOOK_INTERVAL_S = 2.0
PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 60.0
"""Between two tries of one process: twice as long after each that failed, whatever position it was about."""

_log = logs.get(__name__)


class BookKeeper:
    """Takes up due books one at a time."""

    def __init__(
        self,
        store: KeepsBooks,
        reader: BookReader,
        outbox: OwesMessages,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._reader = reader
        self._outbox = outbox
        self._clock = clock
        self._sleep = sleep

    async def watch(self) -> None:
        """Loop: complete what is due, slower while it fails."""
        pause_s = PAUSE_S_MIN
        metrics.from_zero(metrics.BOOKS_TRIES, "result", ("complete", "incomplete", "given_up"))
        while True:
            metrics.BOOKS_INCOMPLETE.set(await self._store.books_incomplete())
            result = await self.try_next()
            if result is None:
                await self._sleep(LOOK_INTERVAL_S)
                continue
            pause_s = PAUSE_S_MIN if result == "complete" else min(2 * pause_s, PAUSE_S_MAX)
            await self._sleep(pause_s)

    async def try_next(self) -> str | None:
        """Try what is due the longest; return what came of it, None when nothing is due."""
        due = await self._store.claim_books()
        if due is None:
            return None
        books = await self._reader.read(due.entry, due.our_closing_ids, due.gone_at, is_first=False)
        result = await self._conclude(due, books)
        metrics.BOOKS_TRIES.labels(result=result).inc()
        return result

    async def _conclude(self, due: DueBooks, books: ClosedBooks) -> str:
        entry, missing = due.entry, "; ".join(books.missing)
        assert entry.first_fill_at is not None
        if not missing:
            await self._record(due, books)
            return "complete"
        if self._clock() - entry.first_fill_at < HISTORY_KEPT + timedelta(days=1):
            await self._store.note_missing(entry.signal_id, missing, give_up=False)
            _log.info("books_incomplete", correlation_id=entry.signal_id, missing=missing, tries=due.tries)
            return "incomplete"
        text = f"{entry.symbol}: the exchange keeps no record of it any more. Missing: {missing}"
        told = facts.alert(
            "books_incomplete", text, Severity.WARNING, entry.signal_id, self._clock(), entry.symbol
        )
        await self._store.note_missing(entry.signal_id, missing, give_up=True)
        async with self._store.transaction() as tx:
            await self._outbox.stage(tx, [told])
        await self._outbox.publish([told])
        return "given_up"

    async def _record(self, due: DueBooks, books: ClosedBooks) -> None:
        async with self._store.transaction() as tx:
            if not await self._store.record_books(tx, due.entry, books):
                return  # another process completed them
            told = [facts.books_completed(due.entry, books, self._clock())]
            await self._outbox.stage(tx, told)
        _log.info("books_completed", correlation_id=due.entry.signal_id, tries=due.tries)
        await self._outbox.publish(told)
