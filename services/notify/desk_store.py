"""The desk's memory in PostgreSQL: proposals that wait for their confirmation, and the audit log.

A token is kept as its SHA-256 only. Times are judged by the database clock. It must never decide who may act.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from services.notify.people import Act, Request, Why
from services.notify.ports import Result
from shared.codec import encode_value
from shared.database import Database, load_queries

CONFIRM_WITHIN_S = 60.0
PRUNE_ROWS_MAX = 1_000
KEPT_DAYS = 7
"""Confirmations and sessions that ended are kept this long; the audit log for ever."""

_SQL = load_queries(Path(__file__).parent / "desk.sql")


class DeskStore:
    """Confirmations and audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def propose(self, token: str, actor: str, request: Request) -> datetime:
        """Keep a proposal and return when it ends."""
        expires_at = await self._database.fetch_value(
            _SQL["propose"], _hashed(token), actor, request.act.value, request.symbol, CONFIRM_WITHIN_S
        )
        assert isinstance(expires_at, datetime)
        return expires_at

    async def use(self, token: str, actor: str, used_for: Literal["confirmed", "withdrawn"]) -> Request | Why:
        """Use the token up, once over all replicas, or say why it cannot be used by this actor now."""
        used = await self._database.fetch_row(_SQL["use"], _hashed(token), actor, used_for)
        if used is not None:
            return Request(Act(used["act"]), used["symbol"])
        found = await self._database.fetch_row(_SQL["look_up"], _hashed(token))
        if found is None:
            return Why.UNKNOWN
        if found["actor"] != actor:
            return Why.NOT_YOURS
        return Why.USED if found["used_at"] is not None else Why.EXPIRED

    async def record(self, actor: str, act: str, result: Result, detail: Mapping[str, object]) -> None:
        """Append one line to the audit log; returns when it is committed."""
        await self._database.execute(_SQL["record"], actor, act, result, encode_value(dict(detail)).decode())

    async def newest_acts(self, limit: int) -> list[dict[str, object]]:
        """Return the newest lines of the audit log."""
        return [dict(row) for row in await self._database.fetch(_SQL["newest_acts"], limit)]

    async def first_time(self, update_id: int) -> bool:
        """Take an update of the chat, once over all replicas and restarts; False if it was taken before."""
        return await self._database.fetch_value(_SQL["first_update"], str(update_id)) is not None

    async def prune(self) -> None:
        """Delete some of the confirmations and sessions that ended long ago."""
        await self._database.execute(_SQL["prune_confirmations"], KEPT_DAYS, PRUNE_ROWS_MAX)
        await self._database.execute(_SQL["prune_sessions"], KEPT_DAYS, PRUNE_ROWS_MAX)


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
