"""The books of closed entries in memory: the twin of `book_records`, for simulation and tests (P11)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from services.execute.book_records import BOOKS_RETRY_S_MAX, BOOKS_RETRY_S_MIN
from services.execute.execution_rules import ClosedBooks
from services.execute.memory_outbox import Journal
from services.execute.order_state import Entry
from services.execute.ports import DueBooks
from services.execute.venue import OrderRow, VenueTrade
from shared.clock import Clock
from shared.ids import OrderRole


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Why and when an entry ended."""

    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a closed position came to."""

    books: ClosedBooks
    funding_usdt: Decimal


class MemoryBooks:
    """The part of the record that keeps books and what closed them."""

    _clock: Clock
    entries: dict[str, Entry]
    ended: dict[str, Ended]
    results: dict[str, Result]
    orders: dict[str, OrderRow]
    owners: dict[str, str]
    due: dict[str, tuple[datetime, int]]
    fills: dict[tuple[str, str], VenueTrade]

    async def closing_orders(self, signal_id: str) -> list[OrderRow]:
        """Return the orders that were sent to close an entry's position, oldest first."""
        return [
            each
            for each in self.orders.values()
            if each.role is OrderRole.CLOSE and self.owners.get(each.client_id) == signal_id
        ]

    async def claim_books(self) -> DueBooks | None:
        """Claim one try to complete books that are due; the next one is due twice as much later."""
        now = self._clock()
        found = sorted((at, signal_id) for signal_id, (at, _) in self.due.items() if at <= now)
        if not found:
            return None
        signal_id = found[0][1]
        tries = self.due[signal_id][1]
        wait_s = min(BOOKS_RETRY_S_MIN * 2 ** min(tries, 20), BOOKS_RETRY_S_MAX)
        self.due[signal_id] = (now + timedelta(seconds=wait_s), tries + 1)
        orders = await self.closing_orders(signal_id)
        return DueBooks(
            entry=self.entries[signal_id],
            gone_at=self.results[signal_id].books.closed_at,
            our_closing_ids=frozenset(each.exchange_order_id for each in orders if each.exchange_order_id),
            tries=tries + 1,
        )

    async def record_books(self, tx: Journal, entry: Entry, books: ClosedBooks) -> bool:
        """Complete the books of a closed entry; False when they were complete."""
        if not self.results[entry.signal_id].books.missing:
            return False
        self._keep_books(tx, entry, books, books.funding_usdt)
        tx.put(self.ended, entry.signal_id, Ended(reason=books.reason.value, at=self._clock()))
        self.due.pop(entry.signal_id, None)
        return True

    async def note_missing(self, signal_id: str, missing: str, *, give_up: bool) -> None:
        """Note what is still missing; whether to go on trying."""
        known = self.results[signal_id]
        books = msgspec.structs.replace(known.books, missing=(missing,))
        self.results[signal_id] = Result(books=books, funding_usdt=known.funding_usdt)
        if give_up:
            self.due.pop(signal_id, None)

    async def books_incomplete(self) -> int:
        """Return how many closed positions have books that are still tried."""
        return len(self.due)

    def _keep_books(self, tx: Journal, entry: Entry, books: ClosedBooks, funding: Decimal) -> None:
        tx.put(self.results, entry.signal_id, Result(books=books, funding_usdt=funding))
        for fill in books.fills:
            tx.put(self.fills, (fill.symbol, fill.trade_id), fill)
