"""RISK's book in memory, with the clock of a database that is told; implements `KeepsBook` (P11).

One transaction at a time, nothing is taken back: for tests in which nothing fails.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import msgspec

from services.risk.account import Account
from services.risk.ports import Decided, Loaded
from services.risk.position_manager import Book, Exit, Reservation, ReservationState
from services.risk.profiles import Limits
from services.risk.proposal import Market
from services.risk.store import EXITS_TOLD
from shared.clock import Clock
from shared.models import Envelope
from shared.signal_order import Moment
from tests.unit.risk.builders import instrument, market, tick


class MemoryBook:
    """Account, reservations, exits and decisions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self.account = Account()
        self.reservations: dict[str, Reservation] = {}
        self.exits: list[Exit] = []
        self.closings: dict[str, str] = {}
        self.decided: dict[str, Decided] = {}
        self.handled: set[tuple[str, str]] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._one_at_a_time:
            yield

    async def first_time(self, tx: None, queue: str, event_id: str) -> bool:
        is_first = (queue, event_id) not in self.handled
        self.handled.add((queue, event_id))
        return is_first

    async def take(self, tx: None, queue: str, proposed: Sequence[tuple[str, str]]) -> dict[str, str | None]:
        fresh = [each for each in proposed if await self.first_time(tx, queue, each[0])]
        return {
            event_id: self.closings.get(signal_id)
            for event_id, signal_id in fresh
            if signal_id not in self.decided
        }

    async def give_back(self, tx: None, queue: str, event_ids: Sequence[str]) -> None:
        self.handled -= {(queue, each) for each in event_ids}

    async def record_closing(self, tx: None, signal_id: str, closes: str) -> None:
        self.closings[signal_id] = closes

    async def forget_closings(self, tx: None, signal_ids: Sequence[str]) -> None:
        for each in signal_ids:
            self.closings.pop(each, None)

    async def record_exit(self, symbol: str, moment: Moment) -> None:
        self.exits.append(Exit(symbol=symbol, moment=moment))

    async def lock(self, tx: None) -> tuple[Account, datetime]:
        return self.account, self._clock()

    async def read_account(self, tx: None) -> tuple[Account, datetime]:
        return self.account, self._clock()

    async def load(
        self, tx: None, account: Account, limits: Limits, now: datetime, also: Collection[str] = ()
    ) -> Loaded:
        kept = {
            key: each
            for key, each in self.reservations.items()
            if each.state is not ReservationState.RELEASED or key in also
        }
        ours = [each for each in self.reservations.values() if each.is_ours]
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        book = Book(
            account=account,
            reservations=kept,
            exits=tuple(each for each in self.exits if each.moment.received_at > now - EXITS_TOLD),
            entries_today=sum(each.reserved_at >= today for each in ours),
            entries_last_minute=sum(each.reserved_at >= now - timedelta(minutes=1) for each in ours),
        )
        return Loaded(book, {})

    async def record(self, tx: None, decided: Sequence[Decided], epoch: int, now: datetime) -> None:
        for each in decided:
            self.decided[each.proposal.signal.signal_id] = each
            if each.reserved is not None:
                self.reservations[each.reserved.signal_id] = each.reserved

    async def save_account(self, tx: None, account: Account) -> None:
        self.account = account

    async def save_reservations(self, tx: None, reservations: Iterable[Reservation], now: datetime) -> None:
        for each in reservations:
            known = self.reservations.get(each.signal_id, each)
            self.reservations[each.signal_id] = msgspec.structs.replace(each, reserved_at=known.reserved_at)

    async def save_overrides(self, tx: None, overrides: Mapping[str, str], changed_by: str) -> None:
        raise NotImplementedError

    async def audit(self, tx: None, actor: str, act: str, detail: object) -> None:
        raise NotImplementedError


class QuietMarket:
    """Every symbol is listed and quoted right now, by the feed's clock."""

    def __init__(self, feed_clock: Clock) -> None:
        self._clock = feed_clock

    async def view(self, symbol: str, beside: Collection[str], now: datetime) -> Market:
        return market(instrument=instrument(symbol), tick=tick(symbol, received_at=self._clock()))


class Sent:
    """An outbox that only remembers."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def stage(self, connection: None, envelopes: Sequence[Envelope]) -> None:
        self.envelopes.extend(envelopes)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """All of them were staged."""
