"""The market feed: its own process, the same image. Ticks to `market:stream`, last prices, 1 m bars,
instruments.

`python -m services.execute.market_feed --port P`. Each stream has a silence watchdog: the exchange has
retired stream addresses before while leaving the sockets open, and silence looks like calm. It must never
trade.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from fastapi import FastAPI

from services.execute import facts, venue_parse
from services.execute.bar_store import BarStore
from services.execute.binance_client import BinanceClient
from services.execute.config import FeedSettings
from services.execute.stream_session import close_streams, stay
from services.execute.tick_board import TickBoard
from shared import database_clock, lease, logs, metrics, topology
from shared.clock import utc_now
from shared.database import Database
from shared.errors import ExchangeUnavailable, OperatorNeeded
from shared.http_api import create_app, json_response
from shared.lifecycle import Runtime, run
from shared.market import Bar, Instrument
from shared.market_data import BARS_KEPT, MarketReader, MarketWriter
from shared.money import ZERO
from shared.outbox import Outbox
from shared.rabbitmq_client import Publisher
from shared.redis_client import RedisClient
from shared.values import Severity

DESCRIPTION = "Watches the market: ticks, last prices, 1 m bars, instrument rules."
INSTRUMENTS_INTERVAL_S = 3_600.0
LOAD_INTERVAL_S = 5.0
BARS_DELAY_S = 1.0  # after the minute has turned, so that the exchange has closed the bar
BARS_REREAD = 3
STREAMS = ("bidasks", "markPrices", "tickers")
BARS_READS_AT_ONCE_MAX = 8

_log = logs.get(__name__)


class MarketFeed:
    """Follows the exchange's public streams and writes what they say."""

    def __init__(
        self,
        settings: FeedSettings,
        exchange: BinanceClient,
        writer: MarketWriter,
        bars: BarStore,
        outbox: Outbox,
        database: Database,
        mine: lease.Lease,
        symbols: dict[str, str],
    ) -> None:
        self._settings = settings
        self._exchange = exchange
        self._writer = writer
        self._bar_store = bars
        self._outbox = outbox
        self._database = database
        self._lease = mine
        self._unified = symbols
        self._board = TickBoard(symbols, utc_now())
        self._bars: dict[str, list[Bar]] = {symbol: [] for symbol in symbols}
        self._heard_at: dict[str, float] = {}
        self._holds = False
        exchange.venue.take_market = self.take

    async def ping(self) -> None:
        """Raise `ExchangeUnavailable` while any stream is silent or nothing has been heard yet."""
        limit_s = self._settings.feed_silence_s_max
        oldest_s = max(self._board.ages_s(utc_now()).values(), default=ZERO)
        if len(self._heard_at) < len(STREAMS) or oldest_s > limit_s:
            raise ExchangeUnavailable(f"the market is silent: oldest price {oldest_s} s, limit {limit_s} s")

    async def prepare(self) -> None:
        """Take the lease if it is free and read the bars once, so that who finds us ready finds them."""
        self._holds = await self._lease.hold()
        if self._holds:
            await self._read_bars()

    async def keep_lease(self) -> None:
        """Loop: only the holder writes; a standby watches, ready to go on at once."""
        while True:
            self._holds = await self._lease.hold()
            await asyncio.sleep(lease.RENEW_INTERVAL_S)

    async def write_ticks(self) -> None:
        """Loop: write what changed, conflated over the flush interval."""
        while True:
            await asyncio.sleep(self._settings.feed_flush_ms / 1000)
            changed = self._board.take_changed()
            if changed and self._holds:
                await self._writer.ticks(changed)
                metrics.TICKS_PUBLISHED.inc(len(changed))

    async def watch_quotes(self) -> None:
        """Loop: best bid and ask."""
        await self._watch("bidasks", self._exchange.venue.watch_bids_asks)

    async def watch_marks(self) -> None:
        """Loop: mark prices."""
        await self._watch("markPrices", self._exchange.venue.watch_mark_prices)

    async def watch_trades(self) -> None:
        """Loop: last price and 24 h turnover."""
        await self._watch("tickers", self._exchange.venue.watch_tickers)

    async def _watch(self, stream: str, subscribe: Callable[[list[str]], Awaitable[Any]]) -> None:
        """Subscribe, and stay until the connection ends or the stream has been silent for too long."""
        clock = asyncio.get_running_loop().time
        silence_s = float(self._settings.feed_silence_s_max)
        self._heard_at[stream] = clock()

        def why_leave() -> str | None:
            is_silent = clock() - self._heard_at[stream] > silence_s
            metrics.FEED_STALE.labels(stream=stream).set(1 if is_silent else 0)
            return "silent" if is_silent else None

        if await stay(subscribe(list(self._unified.values())), silence_s / 4, why_leave):
            await self._reopen_silent(stream)

    def take(self, stream: str, raw: dict[str, Any]) -> None:
        """Take in one raw message of a stream."""
        now, symbol = utc_now(), raw["s"]
        self._heard_at[stream] = asyncio.get_running_loop().time()
        if stream == "bidasks":
            at = venue_parse.from_ms(raw["T"])
            self._board.quote(symbol, Decimal(raw["b"]), Decimal(raw["a"]), at, now)
        elif stream == "markPrices":
            self._board.mark(symbol, Decimal(raw["p"]), now)
        else:
            self._board.traded(symbol, Decimal(raw["c"]), Decimal(raw["q"]), now)

    async def _reopen_silent(self, stream: str) -> None:
        metrics.FEED_STALE.labels(stream=stream).set(1)
        metrics.FEED_RECONNECTS.labels(stream=stream, why="silent").inc()
        silence_s = self._settings.feed_silence_s_max
        _log.warning("stream_silent", stream=stream, silence_s=str(silence_s))
        text = f"The {stream} stream was silent for {silence_s} s; it is being re-opened."
        await close_streams(self._exchange.venue)  # first: nothing may keep it closed to us
        told = facts.alert("stream_silent", text, Severity.WARNING, f"feed:{stream}", utc_now())
        async with self._database.transaction() as tx:
            await self._outbox.stage(tx, [told])
        await self._outbox.publish([told])

    async def measure_ages(self) -> None:
        """Loop: how long each symbol has been silent, for the alert rules."""
        while True:
            for symbol, age_s in self._board.ages_s(utc_now()).items():
                metrics.TICK_AGE_SECONDS.labels(symbol=symbol).set(float(age_s))
            await asyncio.sleep(1.0)

    async def refresh_bars(self) -> None:
        """Loop: shortly after each minute, read the closed bars; the first time, and after a gap, all of
        them.
        """
        while True:
            if self._holds:
                await self._read_bars()
            now = utc_now()
            next_minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
            wait_s = (next_minute - now).total_seconds() + BARS_DELAY_S
            await asyncio.sleep(wait_s if self._holds else min(wait_s, lease.RENEW_INTERVAL_S))

    async def _read_bars(self) -> None:
        gate = asyncio.Semaphore(BARS_READS_AT_ONCE_MAX)

        async def read(symbol: str) -> None:
            async with gate:
                await self._read_symbol_bars(symbol)

        async with asyncio.TaskGroup() as group:
            for symbol in self._unified:
                group.create_task(read(symbol))
        await self._bar_store.prune(self._settings.bars_kept_days)

    async def _read_symbol_bars(self, symbol: str) -> None:
        kept = self._bars[symbol]
        gap = not kept or utc_now() - kept[-1].opened_at > timedelta(minutes=BARS_REREAD)
        fresh = await self._exchange.bars(symbol, BARS_KEPT if gap else BARS_REREAD)
        merged = {bar.opened_at: bar for bar in (*kept, *fresh)}
        self._bars[symbol] = [merged[at] for at in sorted(merged)][-BARS_KEPT:]
        await self._writer.bars(symbol, self._bars[symbol])
        await self._bar_store.keep(symbol, fresh)


async def refresh_instruments(exchange: BinanceClient, writer: MarketWriter, watched: frozenset[str]) -> None:
    """Loop: re-read the exchange's rules, which change now and then."""
    while True:
        await asyncio.sleep(INSTRUMENTS_INTERVAL_S)
        await writer.instruments(_watched(await exchange.instruments(), watched))


async def measure_load(redis: RedisClient) -> None:
    """Loop: what Redis holds, for the alert rules and the dashboards."""
    while True:
        load = await redis.load((topology.MARKET_STREAM,))
        metrics.REDIS_BYTES.set(load.used_bytes)
        for stream, entries in load.stream_entries.items():
            metrics.STREAM_ENTRIES.labels(stream=stream).set(entries)
        await asyncio.sleep(LOAD_INTERVAL_S)


def _watched(instruments: tuple[Instrument, ...], watched: frozenset[str]) -> list[Instrument]:
    return [each for each in instruments if each.symbol in watched]


async def build(runtime: Runtime, settings: FeedSettings) -> FastAPI:
    """Open everything, publish the instruments, then follow the streams."""
    database = await runtime.open(
        Database(
            settings.postgres_url,
            user="phoenix_feed",
            password=settings.feed_db_password.get_secret_value(),
            schema="feed",
            name=runtime.holder,
            connections_max=4,
        ),
        ping_as="postgresql",
    )
    await database_clock.follow(runtime, database)
    redis = await runtime.open(
        RedisClient(settings.redis_url.get_secret_value(), runtime.holder), ping_as="redis"
    )
    publisher = await runtime.open(
        Publisher(settings.amqp_url.get_secret_value(), runtime.holder), ping_as="rabbitmq"
    )
    exchange = await runtime.open(BinanceClient(settings), ping_as="exchange")
    await runtime.outwait(exchange.clock.measure)
    await runtime.outwait(exchange.load_markets)
    writer, outbox = MarketWriter(redis), Outbox(database, publisher)
    listed = await runtime.outwait(exchange.instruments)
    symbols = _chosen(settings.feed_symbols, listed)
    await writer.instruments(_watched(listed, symbols))
    unified = {symbol: exchange.venue.safe_symbol(symbol, None, None, "swap") for symbol in sorted(symbols)}

    mine = lease.Lease(database, "feed", runtime.holder)
    feed = MarketFeed(settings, exchange, writer, BarStore(database), outbox, database, mine, unified)
    await runtime.outwait(feed.prepare)
    runtime.pings["market"] = feed.ping
    runtime.spawn("feed_lease", feed.keep_lease)
    for name in (
        "watch_quotes",
        "watch_marks",
        "watch_trades",
        "write_ticks",
        "measure_ages",
        "refresh_bars",
    ):
        runtime.spawn(name, getattr(feed, name))
    runtime.spawn("instruments", functools.partial(refresh_instruments, exchange, writer, symbols))
    runtime.spawn("redis_load", functools.partial(measure_load, redis))
    runtime.spawn("outbox_sweeper", outbox.sweep)
    runtime.on_drain(mine.release)

    app = create_app(runtime, "market feed", DESCRIPTION)
    reader = MarketReader(redis)

    @app.get("/symbols", summary="What is watched and can be traded", tags=["market"])
    async def watched() -> Any:
        return json_response({"symbols": sorted(await reader.symbols())})

    return app


def _chosen(wanted: str, listed: tuple[Instrument, ...]) -> frozenset[str]:
    names = frozenset(each.symbol for each in listed)
    if wanted.strip() == "*":
        return names
    chosen = frozenset(part.strip().upper() for part in wanted.split(",") if part.strip())
    unknown = chosen - names
    if unknown:
        raise OperatorNeeded(f"PHOENIX_FEED_SYMBOLS names what the exchange does not list: {sorted(unknown)}")
    return chosen


def main() -> None:
    """Run the market feed."""
    run("market_feed", FeedSettings, build)


if __name__ == "__main__":
    main()
