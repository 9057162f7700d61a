"""Where the pages' numbers come from: database views, the services, the broker; each may be away by itself.

Every source keeps the last thing it saw, when that was true, and what is wrong now: an old number is shown as
old. Sources are asked only while somebody looks, by one question at a time. Nothing here changes anything.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from services.notify.alarms import Alarm, AlarmBook
from services.notify.dashboard.figures import AtExchange, at_exchange
from services.notify.desk_store import DeskStore
from services.notify.ports import SERVICES
from services.notify.reports import Account, ForeignPosition, OpenPosition, Reports, SignalLine, Totals
from services.notify.service_client import ServiceClient
from services.notify.store import NotificationStore
from shared import topology
from shared.clock import Clock
from shared.database import Database, load_queries
from shared.supervision import Done, Failed, attempt, within

T = TypeVar("T")

ASK_TIMEOUT_S = 4.0
READY_TIMEOUT_S = 3.0
"""Below `ASK_TIMEOUT_S`: of several services each is asked for itself."""
FRESH_S = 5.0
"""What is older is marked with its age."""
TRUSTED_S = 15.0
"""What is older is not taken for what is true now: three times the slowest interval."""
QUICKLY_S = 0.9
SLOWLY_S = 5.0
FAILED_PAUSE_S = 3.0
"""A source that fails is left alone for so long: waiting for it would slow down all the others."""
SIGNALS_SHOWN = 60
NOTIFICATIONS_SHOWN = 25
ACTS_SHOWN = 40
CLOSE_WAIT_S = 4.0
"""An operator who closed waits this long for the outcome; later the positions tell it."""
CLOSE_LOOK_S = 0.2
SYMBOLS_MAX = 500
PRICES_MAX = 50
"""Symbols whose charts are open at the same time."""

_SQL = load_queries(Path(__file__).parent / "reads.sql")


@dataclass(frozen=True)
class Seen(Generic[T]):
    """What a source told last: `value` is None before its first answer; `fault` says what is wrong."""

    value: T | None = None
    at: datetime | None = None
    fault: str | None = None

    def age_s(self, now: datetime) -> float | None:
        """Return how old the value is; None when there is none."""
        return None if self.at is None else max(0.0, (now - self.at).total_seconds())

    def trusted(self, now: datetime, age_s_max: float = TRUSTED_S) -> T | None:
        """Return the value if it may be taken for what is true now, else None."""
        age_s = self.age_s(now)
        return self.value if self.fault is None and age_s is not None and age_s <= age_s_max else None

    def is_stale(self, now: datetime) -> bool:
        """Tell whether this may not be shown as what is true now."""
        age_s = self.age_s(now)
        return self.fault is not None or age_s is None or age_s > FRESH_S


@dataclass(frozen=True, kw_only=True)
class QueueLine:
    """One queue of the topology as the broker sees it."""

    name: str
    depth: int
    waiting_again: int
    dead: int
    consumers: int


class Source(Generic[T]):
    """One thing that can be asked, at most once in `interval_s` however many look."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        interval_s: float,
        clock: Clock,
        as_of: Callable[[T], datetime | None] | None = None,
    ) -> None:
        self.seen: Seen[T] = Seen()
        self._ask = ask
        self._interval_s = interval_s
        self._clock = clock
        self._as_of = as_of
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def look(self) -> Seen[T]:
        """Return what is true now, or what was last."""
        async with self._asking:
            pause_s = self._interval_s if self.seen.fault is None else max(self._interval_s, FAILED_PAUSE_S)
            if self._asked_at is None or time.monotonic() - self._asked_at >= pause_s:
                await self._refresh()
                self._asked_at = time.monotonic()
        return self.seen

    async def _refresh(self) -> None:
        match await attempt(within(ASK_TIMEOUT_S, self._ask())):
            case Done(value):
                as_of = self._clock() if self._as_of is None else self._as_of(value)
                self.seen = Seen(value, as_of)
            case Failed(error):
                fault = "no answer" if isinstance(error, TimeoutError) else str(error) or repr(error)
                self.seen = Seen(self.seen.value, self.seen.at, fault)


class Sources:
    """Every source, named for what it tells."""

    def __init__(
        self,
        database: Database,
        services: ServiceClient,
        notifications: NotificationStore,
        management_url: SecretStr | None,
        clock: Clock,
    ) -> None:
        self.reports = Reports(database)
        self._services = services
        self._database = database
        self._desk = DeskStore(database)
        self._notifications = notifications
        self._management_url = management_url
        self._clock = clock
        self._prices: dict[str, Source[Mapping[str, Any]]] = {}
        self.account: Source[Account] = Source(
            self.reports.account, QUICKLY_S, clock, lambda found: found.snapshot_taken_at
        )
        # RISK's decision is as old as our look at it, the amounts beside it as old as their snapshot.
        self.state: Source[Account] = Source(self.reports.account, QUICKLY_S, clock)
        self.positions: Source[Sequence[OpenPosition]] = Source(self.reports.positions, QUICKLY_S, clock)
        self.foreign: Source[Sequence[ForeignPosition]] = Source(
            self.reports.foreign_positions, QUICKLY_S, clock, self._foreign_as_of
        )
        self.marks: Source[AtExchange] = Source(self._ask_marks, QUICKLY_S, clock)
        self.alarms: Source[Sequence[Alarm]] = Source(AlarmBook(database).active, QUICKLY_S, clock)
        self.risk: Source[Mapping[str, Any]] = Source(self._ask_risk, QUICKLY_S, clock)
        self.today: Source[Totals] = Source(self._ask_today, SLOWLY_S, clock)
        self.signals: Source[Sequence[SignalLine]] = Source(self._ask_signals, QUICKLY_S, clock)
        self.readiness: Source[Mapping[str, Mapping[str, Any]]] = Source(self._ask_readiness, SLOWLY_S, clock)
        self.queues: Source[Sequence[QueueLine]] = Source(self._ask_queues, SLOWLY_S, clock)
        self.notifications: Source[Sequence[Mapping[str, Any]]] = Source(
            self._ask_notifications, SLOWLY_S, clock
        )
        self.acts: Source[Sequence[Mapping[str, Any]]] = Source(self._ask_acts, SLOWLY_S, clock)
        self.leases: Source[Sequence[Mapping[str, Any]]] = Source(self._ask_leases, SLOWLY_S, clock)
        self.versions: Source[Mapping[str, str]] = Source(self._ask_versions, SLOWLY_S, clock)

    async def look(self, names: Sequence[str]) -> None:
        """Ask these sources at the same time; what they tell stands in their `seen`."""
        await asyncio.gather(*(getattr(self, name).look() for name in names))

    async def symbols(self) -> Sequence[str]:
        """Return the symbols that have bars."""
        rows = await self._database.fetch(_SQL["symbols"], SYMBOLS_MAX)
        return [row["symbol"] for row in rows]

    async def signals_like(self, symbol: str | None, outcome: str | None) -> Sequence[SignalLine]:
        """Return the newest signals of a symbol and an outcome, each None for all."""
        rows = await self._database.fetch(_SQL["signals"], symbol, outcome, SIGNALS_SHOWN)
        return [SignalLine(**row) for row in rows]

    async def story(self, signal_id: str) -> Mapping[str, Any]:
        """Return BRAIN's story of a signal; raises `ServiceFailure`."""
        return await self._services.get("brain", f"/signals/{quote(signal_id, safe='')}")

    async def close_outcome(self, request_id: str) -> Mapping[str, Any] | None:
        """Return what became of a close once it is done, or how it stands after `CLOSE_WAIT_S`; None when
        nobody tells.
        """
        deadline_s = time.monotonic() + CLOSE_WAIT_S
        found: Mapping[str, Any] | None = None
        while True:
            match await attempt(self._services.get("execute", f"/closes/{quote(request_id, safe='')}")):
                case Done(answer):
                    found = answer
            is_done = found is not None and found.get("state") == "done"
            if is_done or time.monotonic() >= deadline_s:
                return found
            await asyncio.sleep(CLOSE_LOOK_S)

    async def price(self, symbol: str) -> Mapping[str, Any] | None:
        """Return the newest tick of a symbol, asked at most once in `QUICKLY_S`; None when there is none."""
        if symbol not in self._prices:
            while len(self._prices) >= PRICES_MAX:
                self._prices.pop(next(iter(self._prices)))
            path = f"/prices/{quote(symbol, safe='')}"
            self._prices[symbol] = Source(lambda: self._services.get("execute", path), QUICKLY_S, self._clock)
        seen = await self._prices[symbol].look()
        return None if seen.is_stale(self._clock()) else seen.value

    async def _ask_signals(self) -> Sequence[SignalLine]:
        return await self.signals_like(None, None)

    async def _ask_marks(self) -> AtExchange:
        return at_exchange(await self._services.get("execute", "/positions"))

    def _foreign_as_of(self, found: Sequence[ForeignPosition]) -> datetime | None:
        """Return when EXECUTE looked; who looks for none is told by the headline whether it looks at all."""
        return found[0].seen_at if found else self._clock()

    async def _ask_risk(self) -> Mapping[str, Any]:
        return await self._services.get("risk", "/status")

    async def _ask_today(self) -> Totals:
        return await self.reports.totals(
            self._clock().replace(hour=0, minute=0, second=0, microsecond=0)  # the exchange's day is UTC
        )

    async def _ask_readiness(self) -> Mapping[str, Mapping[str, Any]]:
        found = await asyncio.gather(*(self._ready(name) for name in SERVICES))
        return dict(zip(SERVICES, found, strict=True))

    async def _ready(self, name: str) -> Mapping[str, Any]:
        """Return a service's readiness; one that hangs is named, and does not hide the others."""
        match await attempt(within(READY_TIMEOUT_S, self._services.readiness(name))):
            case Done(found):
                return found
            case Failed():
                return {
                    "ready": False,
                    "dependencies": {"process": f"no answer within {READY_TIMEOUT_S:g} s"},
                }

    async def _ask_queues(self) -> Sequence[QueueLine]:
        if self._management_url is None:
            raise LookupError("PHOENIX_AMQP_MANAGEMENT_URL is not set")
        url = f"{self._management_url.get_secret_value()}/api/queues/%2Ftrading"
        try:
            async with httpx.AsyncClient(timeout=ASK_TIMEOUT_S, trust_env=False) as http:
                answer = (await http.get(url)).raise_for_status()
        except httpx.HTTPError as error:  # its text has the address, and that the password
            raise LookupError(f"the broker does not tell: {type(error).__name__}") from None
        told = {row["name"]: row for row in answer.json()}
        return [_queue_line(queue, told) for queue in topology.QUEUES]

    async def _ask_notifications(self) -> Sequence[Mapping[str, Any]]:
        return await self._notifications.latest(NOTIFICATIONS_SHOWN, None, None)

    async def _ask_acts(self) -> Sequence[Mapping[str, Any]]:
        own = await self._desk.newest_acts(ACTS_SHOWN)
        risks = [{**line, "result": "risk"} for line in await self.reports.risk_acts(ACTS_SHOWN)]
        return sorted([*own, *risks], key=_moment, reverse=True)[:ACTS_SHOWN]

    async def _ask_leases(self) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in await self._database.fetch(_SQL["leases"])]

    async def _ask_versions(self) -> Mapping[str, str]:
        row = await self._database.fetch_row(_SQL["versions"])
        assert row is not None, "a setting of the server has a row"
        return dict(row)


def _queue_line(queue: topology.Queue, told: Mapping[str, Mapping[str, Any]]) -> QueueLine:
    def messages(name: str) -> int:
        return int(told.get(name, {}).get("messages", 0))

    return QueueLine(
        name=queue.name,
        depth=messages(queue.name),
        waiting_again=messages(queue.retry),
        dead=messages(queue.dead),
        consumers=int(told.get(queue.name, {}).get("consumers", 0)),
    )


def _moment(line: Mapping[str, Any]) -> datetime:
    moment: datetime = line["at"]
    return moment
