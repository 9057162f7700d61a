"""The exchange's clock against ours: measured, corrected for, watched.

Every request is stamped with the exchange's time as last measured. It must never change our own clock.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from shared import metrics

ROUND_TRIP_MS_MAX = 500
"""A slower answer says too little about the exchange's clock to correct ours by it."""


class ExchangeClock:
    """How far our clock is ahead of the exchange's; ccxt stamps by `options["timeDifference"]`."""

    def __init__(self, venue: Any, ask_time: Callable[[], Awaitable[Any]]) -> None:
        self._venue = venue
        self._ask_time = ask_time

    def ahead(self) -> timedelta:
        """Return how far our clock is ahead of the exchange's, as last measured."""
        return timedelta(milliseconds=int(self._venue.options.get("timeDifference", 0)))

    async def measure(self) -> None:
        """Measure the exchange's clock against ours; every later request is stamped with its time."""
        before = self._venue.milliseconds()
        answer = await self._ask_time()
        after = self._venue.milliseconds()
        if after - before > ROUND_TRIP_MS_MAX:
            return
        self._venue.options["timeDifference"] = (before + after) // 2 - int(answer["serverTime"])
        metrics.EXCHANGE_CLOCK_AHEAD_SECONDS.set(self.ahead().total_seconds())
