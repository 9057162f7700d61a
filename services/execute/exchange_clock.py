"""The exchange's clock against ours: measured, corrected for, watched.

Every request is stamped with the exchange's time as last measured. It must never change our own clock.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from shared import logs, metrics
from shared.errors import PhoenixError
from shared.supervision import Failed, attempt

ROUND_TRIP_MS_MAX = 500
"""A slower answer says too little about the exchange's clock to correct ours by it."""
MEASURE_INTERVAL_S = 15.0
MEASURE_AGAIN_INTERVAL_S_MIN = 0.2
MEASURE_AGAIN_TRIES_MAX = 3

_log = logs.get(__name__)


class ExchangeClock:
    """How far our clock is ahead of the exchange's; ccxt stamps by `options["timeDifference"]`."""

    def __init__(self, venue: Any, ask_time: Callable[[], Awaitable[Any]]) -> None:
        self._venue = venue
        self._ask_time = ask_time
        self._measuring = asyncio.Lock()
        self._measured_again_at: float | None = None

    def ahead(self) -> timedelta:
        """Return how far our clock is ahead of the exchange's, as last measured."""
        return timedelta(milliseconds=int(self._venue.options.get("timeDifference", 0)))

    def own_clock_moved(self, by: timedelta) -> None:
        """Note that our clock was put right: the exchange's did not move with it."""
        ahead_ms = (self.ahead() + by) // timedelta(milliseconds=1)
        self._venue.options["timeDifference"] = ahead_ms

    async def measure(self) -> bool:
        """Measure the exchange's clock against ours; every later request is stamped with its time.

        Returns whether the answer came soon enough to be believed. Raises as every read does.
        """
        # The trip's length by a clock that nobody sets: ours may be the one that jumps, and is asked once,
        # afterwards, so that what is measured holds for the clock as it stands now.
        started = asyncio.get_running_loop().time()
        answer = await self._ask_time()
        now_ms = self._venue.milliseconds()
        trip_ms = int((asyncio.get_running_loop().time() - started) * 1000)
        if trip_ms > ROUND_TRIP_MS_MAX:
            return False
        self._venue.options["timeDifference"] = now_ms - trip_ms // 2 - int(answer["serverTime"])
        metrics.EXCHANGE_CLOCK_AHEAD_SECONDS.set(self.ahead().total_seconds())
        return True

    async def measure_again(self) -> None:
        """Measure at once because the exchange refused a time stamp; who comes meanwhile waits for it."""
        clock = asyncio.get_running_loop().time
        async with self._measuring:
            last = self._measured_again_at
            if last is not None and clock() - last < MEASURE_AGAIN_INTERVAL_S_MIN:
                return
            before_s = self.ahead().total_seconds()
            try:
                for _ in range(MEASURE_AGAIN_TRIES_MAX):
                    if await self.measure():
                        break
            except PhoenixError as error:
                _log.warning("clock_not_measured", error=str(error))
            else:
                _log.warning(
                    "clock_measured_again", ahead_before_s=before_s, ahead_s=self.ahead().total_seconds()
                )
            finally:
                self._measured_again_at = clock()

    async def keep(self) -> None:
        """Loop: measure every `MEASURE_INTERVAL_S`, in every replica: each has a clock of its own."""
        while True:
            await asyncio.sleep(MEASURE_INTERVAL_S)
            match await attempt(self.measure()):
                case Failed(error):
                    _log.warning("clock_not_measured", error=repr(error))
