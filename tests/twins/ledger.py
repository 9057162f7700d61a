"""The account's ledger in memory; implements `KeepsLedger`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

from services.execute.memory_outbox import Journal
from services.execute.transfers import Explained, IncomeRow
from shared.money import ZERO


class MemoryLedger:
    """Transfers, and how far the history is counted."""

    def __init__(self) -> None:
        self.transfers: dict[tuple[str, str], IncomeRow] = {}
        self.reached: dict[str, Explained] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Journal]:
        """What was written is taken back when the block raises."""
        journal = Journal()
        try:
            yield journal
        except BaseException:
            journal.take_back()
            raise

    async def explained(self) -> Explained | None:
        """Return how far the account's history is counted; None before the first time."""
        return self.reached.get("")

    async def net_transfers(self) -> Decimal:
        """Return the sum of all transfers, paid in positive."""
        return sum((each.amount for each in self.transfers.values()), ZERO)

    async def record_transfers(self, tx: Journal, rows: Sequence[IncomeRow]) -> None:
        """Keep transfers, each once."""
        for each in rows:
            tx.put(self.transfers, (each.kind, each.tran_id), each)

    async def record_explained(self, tx: Journal, reached: Explained) -> None:
        """Note how far the account's history is counted."""
        tx.put(self.reached, "", reached)
