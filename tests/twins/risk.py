"""RISK's record in memory: what `KeepsBook` promises, one transaction at a time. Limits cannot be changed."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from services.risk.limits import Decision
from services.risk.ports import Decided, Loaded
from services.risk.position_manager import Account, Book, Exit, Reservation
from services.risk.profiles import Limits
from shared.signal_order import Moment


class MemoryBook:
    """Account, reservations, exits and decisions in dictionaries."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.reservations: dict[str, Reservation] = {}
        self.exits: list[Exit] = []
        self.closings: dict[str, str] = {}
        self.decisions: dict[str, Decision] = {}
        self._handled: set[tuple[str, str]] = set()
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._one_at_a_time:
            yield

    async def first_time(self, tx: Any, queue: str, event_id: str) -> bool:
        is_first = (queue, event_id) not in self._handled
        self._handled.add((queue, event_id))
        return is_first

    async def take(self, tx: Any, queue: str, proposed: Sequence[tuple[str, str]]) -> dict[str, str | None]:
        return {
            event_id: self.closings.get(signal_id)
            for event_id, signal_id in proposed
            if await self.first_time(tx, queue, event_id) and signal_id not in self.decisions
        }

    async def record_closing(self, tx: Any, signal_id: str, closes: str) -> None:
        self.closings[signal_id] = closes

    async def forget_closings(self, tx: Any, signal_ids: Sequence[str]) -> None:
        for each in signal_ids:
            del self.closings[each]

    async def give_back(self, tx: Any, queue: str, event_ids: Sequence[str]) -> None:
        self._handled -= {(queue, each) for each in event_ids}

    async def lock(self, tx: Any) -> Account:
        return self.account

    read_account = lock

    async def load(
        self, tx: Any, account: Account, limits: Limits, now: datetime, also: Collection[str] = ()
    ) -> Loaded:
        return Loaded(
            Book(account=account, reservations=dict(self.reservations), exits=tuple(self.exits)), {}
        )

    async def record(self, tx: Any, decided: Sequence[Decided], epoch: int, now: datetime) -> None:
        for each in decided:
            self.decisions[each.proposal.signal.signal_id] = each.decision
            if each.reserved is not None:
                self.reservations[each.reserved.signal_id] = each.reserved

    async def record_exit(self, symbol: str, moment: Moment) -> None:
        self.exits.append(Exit(symbol=symbol, moment=moment))

    async def save_account(self, tx: Any, account: Account) -> None:
        self.account = account

    async def save_reservations(self, tx: Any, reservations: Iterable[Reservation], now: datetime) -> None:
        self.reservations |= {each.signal_id: each for each in reservations}

    async def save_overrides(self, tx: Any, overrides: Mapping[str, str], changed_by: str) -> None:
        raise NotImplementedError

    async def audit(self, tx: Any, actor: str, act: str, detail: object) -> None:
        raise NotImplementedError
