"""The rate limit: three budgets, counted together while that is possible and alone while it is not."""

import asyncio
from collections.abc import Sequence

import pytest

from services.brain.rate_limit import ALONE_S, ANSWER_TIMEOUT_S, Budget, Claim, RateLimit, claim_of
from services.brain.rate_windows import REMEMBERED_S, WINDOW_S, Ask, Windows
from shared.errors import RedisUnavailable
from shared.values import Action
from tests.unit.brain.builders import signal

ENTRY = Claim(budget=Budget.ENTRIES, sender="52.89.214.238")
REFUSED = Claim(budget=Budget.REFUSED, sender="52.89.214.238")
LIMIT = 3


class Together:
    """Redis as seen from here: counts, does not answer, or says that it cannot."""

    def __init__(self) -> None:
        self.now = 0.0
        self.windows = Windows()
        self.asked = 0
        self.is_away = False
        self.is_silent = False

    async def judge(self, asks: Sequence[Ask]) -> list[float]:
        self.asked += 1
        if self.is_away:
            raise RedisUnavailable("away")
        if self.is_silent:
            await asyncio.sleep(ANSWER_TIMEOUT_S * 100)
        return [self.windows.judge(ask, self.now) for ask in asks]

    def limit(self) -> RateLimit:
        """Return the limit of one replica."""
        return RateLimit(self, LIMIT, lambda: self.now)


@pytest.fixture
def together() -> Together:
    return Together()


async def taken(limit: RateLimit, claim: Claim, times: int) -> list[bool]:
    return [await limit.take(claim) is None for _ in range(times)]


async def test_replicas_share_one_window(together: Together) -> None:
    one, other = together.limit(), together.limit()
    assert [await limit.take(ENTRY) is None for limit in (one, other, one, other, one)] == [True] * 3 + [
        False
    ] * 2


async def test_refusal_says_what_is_full_and_how_long(together: Together) -> None:
    limit = together.limit()
    await taken(limit, ENTRY, LIMIT)
    together.now = 20
    full = await limit.take(ENTRY)
    assert full is not None
    assert (full.claim, full.limit, full.wait_s, full.is_news) == (ENTRY, LIMIT, WINDOW_S - 20, True)
    again = await limit.take(ENTRY)
    assert again is not None
    assert not again.is_news


async def test_flood_beyond_the_limit_asks_nobody(together: Together) -> None:
    limit = together.limit()
    await taken(limit, REFUSED, LIMIT + 1)
    asked = together.asked
    assert await taken(limit, REFUSED, 1_000) == [False] * 1_000
    assert together.asked == asked
    together.now = WINDOW_S
    assert await taken(limit, REFUSED, 1) == [True]


async def test_what_is_refused_uses_up_no_place_of_an_alert(together: Together) -> None:
    limit = together.limit()
    await taken(limit, REFUSED, 100)
    assert await taken(limit, ENTRY, LIMIT) == [True] * LIMIT


def test_exits_have_a_window_for_each_symbol_and_entries_one_together() -> None:
    entries = {
        claim_of(signal(symbol=symbol), "a").key: symbol for symbol in ("BTCUSDT", "ETHUSDT", "BTCUSDT")
    }
    exits = {
        claim_of(signal(symbol=symbol, action=Action.EXIT), "a").key: symbol
        for symbol in ("BTCUSDT", "ETHUSDT", "BTCUSDT")
    }
    assert (len(entries), len(exits), len(entries.keys() & exits.keys())) == (1, 2, 0)


async def test_place_given_back_can_be_taken_by_another_replica(together: Together) -> None:
    one, other = together.limit(), together.limit()
    await taken(one, ENTRY, LIMIT + 1)
    await one.give_back(ENTRY)
    assert await taken(other, ENTRY, 2) == [True, False]


async def test_place_given_back_by_one_replica_is_found_by_one_that_knew_the_window_full(
    together: Together,
) -> None:
    """After an outage of the broker the first sends give back what the second ones need."""
    one, other = together.limit(), together.limit()
    await taken(one, ENTRY, LIMIT)
    assert await taken(other, ENTRY, 1) == [False]
    await one.give_back(ENTRY)
    together.now = REMEMBERED_S
    assert await taken(other, ENTRY, 1) == [True]


async def test_place_given_back_is_not_refused_from_memory(together: Together) -> None:
    limit = together.limit()
    await taken(limit, ENTRY, LIMIT + 1)
    await limit.give_back(ENTRY)
    assert await taken(limit, ENTRY, 1) == [True]


async def test_each_counts_alone_while_nobody_counts_for_all(together: Together) -> None:
    together.is_away = True
    one, other = together.limit(), together.limit()
    assert await taken(one, ENTRY, LIMIT + 1) == [True] * LIMIT + [False]
    assert await taken(other, ENTRY, LIMIT + 1) == [True] * LIMIT + [False]


async def test_absence_is_asked_about_once_and_then_not_for_a_while(together: Together) -> None:
    together.is_away = True
    limit = together.limit()
    await taken(limit, ENTRY, 3)
    assert together.asked == 1
    together.now = ALONE_S
    together.is_away = False
    assert await taken(limit, ENTRY, LIMIT + 1) == [True] * LIMIT + [False]
    assert together.asked == 1 + LIMIT + 1


async def test_silence_costs_all_who_wait_one_time_out_together(together: Together) -> None:
    together.is_silent = True
    limit = together.limit()
    clock = asyncio.get_running_loop().time
    started = clock()
    claims = [Claim(budget=Budget.ENTRIES, sender=str(number)) for number in range(500)]
    assert await asyncio.gather(*map(limit.take, claims)) == [None] * 500
    assert clock() - started < ANSWER_TIMEOUT_S * 3
    assert together.asked == 1


async def test_burst_is_counted_exactly(together: Together) -> None:
    limits = [together.limit() for _ in range(2)]
    answers = await asyncio.gather(*(limits[number % 2].take(ENTRY) for number in range(500)))
    assert answers.count(None) == LIMIT
