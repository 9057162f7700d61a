"""The publisher against a real broker: one test for each way in which a publish can be lost silently."""

import asyncio
import gc

import aio_pika
import pytest

from shared import codec, rabbitmq_connection, topology
from shared.errors import BrokerUnavailable, OperatorNeeded
from shared.rabbitmq_client import Publisher
from shared.supervision import keep_running
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.conftest import CONFIRM_TIMEOUT_S
from tests.integration.consuming import is_refused, publishes
from tests.messages import a_message
from tests.servers import Servers

pytestmark = pytest.mark.servers

BODY = codec.encode(a_message())


async def test_a_confirmed_message_stands_in_its_queue_and_is_persistent(
    broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    await publisher.publish("", queue.name, BODY, headers={topology.ATTEMPTS_HEADER: 2})
    taken = await broker.take(queue.name)
    assert taken is not None
    assert taken.body == BODY
    assert taken.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert taken.content_type == "application/json"
    assert taken.headers[topology.ATTEMPTS_HEADER] == 2


async def test_a_message_is_sent_on_every_route_of_its_schema(broker: Broker, publisher: Publisher) -> None:
    before = await broker.count(topology.RISK_ALERTS.name)
    await publisher.send(a_message())
    assert await broker.count(topology.RISK_ALERTS.name) == before + 1
    await broker.take(topology.RISK_ALERTS.name)


@pytest.mark.parametrize("exchange", ["", topology.EVENTS.name, topology.RISK.name])
async def test_a_message_that_no_queue_takes_raises(publisher: Publisher, exchange: str) -> None:
    with pytest.raises(BrokerUnavailable, match=r"nobody\.listens"):
        await publisher.publish(exchange, "nobody.listens", BODY)


async def test_a_returned_message_fails_its_own_publish_and_not_the_others(
    broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    keys = [queue.name, "nobody.listens"] * 50
    results = await asyncio.gather(
        *(publisher.publish("", key, BODY) for key in keys), return_exceptions=True
    )
    failed = [key for key, result in zip(keys, results, strict=True) if result is not None]
    assert failed == ["nobody.listens"] * 50
    assert await broker.count(queue.name) == 50


async def test_a_missing_exchange_raises_and_the_publisher_works_afterwards(
    broker: Broker, servers: Servers, queue: topology.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = topology.Exchange(name="test.gone", kind="direct")
    monkeypatch.setattr(topology, "EXCHANGES", (*topology.EXCHANGES, gone))
    async with Publisher(servers.amqp_url, "test", confirm_timeout_s=CONFIRM_TIMEOUT_S) as publisher:
        async with broker.channel() as channel:
            await channel.exchange_delete(gone.name)
        with pytest.raises(BrokerUnavailable, match=r"test\.gone"):
            await publisher.publish(gone.name, "key", BODY)
        await eventually(lambda: publishes(publisher, queue), what="the channel is open again")
    async with broker.channel() as channel:
        await channel.exchange_delete(gone.name)


async def test_a_frozen_broker_times_the_publish_out_and_the_publisher_recovers(
    servers: Servers, publisher: Publisher, queue: topology.Queue
) -> None:
    clock = asyncio.get_running_loop().time
    with servers.frozen("rabbitmq"):
        started = clock()
        with pytest.raises(BrokerUnavailable, match="TimeoutError"):
            await publisher.publish("", queue.name, BODY)
        assert clock() - started < CONFIRM_TIMEOUT_S + 1
    await publisher.publish("", queue.name, BODY)


async def test_a_publish_in_flight_when_the_connection_dies_fails_and_its_loop_goes_on(
    servers: Servers, queue: topology.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The AMQP client then wakes the waiter with a CancelledError that nobody asked for."""
    monkeypatch.setattr(rabbitmq_connection, "HEARTBEAT_S", 1)
    failures: list[BrokerUnavailable] = []
    confirmed = 0
    async with Publisher(servers.amqp_url, "test", confirm_timeout_s=30) as publisher:

        async def publish_on() -> None:
            nonlocal confirmed
            while True:
                try:
                    await publisher.publish("", queue.name, BODY)
                    confirmed += 1
                except BrokerUnavailable as error:
                    failures.append(error)
                    raise

        loop = asyncio.create_task(keep_running("test", publish_on))
        await eventually(lambda: confirmed > 0)
        with servers.frozen("rabbitmq"):
            await eventually(lambda: failures, timeout_s=25, what="the heartbeat ends the connection")
        before = confirmed
        await eventually(lambda: confirmed > before, what="the loop publishes again")
        assert not loop.done()
        loop.cancel()
        await asyncio.wait([loop])
    assert "CancelledError" in str(failures[0])


async def test_a_publisher_survives_connections_closed_by_the_broker(
    broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    await broker.close_connections()
    await eventually(lambda: publishes(publisher, queue), what="the publisher is connected again")
    await publisher.ping()


async def test_an_alarm_makes_the_publish_fail_in_time_and_ends_without_a_restart(
    broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    await broker.ctl("set_vm_memory_high_watermark", "0")
    try:
        await eventually(lambda: is_refused(publisher, queue), what="the broker blocks publishers")
        clock = asyncio.get_running_loop().time
        started = clock()
        with pytest.raises(BrokerUnavailable):
            await publisher.publish("", queue.name, BODY)
        assert clock() - started < CONFIRM_TIMEOUT_S + 1
    finally:
        await broker.ctl("set_vm_memory_high_watermark", "0.4")
    await eventually(lambda: publishes(publisher, queue), what="publishers may publish again")


async def test_a_queue_that_refuses_raises(broker: Broker, publisher: Publisher) -> None:
    full = await broker.make_queue(arguments={"x-max-length": 1})
    await publisher.publish("", full.name, BODY)
    await eventually(lambda: is_refused(publisher, full), what="the queue is full")


async def test_the_channel_outlives_the_garbage_collector(
    publisher: Publisher, queue: topology.Queue
) -> None:
    gc.collect()
    await publisher.publish("", queue.name, BODY)


async def test_a_broken_channel_is_told_by_ping(
    servers: Servers, publisher: Publisher, queue: topology.Queue
) -> None:
    await publisher.ping()
    await asyncio.to_thread(servers.stop, "rabbitmq")
    try:
        with pytest.raises(BrokerUnavailable):
            await publisher.ping()
        with pytest.raises(BrokerUnavailable):
            await publisher.publish("", queue.name, BODY)
        with pytest.raises(BrokerUnavailable) as refused:
            await Publisher(servers.amqp_url, "test").__aenter__()
        assert servers.settings["PHOENIX_AMQP_PASSWORD"] not in str(refused.value)
    finally:
        await asyncio.to_thread(servers.start, "rabbitmq")
    await eventually(lambda: publishes(publisher, queue), what="the publisher is connected again")
    await publisher.ping()


async def test_a_wrong_password_is_told_without_showing_it(servers: Servers) -> None:
    password = servers.settings["PHOENIX_AMQP_PASSWORD"]
    with pytest.raises(BrokerUnavailable) as refused:
        await Publisher(servers.amqp_url.replace(password, "mistyped"), "test").__aenter__()
    assert "mistyped" not in str(refused.value)
    assert "mistyped" not in repr(refused.value.__cause__)


async def test_a_queue_that_stands_with_other_arguments_needs_the_operator(
    broker: Broker, servers: Servers, queue: topology.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = topology.Queue(
        name=queue.name, exchange=topology.EVENTS.name, routing_keys=(), prefetch=1, messages_max=5
    )
    monkeypatch.setattr(topology, "QUEUES", (other,))
    with pytest.raises(OperatorNeeded, match=queue.name):
        await Publisher(servers.amqp_url, "test").__aenter__()
