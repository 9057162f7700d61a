"""RISK on real servers for tests: replicas of its flow, a market, an account, and an ear on everything it
says.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid4

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage

from services.risk.config import RiskSettings
from services.risk.flow import RiskFlow
from services.risk.market_view import MarketView
from services.risk.profiles import PROFILES, Limits, Profile
from services.risk.risk_service import build
from services.risk.store import RiskStore
from shared import codec, topology
from shared.clock import utc_now
from shared.database import Database
from shared.lifecycle import Runtime
from shared.market import Instrument
from shared.market_data import MarketReader, MarketWriter
from shared.models import AnalysisCompleted, Envelope, Message
from shared.outbox import Outbox
from shared.rabbitmq_client import Publisher
from shared.redis_client import RedisClient
from shared.stream_processor import LatestTicks
from shared.values import EdgeEstimate, Side, SnapshotPosition
from tests.servers import Servers
from tests.unit.risk.builders import EDGE, D, analysed, instrument, signal, snapshot, tick

SYMBOLS = tuple(f"R{number:03d}USDT" for number in range(500))
PRICE = D(100)

M = TypeVar("M", bound=Message)


@dataclass
class Replica:
    """One instance of RISK's flow with connections of its own."""

    flow: RiskFlow
    outbox: Outbox
    database: Database


@dataclass
class World:
    """The servers, what RISK has said, and ways to make it say something."""

    servers: Servers
    database: Database
    publisher: Publisher
    market: MarketWriter
    heard: list[Envelope] = field(default_factory=list)

    @asynccontextmanager
    async def replica(
        self, limits: Limits = PROFILES[Profile.MISSION], outbox: type[Outbox] = Outbox
    ) -> AsyncIterator[Replica]:
        """Open a replica of the flow; messages are handed to it by the test."""
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(self._database("replica"))
            redis = await stack.enter_async_context(RedisClient(self.servers.redis_url, "replica"))
            publisher = await stack.enter_async_context(Publisher(self.servers.amqp_url, "replica"))
            owed = outbox(database, publisher)
            view = MarketView(MarketReader(redis), LatestTicks(redis))
            yield Replica(RiskFlow(RiskStore(database), view, owed, limits, utc_now), owed, database)

    @asynccontextmanager
    async def service(self, instance: int = 0, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        """Run one whole instance of RISK in this process and give a client of its HTTP side."""
        given = {
            name.removeprefix("PHOENIX_").lower(): value for name, value in self.servers.settings.items()
        }
        runtime = Runtime(name="risk", instance=instance)
        app = await build(runtime, RiskSettings.model_validate(given | changes))
        transport = httpx.ASGITransport(app=app)
        headers = {"X-API-Key": self.servers.settings["PHOENIX_API_KEY"]}
        async with httpx.AsyncClient(transport=transport, base_url="http://risk", headers=headers) as client:
            try:
                yield client
            finally:
                await runtime.stop()

    def said(self, kind: type[M]) -> list[M]:
        """Return what RISK has said of one kind, each message once."""
        once = {each.event_id: each.payload for each in self.heard}
        return [payload for payload in once.values() if isinstance(payload, kind)]

    async def forget(self) -> None:
        """Empty RISK's book and record, every queue, and what was heard."""
        for table in ("reservations", "exits", "closings", "decisions", "configuration", "outbox", "inbox"):
            await self.database.execute(f"DELETE FROM {table}")
        await self.database.execute(
            "UPDATE account SET state = 'ACTIVE', trading_epoch = 1, wallet_usdt = NULL, equity_usdt = NULL, "
            "available_usdt = NULL, snapshot_taken_at = NULL, day = NULL, day_start_equity_usdt = NULL, "
            "peak_equity_usdt = NULL, day_base_usdt = NULL, net_transfers_usdt = NULL, unexplained_usdt = 0, "
            "emptied_from_usdt = NULL"
        )
        async with await aio_pika.connect(self.servers.amqp_url) as connection:
            channel = await connection.channel()
            for queue in topology.QUEUES:
                await (await channel.declare_queue(queue.name, passive=True)).purge()
        self.heard.clear()

    async def quote(self, *symbols: str, price: Decimal = PRICE) -> None:
        """Let the symbols trade now."""
        await self.market.ticks(tick(each, price=price, received_at=utc_now()) for each in symbols)

    async def report(
        self, replica: Replica, *positions: SnapshotPosition, equity: int = 10_000, age_s: float = 0
    ) -> None:
        """Hand a replica a fresh account snapshot."""
        taken_at = utc_now() - timedelta(seconds=age_s)
        await replica.flow.on_snapshot(
            told(made := snapshot(*positions, taken_at=taken_at, equity=equity)), made
        )

    async def let_pass(self, seconds: int) -> None:
        """Let the reservations be so much older: a snapshot from the future would be refused."""
        await self.database.execute(
            "UPDATE reservations SET reserved_at = reserved_at - make_interval(secs => $1), "
            "valid_until = valid_until - make_interval(secs => $1)",
            seconds,
        )
        await self.database.execute(
            "UPDATE account SET snapshot_taken_at = snapshot_taken_at - make_interval(secs => $1)", seconds
        )

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        """Return rows of RISK's schema."""
        return await self.database.fetch(query, *arguments)

    def _database(self, name: str) -> Database:
        return Database(
            self.servers.postgres_url,
            user="phoenix_risk",
            password=self.servers.password("risk"),
            schema="risk",
            name=name,
            connections_max=6,
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear everything RISK says, on a queue beside the real ones."""

        async def hear(message: AbstractIncomingMessage) -> None:
            self.heard.append(codec.decode(message.body))

        async with await aio_pika.connect(self.servers.amqp_url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(f"test_ear_{uuid4().hex[:8]}", exclusive=True)
            await queue.bind(topology.EVENTS.name, "decision.*")
            await queue.bind(topology.EVENTS.name, "system.*")
            for key in ("trade.close", "risk.alert"):
                await queue.bind(topology.RISK.name, key)
            await queue.consume(hear, no_ack=True)
            yield


def told(payload: Message, correlation_id: str = "test") -> Envelope:
    """Return a message nobody has sent before."""
    return codec.envelop(
        payload,
        correlation_id=correlation_id,
        causation_id=None,
        occurred_at=utc_now(),
        producer="test",
        discriminator=(uuid4().hex,),
    )


def proposed(
    symbol: str, side: Side = Side.LONG, edge: EdgeEstimate = EDGE
) -> tuple[Envelope, AnalysisCompleted]:
    """Return a proposal to enter now, in its envelope."""
    made = signal(f"sig-{uuid4().hex}", symbol, side, price=None, received_at=utc_now())
    message = analysed(made, edge)
    return told(message, made.signal_id), message


def listed(symbol: str) -> Instrument:
    """Return an instrument that can be traded in small steps."""
    return instrument(symbol, step_size=D("0.001"), notional_min_usdt=D(5), quantity_max=D(10**6))


@pytest.fixture
async def world(servers: Servers) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisClient(servers.redis_url, "test"))
        publisher = await stack.enter_async_context(Publisher(servers.amqp_url, "test"))
        made = World(servers, None, publisher, MarketWriter(redis))  # type: ignore[arg-type]
        made.database = await stack.enter_async_context(made._database("test"))
        await made.forget()
        await made.market.instruments(listed(symbol) for symbol in SYMBOLS)
        await stack.enter_async_context(made.listening())
        yield made
