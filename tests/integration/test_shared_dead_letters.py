"""Dead letters on a real broker: looking changes nothing, replaying loses nothing, deleting takes no more."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import codec, dead_letters, topology
from shared.database import Database
from shared.dead_letters import DeadLetters
from shared.errors import BrokerUnavailable
from shared.models import Envelope
from shared.outbox import first_time
from shared.rabbitmq_client import Publisher
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.consuming import Opens, Recorder, Sends, has
from tests.messages import a_message
from tests.servers import Servers

pytestmark = pytest.mark.servers

FAULT = "ValueError('no such symbol')"


@pytest.fixture
async def dead(servers: Servers) -> AsyncIterator[DeadLetters]:
    async with DeadLetters(servers.amqp_url, "test") as opened:
        yield opened


@pytest.fixture
async def brain(servers: Servers) -> AsyncIterator[Database]:
    """A service's database, for its inbox."""
    url, password = servers.postgres_url, servers.password("brain")
    async with Database(url, user="phoenix_brain", password=password, schema="brain", name="test") as opened:
        yield opened


async def _park(publisher: Publisher, queue: topology.Queue, *bodies: bytes) -> None:
    """Put messages into the dead-letter queue, as a consumer does."""
    headers: dict[str, int | str] = {
        topology.FAULT_HEADER: FAULT,
        topology.ATTEMPTS_HEADER: topology.ATTEMPTS_MAX,
    }
    for body in bodies:
        await publisher.publish("", queue.dead, body, headers=headers)


async def test_a_letter_tells_what_it_is_and_why_it_lies_here(
    dead: DeadLetters, broker: Broker, opens: Opens, queue: topology.Queue, send: Sends
) -> None:
    async def fail(_: Envelope) -> None:
        raise ValueError("no such symbol: FOOUSDT")

    await opens(Recorder(fail))
    event_id = await send()
    await eventually(lambda: has(broker, queue.dead, 1))

    (letter,) = await dead.look(queue)

    assert (letter.event_id, letter.kind) == (event_id, "alert.raised.v1")
    assert letter.attempts == topology.ATTEMPTS_MAX
    assert "no such symbol: FOOUSDT" in letter.fault
    assert letter.since is not None
    assert timedelta(0) <= datetime.now(UTC) - letter.since < timedelta(minutes=1)


async def test_looking_again_and_again_changes_nothing_and_keeps_the_order(
    dead: DeadLetters, broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    bodies = [codec.encode(a_message()) for _ in range(4)] + [b"not json"]
    await _park(publisher, queue, *bodies)

    looks = [await dead.look(queue) for _ in range(3)]
    oldest = await dead.look(queue, limit=2)

    assert [[letter.body for letter in look] for look in looks] == [bodies] * 3
    assert [letter.key for letter in oldest] == [letter.key for letter in looks[0][:2]]
    assert looks[0][4].kind == dead_letters.UNREADABLE
    await eventually(lambda: has(broker, queue.dead, len(bodies)))


async def test_a_reader_that_is_killed_gives_everything_back(
    servers: Servers, broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    await _park(publisher, queue, b"one", b"two")
    async with DeadLetters(servers.amqp_url, "killed") as reader, reader._source(queue) as source:
        held = [each async for each in dead_letters._taken(source, 2)]
        assert len(held) == 2
        assert await has(broker, queue.dead, 0)
        assert reader._connection is not None
        assert reader._connection.transport is not None
        await reader._connection.transport.connection.close()
    await eventually(lambda: has(broker, queue.dead, 2))


async def test_what_another_holds_is_not_waited_for(
    dead: DeadLetters, publisher: Publisher, queue: topology.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "SILENCE_S", 0.1)
    await _park(publisher, queue, b"one")
    async with dead._source(queue) as source, dead._source(queue) as other:
        assert [each.body async for each in dead_letters._taken(source, 1)] == [b"one"]
        assert [each async for each in dead_letters._taken(other, 1)] == []


async def test_the_overview_counts_letters_by_kind(
    dead: DeadLetters, broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    empty = await broker.make_queue()
    old = a_message()
    await _park(publisher, queue, codec.encode(old), codec.encode(a_message()), b"not json")

    full, none = await dead.overview((queue, empty))

    assert (full.depth, full.kinds) == (3, {"alert.raised.v1": 2, "unreadable": 1})
    assert full.oldest == old.occurred_at
    assert (none.depth, none.oldest, none.kinds) == (0, None, {})


async def test_a_letter_that_the_broker_itself_parked_says_so(
    dead: DeadLetters, broker: Broker, publisher: Publisher
) -> None:
    queue = await broker.make_queue(arguments={"x-delivery-limit": 0})
    await publisher.publish("", queue.name, codec.encode(a_message()))
    async with broker.channel() as channel:
        await (await channel.get_queue(queue.name)).get()
    await eventually(lambda: has(broker, queue.dead, 1))

    (letter,) = await dead.look(queue)

    assert "delivery_limit" in letter.fault
    assert letter.parked_at is not None


async def test_a_replayed_message_is_handled_with_all_its_attempts_before_it(
    dead: DeadLetters,
    broker: Broker,
    opens: Opens,
    publisher: Publisher,
    queue: topology.Queue,
) -> None:
    good, other = a_message(), a_message()
    await _park(publisher, queue, codec.encode(good), codec.encode(other))
    seen_first = 0

    async def fail_once(_: Envelope) -> None:
        nonlocal seen_first
        seen_first += 1
        if seen_first == 1:
            raise ValueError

    handled = Recorder(fail_once)
    await opens(handled)
    (letter, _) = await dead.look(queue)

    done = await dead.replay(queue, {letter.key}, publisher)

    assert [each.event_id for each in done] == [good.event_id]
    await eventually(lambda: handled.seen == [good.event_id, good.event_id], what="a retry was left to it")
    assert [each.event_id for each in await dead.look(queue)] == [other.event_id]


async def test_a_letter_whose_copy_is_not_confirmed_stays(
    dead: DeadLetters, servers: Servers, broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    await _park(publisher, queue, b"one")
    (letter,) = await dead.look(queue)
    with pytest.raises(BrokerUnavailable):
        await dead.replay(queue, {letter.key}, Publisher(servers.amqp_url, "never opened"))
    await eventually(lambda: has(broker, queue.dead, 1))


async def test_a_kill_between_copy_and_removal_leaves_a_duplicate_that_has_no_second_effect(
    dead: DeadLetters,
    servers: Servers,
    brain: Database,
    broker: Broker,
    opens: Opens,
    publisher: Publisher,
    queue: topology.Queue,
    send: Sends,
) -> None:
    """A parked message is in no inbox, because its transaction never committed: so its replay counts."""
    effects: list[str] = []
    is_broken = True

    async def handle(envelope: Envelope) -> None:
        async with brain.transaction() as tx:
            is_first = await first_time(tx, queue.name, envelope.event_id)
            if is_broken:
                raise ValueError("a rule nobody thought of")
        if is_first:
            effects.append(envelope.event_id)

    handled = Recorder(handle)
    await opens(handled)
    event_id = await send()
    await eventually(lambda: has(broker, queue.dead, 1))
    assert await _inbox(brain, queue) == []
    is_broken = False

    class Killed(Publisher):
        """Confirms, and is not heard of again."""

        async def publish(self, *arguments: Any, **options: Any) -> None:
            await super().publish(*arguments, **options)
            raise BrokerUnavailable("killed")

    (letter,) = await dead.look(queue)
    async with Killed(servers.amqp_url, "killed") as killed:
        with pytest.raises(BrokerUnavailable):
            await dead.replay(queue, {letter.key}, killed)
    await eventually(lambda: effects == [event_id])
    await eventually(lambda: has(broker, queue.dead, 1))

    times = len(handled.seen)
    await dead.replay(queue, {letter.key}, publisher)

    await eventually(lambda: len(handled.seen) == times + 1, what="the copy was delivered as well")
    await eventually(lambda: has(broker, queue.name, 0))
    assert effects == [event_id]
    assert await _inbox(brain, queue) == [event_id]
    assert await has(broker, queue.dead, 0)


async def test_deleting_takes_the_chosen_and_no_other(
    dead: DeadLetters, broker: Broker, publisher: Publisher, queue: topology.Queue
) -> None:
    await _park(publisher, queue, b"one", b"two", b"three")
    letters = await dead.look(queue)

    done = await dead.delete(queue, {letters[1].key, "no such key"})

    assert [letter.body for letter in done] == [b"two"]
    assert [letter.body for letter in await dead.look(queue)] == [b"one", b"three"]


async def test_a_broker_that_is_away_is_said_to_be_away(dead: DeadLetters, queue: topology.Queue) -> None:
    assert dead._connection is not None
    await dead._connection.close()
    with pytest.raises(BrokerUnavailable):
        await dead.look(queue)


async def _inbox(brain: Database, queue: topology.Queue) -> list[str]:
    rows = await brain.fetch("SELECT event_id FROM inbox WHERE queue = $1", queue.name)
    return [row["event_id"] for row in rows]
