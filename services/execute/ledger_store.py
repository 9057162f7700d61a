"""PostgreSQL as the memory of the account's ledger: transfers, and how far the history is counted.

It must never judge a row.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

from services.execute.store import QUERIES
from services.execute.transfers import Explained, IncomeRow
from shared.database import Connection, Database


class LedgerStore:
    """Keeps the ledger in EXECUTE's schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open a transaction: committed when the block ends, rolled back when it raises."""
        async with self._database.transaction() as tx:
            yield tx

    async def explained(self) -> Explained | None:
        """Return how far the account's history is counted; None before the first time."""
        row = await self._database.fetch_row(QUERIES["explained"])
        if row is None:
            return None
        return Explained(
            wallet_usdt=row["wallet_usdt"], until=row["until"], rows_at_until=tuple(row["rows_at_until"])
        )

    async def net_transfers(self) -> Decimal:
        """Return the sum of all transfers, paid in positive."""
        total: Decimal = await self._database.fetch_value(QUERIES["net_transfers"])
        return total

    async def record_transfers(self, tx: Connection, rows: Sequence[IncomeRow]) -> None:
        """Keep transfers, each once."""
        kept = [(each.kind, each.tran_id, each.amount, each.at) for each in rows]
        await tx.executemany(QUERIES["insert_transfer"], kept)

    async def record_explained(self, tx: Connection, reached: Explained) -> None:
        """Note how far the account's history is counted."""
        await tx.execute(
            QUERIES["record_explained"], reached.wallet_usdt, reached.until, list(reached.rows_at_until)
        )
