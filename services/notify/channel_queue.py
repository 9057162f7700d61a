"""What waits for one channel, in PostgreSQL: the front of its queue, claims, and how each delivery ended.

It must never decide what is told next, nor touch another channel's deliveries.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from services.notify.ports import Drops
from services.notify.store import notification_from
from services.notify.telling.channels import Channel
from services.notify.telling.kinds import Lane
from services.notify.telling.message_format import Notification
from services.notify.telling.pacing import FOLDED_MAX
from shared.database import Database, load_queries

WAITING_ROWS_MAX = max(FOLDED_MAX.values())
"""Rows looked at per lane; more wait for the next look."""
CLAIM_S = 30.0
"""A claim without an answer ends after this: longer than any attempt, short enough to be told soon."""

_SQL = load_queries(Path(__file__).parent / "queries.sql")


class ChannelQueue:
    """The deliveries of one channel."""

    def __init__(self, database: Database, channel: Channel) -> None:
        self._database = database
        self._name = channel.name
        self._kind = channel.kind

    async def waiting(self) -> Sequence[Notification]:
        """Return the front of the queue: of every lane the oldest that may be sent now."""
        rows = await self._database.fetch(_SQL["waiting"], self._name, WAITING_ROWS_MAX)
        return [notification_from(row) for row in rows]

    async def picture(self, event_id: str) -> bytes | None:
        """Return the picture that goes with a notification."""
        found: bytes | None = await self._database.fetch_value(_SQL["picture"], event_id)
        return found

    async def claim(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Take these for one attempt and return those that were free; the claim ends after `CLAIM_S`."""
        rows = await self._database.fetch(_SQL["claim"], self._name, list(event_ids), CLAIM_S)
        return frozenset(row["event_id"] for row in rows)

    async def mark_delivered(self, event_ids: Sequence[str]) -> None:
        """Record that these arrived."""
        await self._database.execute(_SQL["mark_delivered"], self._name, list(event_ids))

    async def mark_drops_told(self, drops: Drops) -> None:
        """Record that the number of these drops need not be told any more."""
        await self._database.execute(_SQL["mark_drops_told"], self._name, drops.until)

    async def release(self, event_ids: Sequence[str]) -> None:
        """Give claimed ones back: they did not arrive."""
        await self._database.execute(_SQL["release"], self._name, list(event_ids))

    async def drop(self, event_ids: Sequence[str], why: str) -> None:
        """Record that these will never arrive."""
        await self._database.execute(_SQL["drop"], self._name, list(event_ids), why)

    async def drop_old(self, before: Mapping[Lane, datetime]) -> int:
        """Give up what happened earlier than its lane allows, and return how many."""
        lanes = [lane.value for lane in before]
        count = await self._database.fetch_value(_SQL["drop_old"], self._name, lanes, list(before.values()))
        return int(count)

    async def untold_drops(self) -> Drops:
        """Return how many were given up for their age without a word about it."""
        row = await self._database.fetch_row(_SQL["untold_drops"], self._name)
        assert row is not None, "an aggregate has a row"
        return Drops(row["count"], row["until"])

    async def count_waiting(self) -> int:
        """Return how many wait for channels of this kind, those under a claim included."""
        return int(await self._database.fetch_value(_SQL["count_waiting"], self._kind))
