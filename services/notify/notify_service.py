"""NOTIFY's composition root: opens what it needs, wires the two halves of its story, starts its loops.

It must never hold a rule. Telegram is no dependency: readiness does not ask whether it answers.
"""

import asyncio
import secrets
import time

from fastapi import FastAPI

from services.notify.api_examples import ANSWERS
from services.notify.audit_route import add_audit
from services.notify.chat_setup import open_chat
from services.notify.config import NotifySettings
from services.notify.desk import Desk
from services.notify.desk_store import DeskStore
from services.notify.event_consumer import open_consumers
from services.notify.flow import DeliveryFlow, NotifyFlow
from services.notify.http_routes import add_routes
from services.notify.metrics_collector import (
    BusinessMetrics,
    DeliveryMetrics,
    DoorMetrics,
    show_backlog,
    show_database,
)
from services.notify.reports import Reports
from services.notify.service_client import ServiceClient
from services.notify.store import NotificationStore
from services.notify.telegram_bot import LEASE_NAME, Sender, TelegramChat
from shared import logs
from shared.api_docs import describe
from shared.clock import utc_now
from shared.database import Database
from shared.http_api import create_app
from shared.lease import Lease
from shared.lifecycle import Runtime, run
from shared.outbox import Outbox
from shared.rabbitmq_client import Publisher

NAME = "notify"
PRUNE_INTERVAL_S = 600.0
MEASURE_INTERVAL_S = 5.0
TOKEN_BYTES = 24
"""Of a confirmation; as text it fits into a button of a chat."""

DESCRIPTION = "Tells the trader what happened: keeps every notification once and sends it to Telegram."

_log = logs.get(__name__)


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
    amqp_url = settings.amqp_url.get_secret_value()
    publisher = await runtime.open(Publisher(amqp_url, runtime.holder), ping_as="rabbitmq")
    store = NotificationStore(database, has_channel=settings.telegram_bot_token is not None)
    watch = DeliveryMetrics()
    sender = await _start_sender(runtime, settings, database, store, watch)
    wake = sender.wake if sender is not None else _nobody_waits
    flow = NotifyFlow(store, BusinessMetrics(), watch, wake)
    runtime.spawn("outbox_sweeper", Outbox(database, publisher).sweep)  # it prunes our inbox
    runtime.spawn("load_gauges", lambda: _measure(store))
    desk_store = DeskStore(database)
    services = await runtime.open(ServiceClient(_urls(settings), settings.api_key))
    desk = Desk(desk_store, desk_store, services, DoorMetrics(), lambda: secrets.token_urlsafe(TOKEN_BYTES))
    runtime.spawn("pruner", lambda: _prune(store, desk_store, settings.notifications_kept_days))
    await open_chat(runtime, settings, database, desk, desk_store, services)

    app = create_app(runtime, "NOTIFY", DESCRIPTION)
    add_routes(app, flow.tell, store, settings.api_key, utc_now)
    add_audit(app, desk_store, Reports(database), settings.api_key)
    await open_consumers(runtime, amqp_url, publisher, flow.tell)
    describe(app, ANSWERS)
    return app


async def _start_sender(
    runtime: Runtime,
    settings: NotifySettings,
    database: Database,
    store: NotificationStore,
    watch: DeliveryMetrics,
) -> Sender | None:
    token, chat_id = settings.telegram_bot_token, settings.telegram_chat_id
    if token is None or chat_id is None:
        _log.warning("telegram_not_set_up", effect="notifications are stored and not sent")
        return None
    chat = await runtime.open(TelegramChat(token.get_secret_value(), chat_id, settings.telegram_base_url))
    delivery = DeliveryFlow(store, chat, watch, chat_id, utc_now, time.monotonic)
    sender = Sender(delivery, Lease(database, LEASE_NAME, runtime.holder))
    runtime.spawn("telegram_sender", sender.run)
    runtime.on_drain(sender.drain)
    return sender


async def _prune(store: NotificationStore, desk_store: DeskStore, kept_days: int) -> None:
    while True:
        await store.prune(kept_days)
        await desk_store.prune()
        await asyncio.sleep(PRUNE_INTERVAL_S)


async def _measure(store: NotificationStore) -> None:
    """Loop, in every replica: what waits is also seen when nobody sends, and while the chat is away."""
    while True:
        show_backlog(await store.backlog())
        show_database(await store.database_load())
        await asyncio.sleep(MEASURE_INTERVAL_S)


def _urls(settings: NotifySettings) -> dict[str, str]:
    return {
        "brain": settings.brain_url,
        "risk": settings.risk_url,
        "execute": settings.execute_url,
        "notify": settings.notify_url,
    }


def _nobody_waits() -> None:
    """Without a channel nobody has to be woken."""


def main() -> None:
    """Run one instance of NOTIFY."""
    run(NAME, NotifySettings, build)
