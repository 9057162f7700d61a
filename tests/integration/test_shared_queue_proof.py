"""The proof at start, on a broker that was killed right after declaring a queue: the queue's name is left."""

import asyncio
import shutil
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from shared import queue_proof, topology
from shared.errors import BrokerUnavailable
from shared.queue_proof import MARKS, MENDING, Proven, prove
from shared.rabbitmq_client import Publisher
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.consuming import has
from tests.servers import Servers

pytestmark = pytest.mark.servers

PROOF_TIMEOUT_S = 3.0
ELECTED_S = 20.0
KILLS_MAX = 3
BACKLOG = 50
START_S = 15.0


@pytest.fixture
async def broken(broker: Broker, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take a queue's data away while the broker is down: its name is left, and nobody behind it."""
    monkeypatch.setattr(queue_proof, "PROOF_TIMEOUT_S", PROOF_TIMEOUT_S)
    queue = await broker.make_queue()
    await asyncio.to_thread(servers.stop, "rabbitmq")
    folders = [
        config.parent
        for config in servers.stack.layout.rabbitmq.rglob("quorum/*/*/config")
        if f"{queue.dead}'" in config.read_text(errors="replace")
        or f'{queue.dead}"' in config.read_text(errors="replace")
    ]
    for folder in folders:
        shutil.rmtree(folder)
    assert folders, "the broker keeps its queues elsewhere"
    await asyncio.to_thread(servers.start, "rabbitmq")
    await eventually(partial(_is_proven, servers, queue.name), ELECTED_S)
    return queue.dead


async def _is_proven(servers: Servers, name: str) -> bool:
    return not await queue_proof._silent(servers.amqp_url, "test", [name])


async def test_a_dead_queue_is_named_alone_and_everybody_else_works(
    broken: str, broker: Broker, servers: Servers
) -> None:
    """Its 541 ends the connection on which all were proven: the innocent were blamed, nobody started."""
    queues = dict(topology.declared_queues()) | {broken: topology.dead_arguments()}
    async with broker.channel() as channel:
        await queue_proof._declare_marks(channel)
        await (await channel.get_queue(MARKS)).bind(MARKS, broken)
    proven = await prove(servers.amqp_url, "test", queues, ())
    assert proven == Proven(are_marked=True, dead=(broken,))


async def test_a_silent_queue_is_left_to_the_operator_if_it_worked_before_and_else_recreated_by_one_process(
    broken: str, broker: Broker, servers: Servers, publisher: Publisher
) -> None:
    queues = {broken: topology.dead_arguments()}
    with pytest.raises(BrokerUnavailable):
        await publisher.publish("", broken, b"lost?")

    async with broker.channel() as channel:
        await queue_proof._declare_marks(channel)
        await (await channel.get_queue(MARKS)).bind(MARKS, broken)
    assert (await prove(servers.amqp_url, "test", queues, ())).dead == (broken,)
    assert await queue_proof._silent(servers.amqp_url, "test", [broken]), "it was left as it is"

    await _unmark(broker, broken)
    async with broker.channel() as other:
        await other.declare_queue(MENDING, exclusive=True)
        with pytest.raises(BrokerUnavailable, match="another process is mending"):
            await prove(servers.amqp_url, "test", queues, ())
    await prove(servers.amqp_url, "test", queues, ())

    await publisher.publish("", broken, b"kept")
    await eventually(lambda: has(broker, broken, 1))
    await prove(servers.amqp_url, "test", queues, ())
    assert await has(broker, broken, 1)


async def test_a_recreated_queue_gets_its_bindings_back(
    broker: Broker, servers: Servers, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await broker.make_queue()
    queue = topology.Queue(
        name=made.name, exchange=topology.EVENTS.name, routing_keys=("test.proof",), prefetch=1
    )
    silences = [[queue.name], [queue.name], []]

    async def silent(*_: object) -> list[str]:
        return silences.pop(0)

    monkeypatch.setattr(queue_proof, "_silent", silent)
    await prove(servers.amqp_url, "test", {queue.name: topology.main_arguments(queue)}, (queue,))
    await publisher.publish(queue.exchange, "test.proof", b"here")
    assert await has(broker, queue.name, 1)


async def test_the_proof_leaves_backlogs_and_consumers_alone_and_marks_once(
    broker: Broker, servers: Servers, publisher: Publisher, queue: topology.Queue
) -> None:
    for _ in range(BACKLOG):
        await publisher.publish("", queue.name, b"waiting")
    queues = _three(queue)

    await asyncio.gather(*(prove(servers.amqp_url, f"replica {each}", queues, ()) for each in range(3)))

    assert await broker.count(queue.name) == BACKLOG
    message = await broker.take(queue.name)
    assert message is not None
    assert not message.redelivered
    assert await _unmarked(servers, queues) == []


@pytest.mark.usefixtures("publisher")
async def test_a_broker_that_takes_no_publishes_does_not_keep_a_service_from_starting(
    broker: Broker, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a full disk, exits that wait in their queue must be taken in, and positions looked after.

    What could not be marked then is marked when the alarm is over.
    """
    monkeypatch.setattr(queue_proof, "MARK_AGAIN_INTERVAL_S", 0.1)
    monkeypatch.setattr(queue_proof, "MARK_TIMEOUT_S", 0.5)
    name = topology.TRADE_CONTROL.name
    await _unmark(broker, name)
    await broker.ctl("set_vm_memory_high_watermark", "0")
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(START_S):
                opened = await stack.enter_async_context(Publisher(servers.amqp_url, "test"))
            await opened.ping()
        finally:
            await broker.ctl("set_vm_memory_high_watermark", "0.4")
        await eventually(lambda: _is_marked(servers, name))


@pytest.mark.usefixtures("publisher")
async def test_every_publisher_has_proven_and_marked_the_topology(servers: Servers) -> None:
    names = [name for name, _ in topology.declared_queues()]
    assert await _unmarked(servers, [*names, "nobody"]) == ["nobody"]


async def _unmark(broker: Broker, name: str) -> None:
    async with broker.channel() as channel:
        await (await channel.get_queue(MARKS)).unbind(MARKS, name)


async def _is_marked(servers: Servers, name: str) -> bool:
    return not await _unmarked(servers, [name])


async def _unmarked(servers: Servers, names: Iterable[str]) -> list[str]:
    async with queue_proof._channel(servers.amqp_url, "test") as channel:
        return await queue_proof._unmarked(channel, names)


def _three(queue: topology.Queue) -> dict[str, dict[str, Any]]:
    return {
        queue.name: topology.main_arguments(queue),
        queue.retry: topology.retry_arguments(queue),
        queue.dead: topology.dead_arguments(),
    }
