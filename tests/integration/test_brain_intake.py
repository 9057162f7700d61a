"""The webhook under pressure, on real servers: the broker in trouble, endless bodies, floods, Redis away."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from services.brain import rate_limit
from services.brain.message_publisher import CONFIRM_TIMEOUT_S
from services.brain.rate_limit import ANSWER_TIMEOUT_S
from services.brain.refusals import BODY_BYTES_MAX
from shared import topology
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.brain_world import WEBHOOK, World, all_at_once, world
from tests.servers import Servers

pytestmark = pytest.mark.servers

__all__ = ["world"]

MARGIN_S = 0.5
"""What a busy machine may add to a time-out."""
BROKER_BACK_S = 30
LIMIT = 10
ALONE_S = 0.5


async def status_of(client: httpx.AsyncClient, alert: dict[str, object]) -> int:
    return (await client.post(WEBHOOK, json=alert)).status_code


# --- the broker in trouble ---


@asynccontextmanager
async def stopped(servers: Servers) -> AsyncIterator[None]:
    await asyncio.to_thread(servers.stop, "rabbitmq")
    try:
        yield
    finally:
        await asyncio.to_thread(servers.start, "rabbitmq")


@asynccontextmanager
async def frozen(servers: Servers) -> AsyncIterator[None]:
    with servers.frozen("rabbitmq"):
        yield


@asynccontextmanager
async def out_of_memory(servers: Servers) -> AsyncIterator[None]:
    broker = Broker(servers)
    await broker.ctl("set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        await broker.ctl("set_vm_memory_high_watermark", "0.4")


@asynccontextmanager
async def refusing(servers: Servers) -> AsyncIterator[None]:
    """The queue may hold one message, and BRAIN cannot work off what it has: without prices."""
    broker, queue = Broker(servers), topology.SIGNAL_PROCESSING.name
    one = '{"max-length": 1}'
    await broker.ctl("set_policy", "--vhost", topology.VIRTUAL_HOST, "full", f"^{queue}$", one)
    try:
        with servers.frozen("redis"):
            yield
    finally:
        await broker.ctl("clear_policy", "--vhost", topology.VIRTUAL_HOST, "full")


TROUBLES: dict[str, Callable[[Servers], AbstractAsyncContextManager[None]]] = {
    "stopped": stopped,
    "frozen": frozen,
    "out of memory": out_of_memory,
    "refusing": refusing,
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_alert_is_refused_in_time_and_taken_without_a_restart_when_the_broker_is_well(
    world: World, servers: Servers, trouble: str
) -> None:
    async with world.brain() as client:
        alert = world.alert()
        async with TROUBLES[trouble](servers):
            await eventually(lambda: _is(503, client, world), what="the trouble shows")
            started = time.monotonic()
            answer = await client.post(WEBHOOK, json=alert)
            took_s = time.monotonic() - started
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        assert answer.json()["title"] == "alert not durable"
        assert took_s < CONFIRM_TIMEOUT_S + MARGIN_S
        signal_id = await eventually(
            lambda: _accepted(client, alert), BROKER_BACK_S, what="the alert is taken"
        )
        await eventually(lambda: _recorded(world, signal_id), BROKER_BACK_S, what="it is recorded")
        assert await _recorded(world, signal_id) == 1


async def _is(status: int, client: httpx.AsyncClient, world: World) -> bool:
    return await status_of(client, world.alert()) == status


async def _accepted(client: httpx.AsyncClient, alert: dict[str, object]) -> str:
    answer = await client.post(WEBHOOK, json=alert)
    assert answer.status_code in (200, 503), answer.text
    return str(answer.json().get("signal_id", ""))


async def _recorded(world: World, signal_id: str) -> int:
    return await world.count("signals", f"signal_id = '{signal_id}'")


# --- bodies ---


async def test_endless_body_is_refused_without_being_read_and_its_sender_is_hung_up_on(world: World) -> None:
    async with world.process() as (_, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        head = f"POST {WEBHOOK} HTTP/1.1\r\nHost: brain\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
        for _ in range(BODY_BYTES_MAX // 1024 + 1):  # never ended: the answer must not wait for more
            writer.write(chunk)
        async with asyncio.timeout(10):
            answered = await reader.read()  # until the other end closes
        writer.close()
        assert answered.startswith(b"HTTP/1.1 413 ")


# --- the rate limit ---


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an instance count alone for a short time only."""
    monkeypatch.setattr(rate_limit, "ALONE_S", ALONE_S)


@asynccontextmanager
async def replicas(world: World, number: int = 2) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(world.brain(each, rate_limit_per_minute=LIMIT))
            for each in range(number)
        ]


def old(world: World, **changes: object) -> dict[str, object]:
    """Return an alert that is taken in like any other and then expires at once."""
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    return world.alert(timenow=long_ago, **changes)


async def flood(world: World, clients: list[httpx.AsyncClient], **changes: object) -> Counter[int]:
    """Send far more than the limit to all replicas at once."""
    answers = await asyncio.gather(
        *(all_at_once(client, [old(world, **changes) for _ in range(150)]) for client in clients)
    )
    return Counter(answer.status_code for each in answers for answer in each)


def is_alone() -> float | None:
    return REGISTRY.get_sample_value("phoenix_rate_limit_alone")


async def test_all_replicas_together_take_the_limit_and_exits_all_the_same(world: World) -> None:
    async with replicas(world) as clients:
        assert await flood(world, clients, secret="wrong") == {401: LIMIT, 429: 300 - LIMIT}
        assert await flood(world, clients) == {200: LIMIT, 429: 300 - LIMIT}
        assert [await status_of(client, world.alert(action="close")) for client in clients] == [200, 200]
        assert await flood(world, clients, action="close", symbol="ETHUSDT") == {200: LIMIT, 429: 300 - LIMIT}
        assert await status_of(clients[0], world.alert(action="close", symbol="ADAUSDT")) == 200


async def test_what_is_counted_is_gone_after_its_window(world: World) -> None:
    async with replicas(world) as clients:
        await flood(world, clients)
        ages = [await world.redis.commands.pttl(key) for key in await world.redis.commands.keys("rate:*")]
        assert ages
        assert all(0 < age <= 60_000 for age in ages)


@pytest.mark.usefixtures("quick")
async def test_without_redis_each_replica_limits_alone_and_joins_again_by_itself(
    world: World, servers: Servers
) -> None:
    async with replicas(world) as clients:
        await asyncio.to_thread(servers.stop, "redis")
        try:
            assert await flood(world, clients) == {200: 2 * LIMIT, 429: 300 - 2 * LIMIT}
            assert is_alone() == 1
            assert await status_of(clients[0], world.alert(action="close")) == 200
        finally:
            await asyncio.to_thread(servers.start, "redis")
        await eventually(lambda: _counts_together(world, clients[0]), what="it counts with the others again")


@pytest.mark.usefixtures("quick")
async def test_silent_redis_costs_one_short_wait_and_not_one_for_each_alert(
    world: World, servers: Servers
) -> None:
    async with replicas(world, 1) as (client,):
        await status_of(client, old(world))
        with servers.frozen("redis"):
            started = time.monotonic()
            assert await status_of(client, old(world)) == 200
            assert time.monotonic() - started < ANSWER_TIMEOUT_S + MARGIN_S
            assert is_alone() == 1
            started = time.monotonic()
            assert [await status_of(client, old(world)) for _ in range(5)] == [200] * 5
            assert time.monotonic() - started < MARGIN_S + 2 * ANSWER_TIMEOUT_S
        await eventually(lambda: _counts_together(world, client), what="it counts with the others again")


async def _counts_together(world: World, client: httpx.AsyncClient) -> bool:
    symbol = f"{uuid4().hex[:8].upper()}USDT"  # a window that nobody knows to be full
    await status_of(client, world.alert(action="close", symbol=symbol))
    return is_alone() == 0


async def test_only_the_front_door_says_where_a_request_comes_from(world: World) -> None:
    """Everything a stranger can set is ignored: his own X-Forwarded-For, and what he says behind nginx."""
    forged = {"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7"}
    named = {"X-Real-IP": "52.89.214.238", **forged}
    async with world.process() as (_, url), httpx.AsyncClient() as client:
        await client.post(url + WEBHOOK, json=old(world), headers=forged)
        await client.post(url + WEBHOOK, json=old(world), headers=named)
    async with world.process(trusted_proxies="203.0.113.0/24") as (_, url), httpx.AsyncClient() as client:
        await client.post(url + WEBHOOK, json=old(world), headers=named)
    counted = {
        key.rpartition(":")[2]: await world.redis.commands.llen(key)
        for key in await world.redis.commands.keys("rate:*")
    }
    assert counted == {"127.0.0.1": 2, "52.89.214.238": 1}
