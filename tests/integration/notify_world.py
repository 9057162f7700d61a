"""A world for NOTIFY: real servers, a stand-in for Telegram, and a way to say facts."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from services.notify.config import NotifySettings
from services.notify.notify_service import build
from shared import codec, topology
from shared.database import Database
from shared.lifecycle import Runtime
from shared.models import Envelope, Message
from shared.rabbitmq_client import Publisher
from shared.values import Severity
from tests.broker import Broker
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import Servers
from tests.unit.notify import facts

TOKEN = "95:a-token-that-must-not-be-logged"
CHAT_ID = "9500"
SOON_S = 15.0
TABLES = ("deliveries", "notifications", "repeats", "inbox", "leases", "alarms", "telegram_moves")


@dataclass
class World:
    """The servers, the chat, and a way to say facts and to look into NOTIFY's database."""

    servers: Servers
    chat: TelegramStandIn
    publisher: Publisher
    database: Database

    def settings(self, **changes: object) -> NotifySettings:
        """Return NOTIFY's settings with Telegram pointing at the stand-in."""
        given = {
            name.removeprefix("PHOENIX_").lower(): value for name, value in self.servers.settings.items()
        }
        telegram = {
            "telegram_bot_token": TOKEN,
            "telegram_chat_id": CHAT_ID,
            "telegram_base_url": self.chat.url,
            "daily_report_at": "off",
        }
        return NotifySettings.model_validate(given | telegram | changes)

    @asynccontextmanager
    async def notify(self, instance: int = 0, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
        """Run one instance of NOTIFY and give a client of its HTTP side."""
        runtime = Runtime(name="notify", instance=instance)
        app: FastAPI = await build(runtime, self.settings(**changes))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://notify") as client:
            try:
                yield client
            finally:
                await runtime.stop()

    async def waiting(self) -> int:
        """Return how many notifications are neither delivered nor dropped."""
        return int(
            await self.database.fetch_value(
                "SELECT count(*) FROM deliveries WHERE delivered_at IS NULL AND dropped_at IS NULL"
            )
        )

    async def stored(self) -> int:
        """Return how many notifications are kept."""
        return int(await self.database.fetch_value("SELECT count(*) FROM notifications"))


def notify_database(servers: Servers) -> Database:
    """Return the database as NOTIFY sees it, to be opened."""
    return Database(
        servers.postgres_url,
        user="phoenix_notify",
        password=servers.password("notify"),
        schema="notify",
        name="test",
    )


@pytest.fixture
async def world(servers: Servers) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(notify_database(servers))
        for table in (
            "deliveries",
            "notifications",
            "repeats",
            "inbox",
            "leases",
            "alarms",
            "telegram_moves",
        ):
            await database.execute(f"DELETE FROM {table}")
        publisher = await stack.enter_async_context(Publisher(servers.amqp_url, "test"))
        for queue in (topology.NOTIFY_FACTS, topology.RISK_ALERTS):  # what other tests have told
            await Broker(servers).purge(queue.name)
        chat = await stack.enter_async_context(TelegramStandIn())
        yield World(servers, chat, publisher, database)


def fact(payload: Message, at: datetime | None = None) -> Envelope:
    """Return a fact nobody has told before."""
    return codec.envelop(
        payload,
        correlation_id=facts.SIGNAL_ID,
        causation_id=None,
        occurred_at=at or datetime.now(UTC),
        producer="test",
        discriminator=(uuid4().hex,),
    )


def info(number: int) -> Message:
    return msgspec.structs.replace(facts.ALERT, severity=Severity.INFO, kind=f"note_{number}", symbol=None)


def critical(number: int) -> Message:
    return msgspec.structs.replace(facts.ALERT, kind=f"danger_{number}", symbol=None)


def times_told(texts: list[str], words: str) -> int:
    return sum(text.count(words) for text in texts)


async def none_waits(world: World) -> bool:
    return await world.waiting() == 0
