"""Redis for real: nothing is sent twice, the newest tick is followed through restarts, stale data goes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from shared import redis_client, supervision, topology
from shared.errors import RedisUnavailable
from shared.market import Bar, Bracket, Instrument, Tick, tick_to_stream
from shared.market_data import BARS_KEPT, LAST_TICK_TTL_S, MarketReader, MarketWriter
from shared.redis_client import RedisClient, translated
from shared.stream_processor import LatestTicks
from shared.supervision import keep_running
from tests.eventually import eventually
from tests.proxy import Proxy, proxy_to
from tests.servers import Servers

pytestmark = pytest.mark.servers

ANSWER_TIMEOUT_S = 0.2
T0 = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[RedisClient]:
    async with RedisClient(servers.redis_url, "test") as client:
        await client.commands.flushdb()
        yield client


@pytest.fixture
async def ticks(redis: RedisClient) -> AsyncIterator[LatestTicks]:
    """The newest ticks, followed under supervision as a service does it."""
    latest = LatestTicks(redis)
    following = asyncio.create_task(keep_running("ticks", latest.follow))
    yield latest
    following.cancel()
    await asyncio.wait([following])


def a_tick(last: str, symbol: str = "BTCUSDT", received_at: datetime = T0) -> Tick:
    price = Decimal(last)
    return Tick(
        symbol=symbol,
        bid=price,
        ask=price,
        last=price,
        mark=price,
        quote_volume_24h_usdt=Decimal("812345678.90"),
        exchange_time=received_at - timedelta(milliseconds=3),
        received_at=received_at,
    )


class TestClient:
    """Time-outs and retries are ours."""

    async def test_a_command_whose_answer_is_lost_is_not_sent_again(
        self, servers: Servers, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_client, "SOCKET_TIMEOUT_S", ANSWER_TIMEOUT_S)
        async with (
            proxy_to(urlsplit(servers.redis_url).port or 0) as proxy,
            RedisClient(_through(proxy, servers), "test") as client,
        ):
            await client.ping()
            proxy.lose_answers()
            with pytest.raises(RedisUnavailable, match="Timeout"):
                async with translated():
                    await client.commands.incr("counter")
        assert int(await redis.commands.get("counter")) == 1

    async def test_the_library_by_itself_would_send_it_again(
        self, servers: Servers, redis: RedisClient
    ) -> None:
        """Shows that the proxy makes the trouble which the test above is about."""
        address = urlsplit(servers.redis_url)
        async with (
            proxy_to(address.port or 0) as proxy,
            Redis(port=proxy.port, password=address.password, socket_timeout=ANSWER_TIMEOUT_S) as client,
        ):
            await client.ping()
            proxy.lose_answers()
            await client.incr("counter")
        assert int(await redis.commands.get("counter")) == 2

    async def test_a_server_that_does_not_answer_is_unavailable_in_time(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_client, "SOCKET_TIMEOUT_S", 0.2)
        async with RedisClient(servers.redis_url, "test") as client:
            await client.ping()
            with servers.frozen("redis"):
                async with asyncio.timeout(1):
                    with pytest.raises(RedisUnavailable):
                        await client.ping()
            await client.ping()

    async def test_a_wrong_password_is_told_without_showing_it(self, servers: Servers) -> None:
        password = servers.settings["PHOENIX_REDIS_PASSWORD"]
        async with RedisClient(servers.redis_url.replace(password, "mistyped"), "test") as client:
            with pytest.raises(RedisUnavailable) as refused:
                await client.ping()
        assert "mistyped" not in str(refused.value)

    async def test_the_time_out_of_a_socket_is_longer_than_every_blocking_read(self) -> None:
        assert redis_client.SOCKET_TIMEOUT_S * 1000 > topology.STREAM_BLOCK_MS


class TestLatestTicks:
    """The state of the market, whatever happens to the stream."""

    async def test_the_newest_tick_of_each_symbol_is_followed(
        self, redis: RedisClient, ticks: LatestTicks
    ) -> None:
        writer = MarketWriter(redis)
        for last in ("50000", "50001"):
            await writer.ticks([a_tick(last), a_tick("3000", "ETHUSDT")])
        await eventually(lambda: len(ticks.all()) == 2 and ticks.get("BTCUSDT") == a_tick("50001"))
        assert ticks.get("XRPUSDT") is None

    async def test_a_reader_that_comes_late_starts_with_what_is_there(self, redis: RedisClient) -> None:
        await MarketWriter(redis).ticks([a_tick("50000"), a_tick("50001")])
        latest = LatestTicks(redis)
        following = asyncio.create_task(latest.follow())
        await eventually(lambda: latest.get("BTCUSDT") == a_tick("50001"))
        following.cancel()
        await asyncio.wait([following])

    async def test_a_tick_written_between_the_start_and_the_first_read_is_not_missed(
        self, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        latest = LatestTicks(redis)
        take_newest = latest._take_newest

        async def take_newest_and_be_overtaken(entries_max: int) -> str | None:
            position = await take_newest(entries_max)
            await MarketWriter(redis).ticks([a_tick("50001")])
            monkeypatch.undo()
            return position

        monkeypatch.setattr(latest, "_take_newest", take_newest_and_be_overtaken)
        following = asyncio.create_task(latest.follow())
        await eventually(lambda: latest.get("BTCUSDT") == a_tick("50001"))
        following.cancel()
        await asyncio.wait([following])

    async def test_ticks_are_followed_again_after_redis_was_killed(
        self, servers: Servers, redis: RedisClient, ticks: LatestTicks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervision, "RESTART_DELAY_S_MAX", 0.2)
        writer = MarketWriter(redis)
        await writer.ticks([a_tick("50000")])
        await eventually(lambda: ticks.get("BTCUSDT"))
        await asyncio.to_thread(servers.kill, "redis")
        await asyncio.to_thread(servers.start, "redis")
        await eventually(lambda: _writes(writer, a_tick("50001")))
        await eventually(lambda: ticks.get("BTCUSDT") == a_tick("50001"))

    async def test_a_stream_that_lost_its_entries_is_followed_all_the_same(
        self, redis: RedisClient, ticks: LatestTicks
    ) -> None:
        writer = MarketWriter(redis)
        await writer.ticks([a_tick("50000")])
        await eventually(lambda: ticks.get("BTCUSDT"))
        await redis.commands.delete(topology.MARKET_STREAM)
        await writer.ticks([a_tick("50001")])
        await eventually(lambda: ticks.get("BTCUSDT") == a_tick("50001"))

    async def test_a_stream_begun_again_by_a_clock_that_was_set_back_is_followed_all_the_same(
        self, redis: RedisClient, ticks: LatestTicks
    ) -> None:
        await MarketWriter(redis).ticks([a_tick("50000")])
        await eventually(lambda: ticks.get("BTCUSDT"))
        await redis.commands.delete(topology.MARKET_STREAM)
        await redis.commands.xadd(topology.MARKET_STREAM, tick_to_stream(a_tick("50001")), id="1-0")
        await eventually(lambda: ticks.get("BTCUSDT") == a_tick("50001"))
        await redis.commands.xadd(topology.MARKET_STREAM, tick_to_stream(a_tick("50002")), id="1-1")
        await eventually(lambda: ticks.get("BTCUSDT") == a_tick("50002"))

    async def test_an_entry_that_is_no_tick_is_passed_over(
        self, redis: RedisClient, ticks: LatestTicks
    ) -> None:
        """It would stop the reader at every start for as long as it stands in the stream."""
        await redis.commands.xadd(topology.MARKET_STREAM, {"symbol": "BTCUSDT", "bid": "x"})
        await redis.commands.xadd(topology.MARKET_STREAM, {"colour": "red"})
        await redis.commands.xadd(
            topology.MARKET_STREAM, tick_to_stream(a_tick("1")) | {"received_at": "2026-03-02T14:30:00"}
        )
        await MarketWriter(redis).ticks([a_tick("3000", "ETHUSDT")])
        await eventually(lambda: set(ticks.all()) == {"ETHUSDT"})


class TestMarketData:
    """What the feed writes, everybody reads; what is stale goes away by itself."""

    async def test_the_last_tick_expires(self, redis: RedisClient) -> None:
        await MarketWriter(redis).ticks([a_tick("50000")])
        assert await MarketReader(redis).latest("BTCUSDT") == a_tick("50000")
        (key,) = await redis.commands.keys("market:tick:*")
        assert 0 < await redis.commands.ttl(key) <= LAST_TICK_TTL_S
        await redis.commands.pexpire(key, 1)
        await eventually(lambda: _is_none(MarketReader(redis), "BTCUSDT"))

    async def test_the_stream_is_bounded(self, redis: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(topology, "STREAM_ENTRIES_MAX", 100)
        writer = MarketWriter(redis)
        for _ in range(10):
            await writer.ticks([a_tick("50000")] * 100)
        assert await redis.commands.xlen(topology.MARKET_STREAM) < 300

    async def test_the_last_bars_are_kept_oldest_first(self, redis: RedisClient) -> None:
        one = Decimal(1)
        bars = [
            Bar(
                opened_at=T0 + timedelta(minutes=n), open=one, high=one, low=one, close=Decimal(n), volume=one
            )
            for n in range(BARS_KEPT + 5)
        ]
        await MarketWriter(redis).bars("BTCUSDT", bars)
        assert await MarketReader(redis).bars("BTCUSDT") == tuple(bars[-BARS_KEPT:])
        assert await MarketReader(redis).bars("ETHUSDT") == ()

    async def test_instruments_are_replaced_as_a_whole(self, redis: RedisClient) -> None:
        writer, reader = MarketWriter(redis), MarketReader(redis)
        await writer.instruments([_instrument("BTCUSDT"), _instrument("ETHUSDT")])
        await writer.instruments([_instrument("BTCUSDT")])
        assert await reader.symbols() == {"BTCUSDT"}
        assert await reader.instrument("BTCUSDT") == _instrument("BTCUSDT")
        assert await reader.instrument("ETHUSDT") is None

    async def test_an_empty_list_of_instruments_does_not_delete_the_known_ones(
        self, redis: RedisClient
    ) -> None:
        writer, reader = MarketWriter(redis), MarketReader(redis)
        await writer.instruments([_instrument("BTCUSDT")])
        await writer.instruments([])
        assert await reader.symbols() == {"BTCUSDT"}


def _through(proxy: Proxy, servers: Servers) -> str:
    address = urlsplit(servers.redis_url)
    return address._replace(netloc=f":{address.password}@127.0.0.1:{proxy.port}").geturl()


async def _writes(writer: MarketWriter, tick: Tick) -> bool:
    try:
        await writer.ticks([tick])
    except RedisUnavailable:
        return False
    return True


async def _is_none(reader: MarketReader, symbol: str) -> bool:
    return await reader.latest(symbol) is None


def _instrument(symbol: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick_size=Decimal("0.10"),
        step_size=Decimal("0.001"),
        quantity_min=Decimal("0.001"),
        quantity_max=Decimal(1000),
        notional_min_usdt=Decimal(100),
        taker_fee_rate=Decimal("0.0005"),
        brackets=(
            Bracket(
                leverage_max=125,
                notional_floor_usdt=Decimal(0),
                notional_cap_usdt=Decimal(50000),
                maintenance_rate=Decimal("0.004"),
                maintenance_amount_usdt=Decimal(0),
            ),
        ),
    )
