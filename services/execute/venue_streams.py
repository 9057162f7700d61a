"""What ccxt's streams need of REST: its market table and the listen key. `BinanceClient` is its only heir.

It must never open or read a stream (`market_feed` and `user_stream` do).
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from services.execute.venue_calls import VenueCalls


class VenueStreams:
    """The exchange, as far as its streams need it."""

    def __init__(self, venue: Any, calls: VenueCalls) -> None:
        self.venue = venue
        self._calls = calls
        self._markets_loading = asyncio.Lock()

    async def load_markets(self) -> None:
        """Load ccxt's market table anew, which its streams need."""
        async with self._markets_loading:
            await self._calls.translated("markets", self.venue.load_markets(True), is_read=True)

    def stream_names(self, symbols: Iterable[str]) -> dict[str, str]:
        """Return what ccxt's streams call these symbols; those that its market table lacks are left out."""
        listed = self.venue.markets_by_id or {}
        return {each: self.venue.safe_symbol(each, None, None, "swap") for each in symbols if each in listed}

    async def renew_listen_key(self) -> None:
        """Get a listen key that is surely good, for the next connection."""
        self.venue.forget_listen_key()
        await self._calls.call("listen_key", lambda _: self.venue.authenticate(), is_read=True)

    async def extend_listen_key(self) -> None:
        """Keep the present listen key good for another hour; `VenueRefused` when it is gone."""
        await self._calls.call("listen_key", lambda _: self.venue.fapiPrivatePutListenKey(), is_read=True)

    def is_streaming(self) -> bool:
        """Tell whether a stream is connected."""
        return any(client.isConnected for client in self.venue.clients.values())
