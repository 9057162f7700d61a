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
_PRUNE = """
DELETE FROM bars WHERE (symbol, opened_at) IN (
    SELECT symbol, opened_at FROM bars WHERE opened_at < now() - make_interval(days => $1) LIMIT $2
)
"""
PRUNED_AT_ONCE_MAX = 10_000
"""It is called every minute, so that a long history given up is gone within hours and no delete is long."""


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
        """Delete bars older than `kept_days`, at most `PRUNED_AT_ONCE_MAX` of them."""
        await self._database.execute(_PRUNE, kept_days, PRUNED_AT_ONCE_MAX)
