"""Outbox and inbox: a state change and the messages it implies are committed together, and published after.

`stage` writes rows inside the caller's transaction; `publish` sends them at once after the commit; the
sweeper sends what a crash left behind. A row may be sent twice, so every receiver keeps an inbox:
`first_time` in the same transaction as its effect. The one path without an outbox is the webhook (broker
first, P1). It must never drop a row that was not sent.
"""

import asyncio
from collections.abc import Mapping, Sequence

from shared import codec, crash_points, logs, metrics
from shared.database import Connection, Database
from shared.errors import BrokerUnavailable, DatabaseUnavailable, MessageFault, QueueRefused
from shared.models import Envelope
from shared.rabbitmq_client import Publisher
from shared.supervision import came_round

SWEEP_INTERVAL_S = 0.5
SWEEP_QUIET_S_MAX = 120.0
"""A sweeper that has not come round for that long is stuck."""
SWEEP_AGE_S = 1.0
SWEEP_ROWS_MAX = 200
SWEEP_BATCH_S_MAX = 0.5
"""A batch is marked before the database ends its transaction for idling, or a slow broker would get the same
rows again and again.
"""
BACKLOG_INTERVAL_S = 5.0
MARK_INTERVAL_S = 0.2
"""Well below `SWEEP_AGE_S`, or what was sent would look unsent; long enough that one statement marks many."""
MARKS_WAITING_MAX = 10_000
SET_ASIDE_MAX = 10_000
"""Rows that this version cannot read; were there more, the rest would stand before the good ones again."""
REFUSED_AGAIN_S = 30.0
"""A queue that is dead or full takes nothing for a while; its messages are tried again, others go before."""
SET_ASIDE_S = 600.0
"""Then they are tried and told anew: they may have been mended, or sent by a replica of another version."""
PRUNE_INTERVAL_S = 600.0
KEEP_SENT_HOURS = 24
KEEP_INBOX_HOURS = 24 * 14

_STAGE = """
INSERT INTO outbox (event_id, body)
SELECT * FROM unnest($1::text[], $2::bytea[])
ON CONFLICT (event_id) DO NOTHING
"""
_MARK = "UPDATE outbox SET sent_at = now() WHERE event_id = ANY($1::text[]) AND sent_at IS NULL"
_CLAIM = """
SELECT event_id, body FROM outbox
WHERE sent_at IS NULL AND staged_at < now() - make_interval(secs => $1) AND event_id <> ALL($3::text[])
ORDER BY id LIMIT $2
FOR UPDATE SKIP LOCKED
"""
_UNSENT = """
SELECT body FROM outbox WHERE sent_at IS NULL AND position($2::bytea IN body) > 0 ORDER BY id LIMIT $1
"""
_PRUNE = """
WITH pruned AS (DELETE FROM outbox WHERE sent_at < now() - make_interval(hours => $1))
DELETE FROM inbox WHERE handled_at < now() - make_interval(hours => $2)
"""
_BACKLOG = """
SELECT count(*) AS unsent, coalesce(extract(epoch FROM now() - min(staged_at)), 0)::float8 AS oldest_s
FROM outbox WHERE sent_at IS NULL
"""
_FIRST_TIME = "INSERT INTO inbox (queue, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"

_log = logs.get(__name__)


async def first_time(connection: Connection, queue: str, event_id: str) -> bool:
    """Record in the caller's transaction that `event_id` is handled; False when it was handled before."""
    return bool(await connection.fetchval(_FIRST_TIME, queue, event_id))


class Outbox:
    """The messages one service owes to the broker."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._database = database
        self._publisher = publisher
        self._marks: asyncio.Queue[str] = asyncio.Queue(MARKS_WAITING_MAX)
        self._set_aside: set[str] = set()
        self._postponed: dict[str, float] = {}

    async def stage(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        """Write the envelopes in the caller's transaction. An id that is there already stays as it was."""
        if not envelopes:
            return
        await connection.execute(
            _STAGE, [each.event_id for each in envelopes], [codec.encode(each) for each in envelopes]
        )

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish committed envelopes, in order. A failure is left to the sweeper: it is not the caller's."""
        for envelope in envelopes:
            try:
                await self._publisher.send(envelope)
            except QueueRefused as refused:
                _log.warning("publish_left_to_sweeper", schema=envelope.schema, error=str(refused))
                continue
            except BrokerUnavailable as failure:
                _log.warning("publish_left_to_sweeper", schema=envelope.schema, error=str(failure))
                break
            self._mark_later(envelope.event_id)

    async def unsent(self, schema: str) -> list[Envelope]:
        """Return what of one schema is owed, oldest first; what cannot be read is not among it."""
        rows = await self._database.fetch(_UNSENT, SWEEP_ROWS_MAX, schema.encode())
        found: list[Envelope] = []
        for row in rows:
            try:
                envelope = codec.decode(row["body"])
            except MessageFault:
                continue  # the sweeper sets it aside and says so
            if envelope.schema == schema:
                found.append(envelope)
        return found

    async def sweep(self) -> None:
        """Loop: mark what was sent, publish what was not, prune what is old. Runs on every replica."""
        try:
            await self._sweep_on()
        finally:
            await self.flush_marks()

    async def flush_marks(self) -> None:
        """Mark at shutdown what was sent; what stays unmarked is merely sent again."""
        try:
            await self._mark_sent()
        except DatabaseUnavailable:
            _log.warning("outbox_marks_lost", rows=self._marks.qsize())

    async def measure_backlog(self) -> None:
        """Show how much is owed and for how long."""
        row = await self._database.fetch_row(_BACKLOG)
        assert row is not None, "an aggregate has a row"
        metrics.OUTBOX_UNSENT.set(row["unsent"])
        metrics.OUTBOX_OLDEST_SECONDS.set(row["oldest_s"])

    async def _sweep_on(self) -> None:
        clock = asyncio.get_running_loop().time
        next_sweep = next_prune = next_look = clock()
        next_second_look = clock() + SET_ASIDE_S
        while True:
            came_round()
            await self._mark_sent()
            if clock() >= next_sweep:
                while await self._publish_unsent() == SWEEP_ROWS_MAX:
                    came_round()
                    await self._mark_sent()  # else what is published meanwhile looks unsent to the next batch
                next_sweep = clock() + SWEEP_INTERVAL_S
            if clock() >= next_prune:
                await self._database.execute(_PRUNE, KEEP_SENT_HOURS, KEEP_INBOX_HOURS)
                next_prune = clock() + PRUNE_INTERVAL_S
            if clock() >= next_second_look:
                self._set_aside.clear()
                next_second_look = clock() + SET_ASIDE_S
            if clock() >= next_look:
                await self.measure_backlog()
                next_look = clock() + BACKLOG_INTERVAL_S
            await asyncio.sleep(MARK_INTERVAL_S)

    def _mark_later(self, event_id: str) -> None:
        if not self._marks.full():  # an unmarked row is sent again by the sweeper: harmless
            self._marks.put_nowait(event_id)

    async def _mark_sent(self) -> None:
        sent = [self._marks.get_nowait() for _ in range(self._marks.qsize())]
        if sent:
            await self._database.execute(_MARK, sent)

    async def _publish_unsent(self) -> int:
        async with self._database.transaction() as connection:
            rows = await connection.fetch(
                _CLAIM, SWEEP_AGE_S, SWEEP_ROWS_MAX, [*self._set_aside, *self._waiting()]
            )
            sent = await self._publish_claimed({row["event_id"]: row["body"] for row in rows})
            if sent:
                crash_points.reach("outbox.swept")
                await connection.execute(_MARK, sent)
                metrics.OUTBOX_SWEPT.inc(len(sent))
                _log.warning("outbox_swept", rows=len(sent))
        metrics.OUTBOX_SET_ASIDE.set(len(self._set_aside))
        return len(sent)

    async def _publish_claimed(self, bodies: Mapping[str, bytes]) -> list[str]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + SWEEP_BATCH_S_MAX
        sent: list[str] = []
        for event_id, body in bodies.items():
            try:
                await self._publisher.send(codec.decode(body))
            except MessageFault as fault:
                self._put_aside(event_id, fault)
                continue
            except QueueRefused as refused:  # one dead queue must not hold up what is for the others
                self._postpone(event_id, refused)
                continue
            except BrokerUnavailable:
                break
            sent.append(event_id)
            if clock() > deadline:
                break
        return sent

    def _waiting(self) -> list[str]:
        """Return what was refused a moment ago, and forget whose time has come."""
        now = asyncio.get_running_loop().time()
        self._postponed = {event_id: at for event_id, at in self._postponed.items() if at > now}
        return list(self._postponed)

    def _postpone(self, event_id: str, refused: QueueRefused) -> None:
        _log.warning("outbox_row_refused", event_id=event_id, again_in_s=REFUSED_AGAIN_S, why=str(refused))
        if len(self._postponed) < SET_ASIDE_MAX:
            self._postponed[event_id] = asyncio.get_running_loop().time() + REFUSED_AGAIN_S

    def _put_aside(self, event_id: str, fault: MessageFault) -> None:
        """Pass over a row that other code than this wrote: trying it again would hold up the others.

        It stays in the table, unsent, for a replica that can read it: nothing is lost.
        """
        _log.error("outbox_row_set_aside", event_id=event_id, for_s=SET_ASIDE_S, error=str(fault))
        if len(self._set_aside) < SET_ASIDE_MAX:
            self._set_aside.add(event_id)
