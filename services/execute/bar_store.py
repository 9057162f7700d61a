"""The feed's bars in PostgreSQL (`feed.bars`): the only SQL of the feed. It must never be read by another
service.
"""

from collections.abc import Sequence

from shared.database import Database
from shared.market import Bar

_KEEP = """
INSERT INTO bars (symbol, opened_at, open, high, low, close, volume)
SELECT $1, * FROM unnest($2::timestamptz[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[],
$7::numeric[])
ON CONFLICT (symbol, opened_at) DO UPDATE
SET open = EXCLUDED.open, high = EXCLUDED.high, low = EXCLUDED.low, close = EXCLUDED.close, volume =
EXCLUDED.volume
"""
_PRUNE = "SELECT keep_bars($1)"
"""The function belongs to the schema's owner, because services may not drop tables."""


class BarStore:
    """Keeps closed 1 m bars for replay and research."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, symbol: str, bars: Sequence[Bar]) -> None:
        """Store bars; what the exchange says now replaces what it said before."""
        if not bars:
            return
        await self._database.execute(
            _KEEP,
            symbol,
            [bar.opened_at for bar in bars],
            [bar.open for bar in bars],
            [bar.high for bar in bars],
            [bar.low for bar in bars],
            [bar.close for bar in bars],
            [bar.volume for bar in bars],
        )

    async def prune(self, kept_days: int) -> None:
        """Drop the months of bars that are older than `kept_days`, and make the next ones."""
        await self._database.execute(_PRUNE, kept_days)
