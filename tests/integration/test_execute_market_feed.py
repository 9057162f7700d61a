"""The market feed on real servers and the paper exchange's real streams: ticks, bars, silence."""

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import httpx
import pytest

from services.execute import feed_symbols
from services.execute.binance_client import BinanceClient
from services.execute.listing import Listing
from shared import topology
from shared.clock import utc_now
from shared.database import Database
from shared.market import Tick
from shared.market_data import BARS_KEPT, MarketReader, MarketWriter
from shared.models import AlertRaised
from tests.eventually import eventually
from tests.integration.execute_world import World, paper, world
from tests.servers import Servers
from tests.unit.execute.builders import BTC

pytestmark = pytest.mark.servers

__all__ = ["paper", "world"]

QUICK = {"feed_silence_s_max": Decimal(2)}


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/ready")).status_code == 200


async def fresh_tick(world: World, symbol: str = BTC, age_s_max: float = 1.0) -> Tick | None:
    tick = await MarketReader(world.redis).latest(symbol)
    return tick if tick is not None and tick.age_s(utc_now()) < age_s_max else None


def silences(world: World) -> list[AlertRaised]:
    return [
        each.payload
        for each in world.heard.values()
        if isinstance(each.payload, AlertRaised) and each.payload.kind == "stream_silent"
    ]


async def test_ticks_reach_the_stream_and_the_keys(world: World) -> None:
    world.exchange.admin("POST walk", paused=False)
    async with world.feed() as client:
        await eventually(lambda: is_ready(client), 20, what="the feed is ready")
        tick = await eventually(lambda: fresh_tick(world), what="a tick")
        assert tick is not None
        assert tick.bid < tick.ask
        assert tick.quote_volume_24h_usdt > 0
        assert utc_now() - tick.exchange_time < timedelta(seconds=5)
        await eventually(lambda: fresh_tick(world, "ETHUSDT"), what="a tick of the other symbol")
        rows = await world.redis.commands.xrange(topology.MARKET_STREAM)
        assert {fields["symbol"] for _, fields in rows} == {BTC, "ETHUSDT"}
        assert await MarketReader(world.redis).symbols() == {BTC, "ETHUSDT"}
        assert (await client.get("/symbols")).json()["symbols"] == [BTC, "ETHUSDT"]


async def test_price_that_jumps_is_seen_at_once(world: World) -> None:
    async with world.feed() as client:
        world.exchange.admin("POST walk", paused=False)
        await eventually(lambda: is_ready(client), 20, what="the feed is ready")
        world.exchange.price("51234.5")

        async def is_seen() -> bool:
            tick = await fresh_tick(world)
            return tick is not None and abs(tick.last - Decimal("51234.5")) < 100

        await eventually(is_seen, what="the new price")


async def test_closed_bars_are_kept_in_redis_and_postgresql(world: World, servers: Servers) -> None:
    async with world.feed() as client:
        world.exchange.admin("POST walk", paused=False)
        await eventually(lambda: is_ready(client), 20, what="the feed is ready")
        bars = await eventually(lambda: MarketReader(world.redis).bars(BTC), 20, what="bars")
        assert len(bars) == BARS_KEPT
        steps = {after.opened_at - before.opened_at for before, after in pairwise(bars)}
        assert steps == {timedelta(minutes=1)}
        assert bars[-1].opened_at + timedelta(minutes=1) <= utc_now(), "the open bar is not among them"
        async with Database(
            servers.postgres_url,
            user="phoenix_feed",
            password=servers.password("feed"),
            schema="feed",
            name="test",
        ) as database:
            row = await database.fetch_row(
                "SELECT * FROM bars WHERE symbol = $1 AND opened_at = $2", BTC, bars[-1].opened_at
            )
        assert row is not None
        assert (row["open"], row["close"]) == (bars[-1].open, bars[-1].close)


async def test_stream_that_goes_silent_is_told_and_re_opened(world: World) -> None:
    """The sockets stay open and marks still come: only the watch over each stream notices."""
    world.exchange.admin("POST walk", paused=False)
    async with world.feed(**QUICK) as client:
        await eventually(lambda: is_ready(client), 20, what="the feed is ready")
        world.exchange.admin("POST walk", paused=True)
        [told] = await eventually(lambda: silences(world), 20, what="the alert")
        assert "bidasks" in told.text
        stale = await MarketReader(world.redis).latest(BTC)
        assert stale is not None
        assert stale.age_s(utc_now()) > 2, "flowing marks must not make dead quotes look fresh"
        assert not await is_ready(client)
        world.exchange.admin("POST walk", paused=False)
        await eventually(lambda: is_ready(client), 20, what="the feed is ready again")
        await eventually(lambda: fresh_tick(world), what="fresh ticks")


async def test_exchange_that_hangs_is_re_opened_when_it_wakes(world: World) -> None:
    world.exchange.admin("POST walk", paused=False)
    async with world.feed(**QUICK) as client:
        await eventually(lambda: is_ready(client), 20, what="the feed is ready")
        with world.exchange.frozen():
            await eventually(lambda: silences(world), 20, what="the alert")
            assert not await is_ready(client)
        await eventually(lambda: is_ready(client), 30, what="the feed is ready again")
        await eventually(lambda: fresh_tick(world), what="fresh ticks")


def told_of_symbols(world: World) -> list[AlertRaised]:
    return [
        each.payload
        for each in world.heard.values()
        if isinstance(each.payload, AlertRaised) and each.payload.kind.startswith("symbols_")
    ]


async def test_symbol_that_is_not_listed_is_left_out_named_once_and_the_rest_is_watched(world: World) -> None:
    world.exchange.admin("POST walk", paused=False)
    await MarketWriter(world.redis).left_out({})
    for _ in range(2):  # a restart tells nobody again
        async with world.feed(feed_symbols="BTCUSDT,GONEUSDT") as client:
            await eventually(lambda: is_ready(client), 20, what="the feed is ready")
            degraded = (await client.get("/ready")).json()["degraded"]
            assert "GONEUSDT" in degraded["symbols"]
            assert list((await client.get("/symbols")).json()["left_out"]) == ["GONEUSDT"]
            assert await MarketReader(world.redis).symbols() == {BTC}
            await eventually(lambda: fresh_tick(world), what="a tick of the good one")
            [told] = await eventually(lambda: told_of_symbols(world), what="the message")
            assert "GONEUSDT" in told.text
    async with world.feed(feed_symbols="BTCUSDT,ETHUSDT") as client:
        await eventually(lambda: is_ready(client), 20, what="the feed is ready")
        assert (await client.get("/ready")).json()["degraded"] == {}


async def test_no_symbol_left_is_not_ready_and_named(world: World) -> None:
    async with world.feed(feed_symbols="GONEUSDT") as client:
        answer = await client.get("/ready")
        assert answer.status_code == 503
        assert "GONEUSDT" in answer.json()["dependencies"]["symbols"]


async def test_one_silent_symbol_leaves_the_others_ready(world: World) -> None:
    world.exchange.admin("POST walk", paused=False)
    async with world.feed(**QUICK) as client:
        await eventually(lambda: is_ready(client), 20, what="the feed is ready")
        world.exchange.arm("market_silent", for_ms=60_000, symbol="ETHUSDT")

        async def is_named() -> bool:
            answer = await client.get("/ready")
            assert answer.status_code == 200
            return "ETHUSDT" in answer.json()["degraded"].get("market", "")

        await eventually(is_named, 20, what="the silent symbol is named")
        await eventually(lambda: fresh_tick(world), 20, what="a price of the others")
        assert await fresh_tick(world, "ETHUSDT") is None


async def test_symbol_comes_back_without_a_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways: what is listed anew is taken up, and the streams are opened for it too."""
    world.exchange.admin("POST walk", paused=False)
    monkeypatch.setattr(feed_symbols, "LOOK_INTERVAL_S", 0.2)
    real, hidden = BinanceClient.listing, {"ETHUSDT"}

    async def listing(self: BinanceClient) -> Listing:
        found = await real(self)
        left = {name: each for name, each in found.instruments.items() if name not in hidden}
        return Listing(left, {**found.unfit, **dict.fromkeys(hidden, "status PENDING_TRADING")})

    monkeypatch.setattr(BinanceClient, "listing", listing)
    async with world.feed(**QUICK) as client:
        await eventually(lambda: is_ready(client), 20, what="the feed is ready")
        assert await fresh_tick(world, "ETHUSDT") is None
        hidden.clear()
        await eventually(lambda: fresh_tick(world, "ETHUSDT"), 20, what="its price")
        assert await MarketReader(world.redis).symbols() == {BTC, "ETHUSDT"}
        await eventually(lambda: is_ready(client), 20, what="the feed is ready with both")
