"""The market feed: its own process, the same image. Ticks to `market:stream`, last prices, 1 m bars.

`python -m services.execute.market_feed --port P`. Each stream has a silence watchdog: the exchange has
retired stream addresses before while leaving the sockets open, and silence looks like calm. What is watched
follows the exchange's list (`feed_symbols`); one symbol's trouble touches no other. It must never trade.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from fastapi import FastAPI

from services.execute import facts
from services.execute.bar_store import BarStore
from services.execute.binance_client import BinanceClient
from services.execute.config import FeedSettings
from services.execute.feed_symbols import FeedSymbols
from services.execute.stream_session import close_streams, stay
from services.execute.tick_board import TickBoard
from services.execute.venue_parse import decimal, from_ms
from services.execute.venue_rows import UNREADABLE, why_unreadable
from shared import database_clock, lease, logs, metrics, topology
from shared.clock import utc_now
from shared.database import Database
from shared.errors import DependencyDown, ExchangeUnavailable
from shared.http_api import create_app, json_response
from shared.lifecycle import Runtime, run
from shared.market import Bar
from shared.market_data import BARS_KEPT, MarketReader, MarketWriter
from shared.outbox import SWEEP_QUIET_S_MAX, Outbox
from shared.rabbitmq_client import Publisher
from shared.redis_client import RedisClient
from shared.supervision import Done, Failed, attempt
from shared.values import Severity

DESCRIPTION = "Watches the market: ticks, last prices, 1 m bars, instrument rules."
LOAD_INTERVAL_S = 5.0
BARS_DELAY_S = 1.0  # after the minute has turned, so that the exchange has closed the bar
BARS_REREAD = 3
STREAMS = ("bidasks", "markPrices", "tickers")
BARS_READS_AT_ONCE_MAX = 8
SYMBOLS_TOLD_MAX = 20
OTHERS = "other symbols"
SYMBOL_CHARS_MAX = 40
UNREAD_NAMED_MAX = 1_000

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
    ) -> None:
        self._settings = settings
        self._exchange = exchange
        self._writer = writer
        self._bar_store = bars
        self._outbox = outbox
        self._database = database
        self._lease = mine
        self._unified: dict[str, str] = {}
        self._has_symbols = asyncio.Event()
        self._board = TickBoard((), utc_now())
        self._bars: dict[str, list[Bar]] = {}
        self._heard_at: dict[str, float] = {}
        self._named: set[tuple[str, str]] = set()
        self._holds = False
        metrics.from_zero(metrics.EXCHANGE_ROWS_UNREAD, "operation", STREAMS)
        exchange.venue.take_market = self.take

    @property
    def holds(self) -> bool:
        """Whether this instance is the one that writes."""
        return self._holds

    def watch(self, stream_names: Mapping[str, str]) -> None:
        """Watch these symbols (with the names that the streams have for them) and no others."""
        for gone in self._unified.keys() - stream_names.keys():
            self._bars.pop(gone, None)
            with suppress(KeyError):  # not measured yet
                metrics.TICK_AGE_SECONDS.remove(gone)
        self._unified = dict(stream_names)
        self._board.watch(stream_names, utc_now())
        if stream_names:
            self._has_symbols.set()
        else:
            self._has_symbols.clear()

    async def ping(self) -> None:
        """Raise `ExchangeUnavailable` while a stream is silent, or no symbol at all has a young price."""
        limit_s = self._settings.feed_silence_s_max
        if not self._unified:
            raise ExchangeUnavailable("no symbol is watched")
        silent = self._board.silent(utc_now(), limit_s)
        if len(self._heard_at) < len(STREAMS) or len(silent) == len(self._unified):
            raise ExchangeUnavailable(f"the market is silent: no price is younger than {limit_s} s")

    def note(self) -> str | None:
        """Return which symbols have no young price while others have; entries of theirs are refused."""
        silent = self._board.silent(utc_now(), self._settings.feed_silence_s_max)
        if not silent:
            return None
        more = f" and {len(silent) - SYMBOLS_TOLD_MAX} more" if len(silent) > SYMBOLS_TOLD_MAX else ""
        return f"silent: {', '.join(silent[:SYMBOLS_TOLD_MAX])}{more}"

    async def take_lease(self) -> None:
        """Take the lease if it is free."""
        self._holds = await self._lease.hold()

    async def prepare(self) -> None:
        """Read the bars once, so that who finds us ready finds them."""
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
        """Subscribe, and stay until the connection ends, the stream has been silent for too long, or other
        symbols are to be watched.
        """
        clock = asyncio.get_running_loop().time
        silence_s = float(self._settings.feed_silence_s_max)
        await self._has_symbols.wait()
        subscribed = dict(self._unified)
        self._heard_at[stream] = clock()

        def why_leave() -> str | None:
            if self._unified != subscribed:
                return OTHERS
            is_silent = clock() - self._heard_at[stream] > silence_s
            metrics.FEED_STALE.labels(stream=stream).set(1 if is_silent else 0)
            return "silent" if is_silent else None

        match await stay(subscribe(list(subscribed.values())), silence_s / 4, why_leave):
            case None:
                pass
            case why if why == OTHERS:
                await close_streams(self._exchange.venue)
            case _:
                await self._reopen_silent(stream)

    def take(self, stream: str, raw: Any) -> None:
        """Take in one raw message of a stream; one that cannot be read is counted and named."""
        self._heard_at[stream] = asyncio.get_running_loop().time()
        try:
            self._take(stream, raw)
        except UNREADABLE as error:  # raised to ccxt it would end the stream, of every symbol
            metrics.EXCHANGE_ROWS_UNREAD.labels(operation=stream).inc()
            self._name_once(stream, raw, error)

    def _name_once(self, stream: str, raw: Any, error: Exception) -> None:
        symbol = str(raw.get("s"))[:SYMBOL_CHARS_MAX] if isinstance(raw, Mapping) else ""
        if (stream, symbol) in self._named or len(self._named) >= UNREAD_NAMED_MAX:
            return
        self._named.add((stream, symbol))
        _log.error("tick_unread", stream=stream, symbol=symbol, why=why_unreadable(error))

    def _take(self, stream: str, raw: dict[str, Any]) -> None:
        now, symbol = utc_now(), raw["s"]
        if stream == "bidasks":
            at = from_ms(raw["T"])
            self._board.quote(symbol, decimal(raw["b"]), decimal(raw["a"]), at, now)
        elif stream == "markPrices":
            self._board.mark(symbol, decimal(raw["p"]), now)
        else:
            self._board.traded(symbol, decimal(raw["c"]), decimal(raw["q"]), now)

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
        """Read every symbol's bars; one that fails is named and tried again the next time.

        Raises:
            DependencyDown: none could be read, and it is not the symbols' fault.
        """
        gate = asyncio.Semaphore(BARS_READS_AT_ONCE_MAX)

        async def read(symbol: str) -> BaseException | None:
            async with gate:
                match await attempt(self._read_symbol_bars(symbol)):
                    case Failed(error):
                        _log.warning("bars_not_read", symbol=symbol, why=str(error))
                        return error
                    case Done():
                        return None

        failures = await asyncio.gather(*(read(symbol) for symbol in tuple(self._unified)))
        if failures and all(isinstance(each, DependencyDown) for each in failures):
            assert failures[0] is not None
            raise failures[0]
        await self._bar_store.prune(self._settings.bars_kept_days)

    async def _read_symbol_bars(self, symbol: str) -> None:
        kept = self._bars.get(symbol, [])
        gap = not kept or utc_now() - kept[-1].opened_at > timedelta(minutes=BARS_REREAD)
        fresh = await self._exchange.bars(symbol, BARS_KEPT if gap else BARS_REREAD)
        merged = {bar.opened_at: bar for bar in (*kept, *fresh)}
        self._bars[symbol] = [merged[at] for at in sorted(merged)][-BARS_KEPT:]
        await self._writer.bars(symbol, self._bars[symbol])
        await self._bar_store.keep(symbol, fresh)


async def measure_load(redis: RedisClient) -> None:
    """Loop: what Redis holds, for the alert rules and the dashboards."""
    while True:
        load = await redis.load((topology.MARKET_STREAM,))
        metrics.REDIS_BYTES.set(load.used_bytes)
        for stream, entries in load.stream_entries.items():
            metrics.STREAM_ENTRIES.labels(stream=stream).set(entries)
        await asyncio.sleep(LOAD_INTERVAL_S)


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
    writer, outbox = MarketWriter(redis), Outbox(database, publisher)
    reader = MarketReader(redis)
    mine = lease.Lease(database, "feed", runtime.holder)
    feed = MarketFeed(settings, exchange, writer, BarStore(database), outbox, database, mine)
    symbols = FeedSymbols(settings.feed_symbols, exchange, writer, reader, outbox, database, feed)
    runtime.pings["market"] = feed.ping
    runtime.pings["symbols"] = symbols.ping
    runtime.notes["market"] = feed.note
    runtime.notes["symbols"] = symbols.note
    await feed.take_lease()
    match await attempt(_begin(symbols, feed)):
        case Failed(DependencyDown() as down):  # not ready, and it goes on by itself
            _log.warning("feed_waits", why=str(down))
        case Failed(error):
            raise error
        case Done():
            pass
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
    runtime.spawn("instruments", symbols.follow)
    runtime.spawn("redis_load", functools.partial(measure_load, redis))
    runtime.spawn("outbox_sweeper", outbox.sweep, quiet_s_max=SWEEP_QUIET_S_MAX)
    runtime.on_drain(mine.release)

    app = create_app(runtime, "market feed", DESCRIPTION)

    @app.get("/symbols", summary="What is watched and can be traded", tags=["market"])
    async def watched() -> Any:
        told = {"symbols": sorted(await reader.symbols()), "left_out": await reader.left_out()}
        return json_response(told)

    return app


async def _begin(symbols: FeedSymbols, feed: MarketFeed) -> None:
    await symbols.look()
    await feed.prepare()


def main() -> None:
    """Run the market feed."""
    run("market_feed", FeedSettings, build)


if __name__ == "__main__":
    main()
