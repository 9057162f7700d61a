"""The notifications in PostgreSQL: the only SQL of this service.

A notification waits, may be claimed for one attempt, and ends once: delivered or dropped. This module must
never decide who is told what.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from services.notify.message_format import Notification
from services.notify.ports import Drops
from shared.database import Database, load_queries
from shared.values import Severity

WAITING_ROWS_MAX = 50
"""Rows looked at per severity; more wait for the next look."""
CLAIM_S = 15.0
"""A claim without an answer ends after this: longer than any attempt, short enough to be told soon."""
PRUNE_ROWS_MAX = 1_000
NO_CHANNEL = "no_channel"

_SQL = load_queries(Path(__file__).parent / "queries.sql")


class Backlog(NamedTuple):
    """Notifications that wait, and the age of the oldest, s."""

    waiting: int
    oldest_s: float


class DatabaseLoad(NamedTuple):
    """What the database server carries."""

    size_bytes: int
    connections: int
    connections_max: int


class NotificationStore:
    """Notifications of this installation; without a channel they are kept and nobody waits for them."""

    def __init__(self, database: Database, *, has_channel: bool) -> None:
        self._database = database
        self._dropped_because = None if has_channel else NO_CHANNEL

    async def keep(self, source: str, notification: Notification) -> bool:
        """Record that the fact came from `source` and keep its notification, together; False: one of both
        was done before.
        """
        kept = await self._database.fetch_value(
            _SQL["keep"],
            notification.event_id,
            notification.correlation_id,
            notification.kind,
            notification.severity.value,
            notification.title,
            notification.body,
            notification.occurred_at,
            self._dropped_because,
            source,
        )
        return bool(kept)

    async def waiting(self) -> Sequence[Notification]:
        """Return the front of the queue: of every severity the oldest that may be sent now."""
        rows = await self._database.fetch(_SQL["waiting"], WAITING_ROWS_MAX)
        return [_notification(row) for row in rows]

    async def claim(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Take these for one attempt and return those that were free; the claim ends after `CLAIM_S`."""
        rows = await self._database.fetch(_SQL["claim"], list(event_ids), CLAIM_S)
        return frozenset(row["event_id"] for row in rows)

    async def mark_delivered(self, event_ids: Sequence[str]) -> None:
        """Record that these arrived."""
        await self._database.execute(_SQL["mark_delivered"], list(event_ids))

    async def mark_drops_told(self, drops: Drops) -> None:
        """Record that the number of these drops need not be told any more."""
        await self._database.execute(_SQL["mark_drops_told"], drops.until)

    async def release(self, event_ids: Sequence[str]) -> None:
        """Give claimed ones back: they did not arrive."""
        await self._database.execute(_SQL["release"], list(event_ids))

    async def drop(self, event_ids: Sequence[str], why: str) -> None:
        """Record that these will never arrive."""
        await self._database.execute(_SQL["drop"], list(event_ids), why)

    async def drop_old(self, severity: Severity, before: datetime) -> int:
        """Give up what happened earlier than `before`, and return how many."""
        return int(await self._database.fetch_value(_SQL["drop_old"], severity.value, before))

    async def untold_drops(self) -> Drops:
        """Return how many were given up for their age without a word about it."""
        row = await self._database.fetch_row(_SQL["untold_drops"])
        assert row is not None, "an aggregate has a row"
        return Drops(row["count"], row["until"])

    async def count_waiting(self) -> int:
        """Return how many wait, those under a claim included."""
        return int(await self._database.fetch_value(_SQL["count_waiting"]))

    async def backlog(self) -> Backlog:
        """Return how many wait and for how long the oldest has, whoever sends them."""
        row = await self._database.fetch_row(_SQL["backlog"])
        assert row is not None, "an aggregate has a row"
        return Backlog(row["waiting"], row["oldest_s"])

    async def database_load(self) -> DatabaseLoad:
        """Return how large the database is and how many connections its server has."""
        row = await self._database.fetch_row(_SQL["database_load"])
        assert row is not None, "a row of functions"
        return DatabaseLoad(row["size_bytes"], row["connections"], row["connections_max"])

    async def latest(
        self, limit: int, severity: Severity | None, correlation_id: str | None
    ) -> list[dict[str, object]]:
        """Return the newest notifications with what became of them."""
        severity_name = severity.value if severity is not None else None
        rows = await self._database.fetch(_SQL["latest"], limit, severity_name, correlation_id)
        return [dict(row) for row in rows]

    async def prune(self, kept_days: int) -> None:
        """Delete some of what ended and is older than `kept_days`, at most `PRUNE_ROWS_MAX` rows."""
        await self._database.execute(_SQL["prune"], kept_days, PRUNE_ROWS_MAX)


def _notification(row: Any) -> Notification:
    return Notification(
        event_id=row["event_id"],
        correlation_id=row["correlation_id"],
        kind=row["kind"],
        severity=Severity(row["severity"]),
        title=row["title"],
        body=row["body"],
        occurred_at=row["occurred_at"],
    )
