"""What EXECUTE's record needs besides trades: snapshots of the account that are old are deleted.

There is one every few seconds, for ever. Every replica does it; the statement is safe beside itself. It must
never delete anything that a trade is told by.
"""

import asyncio
from typing import Protocol

PRUNE_INTERVAL_S = 600.0
PRUNE_ROWS_MAX = 5_000
"""Deleted in one go: forty times what is written meanwhile, and a fraction of what a statement may take."""


class KeepsSnapshots(Protocol):
    """The account's money over time."""

    async def prune_snapshots(self, kept_days: int, rows_max: int) -> None:
        """Delete the oldest of those older than `kept_days`, at most `rows_max`."""


class Housekeeping:
    """The loop around the record."""

    def __init__(self, store: KeepsSnapshots, equity_kept_days: int) -> None:
        self._store = store
        self._equity_kept_days = equity_kept_days

    async def prune(self) -> None:
        """Delete what is old. Loops for ever."""
        while True:
            await self._store.prune_snapshots(self._equity_kept_days, PRUNE_ROWS_MAX)
            await asyncio.sleep(PRUNE_INTERVAL_S)
