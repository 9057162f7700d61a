"""A consumer that is lost for any reason comes back, once, and what is sent meanwhile is handled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiormq
import pytest
from prometheus_client import REGISTRY

from shared import rabbitmq_connection, rabbitmq_watchdog, topology
from shared.errors import BrokerUnavailable
from shared.rabbitmq_client import Consumer
from shared.rabbitmq_subscription import Subscription
from tests.broker import Broker
from tests.eventually import eventually, stays
from tests.integration.consuming import Opens, Recorder, Sends, answers, has_consumers, is_held_up
from tests.servers import Servers

pytestmark = pytest.mark.servers

HEARTBEAT_S = 1
NOTICED_S = 30.0
LOOKS_S = 1.0

Trouble = Callable[[Broker, Servers, Consumer, topology.Queue], Awaitable[object]]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watchdog look often and act soon."""
    monkeypatch.setattr(rabbitmq_watchdog, "WATCH_INTERVAL_S", 0.1)
    monkeypatch.setattr(rabbitmq_watchdog, "REBUILD_AFTER_S", 0.5)


async def _close_connections(broker: Broker, _s: Servers, _c: Consumer, _q: topology.Queue) -> None:
    await broker.close_connections()


async def _delete_the_queue(broker: Broker, _s: Servers, _c: Consumer, queue: topology.Queue) -> None:
    async with broker.channel() as channel:
        await channel.queue_delete(queue.name)


async def _break_a_rule(_b: Broker, _s: Servers, consumer: Consumer, _q: topology.Queue) -> None:
    """Acknowledge what was never delivered: the broker closes the channel with PRECONDITION_FAILED."""
    await (await _wire(consumer)).basic_ack(delivery_tag=95)


async def _kill_the_broker(_b: Broker, servers: Servers, consumer: Consumer, _q: topology.Queue) -> None:
    await asyncio.to_thread(servers.kill, "rabbitmq")
    await eventually(lambda: is_held_up(consumer))
    await asyncio.to_thread(servers.start, "rabbitmq")


async def _restart_the_broker(_b: Broker, servers: Servers, _c: Consumer, _q: topology.Queue) -> None:
    await asyncio.to_thread(servers.restart, "rabbitmq")


async def _freeze_the_broker(_b: Broker, servers: Servers, consumer: Consumer, _q: topology.Queue) -> None:
    with servers.frozen("rabbitmq"):
        await eventually(lambda: is_held_up(consumer), NOTICED_S, what="a silent broker is noticed")


async def _cancel_unnoticed(_b: Broker, _s: Servers, consumer: Consumer, _q: topology.Queue) -> None:
    """The consumer is gone at the broker and the library does not know: its history has several ways."""
    wire = await _wire(consumer)
    (tag,) = wire.consumers
    callback = wire.consumers[tag]
    await wire.basic_cancel(tag)
    wire.consumers[tag] = callback


async def _cancel_unrestored(_b: Broker, _s: Servers, consumer: Consumer, _q: topology.Queue) -> None:
    wire = await _wire(consumer)
    (tag,) = wire.consumers
    await wire.basic_cancel(tag)


@pytest.mark.parametrize(
    "trouble",
    [
        _close_connections,
        _delete_the_queue,
        _break_a_rule,
        _cancel_unnoticed,
        _cancel_unrestored,
        _restart_the_broker,
        _kill_the_broker,
        _freeze_the_broker,
    ],
)
@pytest.mark.usefixtures("impatient")
async def test_after_trouble_there_is_one_consumer_and_each_message_has_one_effect(
    trouble: Trouble,
    broker: Broker,
    servers: Servers,
    opens: Opens,
    queue: topology.Queue,
    send: Sends,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rabbitmq_connection, "HEARTBEAT_S", HEARTBEAT_S)
    handled = Recorder()
    consumer = await opens(handled)
    before = await send()
    await eventually(lambda: handled.seen == [before])

    await trouble(broker, servers, consumer, queue)

    await eventually(lambda: _has_one_consumer(broker, queue), NOTICED_S, what="one consumer at the broker")
    await eventually(lambda: answers(consumer), NOTICED_S)
    after = await eventually(lambda: _sent(send), what="the publisher is back as well")
    await eventually(lambda: after in handled.seen, what="what is sent afterwards is handled")
    assert [each for each in handled.seen if each != before] == [after], "no second consumer has it as well"
    assert await has_consumers(broker, queue, 1)


@pytest.mark.usefixtures("impatient")
async def test_a_consumer_missing_behind_that_of_another_replica_is_noticed_and_rebuilt(
    broker: Broker, servers: Servers, opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    """The other holds all it may; the broker counts one consumer, and ours gets nothing."""
    others_end = asyncio.Event()

    async def hold(_: Any) -> None:
        await others_end.wait()

    busy = Recorder(hold)
    await opens(busy)
    handled = Recorder()
    consumer = await opens(handled)
    rebuilt = _rebuilt(queue)
    await _cancel_unnoticed(broker, servers, consumer, queue)

    sent = {await send() for _ in range(queue.prefetch + 1)}

    await eventually(lambda: handled.seen, what="ours is there again")
    assert _rebuilt(queue) == rebuilt + 1
    await eventually(lambda: has_consumers(broker, queue, 2))
    others_end.set()
    await eventually(lambda: sent == {*busy.seen, *handled.seen})


@pytest.mark.usefixtures("impatient")
async def test_a_healthy_consumer_is_left_alone_busy_or_not(
    opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    may_end = asyncio.Event()

    async def hold(_: Any) -> None:
        await may_end.wait()

    handled = Recorder(hold)
    consumer = await opens(handled)
    rebuilt = _rebuilt(queue)
    for _ in range(queue.prefetch + 5):
        await send()

    await stays(lambda: consumer._watchdog._lost is None, LOOKS_S)

    may_end.set()
    await eventually(lambda: len(handled.seen) == queue.prefetch + 5)
    await stays(lambda: consumer._watchdog._lost is None, LOOKS_S)
    assert _rebuilt(queue) == rebuilt


@pytest.mark.usefixtures("impatient")
async def test_while_the_broker_is_away_the_old_connection_is_kept_trying(
    servers: Servers, opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    handled = Recorder()
    consumer = await opens(handled)
    subscription = consumer._watchdog._subscription
    await asyncio.to_thread(servers.stop, "rabbitmq")
    try:
        await eventually(lambda: consumer._watchdog._lost)
        await stays(lambda: consumer._watchdog._subscription is subscription, LOOKS_S)
    finally:
        await asyncio.to_thread(servers.start, "rabbitmq")
    await eventually(lambda: answers(consumer), NOTICED_S)
    sent = await eventually(lambda: _sent(send), what="the publisher is back as well")
    await eventually(lambda: sent in handled.seen)


async def _sent(send: Sends) -> str | None:
    try:
        return await send()
    except BrokerUnavailable:
        return None


async def _wire(consumer: Consumer) -> aiormq.Channel:
    """Return the library's own channel under a consumer."""
    subscription: Subscription = consumer._watchdog._subscription
    assert subscription._channel is not None
    return cast(aiormq.Channel, await subscription._channel.get_underlay_channel())


async def _has_one_consumer(broker: Broker, queue: topology.Queue) -> bool:
    """The queue may be gone for a moment."""
    try:
        return await has_consumers(broker, queue, 1)
    except aiormq.exceptions.ChannelNotFoundEntity:
        return False


def _rebuilt(queue: topology.Queue) -> float:
    return REGISTRY.get_sample_value("phoenix_consumers_rebuilt_total", {"queue": queue.name}) or 0.0
