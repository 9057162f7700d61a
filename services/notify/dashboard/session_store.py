"""The dashboard's sessions in PostgreSQL, so that every replica knows them. Times are the database's.

It must never see a cookie or a password: sessions are known by a key made of both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from services.notify.people import Person, Why
from shared.database import Database, load_queries

SEEN_EVERY_S = 60.0
LOGIN_WINDOW_S = 900.0

_SQL = load_queries(Path(__file__).parent / "sessions.sql")


@dataclass(frozen=True)
class LiveSession:
    """A session that may be used now."""

    key: bytes
    name: str
    expires_at: datetime


@dataclass(frozen=True)
class FailedLogins:
    """Wrong passwords of the last `LOGIN_WINDOW_S`."""

    of_sender: int
    of_all: int
    is_told: bool


class SessionStore:
    """Begins, finds and ends sessions. Every method raises `DatabaseUnavailable` when PostgreSQL is away."""

    def __init__(self, database: Database, *, hours: int, idle_minutes: int) -> None:
        self._database = database
        self._hours = hours
        self._idle_minutes = idle_minutes

    async def begin(self, key: bytes, person: Person) -> None:
        """Keep a new session."""
        await self._database.execute(_SQL["begin"], key, person.name, person.role.value, self._hours)

    async def live(self, keys: Collection[bytes]) -> Mapping[bytes, LiveSession]:
        """Return those of the sessions that may be used now."""
        rows = await self._database.fetch(_SQL["live"], list(keys), self._idle_minutes)
        found = [LiveSession(bytes(row["token_hash"]), row["person"], row["expires_at"]) for row in rows]
        return {session.key: session for session in found}

    async def seen(self, key: bytes) -> None:
        """Note that somebody uses the session."""
        await self._database.execute(_SQL["seen"], key, SEEN_EVERY_S)

    async def is_known(self, keys: Collection[bytes]) -> bool:
        """Tell whether one of these was ever a session: an old cookie, not a forged one."""
        return bool(await self._database.fetch_value(_SQL["is_known"], list(keys)))

    async def finish(self, key: bytes) -> None:
        """End a session."""
        await self._database.execute(_SQL["finish"], key)

    async def failed_logins(self, sender: str) -> FailedLogins:
        """Count the wrong passwords over all replicas, from the audit log."""
        row = await self._database.fetch_row(
            _SQL["failed_logins"], sender, LOGIN_WINDOW_S, Why.WRONG_PASSWORD.value, Why.TOO_OFTEN.value
        )
        assert row is not None, "an aggregate has a row"
        return FailedLogins(row["of_sender"], row["of_all"], row["is_told"])
