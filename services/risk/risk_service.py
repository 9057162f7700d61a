"""RISK's composition root: settings → connections → flow → consumers. Nothing connects at import."""

from fastapi import FastAPI

from services.risk.api_examples import ANSWERS
from services.risk.book_gauges import BookGauges
from services.risk.config import RiskSettings
from services.risk.disk_watch import DiskWatch
from services.risk.flow import RiskFlow
from services.risk.market_view import MarketView
from services.risk.operator_api import OperatorApi
from services.risk.profiles import LimitFault
from services.risk.store import RiskStore, retention
from services.risk.stream_processor import Inbound
from shared import database_clock
from shared.api_docs import describe
from shared.clock import utc_now
from shared.database import Database
from shared.errors import OperatorNeeded
from shared.http_api import create_app
from shared.lifecycle import Runtime, run
from shared.market_data import MarketReader
from shared.outbox import SWEEP_QUIET_S_MAX, Outbox
from shared.rabbitmq_client import Publisher
from shared.redis_client import RedisClient
from shared.retention import Retention
from shared.stream_processor import LatestTicks

DESCRIPTION = (
    "Judges every entry against the account: sized down, reserved and approved, or refused with a reason."
)


async def build(runtime: Runtime, settings: RiskSettings) -> FastAPI:
    """Open everything, then consume."""
    limits = settings.limits()
    database = await runtime.open(
        Database(
            settings.postgres_url,
            user="phoenix_risk",
            password=settings.risk_db_password.get_secret_value(),
            schema="risk",
            name=runtime.holder,
        ),
        ping_as="postgresql",
    )
    await database_clock.follow(runtime, database)
    redis = await runtime.open(
        RedisClient(settings.redis_url.get_secret_value(), runtime.holder), ping_as="redis"
    )
    amqp_url = settings.amqp_url.get_secret_value()
    publisher = await runtime.open(Publisher(amqp_url, runtime.holder), ping_as="rabbitmq")

    outbox, ticks = Outbox(database, publisher), LatestTicks(redis)
    market = MarketView(MarketReader(redis), ticks)
    disk = DiskWatch(settings.disk_paths.split(":"), settings.disk_free_min_mb, database, outbox, utc_now)
    flow = RiskFlow(RiskStore(database), market, outbox, limits, utc_now, disk.newest)
    await _require_usable_overrides(flow)

    runtime.spawn("outbox_sweeper", outbox.sweep, quiet_s_max=SWEEP_QUIET_S_MAX)
    runtime.spawn("retention", Retention(database, retention(settings.signals_kept_days)).keep)
    runtime.spawn("disk_watch", disk.keep, quiet_s_max=60.0)
    runtime.spawn("latest_ticks", ticks.follow)
    runtime.spawn("correlations", market.keep_warm)
    gauges = BookGauges(flow, market)
    runtime.spawn("book_gauges", gauges.keep)
    for name, consumer in Inbound(flow).consumers(amqp_url, runtime.holder, publisher).items():
        await runtime.open(consumer, ping_as=name)
        runtime.on_drain(consumer.drain)
    runtime.on_drain(outbox.flush_marks)

    app = create_app(runtime, "RISK", DESCRIPTION)
    OperatorApi(flow, settings.risk_profile, settings.api_key, utc_now, gauges.measures, ticks.all).add_to(
        app
    )
    describe(app, ANSWERS)
    return app


async def _require_usable_overrides(flow: RiskFlow) -> None:
    """Read the limits an operator stored before the first decision needs them."""
    try:
        await flow.status()
    except LimitFault as fault:
        raise OperatorNeeded(f"table risk.configuration: {fault}. Correct or delete that row.") from None


def main() -> None:
    """Run one RISK instance."""
    run("risk", RiskSettings, build)
