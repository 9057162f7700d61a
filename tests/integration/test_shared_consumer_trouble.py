"""The consumer when the broker is in trouble: connections cut, queues deleted, alarms, kills."""

import asyncio
import dataclasses
import gc
from collections.abc import Awaitable

import aio_pika
import pytest

from shared import codec, rabbitmq_client, topology
from shared.errors import BrokerUnavailable, DatabaseUnavailable, OperatorNeeded
from shared.models import Envelope
from shared.parking import end_of_signal
from shared.rabbitmq_client import Consumer, Publisher
from tests.broker import Broker
from tests.contract.samples import WHOLE, in_envelope
from tests.eventually import eventually
from tests.integration.consuming import (
    Opens,
    Recorder,
    Sends,
    answers,
    has,
    has_consumers,
    is_declared,
    is_held_up,
    is_refused,
)
from tests.messages import a_message
from tests.servers import Servers

pytestmark = pytest.mark.servers

PUBLISH_INTERVAL_S = 0.005


async def test_a_killed_consumer_gives_its_message_to_the_next(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    sent = await send()
    async with await aio_pika.connect(broker.servers.amqp_url) as connection:  # dies without an ack
        taken = await (await (await connection.channel()).get_queue(queue.name)).get()
        assert taken is not None
    handled = Recorder()
    await opens(handled)
    await eventually(lambda: handled.seen == [sent])


async def test_consuming_resumes_after_the_broker_closed_every_connection_and_nothing_is_lost(
    broker: Broker, opens: Opens, publisher: Publisher, queue: topology.Queue
) -> None:
    handled = Recorder()
    consumer = await opens(handled)
    sent = await _send_through(broker.close_connections(), publisher, queue)
    await eventually(lambda: sent <= set(handled.seen), what="everything confirmed was handled")
    await eventually(lambda: answers(consumer))


async def test_a_handler_at_work_when_the_connection_dies_comes_to_its_end(
    broker: Broker, opens: Opens, send: Sends
) -> None:
    """Cut off, it might have sent an order and not heard the answer; the redelivery finds its work done."""
    may_end, ended = asyncio.Event(), 0

    async def work(_: Envelope) -> None:
        nonlocal ended
        await may_end.wait()
        ended += 1

    handled = Recorder(work)
    await opens(handled)
    sent = await send()
    await eventually(lambda: handled.seen)
    await broker.close_connections()
    await eventually(lambda: handled.seen == [sent, sent], what="the broker delivers it again")
    may_end.set()
    await eventually(lambda: ended == 2, what="both came to their end")


async def test_a_paused_message_that_was_taken_back_is_let_go(
    broker: Broker, opens: Opens, send: Sends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_client, "PAUSE_S_MIN", 0.05)
    monkeypatch.setattr(rabbitmq_client, "PAUSE_S_MAX", 0.05)

    async def need_the_database(_: Envelope) -> None:
        raise DatabaseUnavailable("connection refused")

    consumer = await opens(Recorder(need_the_database))
    await send()
    await eventually(lambda: is_held_up(consumer))
    first = set(consumer._in_hand)
    await broker.close_connections()
    await eventually(
        lambda: consumer._in_hand and consumer._in_hand.isdisjoint(first),
        what="the message is in hand again, and its first copy is not",
    )


async def test_consuming_resumes_when_the_queue_was_deleted_under_the_consumer(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    handled = Recorder()
    await opens(handled)
    async with broker.channel() as channel:
        await channel.queue_delete(queue.name)
    await eventually(lambda: is_declared(broker, queue), what="the client has declared its queue again")
    await eventually(lambda: has_consumers(broker, queue, 1))
    sent = await send()
    await eventually(lambda: handled.seen == [sent])


async def test_nothing_confirmed_is_lost_when_the_broker_is_killed(
    broker: Broker, servers: Servers, opens: Opens, publisher: Publisher, queue: topology.Queue
) -> None:
    handled = Recorder()
    consumer = await opens(handled)

    async def kill_and_wait() -> None:
        await asyncio.to_thread(servers.kill, "rabbitmq")
        await eventually(lambda: is_held_up(consumer))
        await asyncio.to_thread(servers.start, "rabbitmq")

    sent = await _send_through(kill_and_wait(), publisher, queue)
    await eventually(lambda: sent <= set(handled.seen), what="everything confirmed was handled")
    await eventually(lambda: answers(consumer))


async def test_while_publishers_are_blocked_messages_are_handled_and_failed_ones_stay_in_hand(
    broker: Broker, opens: Opens, publisher: Publisher, queue: topology.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed message cannot be moved to the retry queue then; it must not stay unsettled for ever."""
    monkeypatch.setattr(rabbitmq_client, "PAUSE_S_MAX", 0.2)
    good, bad = a_message(), a_message()
    for envelope in (bad, good):
        await publisher.publish("", queue.name, codec.encode(envelope))

    async def fail_the_bad(envelope: Envelope) -> None:
        if envelope.event_id == bad.event_id:
            raise ValueError

    await broker.ctl("set_vm_memory_high_watermark", "0")
    try:
        await eventually(lambda: is_refused(publisher, queue), what="the broker blocks publishers")
        handled = Recorder(fail_the_bad)
        consumer = await opens(handled)
        await eventually(lambda: {good.event_id, bad.event_id} <= set(handled.seen))
        await eventually(lambda: is_held_up(consumer))
    finally:
        await broker.ctl("set_vm_memory_high_watermark", "0.4")
    await eventually(lambda: broker.count(queue.dead), what="the bad one went its way to the end")
    await eventually(lambda: answers(consumer))
    await consumer.drain()
    assert await broker.count(queue.dead) == 1, "a publish that timed out while blocked is not sent later"


async def test_a_message_that_kills_its_consumer_every_time_is_parked_by_the_broker(
    broker: Broker, publisher: Publisher
) -> None:
    queue = await broker.make_queue(arguments={"x-delivery-limit": 3})
    await publisher.publish("", queue.name, codec.encode(a_message()))

    async def take_and_die() -> bool:
        async with broker.channel() as channel:
            source = await channel.declare_queue(queue.name, passive=True)
            await source.get(fail=False)
        return bool(await broker.count(queue.dead))

    await eventually(take_and_die)


async def test_before_the_broker_parks_such_a_message_a_consumer_does_unhandled_and_ends_its_signal(
    broker: Broker, servers: Servers, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker would move it without a word, and the signal would never end (P2)."""
    deaths = 2
    monkeypatch.setattr(topology, "DELIVERIES_HANDLED_MAX", deaths)
    queue = dataclasses.replace(await broker.make_queue(), carries_signals=True)
    listener = dataclasses.replace(await broker.make_queue(), routing_keys=("signal.ended",))
    received = in_envelope(WHOLE[0])
    ended = end_of_signal(received, queue, received.occurred_at)
    assert ended is not None
    await publisher.publish("", queue.name, codec.encode(received))
    for _ in range(deaths):
        async with broker.channel() as channel:
            taken = await (await channel.get_queue(queue.name)).get()
            assert taken is not None
        await eventually(lambda: has(broker, queue.name, 1))
    heard, handled = Recorder(), Recorder()

    async with (
        Consumer(servers.amqp_url, "listener", listener, heard, publisher),
        Consumer(servers.amqp_url, "test", queue, handled, publisher),
    ):
        await eventually(lambda: heard.seen == [ended.event_id])
        await eventually(lambda: has(broker, queue.dead, 1))
    assert handled.seen == []


async def test_the_consumer_outlives_the_garbage_collector(opens: Opens, send: Sends) -> None:
    handled = Recorder()
    await opens(handled)
    gc.collect()
    sent = await send()
    await eventually(lambda: handled.seen == [sent])


async def test_a_queue_with_other_arguments_needs_the_operator(
    broker: Broker, servers: Servers, publisher: Publisher
) -> None:
    queue = await broker.make_queue(arguments={"x-max-length": 5})
    with pytest.raises(OperatorNeeded, match=queue.name):
        await Consumer(servers.amqp_url, "test", queue, Recorder(), publisher).__aenter__()


async def _send_through(trouble: Awaitable[object], publisher: Publisher, queue: topology.Queue) -> set[str]:
    """Send messages before, during and after `trouble`; return the ids that were confirmed."""
    confirmed: set[str] = set()
    running = asyncio.ensure_future(trouble)
    after = 0
    while after < 20:
        envelope = a_message()
        await asyncio.sleep(PUBLISH_INTERVAL_S)
        try:
            await publisher.publish("", queue.name, codec.encode(envelope))
        except BrokerUnavailable:
            continue
        confirmed.add(envelope.event_id)
        after += running.done()
    await running
    return confirmed
