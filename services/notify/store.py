"""The notifications in PostgreSQL: what was told, how often it repeated, and what waits for which channel.

A delivery waits, may be claimed for one attempt, and ends once: delivered or dropped. This module must never
decide who is told what.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from services.notify.telling.channels import Channel
from services.notify.telling.kinds import ALERTS, Kind
from services.notify.telling.message_format import Notification
from shared import ids
from shared.database import Connection, Database, load_queries
from shared.values import Severity

PRUNE_ROWS_MAX = 1_000
REPEAT_WINDOW_S = 600.0
"""The same words again within this are counted instead of sent."""
ENDED_REPEATS_MAX = 100
"""Windows closed in one go; more wait for the next."""

_SQL = load_queries(Path(__file__).parent / "queries.sql")

Retell = Callable[[str, int], str]
"""Makes the title that says how often a title came again."""


class DatabaseLoad(NamedTuple):
    """What the database server carries."""

    size_bytes: int
    connections: int
    connections_max: int


class NotificationStore:
    """Notifications of this installation; without a channel they are kept and nobody waits for them."""

    def __init__(
        self, database: Database, channels: Sequence[Channel], repeat_window_s: float = REPEAT_WINDOW_S
    ) -> None:
        self._database = database
        self._channels = channels
        self._repeat_window_s = repeat_window_s

    async def keep(self, source: str, notification: Notification, *, is_off: bool = False) -> bool:
        """Record that the fact came from `source`, keep its notification and queue it for every channel that
        takes it, together; False: it was kept before.
        """
        async with self._database.connection() as connection:
            return await self._keep(connection, source, notification, is_off=is_off)

    async def keep_report(self, day: date, report: Notification, picture: bytes | None) -> bool:
        """Keep the report of a day, once over all replicas; False: another one has."""
        async with self._database.transaction() as tx:
            if not await tx.fetchval(_SQL["claim_report"], day):
                return False
            return await self._keep(tx, "daily_report", report, picture=picture)

    async def is_report_made(self, day: date) -> bool:
        """Tell whether the report of a day was kept."""
        return bool(await self._database.fetch_value(_SQL["is_report_made"], day))

    async def tell_repeats(self, retell: Retell, now: datetime) -> int:
        """Close the windows that ended, and keep a notification of each that counted; return how many.

        Counts and notifications change together: killed in between, the next look tells them.
        """
        told = 0
        async with self._database.transaction() as tx:
            for row in await tx.fetch(_SQL["end_repeats"], ENDED_REPEATS_MAX):
                if row["repeats"]:
                    told += await self._keep(tx, "repeats", _repeated(row, retell, now))
        return told

    async def adopt(self) -> None:
        """Take over what a replica of an older version kept and did not send."""
        await self._database.execute(_SQL["adopt"], self._names)

    async def retire(self) -> None:
        """Give up what waits for channels that are set up no more."""
        await self._database.execute(_SQL["retire"], self._names)

    async def oldest_waiting_s(self) -> float:
        """Return for how long the oldest that some channel of ours has not yet waits, whoever sends it."""
        return float(await self._database.fetch_value(_SQL["oldest_waiting_s"], self._names))

    async def database_load(self) -> DatabaseLoad:
        """Return how large the database is and how many connections its server has."""
        row = await self._database.fetch_row(_SQL["database_load"])
        assert row is not None, "a row of functions"
        return DatabaseLoad(row["size_bytes"], row["connections"], row["connections_max"])

    async def latest(
        self, limit: int, severity: Severity | None, correlation_id: str | None
    ) -> list[dict[str, object]]:
        """Return the newest notifications with what became of them on each channel."""
        severity_name = severity.value if severity is not None else None
        rows = await self._database.fetch(_SQL["latest"], limit, severity_name, correlation_id)
        return [dict(row) for row in rows]

    async def prune(self, kept_days: int) -> None:
        """Delete some of what ended and is older than `kept_days`, at most `PRUNE_ROWS_MAX` rows."""
        await self._database.execute(_SQL["prune"], kept_days, PRUNE_ROWS_MAX)
        await self._database.execute(_SQL["prune_reports"], kept_days)

    @property
    def _names(self) -> list[str]:
        return [channel.name for channel in self._channels]

    async def _keep(
        self,
        connection: Connection,
        source: str,
        notification: Notification,
        *,
        is_off: bool = False,
        picture: bytes | None = None,
    ) -> bool:
        words = None if is_off else notification.repeats_as
        kept = await connection.fetchval(
            _SQL["keep"],
            notification.event_id,
            notification.correlation_id,
            notification.kind.value,
            notification.severity.value,
            notification.title,
            notification.body,
            notification.occurred_at,
            source,
            notification.gist,
            notification.is_silent,
            is_off,
            hashlib.sha256(words.encode()).digest() if words is not None else None,
            self._repeat_window_s,
            notification.lane.value,
            [channel.name for channel in self._channels if channel.takes(notification.severity)],
            picture,
        )
        return bool(kept)


def notification_from(row: Any) -> Notification:
    """Return the notification of a row of table `notifications`."""
    return Notification(
        event_id=row["event_id"],
        correlation_id=row["correlation_id"],
        kind=_kind(row["kind"], Severity(row["severity"])),
        title=row["title"],
        body=row["body"],
        gist=row["gist"],
        occurred_at=row["occurred_at"],
        is_silent=row["is_silent"],
    )


def _kind(name: str, severity: Severity) -> Kind:
    """Rows of an older version have names of their own, and so have a newer one's after a return."""
    return Kind(name) if name in set(Kind) else ALERTS[severity]


def _repeated(row: Any, retell: Retell, now: datetime) -> Notification:
    title = retell(row["title"], row["repeats"])
    return Notification(
        event_id=ids.event_id("notify.repeated", row["event_id"]),
        correlation_id=row["correlation_id"],
        kind=_kind(row["kind"], Severity.WARNING),
        title=title,
        body="",
        gist=title[:60],
        occurred_at=now,
    )
