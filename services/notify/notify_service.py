"""NOTIFY's composition root: opens what it needs, wires the two halves of its story, starts its loops.

It must never hold a rule. Telegram is no dependency: readiness does not ask whether it answers.
"""

import asyncio
import secrets
import time

from fastapi import FastAPI

from services.notify.config import NotifySettings
from services.notify.dashboard.opening import add_dashboard
from services.notify.desk import Desk
from services.notify.desk_store import DeskStore
from services.notify.event_consumer import open_consumers
from services.notify.flow import DeliveryFlow, NotifyFlow
from services.notify.http_routes import add_routes
from services.notify.metrics_collector import BusinessMetrics, DeliveryMetrics, DoorMetrics
from services.notify.service_client import ServiceClient
from services.notify.store import NotificationStore
from services.notify.telegram_bot import LEASE_NAME, Sender, TelegramChat
from shared import logs
from shared.clock import utc_now
from shared.database import Database
from shared.http_api import create_app
from shared.lease import Lease
from shared.lifecycle import Runtime, run
from shared.outbox import Outbox
from shared.rabbitmq_client import Publisher

NAME = "notify"
PRUNE_INTERVAL_S = 600.0
TOKEN_BYTES = 24

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
    runtime.spawn("notification_pruner", lambda: _prune(store, settings.notifications_kept_days))

    app = create_app(runtime, "NOTIFY", DESCRIPTION)
    add_routes(app, flow.tell, store, settings.api_key, utc_now)
    doors = DoorMetrics()
    services = await runtime.open(
        ServiceClient(
            {"brain": settings.brain_url, "risk": settings.risk_url, "execute": settings.execute_url}
            | {NAME: settings.notify_url},
            settings.api_key,
        )
    )
    desk_store = DeskStore(database)
    desk = Desk(desk_store, desk_store, services, doors, lambda: secrets.token_urlsafe(TOKEN_BYTES))
    runtime.spawn("desk_pruner", lambda: _prune_desk(desk_store))
    add_dashboard(runtime, app, settings, database, services, store, desk, doors)
    await open_consumers(runtime, amqp_url, publisher, flow.tell)
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


async def _prune(store: NotificationStore, kept_days: int) -> None:
    while True:
        await store.prune(kept_days)
        await asyncio.sleep(PRUNE_INTERVAL_S)


async def _prune_desk(desk_store: DeskStore) -> None:
    while True:
        await desk_store.prune()
        await asyncio.sleep(PRUNE_INTERVAL_S)


def _nobody_waits() -> None:
    """Without a channel nobody has to be woken."""


def main() -> None:
    """Run one instance of NOTIFY."""
    run(NAME, NotifySettings, build)
