"""BRAIN's composition root: settings → connections → store, flow, webhook → consumers. Nothing else wires."""

from datetime import timedelta

from fastapi import FastAPI

from services.brain.api_examples import ANSWERS
from services.brain.config import BrainSettings
from services.brain.doors import Keys
from services.brain.flow import BrainFlow, Rules
from services.brain.housekeeping import Housekeeping
from services.brain.known_symbols import KnownSymbols
from services.brain.message_publisher import CONFIRM_TIMEOUT_S, SignalPublisher
from services.brain.rate_limit import RateLimit
from services.brain.refused_alerts import REFUSED_ACTIONS, REFUSED_REASONS, RefusedAlerts
from services.brain.shared_windows import SharedWindows
from services.brain.signal_analyzer import SCORERS, Minimums
from services.brain.signals_api import add_analyze, add_reads
from services.brain.store import BrainReads, BrainStore, retention
from services.brain.webhook import Intake, add_webhook
from shared import database_clock, metrics, topology
from shared.api_docs import describe
from shared.clock import utc_now
from shared.database import Database
from shared.errors import OperatorNeeded
from shared.http_api import create_app
from shared.lifecycle import Runtime, run
from shared.market_data import MarketReader
from shared.outbox import SWEEP_QUIET_S_MAX, Outbox
from shared.rabbitmq_client import Consumer, Publisher
from shared.redis_client import RedisClient
from shared.retention import Retention

DESCRIPTION = (
    "Takes TradingView alerts in durably, scores entries, passes exits on without delay, and keeps the story"
    " and the one outcome of every signal."
)


async def build(runtime: Runtime, settings: BrainSettings) -> FastAPI:
    """Open everything BRAIN needs, start its loops and consumers, and return its HTTP application."""
    database, publisher, redis = await _connect(runtime, settings)
    market = MarketReader(redis)
    outbox = Outbox(database, publisher)
    store = BrainStore(database)
    flow = BrainFlow(store, market, outbox, _rules(settings), utc_now)
    symbols = KnownSymbols(market)
    await symbols.refresh()
    housekeeping = Housekeeping(store, outbox, timedelta(seconds=settings.outcome_due_s), utc_now)

    runtime.spawn("outbox_sweeper", outbox.sweep, quiet_s_max=SWEEP_QUIET_S_MAX)
    runtime.spawn("known_symbols", symbols.follow)
    runtime.spawn("housekeeping", housekeeping.run)
    runtime.spawn("retention", Retention(database, retention(settings.signals_kept_days)).keep)
    await _consume(runtime, settings, flow, publisher)
    runtime.on_drain(outbox.flush_marks)

    metrics.from_zero(metrics.WEBHOOK_REQUESTS, "reason", ("rate_entries", "rate_exits"), status="429")
    metrics.from_zero(metrics.WEBHOOK_REQUESTS, "reason", ("broker",), status="503")
    for action in REFUSED_ACTIONS:
        metrics.from_zero(metrics.ALERTS_REFUSED, "reason", REFUSED_REASONS, action=action)
    app = create_app(runtime, "BRAIN", DESCRIPTION)
    rate_limit = RateLimit(SharedWindows(redis), settings.rate_limit_per_minute)
    refused = RefusedAlerts(publisher.send, runtime.holder, _secrets(settings), utc_now)
    runtime.spawn("refusal_teller", refused.run)
    intake = _intake(runtime, settings, symbols, publisher, rate_limit, refused)
    add_webhook(app, intake)
    add_analyze(app, flow, intake)
    add_reads(app, BrainReads(database), utc_now)
    describe(app, ANSWERS)
    return app


async def _connect(runtime: Runtime, settings: BrainSettings) -> tuple[Database, Publisher, RedisClient]:
    database = await runtime.open(
        Database(
            settings.postgres_url,
            user="phoenix_brain",
            password=settings.brain_db_password.get_secret_value(),
            schema="brain",
            name=runtime.holder,
        ),
        ping_as="postgresql",
    )
    await database_clock.follow(runtime, database)
    publisher = await runtime.open(
        Publisher(settings.amqp_url.get_secret_value(), runtime.holder, confirm_timeout_s=CONFIRM_TIMEOUT_S),
        ping_as="rabbitmq",
    )
    redis = await runtime.open(
        RedisClient(settings.redis_url.get_secret_value(), runtime.holder), ping_as="redis"
    )
    return database, publisher, redis


async def _consume(runtime: Runtime, settings: BrainSettings, flow: BrainFlow, publisher: Publisher) -> None:
    for queue, handler in (
        (topology.BRAIN_FACTS, flow.on_fact),
        (topology.SIGNAL_PROCESSING, flow.on_signal),
    ):
        consumer = await runtime.open(
            Consumer(settings.amqp_url.get_secret_value(), runtime.holder, queue, handler, publisher),
            ping_as=queue.name,
        )
        runtime.on_drain(consumer.drain)


def _rules(settings: BrainSettings) -> Rules:
    if settings.scorer not in SCORERS:
        raise OperatorNeeded(f"PHOENIX_SCORER is {settings.scorer!r}; known are {', '.join(SCORERS)}")
    return Rules(
        scorer=settings.scorer,
        minimums=Minimums(
            confidence=settings.confidence_min,
            phoenix95_score=settings.score_min,
            final_confidence=settings.final_confidence_min,
        ),
        entry_age_max=timedelta(seconds=settings.entry_age_s_max),
    )


def _intake(
    runtime: Runtime,
    settings: BrainSettings,
    symbols: KnownSymbols,
    publisher: Publisher,
    rate_limit: RateLimit,
    refused: RefusedAlerts,
) -> Intake:
    webhook_secret, api_key = _secrets(settings)
    return Intake(
        keys=Keys(webhook_secret=webhook_secret, api_key=api_key),
        instance=runtime.holder,
        known_symbols=symbols,
        confidence_default=settings.confidence_default,
        dedupe_window_s=settings.dedupe_window_s,
        clock=utc_now,
        publisher=SignalPublisher(publisher, runtime.holder),
        rate_limit=rate_limit,
        trusted_proxies=settings.trusted_proxies,
        note_refused=refused.note,
    )


def _secrets(settings: BrainSettings) -> tuple[str, str]:
    """Return the webhook's secret and the operator's key."""
    return settings.webhook_secret.get_secret_value(), settings.api_key.get_secret_value()


def main() -> None:
    """Run one BRAIN instance."""
    run("brain", BrainSettings, build)
