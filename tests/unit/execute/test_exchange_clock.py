"""How far the exchange's clock is away, whatever our own does while we ask."""

import asyncio
from typing import Any

import pytest

from services.execute import exchange_clock
from services.execute.exchange_clock import ROUND_TRIP_MS_MAX, ExchangeClock

SERVER_MS = 1_800_000_000_000


class Venue:
    """The part of ccxt that has a clock; ours, set by the test."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.options: dict[str, Any] = {}

    def milliseconds(self) -> int:
        return self.now_ms


class Exchange:
    """Answers with its time; what else happens meanwhile is up to the test."""

    def __init__(self, venue: Venue, *, jump_ms: int = 0, trip_s: float = 0.0) -> None:
        self._venue, self._jump_ms, self._trip_s = venue, jump_ms, trip_s

    async def time(self) -> dict[str, int]:
        await asyncio.sleep(self._trip_s)
        self._venue.now_ms += self._jump_ms
        return {"serverTime": SERVER_MS}


@pytest.mark.parametrize("jump_ms", [-60_000, -ROUND_TRIP_MS_MAX, 0, ROUND_TRIP_MS_MAX + 1, 60_000])
async def test_clock_set_during_the_question_is_measured_as_it_stands_afterwards(jump_ms: int) -> None:
    """Set forward, the answer looked slow and was not believed; set back, half the jump was believed."""
    venue = Venue(SERVER_MS + 250)
    clock = ExchangeClock(venue, Exchange(venue, jump_ms=jump_ms).time)
    assert await clock.measure()
    ahead_ms = clock.ahead().total_seconds() * 1000
    assert ahead_ms == pytest.approx(250 + jump_ms, abs=100)  # half of what a busy machine takes for it


async def test_slow_answer_is_not_believed_although_our_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange_clock, "ROUND_TRIP_MS_MAX", 10)
    venue = Venue(SERVER_MS)
    clock = ExchangeClock(venue, Exchange(venue, jump_ms=-1_000, trip_s=0.05).time)
    assert not await clock.measure()
    assert clock.ahead().total_seconds() == 0
