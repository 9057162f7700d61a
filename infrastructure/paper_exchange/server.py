"""Composition root: settings → core, journal, prices, streams → one aiohttp application that serves them.

The only place that builds things. Nothing connects or reads files before `build` and `serve` are called.
"""

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson
import structlog
from aiohttp import web

from infrastructure.paper_exchange.account import AccountState
from infrastructure.paper_exchange.admin_api import AdminApi
from infrastructure.paper_exchange.admin_faults import FaultAdmin
from infrastructure.paper_exchange.admin_hand import HandAdmin
from infrastructure.paper_exchange.admin_http import Door, admin_routes
from infrastructure.paper_exchange.config import PaperSettings
from infrastructure.paper_exchange.disturbed_streams import DisturbedHub
from infrastructure.paper_exchange.engine import Exchange
from infrastructure.paper_exchange.faults import Switchboard
from infrastructure.paper_exchange.journal import Journal
from infrastructure.paper_exchange.limits import Limits
from infrastructure.paper_exchange.market import Market, next_funding_ms
from infrastructure.paper_exchange.prices import MarketSource, TapeBar, TapeSource, WalkSource
from infrastructure.paper_exchange.rest_api import BODY_BYTES_MAX, Credentials, RestApi
from infrastructure.paper_exchange.streams import StreamHub
from infrastructure.paper_exchange.symbols import SymbolRules, listed_symbols
from infrastructure.paper_exchange.tape import read_tape
from infrastructure.paper_exchange.values import Quote
from infrastructure.paper_exchange.venue import Venue
from shared.process_watchdog import ProcessWatchdog

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 0.4
_LOG = structlog.get_logger()
_STREAM_CATEGORIES = "{category:public|market|private}"


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class DataDirectoryInUse(Exception):
    """Another paper exchange has this data directory."""


def lock_directory(directory: Path) -> int:
    """Claim a data directory for this process until it ends; raises `DataDirectoryInUse`."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DataDirectoryInUse(str(directory)) from None
    return lock


def build_venue(settings: PaperSettings, hub: StreamHub, clock: Callable[[], int]) -> Venue:
    """Recover or found the exchange and put it together; `clock` is the time that it tells."""
    now_ms = clock()
    named = [name.strip() for name in settings.symbols_named.split(",") if name.strip()]
    rules = listed_symbols(settings.symbols_extra, named)
    journal = Journal(settings.data_dir, fsync=settings.fsync)
    exchange = _recover(settings, journal, rules) or _found(settings, rules, now_ms)
    source, history = _prices(settings, rules, exchange.state)
    market = Market(rules, exchange.state.quotes)
    for symbol, bars in history.items():
        market[symbol].seed(bars, now_ms)
    journal.rotate(exchange.state)
    return Venue(exchange, market, source, journal, hub, clock, wall_clock_ms)


def _recover(settings: PaperSettings, journal: Journal, rules: Mapping[str, SymbolRules]) -> Exchange | None:
    recovered = journal.recover()
    if recovered is None:
        return None
    state, records = recovered
    for symbol, each in rules.items():
        state.quotes.setdefault(symbol, Quote(each.start_price, each.start_price))
    exchange = Exchange(rules, state, settings.terms())
    replayed = 0
    for record in records:
        exchange.execute(record.command, record.now_ms)
        replayed += 1
    _LOG.info("exchange_recovered", records=replayed, open_orders=len(state.open_orders))
    return exchange


def _found(settings: PaperSettings, rules: Mapping[str, SymbolRules], now_ms: int) -> Exchange:
    quotes = {symbol: Quote(each.start_price, each.start_price) for symbol, each in rules.items()}
    state = AccountState(
        cross_wallet=settings.wallet_usdt,
        initial_wallet=settings.wallet_usdt,
        quotes=quotes,
        next_funding_ms=next_funding_ms(now_ms),
    )
    return Exchange(rules, state, settings.terms())


def _prices(
    settings: PaperSettings, rules: Mapping[str, SymbolRules], state: AccountState
) -> tuple[MarketSource, dict[str, list[TapeBar]]]:
    """The price source at the state's cursor, and the bars that came before it."""
    walks = WalkSource(rules, settings.seed, state.cursor)
    if state.cursor:
        for symbol in rules:
            walks.resume(symbol, state.quotes[symbol].last)
    history = {symbol: walks.history(symbol, _history_bars(settings, symbol)) for symbol in rules}
    if settings.tape is None:
        return MarketSource(walks), history
    symbol = settings.tape_symbol
    tape = TapeSource(
        rules[symbol],
        _playable(settings.tape, settings.history_bars, history, symbol),
        settings.tape_speed,
        state.cursor,
    )
    if not state.cursor:
        state.quotes[symbol] = Quote(tape.first_price, tape.first_price)
    return MarketSource(walks, tape, symbol), history


def _playable(path: Path, wanted: int, history: dict[str, list[TapeBar]], symbol: str) -> list[TapeBar]:
    """Split a tape: its beginning becomes the symbol's history, at most half of it."""
    bars = read_tape(path)
    split = min(wanted, len(bars) // 2)
    if split:
        history[symbol] = bars[:split]
    return bars[split:]


def _history_bars(settings: PaperSettings, symbol: str) -> int:
    return settings.synthetic_history_bars if symbol.startswith("SYN") else settings.history_bars


def build_application(
    venue: Venue, settings: PaperSettings, stop: asyncio.Event, faults: Switchboard, hub: DisturbedHub
) -> web.Application:
    """The HTTP application of a venue."""
    limits = Limits(settings.weight_limit_1m, settings.order_limit_10s, settings.order_limit_1m)
    credentials = Credentials(settings.api_key.get_secret_value(), settings.api_secret.get_secret_value())
    rest = RestApi(
        venue, limits, credentials, omit_average=settings.omit_average, on_fatal=stop.set, faults=faults
    )
    application = web.Application(client_max_size=BODY_BYTES_MAX)
    application.add_routes(rest.routes())
    operations = {name for each in rest.endpoints for name in (each.operation, each.route)}
    doors: list[Door] = [
        AdminApi(venue, settings.wallet_usdt, faults),
        FaultAdmin(venue.exchange.rules, operations, faults, hub),
        HandAdmin(venue),
    ]
    application.add_routes(admin_routes(doors))
    application.add_routes(_stream_routes(venue.hub))
    application.router.add_get("/health", _health)
    return application


def _stream_routes(hub: StreamHub) -> list[web.RouteDef]:
    async def raw(request: web.Request) -> web.StreamResponse:
        return await hub.serve(request, _streams_of(request, hub), _category(request, hub), combined=False)

    async def combined(request: web.Request) -> web.StreamResponse:
        return await hub.serve(request, _streams_of(request, hub), _category(request, hub), combined=True)

    return [
        web.get(f"/{_STREAM_CATEGORIES}/ws", raw),
        web.get(f"/{_STREAM_CATEGORIES}/ws/{{last}}", raw),
        web.get(f"/{_STREAM_CATEGORIES}/stream", combined),
        web.get("/ws", raw),
        web.get("/ws/{last}", raw),
        web.get("/stream", combined),
    ]


def _category(request: web.Request, hub: StreamHub) -> str:
    """The category of an address; the old addresses without one serve public streams, or a listen key."""
    is_private = hub.is_listen_key(request.match_info.get("last", "")) or "listenKey" in request.query
    return request.match_info.get("category", "private" if is_private else "public")


def _streams_of(request: web.Request, hub: StreamHub) -> list[str]:
    """Streams named in the address: ?streams=a/b, ?listenKey=K, or a name or key that ends the path."""
    streams = [stream for stream in request.query.get("streams", "").split("/") if stream]
    last = request.match_info.get("last", "")
    if "@" in last or hub.is_listen_key(last):
        streams.append(last)
    key = request.query.get("listenKey", "")
    if key and not hub.is_listen_key(key):
        raise web.HTTPUnauthorized(
            body=orjson.dumps({"code": -1125, "msg": "This listenKey does not exist."}),
            content_type="application/json",
        )
    return [*streams, key] if key else streams


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def serve(settings: PaperSettings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code (1 after a journal failure)."""
    watchdog = ProcessWatchdog()
    watchdog.start()
    watchdog.watch_loop()
    watchdog.begin("the start", START_TIMEOUT_S)
    lock = lock_directory(settings.data_dir)
    faults = Switchboard(wall_clock_ms)
    hub = DisturbedHub(faults)
    venue = build_venue(settings, hub, faults.exchange_ms)
    stop, fatal = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        build_application(venue, settings, fatal, faults, hub),
        access_log=None,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
    )
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port)
    await site.start()
    _LOG.info(
        "exchange_serving", host=settings.host, port=runner.addresses[0][1], symbols=len(venue.exchange.rules)
    )
    watchdog.done()
    ticking = asyncio.create_task(_tick_until(venue, settings.tick_ms / 1000, stop, fatal))
    await ticking
    watchdog.begin("the stop", STOP_TIMEOUT_S)
    venue.hub.close_all()
    await runner.cleanup()
    if not fatal.is_set():
        venue.close()
    os.close(lock)
    _LOG.info("exchange_stopped", clean=not fatal.is_set())
    return int(fatal.is_set())


async def _tick_until(venue: Venue, interval_s: float, stop: asyncio.Event, fatal: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while not (stop.is_set() or fatal.is_set()):
        try:
            venue.tick()
        except OSError as error:
            _LOG.critical("journal_write_failed", error=str(error))
            fatal.set()
        due = max(due + interval_s, loop.time())
        try:
            await asyncio.wait_for(stop.wait(), max(due - loop.time(), 0.001))
        except TimeoutError:
            continue
