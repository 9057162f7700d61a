"""EXECUTE's record of books that are not complete, and of the orders that closed a position.

A part of `store`, which is the only one that may be asked for it. It must never decide what comes next.
"""

from pathlib import Path

from services.execute.execution_rules import ClosedBooks
from services.execute.order_state import Entry
from services.execute.ports import DueBooks
from services.execute.record_rows import entry_from, fill_columns, order_from
from services.execute.venue import OrderRow
from shared.database import Connection, Database, load_queries

QUERIES = load_queries(Path(__file__).parent / "queries.sql")
BOOKS_RETRY_S_MIN = 5
BOOKS_RETRY_S_MAX = 6 * 3_600
"""When books are tried again for the first time, and how seldom at last."""


class BookRecords:
    """The part of the record that keeps books and what closed them."""

    _database: Database

    async def closing_orders(self, signal_id: str) -> list[OrderRow]:
        """Return the orders that were sent to close an entry's position, oldest first."""
        return [order_from(row) for row in await self._database.fetch(QUERIES["closing_orders"], signal_id)]

    async def claim_books(self) -> DueBooks | None:
        """Claim one try to complete books that are due; the next one is due twice as much later."""
        row = await self._database.fetch_row(QUERIES["claim_books"], BOOKS_RETRY_S_MIN, BOOKS_RETRY_S_MAX)
        if row is None:
            return None
        orders = await self.closing_orders(row["signal_id"])
        return DueBooks(
            entry=entry_from(row),
            gone_at=row["closed_at"],
            our_closing_ids=frozenset(each.exchange_order_id for each in orders if each.exchange_order_id),
            tries=row["books_tries"],
        )

    async def record_books(self, tx: Connection, entry: Entry, books: ClosedBooks) -> bool:
        """Complete the books of a closed entry; False when they were complete."""
        row = await tx.fetchrow(
            QUERIES["record_books"],
            entry.signal_id,
            books.reason.value,
            books.exit_price,
            books.pnl_usdt,
            books.fees_usdt,
            books.funding_usdt,
            books.closed_at,
        )
        if row is not None:
            await tx.execute(QUERIES["insert_fills"], *fill_columns(entry.signal_id, books))
        return row is not None

    async def note_missing(self, signal_id: str, missing: str, *, give_up: bool) -> None:
        """Note what is still missing; whether to go on trying."""
        await self._database.execute(QUERIES["note_missing"], signal_id, missing, give_up)

    async def books_incomplete(self) -> int:
        """Return how many closed positions have books that are still tried."""
        return int(await self._database.fetch_value(QUERIES["books_incomplete"]))
