"""NOTIFY's composition root: opens what it needs, wires the two halves of its story, starts its loops.

It must never hold a rule. Channels are no dependency: readiness does not ask whether Telegram answers.
"""

import secrets
import time

from fastapi import FastAPI

from services.notify.alarms import AlarmBook
from services.notify.api_examples import ANSWERS
from services.notify.audit_route import add_audit
from services.notify.channel_news import ChannelNews
from services.notify.chat.setup import open_chat
from services.notify.config import NotifySettings
from services.notify.daily.day_loss import DayLossWatch
from services.notify.daily.numbers import DailyNumbers
from services.notify.daily.report_writer import LEASE_NAME, ReportWriter
from services.notify.dashboard.opening import add_dashboard
from services.notify.desk import Desk
from services.notify.desk_store import DeskStore
from services.notify.event_consumer import open_consumers
from services.notify.flow import NotifyFlow
from services.notify.housekeeping import Housekeeping
from services.notify.http_routes import add_routes
from services.notify.metrics_collector import BusinessMetrics, DoorMetrics, StorageMetrics
from services.notify.reports import Reports
from services.notify.service_client import ServiceClient
from services.notify.store import NotificationStore
from services.notify.telling.languages import LANGUAGES
from services.notify.telling.outlets import open_outlets
from shared import database_clock
from shared.api_docs import describe
from shared.clock import utc_now
from shared.database import Database
from shared.http_api import create_app
from shared.lease import Lease
from shared.lifecycle import Runtime, run
from shared.outbox import SWEEP_QUIET_S_MAX, Outbox
from shared.rabbitmq_client import Publisher

NAME = "notify"
TOKEN_BYTES = 24
"""Of a confirmation; as text it fits into a button of a chat."""

DESCRIPTION = "Tells the trader what happened: keeps every notification once and sends it to every channel."


async def build(runtime: Runtime, settings: NotifySettings) -> FastAPI:
    """Open the resources, start the loops, and consume last."""
    database = await runtime.open(
        Database(
            settings.postgres_url,
            user="phoenix_notify",
            password=settings.notify_db_password.get_secret_value(),
            schema=NAME,
            name=runtime.holder,
        ),
        ping_as="postgresql",
    )
    await database_clock.follow(runtime, database)
    amqp_url = settings.amqp_url.get_secret_value()
    publisher = await runtime.open(Publisher(amqp_url, runtime.holder), ping_as="rabbitmq")
    words, reports = LANGUAGES[settings.language], Reports(database)
    alarms = AlarmBook(database)
    news = ChannelNews(database, alarms, words, utc_now)
    outlets = await open_outlets(runtime, settings, database, words, news, time.monotonic)
    store = NotificationStore(database, outlets.channels)
    flow = NotifyFlow(
        store, reports, BusinessMetrics(), StorageMetrics(), outlets.wake, words, settings.levels
    )
    runtime.spawn("channel_news", lambda: news.tell(flow.tell))
    runtime.spawn(
        "outbox_sweeper", Outbox(database, publisher).sweep, quiet_s_max=SWEEP_QUIET_S_MAX
    )  # it prunes our inbox
    desk_store = DeskStore(database)
    keeping = Housekeeping(
        store, desk_store, alarms, outlets.wake, words, utc_now, settings.notifications_kept_days
    )
    runtime.spawn("repeats_teller", keeping.tell_repeats)
    runtime.spawn("channel_minder", keeping.mind_channels)
    runtime.spawn("load_gauges", keeping.measure)
    runtime.spawn("pruner", keeping.prune)
    writer = ReportWriter(
        DailyNumbers(database, reports),
        store,
        Lease(database, LEASE_NAME, runtime.holder),
        settings.daily_report_at,
        words,
        utc_now,
        outlets.wake,
    )
    runtime.spawn("report_writer", writer.run)
    services = await runtime.open(ServiceClient(_urls(settings), settings.api_key))
    runtime.spawn("day_loss_watch", DayLossWatch(services, flow.tell, words, utc_now).run)
    doors = DoorMetrics()
    desk = Desk(desk_store, desk_store, services, doors, lambda: secrets.token_urlsafe(TOKEN_BYTES))
    await open_chat(runtime, settings, database, desk, desk_store, services, news)

    app = create_app(runtime, "NOTIFY", DESCRIPTION)
    add_routes(app, flow.tell, store, alarms, settings.api_key, utc_now)
    add_audit(app, desk_store, reports, settings.api_key)
    add_dashboard(runtime, app, settings, database, services, store, desk, doors)
    await open_consumers(runtime, amqp_url, publisher, flow.tell)
    describe(app, ANSWERS)
    return app


def _urls(settings: NotifySettings) -> dict[str, str]:
    return {
        "brain": settings.brain_url,
        "risk": settings.risk_url,
        "execute": settings.execute_url,
        "notify": settings.notify_url,
    }


def main() -> None:
    """Run one instance of NOTIFY."""
    run(NAME, NotifySettings, build)
