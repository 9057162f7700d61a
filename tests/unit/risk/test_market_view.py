"""RISK's view of the market: what is remembered, for how long, and what it says when Redis is away."""

import asyncio
from datetime import timedelta

from services.risk.market_view import INSTRUMENT_KEPT_S, KEPT_S, MarketView
from shared.errors import RedisUnavailable
from shared.market import Bar, Instrument, Tick
from tests.eventually import eventually
from tests.unit.risk.builders import NOW, UP_AND_DOWN, D, bars, instrument, seconds, tick


class Feed:
    """What the feed wrote, and how often it was asked for."""

    def __init__(self) -> None:
        self.ticks: dict[str, Tick] = {"BTCUSDT": tick()}
        self.asked: list[str] = []
        self.is_away = False

    def get(self, symbol: str) -> Tick | None:
        return self.ticks.get(symbol)

    async def latest(self, symbol: str) -> Tick | None:
        self._ask(f"tick {symbol}")
        return tick(symbol, D(51_000), NOW + seconds(1))

    async def bars(self, symbol: str) -> tuple[Bar, ...]:
        self._ask(f"bars {symbol}")
        return tuple(bars(*UP_AND_DOWN))

    async def instrument(self, symbol: str) -> Instrument | None:
        self._ask(f"instrument {symbol}")
        return instrument(symbol) if symbol.endswith("USDT") else None

    async def symbols(self) -> frozenset[str]:
        return frozenset({"BTCUSDT", "ETHUSDT", "XRPUSDT"})

    def _ask(self, what: str) -> None:
        if self.is_away:
            raise RedisUnavailable("gone")
        self.asked.append(what)


async def test_a_minute_of_decisions_asks_once_and_ticks_come_from_memory() -> None:
    feed = Feed()
    view = MarketView(feed, feed)
    first = await view.view("BTCUSDT", {"ETHUSDT"}, NOW)
    assert first == await view.view("BTCUSDT", {"ETHUSDT"}, NOW)
    assert feed.asked == ["instrument BTCUSDT", "bars BTCUSDT", "bars ETHUSDT"]
    assert first.tick == tick()
    assert first.correlations.pairs[("BTCUSDT", "ETHUSDT")].correlation > D("0.999")


async def test_tick_that_grew_old_in_memory_is_compared_with_the_newest_kept() -> None:
    feed = Feed()
    found = await MarketView(feed, feed).view("BTCUSDT", (), NOW + timedelta(seconds=3))
    assert found.tick is not None
    assert found.tick.last == D(51_000)


async def test_unknown_symbol_is_asked_for_again_each_time() -> None:
    feed = Feed()
    view = MarketView(feed, feed)
    for _ in range(2):
        assert (await view.view("NOSUCH", (), NOW)).instrument is None
    assert feed.asked.count("instrument NOSUCH") == 2


async def test_without_redis_the_view_says_so_and_gives_what_it_remembers() -> None:
    feed = Feed()
    view = MarketView(feed, feed)
    await view.view("BTCUSDT", (), NOW)
    feed.is_away = True
    known = await view.view("BTCUSDT", (), NOW)
    assert known.is_reachable
    assert known.instrument is not None
    unknown = await view.view("ETHUSDT", (), NOW)
    assert not unknown.is_reachable
    assert unknown.instrument is None


async def test_what_is_kept_is_read_anew_after_its_time() -> None:
    feed = Feed()
    moment = {"now": 0.0}
    view = MarketView(feed, feed, lambda: moment["now"])
    await view.view("BTCUSDT", (), NOW)
    moment["now"] = KEPT_S + 1
    await view.view("BTCUSDT", (), NOW)
    assert feed.asked.count("instrument BTCUSDT") == 2


async def test_rules_that_execute_renewed_are_seen_by_the_next_size() -> None:
    feed = Feed()
    moment = {"now": 0.0}
    view = MarketView(feed, feed, lambda: moment["now"])
    await view.view("BTCUSDT", (), NOW)
    moment["now"] = INSTRUMENT_KEPT_S + 0.1
    await view.view("BTCUSDT", (), NOW)
    assert feed.asked.count("instrument BTCUSDT") == 2


async def test_warmed_pairs_are_known_to_the_first_decision_that_meets_them() -> None:
    feed = Feed()
    view = MarketView(feed, feed)
    warming = asyncio.create_task(view.keep_warm())
    await eventually(lambda: view.is_warm)
    asked = len(feed.asked)

    found = await view.view("BTCUSDT", (), NOW)

    assert ("ETHUSDT", "XRPUSDT") in found.correlations.pairs, "nobody held them when the view was made"
    assert feed.asked[asked:] == ["instrument BTCUSDT"]
    warming.cancel()
