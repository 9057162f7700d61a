"""Outbox and inbox on real servers: what is committed is sent, what is not is not, and twice is no harm."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aio_pika
import pytest
from prometheus_client import Gauge

from shared import codec, metrics, outbox, topology
from shared.database import Database
from shared.errors import BrokerUnavailable
from shared.models import Envelope
from shared.outbox import Outbox, first_time
from shared.rabbitmq_client import Publisher
from tests.eventually import eventually
from tests.messages import a_message
from tests.servers import Servers

pytestmark = pytest.mark.servers

REPOSITORY = Path(__file__).parent.parent.parent
CONFIRM_TIMEOUT_S = 0.5

Told = list[str]
Opens = Callable[[], Awaitable[Database]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sweeper look at rows at once and again at once."""
    monkeypatch.setattr(outbox, "SWEEP_AGE_S", 0.0)
    monkeypatch.setattr(outbox, "SWEEP_INTERVAL_S", 0.02)
    monkeypatch.setattr(outbox, "MARK_INTERVAL_S", 0.01)


@pytest.fixture
async def opens(servers: Servers) -> AsyncIterator[Opens]:
    async with AsyncExitStack() as stack:

        async def open_database() -> Database:
            return await stack.enter_async_context(
                Database(
                    servers.postgres_url,
                    user="phoenix_feed",
                    password=servers.password("feed"),
                    schema="feed",
                    name="test",
                )
            )

        yield open_database


@pytest.fixture
async def database(opens: Opens) -> AsyncIterator[Database]:
    opened = await opens()
    for table in ("outbox", "inbox"):
        await opened.execute(f"DELETE FROM {table}")
    yield opened
    for table in ("outbox", "inbox"):
        await opened.execute(f"DELETE FROM {table}")


@pytest.fixture
async def publisher(servers: Servers) -> AsyncIterator[Publisher]:
    async with Publisher(servers.amqp_url, "test", confirm_timeout_s=CONFIRM_TIMEOUT_S) as opened:
        yield opened


@pytest.fixture
async def told(servers: Servers, publisher: Publisher) -> AsyncIterator[Told]:
    """The ids of all messages that reach the exchange while the test runs."""
    seen: Told = []

    async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        seen.append(codec.decode(message.body).event_id)

    async with await aio_pika.connect(servers.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(topology.RISK.name, "risk.alert")
        await queue.consume(note, no_ack=True)
        yield seen
        await (await channel.get_queue(topology.RISK_ALERTS.name)).purge()


@pytest.fixture
async def sweeps(publisher: Publisher) -> AsyncIterator[Callable[[Database], Outbox]]:
    """Start sweepers, as replicas have them; they end with the test."""
    running: list[asyncio.Task[None]] = []

    def start(database: Database) -> Outbox:
        made = Outbox(database, publisher)
        running.append(asyncio.create_task(made.sweep()))
        return made

    yield start
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


Sweeps = Callable[[Database], Outbox]


async def test_a_committed_message_is_sent_at_once_and_marked(
    database: Database, told: Told, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SWEEP_AGE_S", 60.0)  # the sweeper shall only mark
    mail = sweeps(database)
    message = a_message()
    await _stage(mail, database, message)
    await mail.publish([message])
    await eventually(lambda: told == [message.event_id])
    await eventually(lambda: _unsent_is(database, 0))


async def test_a_message_of_a_rolled_back_transaction_is_never_sent(
    database: Database, told: Told, sweeps: Sweeps
) -> None:
    mail = sweeps(database)
    ghost, real = a_message(), a_message()

    async def fail() -> None:
        async with database.transaction() as connection:
            await mail.stage(connection, [ghost])
            raise LookupError

    with suppress(LookupError):
        await fail()
    await _stage(mail, database, real)
    await eventually(lambda: told == [real.event_id])
    assert await database.fetch_value("SELECT count(*) FROM outbox WHERE event_id = $1", ghost.event_id) == 0


async def test_what_a_killed_process_left_behind_is_sent_by_another(
    servers: Servers, database: Database, told: Told, sweeps: Sweeps
) -> None:
    """Killed for real, between the commit and the publish."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _COMMIT_AND_HANG,
        servers.postgres_url,
        servers.password("feed"),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    committed = (await process.stdout.readline()).decode().strip()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert told == []
    sweeps(database)
    await eventually(lambda: told == [committed])


async def test_while_the_broker_is_away_messages_wait_and_are_sent_when_it_is_back(
    servers: Servers, database: Database, publisher: Publisher, told: Told, sweeps: Sweeps
) -> None:
    mail = sweeps(database)
    messages = [a_message() for _ in range(3)]
    with servers.frozen("rabbitmq"):
        await _stage(mail, database, *messages)
        await mail.publish(messages)  # fails inside and is not the caller's business
        assert await _unsent_is(database, 3)
    await eventually(lambda: set(told) == {each.event_id for each in messages})
    await eventually(lambda: _unsent_is(database, 0))


async def test_what_is_owed_is_counted_and_its_age_is_known(database: Database, publisher: Publisher) -> None:
    mail = Outbox(database, publisher)
    await mail.measure_backlog()
    assert (_shown(metrics.OUTBOX_UNSENT), _shown(metrics.OUTBOX_OLDEST_SECONDS)) == (0, 0)
    await _stage(mail, database, a_message())
    await database.execute("UPDATE outbox SET staged_at = now() - interval '40 s'")
    await mail.measure_backlog()
    assert _shown(metrics.OUTBOX_UNSENT) == 1
    assert 40 <= _shown(metrics.OUTBOX_OLDEST_SECONDS) < 60


def _shown(gauge: Gauge) -> float:
    return float(gauge._value.get())


async def test_a_marked_message_is_never_sent_again(database: Database, told: Told, sweeps: Sweeps) -> None:
    first, second = a_message(), a_message()
    mail = sweeps(database)
    await _stage(mail, database, first)
    await eventually(lambda: _unsent_is(database, 0))
    await _stage(mail, database, first)  # staged again, as a redelivered input would
    await _stage(mail, database, second)
    await eventually(lambda: second.event_id in told)
    assert told == [first.event_id, second.event_id]


async def test_two_sweepers_send_each_message_once(
    opens: Opens, database: Database, publisher: Publisher, told: Told, sweeps: Sweeps
) -> None:
    messages = [a_message() for _ in range(500)]
    await _stage(Outbox(database, publisher), database, *messages)
    for replica in (database, await opens()):
        sweeps(replica)
    await eventually(lambda: _unsent_is(database, 0), timeout_s=30)
    await eventually(lambda: len(told) >= len(messages))
    assert sorted(told) == sorted(each.event_id for each in messages)


async def test_a_transaction_that_commits_late_is_sent_although_later_ids_were_sent_before(
    database: Database, told: Told, sweeps: Sweeps
) -> None:
    """A relay that remembers the last id it has seen loses this one."""
    mail = sweeps(database)
    late, early = a_message(), a_message()
    async with database.transaction() as connection:
        await mail.stage(connection, [late])
        await _stage(mail, database, early)
        await eventually(lambda: told == [early.event_id])
    await eventually(lambda: told == [early.event_id, late.event_id])


async def test_rows_that_cannot_be_read_are_set_aside_and_hold_up_nobody(
    database: Database, told: Told, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when they fill a whole batch; they stay for whoever can read them, and a gauge shows them."""
    monkeypatch.setattr(outbox, "SWEEP_ROWS_MAX", 2)
    odd = ["evt-odd-1", "evt-odd-2", "evt-odd-3"]
    for event_id in odd:
        await database.execute("INSERT INTO outbox (event_id, body) VALUES ($1, 'not json')", event_id)
    good = a_message()
    mail = sweeps(database)
    await _stage(mail, database, good)
    await eventually(lambda: told == [good.event_id])
    await eventually(lambda: _unsent_is(database, len(odd)), what="only the odd ones stay")
    await eventually(lambda: metrics.OUTBOX_SET_ASIDE._value.get() == len(odd))


async def test_a_row_that_was_set_aside_is_sent_once_it_is_mended(
    database: Database, told: Told, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SET_ASIDE_S", 0.2)
    mended = a_message()
    await database.execute("INSERT INTO outbox (event_id, body) VALUES ($1, 'not json')", mended.event_id)
    sweeps(database)
    await eventually(lambda: metrics.OUTBOX_SET_ASIDE._value.get() == 1)
    query = "UPDATE outbox SET body = $2 WHERE event_id = $1"
    await database.execute(query, mended.event_id, codec.encode(mended))
    await eventually(lambda: told == [mended.event_id])
    await eventually(lambda: metrics.OUTBOX_SET_ASIDE._value.get() == 0)


class SlowPublisher(Publisher):
    """A broker that takes its time for every message."""

    def __init__(self) -> None:
        super().__init__("amqp://", "slow")
        self.sent = 0

    async def send(self, envelope: Envelope) -> None:
        """Take one message."""
        self.sent += 1
        await asyncio.sleep(0.01)


async def test_a_slow_broker_does_not_make_the_sweeper_send_the_same_rows_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that outlasts the idle time-out of its transaction is sent, never marked, and sent again."""
    monkeypatch.setattr(outbox, "SWEEP_BATCH_S_MAX", 0.05)
    slow = SlowPublisher()
    mail = Outbox(database, slow)
    await _stage(mail, database, *(a_message() for _ in range(30)))
    sweeping = asyncio.create_task(mail.sweep())
    await eventually(lambda: slow.sent > 15)
    assert await database.fetch_value("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL")
    await eventually(lambda: _unsent_is(database, 0))
    sweeping.cancel()
    await asyncio.wait([sweeping])
    assert slow.sent == 30


class AwayPublisher(Publisher):
    """A broker that confirms nothing from the second message on."""

    def __init__(self) -> None:
        super().__init__("amqp://", "away")
        self.tried: list[str] = []

    async def send(self, envelope: Envelope) -> None:
        """Take the first message only."""
        self.tried.append(envelope.event_id)
        if len(self.tried) > 1:
            raise BrokerUnavailable("away")


async def test_after_a_failed_publish_the_rest_is_left_to_the_sweeper_in_order(database: Database) -> None:
    messages = [a_message() for _ in range(3)]
    away = AwayPublisher()
    mail = Outbox(database, away)
    await _stage(mail, database, *messages)
    await mail.publish(messages)
    assert away.tried == [each.event_id for each in messages[:2]]
    await mail.flush_marks()
    assert await _unsent_is(database, 2)


async def test_a_stopping_sweeper_marks_what_was_sent(database: Database, publisher: Publisher) -> None:
    message = a_message()
    mail = Outbox(database, publisher)
    sweeping = asyncio.create_task(mail.sweep())
    await _stage(mail, database, message)
    await mail.publish([message])
    sweeping.cancel()
    await asyncio.wait([sweeping])
    assert await _unsent_is(database, 0)


async def test_old_mail_is_thrown_away_but_never_what_was_not_sent(
    database: Database, sweeps: Sweeps
) -> None:
    await database.execute(
        "INSERT INTO outbox (event_id, body, staged_at, sent_at) VALUES"
        " ('old sent', '', now() - interval '2 days', now() - interval '25 hours'),"
        " ('new sent', '', now() - interval '2 days', now() - interval '23 hours'),"
        " ('old unsent', 'not json', now() - interval '90 days', NULL)"
    )
    await database.execute(
        "INSERT INTO inbox VALUES ('q', 'old', now() - interval '15 days'), ('q', 'new', now())"
    )
    sweeps(database)
    await eventually(lambda: _ids(database, "inbox", {"new"}))
    assert await _ids(database, "outbox", {"new sent", "old unsent"})


async def test_a_message_is_handled_the_first_time_and_no_second_time(database: Database) -> None:
    assert [await _handle(database, "q", "e") for _ in range(3)] == [True, False, False]
    assert await _handle(database, "another queue", "e")


async def test_a_message_whose_handling_was_rolled_back_is_handled_again(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            assert await first_time(connection, "q", "e")
            raise LookupError

    with suppress(LookupError):
        await fail()
    assert await _handle(database, "q", "e")


@pytest.mark.parametrize("commits", [True, False])
async def test_of_two_that_handle_a_message_at_once_the_second_waits_for_the_first(
    database: Database, commits: bool
) -> None:
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await first_time(connection, "q", "e")
        second = asyncio.create_task(_handle(database, "q", "e"))
        await eventually(lambda: _somebody_waits(database))
        assert not second.done()
        await (transaction.commit() if commits else transaction.rollback())
        assert await second is not commits


async def test_an_effect_is_made_once_however_often_and_on_however_many_replicas_it_is_asked_for(
    opens: Opens, database: Database
) -> None:
    replicas = [database, await opens()]
    results = await asyncio.gather(*(_handle(replicas[number % 2], "q", "e") for number in range(16)))
    assert sum(results) == 1


_COMMIT_AND_HANG = """
import asyncio, sys
from shared.database import Database
from shared.outbox import Outbox
from tests.messages import a_message

async def main(url, password):
    message = a_message("from the killed")
    login = {"user": "phoenix_feed", "password": password, "schema": "feed"}
    async with Database(url, **login, name="killed") as database:
        async with database.transaction() as connection:
            await Outbox(database, None).stage(connection, [message])
        print(message.event_id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def _stage(mail: Outbox, database: Database, *messages: Envelope) -> None:
    async with database.transaction() as connection:
        await mail.stage(connection, messages)


async def _handle(database: Database, queue: str, event_id: str) -> bool:
    async with database.transaction() as connection:
        return await first_time(connection, queue, event_id)


async def _unsent_is(database: Database, number: int) -> bool:
    found = await database.fetch_value("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
    return bool(found == number)


async def _ids(database: Database, table: str, expected: set[str]) -> bool:
    return {row["event_id"] for row in await database.fetch(f"SELECT event_id FROM {table}")} == expected


async def _somebody_waits(database: Database) -> bool:
    query = (
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = current_user"
    )
    return bool(await database.fetch_value(query))
