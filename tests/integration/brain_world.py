"""BRAIN with real servers around it: instances in this process, the queues on either side, its database."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.probes import is_port_free
from services.brain.brain_service import build
from services.brain.config import BrainSettings
from services.brain.shared_windows import KEY_PREFIX
from services.brain.store import BrainStore
from shared import codec, topology
from shared.database import Database
from shared.lifecycle import Runtime
from shared.market import Tick
from shared.market_data import INSTRUMENTS_KEY, MarketReader, MarketWriter
from shared.models import Envelope, Message
from shared.rabbitmq_client import Publisher
from shared.redis_client import RedisClient
from shared.settings import ENV_FILES_VARIABLE
from tests.eventually import eventually
from tests.servers import Servers

TABLES = (
    "signals",
    "signal_keys",
    "duplicates",
    "outcomes",
    "story",
    "closed_trades",
    "open_positions",
    "inbox",
    "outbox",
)
HEARD = (topology.RISK_ASSESSMENT, topology.TRADE_CONTROL, topology.RISK_ALERTS)
OWN = (topology.SIGNAL_PROCESSING, topology.BRAIN_FACTS)
WEBHOOK = "/webhook/tradingview"
PORTS = range(32_000, 32_400)
START_TIMEOUT_S = 30


@dataclass
class World:
    """The servers, BRAIN's database, and everything BRAIN has sent to others."""

    servers: Servers
    database: Database
    redis: RedisClient
    publisher: Publisher
    heard: list[Envelope] = field(default_factory=list)

    @property
    def store(self) -> BrainStore:
        """BRAIN's store on the real database."""
        return BrainStore(self.database)

    @property
    def market(self) -> MarketReader:
        """What the feed wrote."""
        return MarketReader(self.redis)

    @property
    def secret(self) -> str:
        """What opens the webhook."""
        return self.servers.settings["PHOENIX_WEBHOOK_SECRET"]

    def alert(self, **changes: object) -> dict[str, object]:
        """Return an alert that nobody has sent before."""
        given: dict[str, object] = {
            "secret": self.secret,
            "symbol": "BTCUSDT.P",
            "action": "buy",
            "price": 50000,
            "rsi": 45,
            "macd": 0.5,
            "alert_id": uuid4().hex,
        }
        return {name: value for name, value in (given | changes).items() if value is not None}

    @asynccontextmanager
    async def brain(self, instance: int = 0, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
        """Run one instance of BRAIN and give a client of its HTTP side."""
        settings = {
            name.removeprefix("PHOENIX_").lower(): value for name, value in self.servers.settings.items()
        }
        runtime = Runtime(name="brain", instance=instance)
        try:
            app = await build(runtime, BrainSettings.model_validate(settings | changes))
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://brain") as client:
                yield client
        finally:
            await runtime.stop()

    @asynccontextmanager
    async def process(
        self, program: str = "services.brain", **changes: str
    ) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
        """Run BRAIN as a process of its own; give it and its address once it is ready."""
        port = next(number for number in PORTS if is_port_free(number))
        settings = {f"PHOENIX_{name.upper()}": value for name, value in changes.items()}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", program, "--port", str(port)),
            cwd=REPOSITORY,
            env=os.environ | {ENV_FILES_VARIABLE: self.servers.env_file} | settings,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            await eventually(lambda: is_ready(url), START_TIMEOUT_S, what="the process is ready")
            yield process, url
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()

    async def ticks(self, volume: str = "1000000") -> None:
        """Let the feed have seen BTCUSDT at 50 000 just now."""
        now, price = datetime.now(UTC), Decimal(50000)
        seen = Tick(
            symbol="BTCUSDT",
            bid=price,
            ask=price,
            last=price,
            mark=price,
            quote_volume_24h_usdt=Decimal(volume),
            exchange_time=now,
            received_at=now,
        )
        await MarketWriter(self.redis).ticks([seen])

    def about(self, signal_id: str) -> list[Message]:
        """Return what others have heard about a signal."""
        return [envelope.payload for envelope in self.heard if envelope.correlation_id == signal_id]

    async def hears(self, signal_id: str) -> Message:
        """Wait until another service has heard something about a signal, and return the first of it."""
        return (await eventually(lambda: self.about(signal_id), what=f"a message about {signal_id}"))[0]

    async def count(self, table: str, where: str = "true") -> int:
        """Return how many rows of a table fit."""
        return int(await self.database.fetch_value(f"SELECT count(*) FROM {table} WHERE {where}"))

    async def outcomes(self) -> dict[str, str]:
        """Return the outcome of every signal that has one."""
        rows = await self.database.fetch("SELECT signal_id, outcome, reason FROM outcomes")
        return {row["signal_id"]: f"{row['outcome']}({row['reason']})" for row in rows}

    async def is_settled(self) -> bool:
        """Tell whether nothing is owed to the broker any more."""
        return await self.count("outbox", "sent_at IS NULL") == 0


@pytest.fixture
async def world(servers: Servers) -> AsyncIterator[World]:
    """BRAIN's surroundings, empty."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(
                servers.postgres_url,
                user="phoenix_brain",
                password=servers.password("brain"),
                schema="brain",
                name="test",
            )
        )
        redis = await stack.enter_async_context(RedisClient(servers.redis_url, "test"))
        publisher = await stack.enter_async_context(Publisher(servers.amqp_url, "test"))
        for table in TABLES:
            await database.execute(f"DELETE FROM {table}")
        await redis.commands.delete(INSTRUMENTS_KEY)
        await forget_requests(redis)
        made = World(servers, database, redis, publisher)
        await made.ticks()
        await stack.enter_async_context(_listening(servers.amqp_url, made.heard.append))
        yield made


async def is_ready(url: str) -> bool:
    """Tell whether the service at this address says that it is ready."""
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{url}/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def forget_requests(redis: RedisClient) -> None:
    """Forget what was counted against the rate limit."""
    if keys := await redis.commands.keys(f"{KEY_PREFIX}*"):
        await redis.commands.delete(*keys)


@asynccontextmanager
async def _listening(amqp_url: str, hear: Callable[[Envelope], None]) -> AsyncIterator[None]:
    """Stand in for the services behind BRAIN: take what is on their queues."""

    async def on_message(message: AbstractIncomingMessage) -> None:
        hear(codec.decode(message.body))
        await message.ack()

    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for queue in (*HEARD, *OWN):
            await (await channel.get_queue(queue.name)).purge()
        for queue in HEARD:
            await (await channel.get_queue(queue.name)).consume(on_message)
        yield


async def all_at_once(client: httpx.AsyncClient, alerts: list[dict[str, object]]) -> list[httpx.Response]:
    """Send the alerts to the webhook at the same time."""
    return await asyncio.gather(*(client.post(WEBHOOK, json=alert) for alert in alerts))
