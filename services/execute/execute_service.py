"""EXECUTE's composition root: settings → connections → flows → consumers. Nothing connects at import."""

import functools
from datetime import timedelta

from fastapi import FastAPI

from services.execute.account_ledger import AccountLedger
from services.execute.api_examples import ANSWERS
from services.execute.binance_client import BinanceClient
from services.execute.book_keeper import BookKeeper
from services.execute.book_reader import BookReader
from services.execute.config import ExecuteSettings
from services.execute.entry_flow import EntryFlow
from services.execute.entry_preparation import EntryRules
from services.execute.exit_flow import ExitFlow
from services.execute.flow import ExecutionFlow
from services.execute.keeper import Keeper
from services.execute.ledger_store import LedgerStore
from services.execute.leverage_manager import MarginMemory
from services.execute.margin_flow import MarginFlow
from services.execute.market_view import MarketView
from services.execute.own_requests import OwnRequests
from services.execute.preflight import Preflight
from services.execute.protection_flow import ProtectionFlow
from services.execute.queue_consumer import consumers
from services.execute.reconciliation import CorrectionKind
from services.execute.rescue import Rescue
from services.execute.routes import ExecuteRoutes
from services.execute.store import ExecuteStore, retention
from services.execute.user_stream import UserStream
from shared import database_clock, metrics
from shared.api_docs import describe
from shared.clock import of_process, utc_now
from shared.database import Database
from shared.http_api import create_app
from shared.lease import Lease
from shared.lifecycle import Runtime, run
from shared.market_data import MarketReader, MarketWriter
from shared.outbox import SWEEP_QUIET_S_MAX, Outbox
from shared.rabbitmq_client import Consumer, Publisher
from shared.redis_client import RedisClient
from shared.retention import Retention
from shared.stream_processor import LatestTicks
from shared.topology import TRADE_CONTROL, TRADE_EXECUTION
from shared.values import CloseReason

RESCUE_QUIET_S_MAX = 60.0
KEEPER_QUIET_S_MAX = 300.0
"""A loop that has not come round for so long is stuck; one look at the exchange may take long in a crisis."""

DESCRIPTION = "Opens, protects and closes positions. The only service that talks to the exchange."


async def build(runtime: Runtime, settings: ExecuteSettings) -> FastAPI:
    """Open everything, take exits, reconcile with the exchange, and only then take entries."""
    database = await runtime.open(
        Database(
            settings.postgres_url,
            user="phoenix_execute",
            password=settings.execute_db_password.get_secret_value(),
            schema="execute",
            name=runtime.holder,
        ),
        ping_as="postgresql",
    )
    await database_clock.follow(runtime, database)
    redis = await runtime.open(
        RedisClient(settings.redis_url.get_secret_value(), runtime.holder), ping_as="redis"
    )
    amqp_url = settings.amqp_url.get_secret_value()
    publisher = await _publisher(runtime, amqp_url)
    exchange = await runtime.open(BinanceClient(settings), ping_as="exchange")
    of_process().on_step(exchange.clock.own_clock_moved)
    await runtime.outwait(exchange.preflight)

    metrics.from_zero(metrics.RECONCILE_DIFFERENCES, "kind", CorrectionKind)
    metrics.from_zero(metrics.TRADES_CLOSED, "reason", CloseReason)
    store, outbox, ticks = ExecuteStore(database), Outbox(database, publisher), LatestTicks(redis)
    market = MarketView(
        MarketReader(redis), ticks, exchange, settings.market_data_age_s_max, utc_now, MarketWriter(redis)
    )
    rules, inst = _entry_rules(settings), settings.installation
    exits = ExitFlow(store, exchange, market, outbox, inst, utc_now)
    protection = ProtectionFlow(
        store, exchange, market, outbox, exits, inst, rules.protection_timeout_s, utc_now
    )
    memory = MarginMemory()
    margins = MarginFlow(store, exchange, exchange, outbox, exits, memory, utc_now)
    entries = EntryFlow(store, exchange, market, outbox, exits, protection, margins, rules, utc_now)
    flow = ExecutionFlow(
        store, exchange, exchange, outbox, entries, protection, exits, margins, inst, utc_now
    )

    runtime.spawn("outbox_sweeper", outbox.sweep, quiet_s_max=SWEEP_QUIET_S_MAX)
    runtime.spawn("latest_ticks", ticks.follow)
    runtime.spawn("exchange_clock", exchange.clock.keep)
    rescue = Rescue(store, entries, exits, utc_now)
    runtime.spawn("rescue", rescue.watch, quiet_s_max=RESCUE_QUIET_S_MAX)
    runtime.spawn("books", BookKeeper(store, BookReader(exchange, inst), outbox, utc_now).watch)
    kept = retention(settings.trades_kept_days, settings.equity_kept_days)
    runtime.spawn("retention", Retention(database, kept).keep)
    inbound = consumers(amqp_url, runtime.holder, flow, publisher)
    await _consume(runtime, inbound, TRADE_CONTROL.name)  # P9: exits wait for no reconciliation
    own = OwnRequests(outbox, flow.on_control, inbound[TRADE_CONTROL.name].ping)
    runtime.spawn("own_requests", own.watch)
    await runtime.outwait(flow.reconcile)  # P7: the exchange is the truth, before any new entry is taken in
    lease = Lease(database, "keeper", runtime.holder)
    stream = UserStream(exchange, store, memory, utc_now)
    _spawn_stream(runtime, stream)
    runtime.spawn("margin_watch", margins.watch)
    ledger = AccountLedger(exchange, LedgerStore(database), outbox, utc_now)
    keeper = Keeper(lease, flow, exchange, stream, store, publisher, ledger, inst)
    _spawn_keeper(runtime, keeper, settings)
    await _consume(runtime, inbound, TRADE_EXECUTION.name)
    runtime.on_drain(outbox.flush_marks)
    runtime.on_drain(lease.release)

    app = create_app(runtime, "EXECUTE", DESCRIPTION)
    preflight = Preflight(exchange, settings.mode, utc_now)
    ExecuteRoutes(settings, store, exchange, market, outbox, ticks, utc_now, preflight).add_to(app)
    describe(app, ANSWERS)
    return app


async def _publisher(runtime: Runtime, url: str) -> Publisher:
    """Open it without waiting for the broker: positions are looked after without one (decision 40)."""
    return await runtime.open(Publisher(url, runtime.holder, in_background=True), ping_as="rabbitmq")


async def _consume(runtime: Runtime, inbound: dict[str, Consumer], name: str) -> None:
    consumer = await runtime.open(inbound[name], ping_as=name)
    runtime.on_drain(consumer.drain)


def _spawn_stream(runtime: Runtime, stream: UserStream) -> None:
    runtime.spawn("user_stream", stream.keep_open)
    runtime.spawn("user_stream_key", stream.keep_key)
    runtime.spawn("user_stream_evidence", stream.gather_evidence)


def _entry_rules(settings: ExecuteSettings) -> EntryRules:
    lookup_s = float(settings.lookup_timeout_s) + settings.recv_window_ms / 1000
    return EntryRules(
        installation=settings.installation,
        market_order=settings.entry_order == "market",
        slippage_tolerance=settings.slippage_tolerance,
        price_drift_max=settings.price_drift_max,
        protection_timeout_s=settings.protection_timeout_s,
        lookup_window=timedelta(seconds=lookup_s),
    )


def _spawn_keeper(runtime: Runtime, keeper: Keeper, settings: ExecuteSettings) -> None:
    runtime.spawn("keeper_lease", keeper.keep_lease, quiet_s_max=RESCUE_QUIET_S_MAX)
    runtime.spawn("order_events", keeper.follow_orders)
    for name, interval_s, work in (
        ("reconciliation", settings.reconcile_interval_s, keeper.reconcile),
        ("account_snapshot", settings.snapshot_interval_s, keeper.tell_account),
    ):
        runtime.spawn(name, functools.partial(keeper.every, interval_s, work), quiet_s_max=KEEPER_QUIET_S_MAX)


def main() -> None:
    """Run one EXECUTE instance."""
    run("execute", ExecuteSettings, build)
