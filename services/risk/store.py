"""PostgreSQL as RISK's memory: the account row, reservations, decisions, limits, audit. The only SQL of RISK.

It stores and loads values; it must never judge one.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from services.risk.account import Account
from services.risk.ports import Decided, Loaded
from services.risk.position_manager import Book, Exit, Reservation
from services.risk.profiles import Limits
from shared import outbox
from shared.database import Connection, Database, jsonb, load_queries
from shared.money import stored
from shared.retention import Kept
from shared.signal_order import Moment, group_of

_QUERIES = load_queries(Path(__file__).with_name("queries.sql"))
_MINUTE = timedelta(seconds=60)
EXITS_KEPT_DAYS = 1
EXITS_TOLD = timedelta(seconds=60)
"""For so long an exit may still be closing something; after that the book speaks for itself."""
_ACCOUNT_FIELDS = Account.__struct_fields__
_RESERVATION_FIELDS = Reservation.__struct_fields__


class RiskStore:
    """Keeps RISK's book in its own schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open a transaction: committed when the block ends, rolled back when it raises."""
        async with self._database.transaction() as tx:
            yield tx

    async def first_time(self, tx: Connection, queue: str, event_id: str) -> bool:
        """Record that a message is handled; False when it was handled before."""
        return await outbox.first_time(tx, queue, event_id)

    async def take(
        self, tx: Connection, queue: str, proposed: Sequence[tuple[str, str]]
    ) -> dict[str, str | None]:
        """Record that messages are handled; return those to decide on, and what each is closing."""
        event_ids, signal_ids = zip(*proposed, strict=True)
        rows = await tx.fetch(_QUERIES["take_proposals"], queue, list(event_ids), list(signal_ids))
        return {row["event_id"]: row["closes"] for row in rows}

    async def lock(self, tx: Connection) -> tuple[Account, datetime]:
        """Return the account, locked until the transaction ends, and the database's time after that."""
        row = await tx.fetchrow(_QUERIES["lock_account"])
        return _account(row), row["locked_at"]

    async def read_account(self, tx: Connection) -> tuple[Account, datetime]:
        """Return the account without a lock, and the database's time."""
        row = await tx.fetchrow(_QUERIES["read_account"])
        return _account(row), row["read_at"]

    async def load(
        self, tx: Connection, account: Account, limits: Limits, now: datetime, also: Collection[str] = ()
    ) -> Loaded:
        """Return the book and the operator's limits in one round trip."""
        rows = await tx.fetch(
            _QUERIES["load_book"],
            now.replace(hour=0, minute=0, second=0, microsecond=0),
            now - _MINUTE,
            limits.entries_per_day_max,
            limits.entries_per_minute_max,
            list(also),
            now - EXITS_TOLD,
        )
        counts = rows[0]
        book = Book(
            account=account,
            reservations={
                row["signal_id"]: _reservation(row) for row in rows if row["signal_id"] is not None
            },
            entries_today=counts["entries_today"],
            entries_last_minute=counts["entries_last_minute"],
            probes_today=counts["probes_today"],
            exits=tuple(_exit(each) for each in counts["exits"] or ()),
        )
        return Loaded(book, counts["overrides"] or {})

    async def record(self, tx: Connection, decided: Sequence[Decided], epoch: int, now: datetime) -> None:
        """Record decisions and reservations."""
        await tx.executemany(_QUERIES["record_decision"], [_decision(each, epoch, now) for each in decided])
        await self.save_reservations(
            tx, [each.reserved for each in decided if each.reserved is not None], now
        )

    async def give_back(self, tx: Connection, queue: str, event_ids: Sequence[str]) -> None:
        """Record that messages are not handled yet after all."""
        await tx.execute(_QUERIES["give_back_proposals"], queue, list(event_ids))

    async def record_closing(self, tx: Connection, signal_id: str, closes: str) -> None:
        """Remember what an undecided signal had closed."""
        await tx.execute(_QUERIES["record_closing"], signal_id, closes)

    async def forget_closings(self, tx: Connection, signal_ids: Sequence[str]) -> None:
        """Forget it: the signals are decided."""
        await tx.execute(_QUERIES["forget_closings"], list(signal_ids))

    async def record_exit(self, symbol: str, moment: Moment) -> None:
        """Remember an exit; an older one changes nothing."""
        strategy, made_at = group_of(moment)
        await self._database.execute(_QUERIES["record_exit"], symbol, strategy, moment.received_at, made_at)

    async def save_account(self, tx: Connection, account: Account) -> None:
        """Replace the account."""
        await tx.execute(_QUERIES["save_account"], *msgspec.structs.astuple(account))

    async def save_reservations(
        self, tx: Connection, reservations: Iterable[Reservation], now: datetime
    ) -> None:
        """Insert or replace reservations."""
        rows = [(*_columns(each), now) for each in reservations]
        if rows:
            await tx.executemany(_QUERIES["save_reservation"], rows)

    async def save_overrides(self, tx: Connection, overrides: Mapping[str, str], changed_by: str) -> None:
        """Keep limits that an operator changed."""
        for name, value in overrides.items():
            await tx.execute(_QUERIES["save_override"], name, value, changed_by)

    async def audit(self, tx: Connection, actor: str, act: str, detail: object) -> None:
        """Append what an operator did."""
        await tx.execute(_QUERIES["audit"], actor, act, jsonb(detail))


def _account(row: Mapping[str, Any]) -> Account:
    return msgspec.convert({name: row[name] for name in _ACCOUNT_FIELDS}, Account)


def _reservation(row: Mapping[str, Any]) -> Reservation:
    return msgspec.convert({name: row[name] for name in _RESERVATION_FIELDS}, Reservation)


def _exit(row: Mapping[str, Any]) -> Exit:
    moment = {"strategy": row["strategy"], "received_at": row["requested_at"], "made_at": row["made_at"]}
    return Exit(symbol=row["symbol"], moment=msgspec.convert(moment, Moment))


def _decision(each: Decided, epoch: int, now: datetime) -> tuple[object, ...]:
    decision = each.decision
    return (
        each.proposal.signal.signal_id,
        each.proposal.symbol,
        each.proposal.side,
        decision.is_approved,
        decision.outcome,
        decision.reason,
        jsonb(decision.checks),
        None if decision.sizing is None else jsonb(decision.sizing),
        epoch,
        now,
    )


def _columns(reservation: Reservation) -> tuple[object, ...]:
    rounded = msgspec.structs.replace(
        reservation,
        notional_usdt=stored(reservation.notional_usdt),
        margin_usdt=stored(reservation.margin_usdt),
        risk_usdt=stored(reservation.risk_usdt),
    )
    return msgspec.structs.astuple(rounded)


def retention(signals_kept_days: int) -> tuple[Kept, ...]:
    """Return what RISK's record keeps for how long."""
    return (
        Kept("decisions", _QUERIES["prune_decisions"], signals_kept_days),
        Kept("exits", _QUERIES["prune_exits"], EXITS_KEPT_DAYS),
        Kept("reservations", _QUERIES["prune_reservations"], signals_kept_days),
    )
