"""The consumer against a real broker: each message is handled, retried, parked or redelivered, never lost."""

import asyncio
import dataclasses

import pytest

from shared import codec, rabbitmq_client, topology
from shared.errors import DatabaseUnavailable, DependencyDown
from shared.models import Envelope, TradeApproved
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
    is_cancelled,
    is_held_up,
)
from tests.messages import a_message
from tests.servers import Servers

pytestmark = pytest.mark.servers


async def test_a_handled_message_is_gone(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    handled = Recorder()
    consumer = await opens(handled)
    sent = [await send() for _ in range(3)]
    await eventually(lambda: handled.seen == sent)
    await consumer.drain()
    assert await broker.count(queue.name) == 0


async def test_a_failing_message_is_retried_with_its_attempts_counted_and_parked_with_its_reason(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    async def fail(_: Envelope) -> None:
        raise ValueError("no such symbol: FOOUSDT")

    handled = Recorder(fail)
    await opens(handled)
    event_id = await send()
    await eventually(lambda: broker.count(queue.dead))
    assert handled.seen == [event_id] * topology.ATTEMPTS_MAX
    letter = await broker.take(queue.dead)
    assert letter is not None
    assert codec.decode(letter.body).event_id == event_id
    assert "no such symbol" in str(letter.headers[topology.FAULT_HEADER])
    assert await broker.count(queue.name) == await broker.count(queue.retry) == 0


async def test_parking_what_carries_a_signal_ends_the_signal(
    broker: Broker, servers: Servers, publisher: Publisher, queue: topology.Queue
) -> None:
    """Nobody else would: whoever should have ended it never could (P2)."""
    approval = in_envelope(next(each for each in WHOLE if isinstance(each, TradeApproved)))
    carrier = dataclasses.replace(queue, carries_signals=True)
    listener = dataclasses.replace(await broker.make_queue(), routing_keys=("signal.ended",))
    expected = end_of_signal(approval, carrier, approval.occurred_at)
    assert expected is not None
    heard = Recorder()

    async def fail(_: Envelope) -> None:
        raise ValueError

    async with (
        Consumer(servers.amqp_url, "listener", listener, heard, publisher),
        Consumer(servers.amqp_url, "test", carrier, fail, publisher),
    ):
        await publisher.publish("", carrier.name, codec.encode(approval))
        await eventually(lambda: heard.seen == [expected.event_id])
        await eventually(lambda: broker.count(carrier.dead))


async def test_attempts_are_counted_in_a_header_of_our_own(
    broker: Broker, servers: Servers, publisher: Publisher
) -> None:
    """Brokers reset their count when a message is published again, and 4.x ignores it altogether."""
    queue = await broker.make_queue(retry_delay_ms=60_000)

    async def fail(_: Envelope) -> None:
        raise ValueError

    async with Consumer(servers.amqp_url, "test", queue, fail, publisher):
        for before in range(topology.ATTEMPTS_MAX - 1):
            headers = {topology.ATTEMPTS_HEADER: before} if before else None
            await publisher.publish("", queue.name, codec.encode(a_message()), headers=headers)
            await eventually(lambda: has(broker, queue.retry, 1))
            retried = await broker.take(queue.retry)
            assert retried is not None
            assert retried.headers[topology.ATTEMPTS_HEADER] == before + 1


async def test_a_retried_message_waits_the_real_delay(
    broker: Broker, servers: Servers, publisher: Publisher
) -> None:
    queue = await broker.make_queue(retry_delay_ms=topology.RETRY_DELAY_MS)
    clock = asyncio.get_running_loop().time
    times: list[float] = []

    async def fail_once(_: Envelope) -> None:
        times.append(clock())
        if len(times) == 1:
            raise ValueError

    async with Consumer(servers.amqp_url, "test", queue, fail_once, publisher):
        await publisher.publish("", queue.name, codec.encode(a_message()))
        await eventually(lambda: len(times) == 2)
    assert times[1] - times[0] == pytest.approx(topology.RETRY_DELAY_MS / 1000, abs=1)


async def test_a_body_that_is_no_message_is_parked_as_it_is_and_the_next_is_handled(
    broker: Broker, opens: Opens, publisher: Publisher, queue: topology.Queue, send: Sends
) -> None:
    handled = Recorder()
    await opens(handled)
    bodies = [b"not json", b"[" * 50_000, b""]
    for body in bodies:
        await publisher.publish("", queue.name, body)
    sent = await send()
    await eventually(lambda: handled.seen == [sent])
    await eventually(lambda: has(broker, queue.dead, len(bodies)))
    letters = [await broker.take(queue.dead) for _ in bodies]
    assert {letter.body for letter in letters if letter is not None} == set(bodies)


async def test_while_a_dependency_is_down_the_message_is_kept_and_no_attempt_is_counted(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_client, "PAUSE_S_MIN", 0.02)
    monkeypatch.setattr(rabbitmq_client, "PAUSE_S_MAX", 0.02)
    is_down = True

    async def need_the_database(_: Envelope) -> None:
        if is_down:
            raise DatabaseUnavailable("connection refused")

    handled = Recorder(need_the_database)
    consumer = await opens(handled)
    await send()
    await eventually(lambda: len(handled.seen) > topology.ATTEMPTS_MAX * 2)
    with pytest.raises(DependencyDown, match=rf"postgresql.*{queue.name} is paused"):
        await consumer.ping()
    is_down = False
    await eventually(lambda: answers(consumer))
    await consumer.drain()
    assert [await broker.count(name) for name in (queue.name, queue.retry, queue.dead)] == [0, 0, 0]


async def test_one_paused_message_keeps_the_consumer_unready_though_others_are_handled(
    opens: Opens, send: Sends
) -> None:
    first = True

    async def hold_the_first(_: Envelope) -> None:
        nonlocal first
        if first:
            first = False
            raise DatabaseUnavailable("connection refused")

    handled = Recorder(hold_the_first)
    consumer = await opens(handled)
    await send()
    await eventually(lambda: handled.seen)
    await send()
    await eventually(lambda: len(handled.seen) == 2)
    with pytest.raises(DependencyDown):
        await consumer.ping()
    await eventually(lambda: answers(consumer))


async def test_a_stray_cancelled_error_in_a_handler_is_a_failure_like_any_other(
    opens: Opens, send: Sends
) -> None:
    async def be_woken_by_a_dying_connection(_: Envelope) -> None:
        if len(handled.seen) == 1:
            raise asyncio.CancelledError

    handled = Recorder(be_woken_by_a_dying_connection)
    await opens(handled)
    first = await send()
    await eventually(lambda: handled.seen == [first, first])
    second = await send()
    await eventually(lambda: handled.seen[-1] == second)


async def test_a_handler_that_hangs_is_ended_and_its_message_parked(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_client, "HANDLING_TIMEOUT_S", 0.05)
    await opens(_wait_for_ever)
    await send()
    await eventually(lambda: broker.count(queue.dead))


async def test_draining_waits_for_the_message_in_hand_and_takes_no_other(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    may_end = asyncio.Event()

    async def take_time(_: Envelope) -> None:
        await may_end.wait()

    handled = Recorder(take_time)
    consumer = await opens(handled)
    await send()
    await eventually(lambda: handled.seen)
    draining = asyncio.create_task(consumer.drain())
    await eventually(lambda: is_cancelled(broker, queue))
    await send()
    may_end.set()
    await draining
    assert len(handled.seen) == 1
    assert await broker.count(queue.name) == 1


async def test_a_message_still_in_hand_when_draining_ends_is_redelivered_and_not_dropped(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancelled task must not settle its message: `process()` of the library would reject it for good."""
    monkeypatch.setattr(rabbitmq_client, "DRAIN_TIMEOUT_S", 0.1)
    handled = Recorder(_wait_for_ever)
    consumer = await opens(handled)
    sent = await send()
    await eventually(lambda: handled.seen)
    await consumer.__aexit__(None, None, None)
    again = Recorder()
    await opens(again)
    await eventually(lambda: again.seen == [sent])
    assert await broker.count(queue.dead) == 0


async def test_draining_hands_a_paused_message_back_at_once(
    broker: Broker, opens: Opens, queue: topology.Queue, send: Sends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_client, "PAUSE_S_MIN", 60.0)

    async def need_the_database(_: Envelope) -> None:
        raise DatabaseUnavailable("connection refused")

    consumer = await opens(Recorder(need_the_database))
    sent = await send()
    await eventually(lambda: is_held_up(consumer))
    async with asyncio.timeout(2):
        await consumer.drain()
    assert await broker.count(queue.retry) == 0, "no attempt was counted"
    again = Recorder()
    await opens(again)
    await eventually(lambda: again.seen == [sent])


async def test_a_message_that_was_paused_for_long_goes_round_and_counts_neither_attempt_nor_delivery(
    broker: Broker, servers: Servers, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handed back, it would be parked after as many rounds as it may be delivered: 15 hours for an exit."""
    monkeypatch.setattr(rabbitmq_client, "PAUSE_IN_HAND_S_MAX", 0.02)
    monkeypatch.setattr(rabbitmq_client, "PAUSE_S_MIN", 0.02)
    monkeypatch.setattr(topology, "DELIVERIES_HANDLED_MAX", 2)
    queue = await broker.make_queue(retry_delay_ms=10)
    rounds, is_down = 5, True

    async def need_the_database(_: Envelope) -> None:
        if is_down:
            raise DatabaseUnavailable("connection refused")

    handled = Recorder(need_the_database)
    message = a_message()
    await publisher.publish(
        "", queue.name, codec.encode(message), headers={topology.ATTEMPTS_HEADER: topology.ATTEMPTS_MAX - 2}
    )
    async with Consumer(servers.amqp_url, "test", queue, handled, publisher) as consumer:
        # Two looks a round: one when it comes, one after its pause.
        await eventually(lambda: len(handled.seen) >= 2 * rounds)
        is_down = False
        await eventually(lambda: answers(consumer))
        await eventually(lambda: _is_empty(broker, queue))
    assert set(handled.seen) == {message.event_id}


async def _is_empty(broker: Broker, queue: topology.Queue) -> bool:
    return [await broker.count(name) for name in (queue.name, queue.retry, queue.dead)] == [0, 0, 0]


async def _wait_for_ever(_: Envelope) -> None:
    await asyncio.Event().wait()
