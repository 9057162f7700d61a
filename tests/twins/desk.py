"""The desk's neighbours in memory: confirmations, audit log, services, and an ear on refusals.

The confirmations pass the same contract suite as those on PostgreSQL (tests/integration).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from services.notify.desk_store import CONFIRM_WITHIN_S
from services.notify.people import Door, Request, Why
from services.notify.ports import Result, ServiceFailure
from shared.clock import Clock
from shared.errors import DatabaseUnavailable
from shared.values import TradingState


@dataclass(frozen=True)
class _Kept:
    actor: str
    request: Request
    expires_at: datetime
    used_for: str | None = None


class MemoryConfirmations:
    """Proposals in a dictionary; implements `KeepsConfirmations`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def propose(self, token: str, actor: str, request: Request) -> datetime:
        expires_at = self._clock() + timedelta(seconds=CONFIRM_WITHIN_S)
        self._kept[token] = _Kept(actor, request, expires_at)
        return expires_at

    async def use(self, token: str, actor: str, used_for: Literal["confirmed", "withdrawn"]) -> Request | Why:
        kept = self._kept.get(token)
        if kept is None:
            return Why.UNKNOWN
        if kept.actor != actor:
            return Why.NOT_YOURS
        if kept.used_for is not None:
            return Why.USED
        if kept.expires_at <= self._clock():
            return Why.EXPIRED
        self._kept[token] = replace(kept, used_for=used_for)
        return kept.request


@dataclass
class MemoryAudit:
    """Audit lines in a list; it can be away."""

    lines: list[tuple[str, str, Result, Mapping[str, object]]] = field(default_factory=list)
    away_for: frozenset[Result] = frozenset()

    async def record(self, actor: str, act: str, result: Result, detail: Mapping[str, object]) -> None:
        if result in self.away_for:
            raise DatabaseUnavailable("away")
        self.lines.append((actor, str(act), result, detail))

    @property
    def results(self) -> list[tuple[str, Result]]:
        """What was done and what became of it, in order."""
        return [(act, result) for _, act, result, _ in self.lines]


@dataclass
class ServicesTwin:
    """RISK and EXECUTE as the desk sees them; they can refuse or fall silent."""

    asked: list[tuple[str, str | None, str]] = field(default_factory=list)
    trouble: ServiceFailure | None = None

    async def set_state(self, state: TradingState, actor: str, reason: str) -> None:
        self._answer("state", state.value, actor)

    async def close(self, symbol: str | None, actor: str, reason: str) -> str:
        self._answer("close", symbol, actor)
        return f"req-{len(self.asked)}"

    def _answer(self, what: str, value: str | None, actor: str) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.asked.append((what, value, actor))


@dataclass
class Refusals:
    """Who was turned away, in order."""

    seen: list[tuple[Door, Why]] = field(default_factory=list)

    def refused(self, door: Door, why: Why) -> None:
        self.seen.append((door, why))
