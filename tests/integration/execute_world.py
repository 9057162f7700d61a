"""EXECUTE with real servers and the real paper exchange around it, in this process or one of its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid4

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage
from fastapi import FastAPI

from services.execute import execute_service, market_feed
from services.execute.binance_client import BinanceClient
from services.execute.config import ExecuteSettings, FeedSettings
from services.execute.store import ExecuteStore
from shared import codec, topology
from shared.clock import utc_now
from shared.database import Database
from shared.lifecycle import Runtime
from shared.market import Tick
from shared.market_data import MarketWriter
from shared.models import Envelope, Message, TradeApproved
from shared.rabbitmq_client import Publisher
from shared.redis_client import RedisClient
from tests.eventually import eventually
from tests.exchange_process import ExchangeProcess, exchange_process
from tests.servers import Servers
from tests.unit.execute.builders import approval, sent

M = TypeVar("M", bound=Message)

TABLES = (
    "fills",
    "orders",
    "entries",
    "exit_requests",
    "margin_setups",
    "equity_snapshots",
    "inbox",
    "outbox",
)
HEARD = (topology.BRAIN_FACTS, topology.RISK_FACTS, topology.RISK_ALERTS)
OWN = (topology.TRADE_EXECUTION, topology.TRADE_CONTROL)
FAST = {"reconcile_interval_s": Decimal(1), "snapshot_interval_s": Decimal(1)}
"""A second instead of fifteen and five, so that a test need not wait."""
WEIGHT_LIMIT_1M = 100_000
"""For the many requests that this haste makes."""


@dataclass
class World:
    """The servers, the exchange, EXECUTE's database, and everything EXECUTE has told."""

    servers: Servers
    exchange: ExchangeProcess
    database: Database
    redis: RedisClient
    publisher: Publisher
    heard: dict[str, Envelope] = field(default_factory=dict)

    @property
    def store(self) -> ExecuteStore:
        """EXECUTE's store on the real database."""
        return ExecuteStore(self.database)

    @property
    def settings(self) -> dict[str, Any]:
        """What EXECUTE is told, by field name."""
        told = {name.removeprefix("PHOENIX_").lower(): value for name, value in self.servers.settings.items()}
        return told | {
            "exchange_base_url": self.exchange.url,
            "exchange_api_key": "paper",
            "exchange_api_secret": "paper",
            "installation": "test",
            "mode": "paper",
        }

    @asynccontextmanager
    async def execute(self, instance: int = 0, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
        """Run one instance of EXECUTE in this process and give a client of its HTTP side."""
        settings = ExecuteSettings.model_validate(self.settings | FAST | changes)
        runtime = Runtime(name="execute", instance=instance)
        async with _served(runtime, lambda: execute_service.build(runtime, settings)) as client:
            client.headers["X-API-Key"] = settings.api_key.get_secret_value()
            yield client

    @asynccontextmanager
    async def feed(self, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
        """Run the market feed in this process and give a client of its HTTP side."""
        settings = FeedSettings.model_validate(self.settings | {"feed_symbols": "BTCUSDT,ETHUSDT"} | changes)
        runtime = Runtime(name="market_feed", instance=0)
        async with _served(runtime, lambda: market_feed.build(runtime, settings)) as client:
            yield client

    @contextmanager
    def execute_process(
        self, port: int, instance: int = 0, **changes: object
    ) -> "Iterator[subprocess.Popen[bytes]]":
        """Run EXECUTE as a process of its own, to be killed or frozen."""
        settings = self.settings | FAST | changes
        told = {f"PHOENIX_{name.upper()}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-m", "services.execute", "--port", str(port)]
        command += ["--instance", str(instance)]
        process = subprocess.Popen(command, env=os.environ | told, stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def approve(self, **changes: Any) -> TradeApproved:
        """Send an approval that nobody has seen before."""
        approved = approval(uuid4().hex, at=utc_now(), **changes)
        await self.publisher.send(sent(approved))
        return approved

    async def tick(self) -> None:
        """Let the feed have seen Bitcoin at 50 000 just now."""
        price, now = Decimal("50000.2"), utc_now()
        seen = Tick(
            symbol="BTCUSDT",
            bid=price,
            ask=price,
            last=price,
            mark=price,
            quote_volume_24h_usdt=Decimal(1),
            exchange_time=now,
            received_at=now,
        )
        await MarketWriter(self.redis).ticks([seen])

    def told(self, story: str, kind: type[M]) -> list[M]:
        """Return the facts of one kind in a story, each once."""
        return [
            each.payload
            for each in self.heard.values()
            if each.correlation_id == story and isinstance(each.payload, kind)
        ]

    async def hears(self, story: str, kind: type[M], timeout_s: float = 15.0) -> M:
        """Wait for a fact of a story."""
        found = await eventually(
            lambda: self.told(story, kind), timeout_s, what=f"{kind.__name__} about {story}"
        )
        return found[0]

    async def state_of(self, signal_id: str) -> str | None:
        """Return the state of an entry, None when there is none."""
        entry = await self.store.entry(signal_id)
        return None if entry is None else entry.state.value

    def held(self, symbol: str = "BTCUSDT") -> Decimal:
        """Return the position on the exchange, signed."""
        rows = self.exchange.admin("GET state")["positions"]
        return sum((Decimal(row["positionAmt"]) for row in rows if row["symbol"] == symbol), Decimal(0))

    def standing(self) -> set[str]:
        """Return the client ids of all conditional orders that stand."""
        return {row["clientAlgoId"] for row in self.exchange.admin("GET state")["openAlgoOrders"]}

    @asynccontextmanager
    async def by_hand(self) -> AsyncIterator[BinanceClient]:
        """Trade on the same account as somebody else."""
        async with BinanceClient(ExecuteSettings.model_validate(self.settings)) as client:
            await client.preflight()
            yield client

    async def is_settled(self) -> bool:
        """Tell whether nothing is owed to the broker any more."""
        return bool(await self.database.fetch_value("SELECT count(*) = 0 FROM outbox WHERE sent_at IS NULL"))


@asynccontextmanager
async def _served(runtime: Runtime, build: Callable[[], Any]) -> AsyncIterator[httpx.AsyncClient]:
    try:
        app: FastAPI = await build()
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://execute") as client:
            yield client
    finally:
        await runtime.stop()


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeProcess]:
    """One paper exchange for all tests of a file."""
    limit = ("--weight-limit-1m", str(WEIGHT_LIMIT_1M))
    with exchange_process(tmp_path_factory.mktemp("paper"), *limit) as running:
        yield running


@pytest.fixture
async def world(servers: Servers, paper: ExchangeProcess) -> AsyncIterator[World]:
    """EXECUTE's surroundings, empty, with prices that stand still."""
    await asyncio.to_thread(paper.reset)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(
                servers.postgres_url,
                user="phoenix_execute",
                password=servers.password("execute"),
                schema="execute",
                name="test",
            )
        )
        redis = await stack.enter_async_context(RedisClient(servers.redis_url, "test"))
        publisher = await stack.enter_async_context(Publisher(servers.amqp_url, "test"))
        made = World(servers, paper, database, redis, publisher)
        await _empty(made)
        await stack.enter_async_context(_listening(made))
        yield made


async def _empty(world: World) -> None:
    for table in TABLES:
        await world.database.execute(f"DELETE FROM {table}")
    await world.database.execute(
        "UPDATE trading_state SET state = 'ACTIVE', trading_epoch = 0, changed_at = '-infinity'"
    )
    await world.redis.commands.delete(topology.MARKET_STREAM)
    async with world.by_hand() as client:
        await MarketWriter(world.redis).instruments(await client.instruments())


@asynccontextmanager
async def _listening(world: World) -> AsyncIterator[None]:
    """Stand in for the services that hear EXECUTE."""

    async def on_message(message: AbstractIncomingMessage) -> None:
        envelope = codec.decode(message.body)
        world.heard.setdefault(envelope.event_id, envelope)
        await message.ack()

    async with await aio_pika.connect(world.servers.amqp_url) as connection:
        channel = await connection.channel()
        for queue in (*HEARD, *OWN):
            await (await channel.get_queue(queue.name)).purge()
        for queue in HEARD:
            await (await channel.get_queue(queue.name)).consume(on_message)
        yield
