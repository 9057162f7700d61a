"""Fixtures of the tests that need a queue of their own with both its ends, or a database of their own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import asyncpg
import pytest

from infrastructure.postgres.migrate import SERVICES, MigrationSettings
from shared import codec, topology
from shared.rabbitmq_client import Consumer, Handler, Publisher
from tests.broker import Broker
from tests.integration.consuming import Opens, Sends
from tests.messages import a_message
from tests.servers import Servers

CONFIRM_TIMEOUT_S = 0.5


@pytest.fixture
def broker(servers: Servers) -> Broker:
    return Broker(servers)


@pytest.fixture
async def queue(broker: Broker) -> topology.Queue:
    return await broker.make_queue()


@pytest.fixture
async def publisher(servers: Servers) -> AsyncIterator[Publisher]:
    async with Publisher(servers.amqp_url, "test", confirm_timeout_s=CONFIRM_TIMEOUT_S) as opened:
        yield opened


@pytest.fixture
async def opens(servers: Servers, publisher: Publisher, queue: topology.Queue) -> AsyncIterator[Opens]:
    """Open consumers of the test's queue; what is left open is closed at the end."""
    async with AsyncExitStack() as left:

        async def open_consumer(handler: Handler) -> Consumer:
            return await left.enter_async_context(
                Consumer(servers.amqp_url, "test", queue, handler, publisher)
            )

        yield open_consumer


@pytest.fixture
def send(publisher: Publisher, queue: topology.Queue) -> Sends:
    """Put a new message into the test's queue and return its id."""

    async def put() -> str:
        envelope = a_message()
        await publisher.publish("", queue.name, codec.encode(envelope))
        return envelope.event_id

    return put


@pytest.fixture
async def empty(servers: Servers) -> AsyncIterator[MigrationSettings]:
    """Settings of a new, empty database on the test server."""
    name = f"test_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(servers.postgres_dsn())
    await admin.execute(f"CREATE DATABASE {name}")
    passwords = {
        f"{role}_db_password": servers.settings[f"PHOENIX_{role.upper()}_DB_PASSWORD"]
        for role in ("admin", *SERVICES)
    }
    url = servers.postgres_url.rsplit("/", 1)[0] + f"/{name}"
    yield MigrationSettings.model_validate({"postgres_url": url} | passwords)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
