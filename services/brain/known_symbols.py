"""The symbols that can be traded, kept in memory so that the webhook asks nobody."""

import asyncio
from collections.abc import Iterator

from services.brain.ports import KnowsSymbols
from shared import logs
from shared.errors import RedisUnavailable

REFRESH_INTERVAL_S = 10.0
FIRST_SIGHT_INTERVAL_S = 0.25  # until the feed has listed the symbols, every alert would pass

_log = logs.get(__name__)


class KnownSymbols:
    """A set that follows the exchange's list; empty until the feed has run once. While Redis is away it
    stays.
    """

    def __init__(self, source: KnowsSymbols) -> None:
        self._source = source
        self._symbols: frozenset[str] = frozenset()

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._symbols

    def __iter__(self) -> Iterator[str]:
        return iter(self._symbols)

    def __len__(self) -> int:
        return len(self._symbols)

    async def refresh(self) -> None:
        """Read the list once; an empty answer changes nothing."""
        try:
            self._symbols = await self._source.symbols() or self._symbols
        except RedisUnavailable as away:
            _log.warning("symbols_not_refreshed", known=len(self._symbols), error=str(away))

    async def follow(self) -> None:
        """Loop: refresh every `REFRESH_INTERVAL_S`, and more often while nothing is known yet."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_INTERVAL_S if self._symbols else FIRST_SIGHT_INTERVAL_S)
