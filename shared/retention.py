"""Deletes what is older than it is kept, a bounded number of rows at a time.

It knows statements and days. It must never know what a row means: each service names its own statements, and
every replica runs them, because deleting what another one deletes is harmless.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shared import metrics
from shared.database import Database

INTERVAL_S = 600.0
STATEMENTS_PER_ROUND_MAX = 40
"""A long history whose setting was lowered is gone within hours, and no round is long."""


@dataclass(frozen=True)
class Kept:
    """One kind of rows and for how long it is kept.

    `statement` deletes some of the rows that are older than $1 days and returns how many; 0 means that
    there are none.
    """

    rows: str
    statement: str
    days: int


class Retention:
    """The loop that deletes."""

    def __init__(self, database: Database, kinds: Sequence[Kept]) -> None:
        self._database = database
        self._kinds = kinds

    async def keep(self) -> None:
        """Loop: apply the rules every `INTERVAL_S`."""
        while True:
            await self.apply()
            await asyncio.sleep(INTERVAL_S)

    async def apply(self) -> None:
        """Delete what is old, at most `STATEMENTS_PER_ROUND_MAX` statements of each kind."""
        for kind in self._kinds:
            for _ in range(STATEMENTS_PER_ROUND_MAX):
                deleted = int(await self._database.fetch_value(kind.statement, kind.days))
                metrics.ROWS_PRUNED.labels(rows=kind.rows).inc(deleted)
                if deleted == 0:
                    break
