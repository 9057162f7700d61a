"""EXECUTE's record in PostgreSQL: entries, orders, fills, the trading state. The only SQL of this service.

Every `record_*` is one compare-and-set: it returns the new entry, or None when another process was first.
It must never decide what comes next.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg
import msgspec

from services.execute import book_records
from services.execute.book_records import BookRecords
from services.execute.execution_rules import ClosedBooks
from services.execute.foreign import ForeignOrder, ForeignPosition
from services.execute.order_state import Control, Entry, EntryState, moment_of_exit
from services.execute.record_rows import entry_from, entry_or_none, fill_columns
from services.execute.venue import MarginSetup, OrderReport, OrderRow, ProtectiveOrder
from shared import outbox
from shared.database import Connection, Database, jsonb
from shared.models import AccountSnapshot, CloseRequested, TradeApproved, TradingStateChanged
from shared.money import ZERO
from shared.retention import Kept
from shared.signal_order import TOGETHER_S, group_of
from shared.topology import TRADE_CONTROL
from shared.values import CloseReason, TradingState

QUERIES = book_records.QUERIES
ORDERS_LISTED_MAX = 500
LOST_HOURS_MAX = 24
EVERY_SYMBOL = "*"
CLOSE_REQUESTS_KEPT_DAYS = 90
EXITS_KEPT_DAYS = 1
"""No entry of a signal that old is claimed."""
FOREIGN_MAX = 200
"""No account holds more positions; of orders so many are shown."""


class ForeignSeen(NamedTuple):
    """What is not ours, and when each was looked at; None: never."""

    positions: Sequence[dict[str, Any]]
    orders: Sequence[dict[str, Any]]
    positions_seen_at: datetime | None
    orders_seen_at: datetime | None


class ExecuteStore(BookRecords):
    """Reads and writes the schema `execute`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction for a group of records."""
        return self._database.transaction()

    async def first_time(self, tx: Connection, queue: str, event_id: str) -> bool:
        """Record that a message is handled; False when it was before."""
        return await outbox.first_time(tx, queue, event_id)

    async def record_intent(self, queue: str, event_id: str, approval: TradeApproved, client_id: str) -> None:
        """Record that an approval was taken and the intent to enter, together; what is there stays."""
        await self._database.execute(
            QUERIES["record_intent"],
            approval.signal_id,
            client_id,
            approval.strategy,
            approval.symbol,
            approval.side.value,
            jsonb(approval),
            approval.trading_epoch,
            approval.valid_until,
            approval.signal_received_at,
            approval.sizing.quantity,
            queue,
            event_id,
        )

    async def entry(self, signal_id: str) -> Entry | None:
        """Return one entry."""
        return entry_or_none(await self._database.fetch_row(QUERIES["entry"], signal_id))

    async def standing(self, signal_id: str) -> tuple[Entry, Control] | None:
        """Return one entry and the newest trading state known, of the same moment."""
        row = await self._database.fetch_row(QUERIES["standing"], signal_id)
        if row is None:
            return None
        control = Control(state=TradingState(row["newest_state"]), trading_epoch=row["newest_epoch"])
        return entry_from(row), control

    async def unfinished(self) -> list[Entry]:
        """Return all entries that are not final, oldest first."""
        return [entry_from(row) for row in await self._database.fetch(QUERIES["unfinished"])]

    async def unfinished_on(self, symbol: str) -> list[Entry]:
        """Return the entries of one symbol that are not final, oldest first."""
        return [entry_from(row) for row in await self._database.fetch(QUERIES["unfinished_on"], symbol)]

    async def lost(self) -> list[Entry]:
        """Return the entries that were given up as unknown in the last `LOST_HOURS_MAX`."""
        return [entry_from(row) for row in await self._database.fetch(QUERIES["lost"], LOST_HOURS_MAX)]

    async def stalled(self, in_doubt_s: float, closing_s: float, limit: int) -> list[Entry]:
        """Return entries between two steps that nobody has changed for so long; unprotected ones first."""
        rows = await self._database.fetch(QUERIES["stalled"], in_doubt_s, closing_s, limit)
        return [entry_from(row) for row in rows]

    async def record_exit(self, request: CloseRequested) -> None:
        """Remember when an exit was asked for: entries before it may not be claimed any more."""
        strategy, made_at = group_of(moment_of_exit(request))
        await self._database.execute(
            QUERIES["record_exit"], request.symbol or EVERY_SYMBOL, strategy, request.requested_at, made_at
        )

    async def is_superseded(self, signal_id: str) -> bool:
        """Tell whether an exit was asked for that this entry does not come after."""
        return bool(await self._database.fetch_value(QUERIES["is_superseded"], signal_id, TOGETHER_S))

    async def ends_for(self, request_id: str) -> bool:
        """Tell whether some position is being closed, or was, in the name of this request."""
        return bool(await self._database.fetch_value(QUERIES["ends_for"], request_id))

    async def control(self) -> Control:
        """Return the newest trading state known."""
        row = await self._database.fetch_row(QUERIES["trading_state"])
        assert row is not None, "the migration inserts the only row"
        return Control(state=TradingState(row["state"]), trading_epoch=row["trading_epoch"])

    async def set_control(self, tx: Connection, changed: TradingStateChanged) -> None:
        """Record a trading state unless a newer one is known."""
        await tx.execute(
            QUERIES["set_trading_state"], changed.state.value, changed.trading_epoch, changed.changed_at
        )

    async def claim(self, signal_id: str, limit_price: Decimal | None) -> datetime | None:
        """Claim the right to send this entry, once: return the claim's time, or None when it may not be sent.

        None also when another position of the symbol lives: one position per symbol is a unique index.

        Raises:
            DatabaseUnavailable: also when only the answer is lost. The claim may stand then; re-entry finds
                it and only looks the order up (P6).
        """
        try:
            claimed_at: datetime | None = await self._database.fetch_value(
                QUERIES["claim"], signal_id, limit_price, TOGETHER_S
            )
        except asyncpg.UniqueViolationError:
            return None
        return claimed_at

    async def is_closed(self, client_ids: Sequence[str]) -> bool:
        """Tell whether an entry of one of these ids had a position that is over."""
        return bool(await self._database.fetch_value(QUERIES["is_closed"], list(client_ids)))

    async def record_taken_over(self, tx: Connection, entry: Entry) -> bool:
        """Insert an entry whose position was found on the exchange; False when it is known, or its symbol
        taken.
        """
        approval = entry.approval
        row = msgspec.to_builtins(entry) | {
            "trading_epoch": approval.trading_epoch,
            "valid_until": approval.valid_until,
            "signal_received_at": approval.signal_received_at,
        }
        return bool(await tx.fetchval(QUERIES["record_taken_over"], jsonb(row)))

    async def record_fill(
        self, tx: Connection, entry: Entry, report: OrderReport, price: Decimal
    ) -> Entry | None:
        """sending → filled; also failed → filled when the order had been given up as unknown."""
        return entry_or_none(
            await tx.fetchrow(
                QUERIES["record_fill"],
                entry.signal_id,
                report.order_id,
                report.filled_quantity,
                price,
                report.updated_at,
            )
        )

    async def record_end(self, tx: Connection, entry: Entry, *, failed: bool, reason: str) -> Entry | None:
        """intent | sending → expired | failed."""
        state = EntryState.FAILED if failed else EntryState.EXPIRED
        return entry_or_none(
            await tx.fetchrow(
                QUERIES["record_end"], entry.signal_id, state.value, reason, [entry.state.value]
            )
        )

    async def record_protected(
        self, tx: Connection, entry: Entry, stop: ProtectiveOrder, target: ProtectiveOrder
    ) -> Entry | None:
        """filled → protected."""
        return entry_or_none(
            await tx.fetchrow(
                QUERIES["record_protected"], entry.signal_id, stop.trigger_price, target.trigger_price
            )
        )

    async def record_closing(
        self, tx: Connection, entry: Entry, reason: CloseReason, closed_by: str | None, detail: str = ""
    ) -> Entry | None:
        """filled | protected → closing; the first reason stays."""
        return entry_or_none(
            await tx.fetchrow(QUERIES["record_closing"], entry.signal_id, reason.value, closed_by, detail)
        )

    async def margin_setup(self, symbol: str) -> MarginSetup | None:
        """Return how the symbol stands on the exchange, None when that is not known."""
        row = await self._database.fetch_row(QUERIES["margin_setup"], symbol)
        return None if row is None else MarginSetup(is_isolated=row["is_isolated"], leverage=row["leverage"])

    async def margin_setups(self) -> dict[str, MarginSetup]:
        """Return how every symbol stands on the exchange that we ever set up."""
        rows = await self._database.fetch(QUERIES["margin_setups"])
        return {
            row["symbol"]: MarginSetup(is_isolated=row["is_isolated"], leverage=row["leverage"])
            for row in rows
        }

    async def forget_margin_setup(self, symbol: str) -> None:
        """Forget how a symbol stands: the next entry sets all of it again."""
        await self._database.execute(QUERIES["forget_margin_setup"], symbol)

    async def record_margin_setup(self, symbol: str, setup: MarginSetup) -> None:
        """Remember how the symbol stands on the exchange, for all replicas."""
        await self._database.execute(
            QUERIES["record_margin_setup"], symbol, setup.is_isolated, setup.leverage
        )

    async def next_close_attempt(self, signal_id: str) -> int | None:
        """Return the number of the next closing order, or None when the entry is not closing any more."""
        attempt: int | None = await self._database.fetch_value(QUERIES["next_close_attempt"], signal_id)
        return attempt

    async def record_closed(
        self, tx: Connection, entry: Entry, reason: CloseReason, books: ClosedBooks, funding: Decimal
    ) -> Entry | None:
        """filled | protected | closing → closed, with the result and its fills; what lacks is due soon."""
        row = await tx.fetchrow(
            QUERIES["record_closed"],
            entry.signal_id,
            reason.value,
            books.exit_price,
            books.pnl_usdt,
            books.fees_usdt,
            funding,
            books.closed_at,
            "; ".join(books.missing) or None,
        )
        if row is None:
            return None
        await tx.execute(QUERIES["insert_fills"], *fill_columns(entry.signal_id, books))
        return entry_from(row)

    async def record_orders(self, tx: Connection, signal_id: str, orders: Sequence[OrderRow]) -> None:
        """Insert orders, or bring their status up to date."""
        await tx.executemany(
            QUERIES["upsert_order"],
            [
                (
                    each.client_id,
                    signal_id,
                    each.role.value,
                    each.symbol,
                    each.side.value,
                    each.order_type,
                    each.quantity,
                    each.price,
                    each.trigger_price,
                    each.status,
                    each.exchange_order_id,
                )
                for each in orders
            ],
        )

    async def set_order_status(
        self,
        client_id: str,
        status: str,
        *,
        filled_quantity: Decimal | None = None,
        exchange_order_id: str | None = None,
    ) -> None:
        """Bring one order's status up to date; what is not given stays as it was."""
        await self._database.execute(
            QUERIES["set_order_status"], client_id, status, filled_quantity, exchange_order_id
        )

    async def now(self) -> datetime:
        """Return the database's time: what is compared with other processes' records is stamped with it."""
        told: datetime = await self._database.fetch_value("SELECT clock_timestamp()")
        return told

    async def record_snapshot(self, snapshot: AccountSnapshot) -> None:
        """Keep the account's money over time."""
        await self._database.execute(
            QUERIES["insert_snapshot"],
            snapshot.taken_at,
            snapshot.wallet_usdt,
            snapshot.equity_usdt,
            snapshot.available_usdt,
            len(snapshot.positions),
            snapshot.net_transfers_usdt or ZERO,
        )

    async def record_foreign_positions(self, positions: Sequence[ForeignPosition]) -> None:
        """Replace what is known of positions that are not ours."""
        await self._database.execute(QUERIES["record_foreign_positions"], jsonb(list(positions)))

    async def record_foreign_orders(self, orders: Sequence[ForeignOrder]) -> None:
        """Replace what is known of open orders that are not ours."""
        await self._database.execute(QUERIES["record_foreign_orders"], jsonb(list(orders)))

    async def foreign(self) -> ForeignSeen:
        """Return what is not ours, as the keeper saw it last."""
        positions = await self._database.fetch(QUERIES["foreign_positions"], FOREIGN_MAX)
        orders = await self._database.fetch(QUERIES["foreign_orders"], FOREIGN_MAX)
        seen = await self._database.fetch_row(QUERIES["foreign_seen"])
        assert seen is not None, "the only row is always there"
        return ForeignSeen([dict(row) for row in positions], [dict(row) for row in orders], **dict(seen))

    async def record_close_request(self, tx: Connection, request: CloseRequested, event_id: str) -> None:
        """Keep who asked for a close, so that its id can be asked about."""
        await tx.execute(
            QUERIES["record_close_request"],
            request.signal_id,
            event_id,
            request.symbol,
            request.requested_by,
            request.requested_at,
        )

    async def close_request(self, request_id: str) -> dict[str, Any] | None:
        """Return a close request with what it closed and what it is closing; None when it is not known."""
        row = await self._database.fetch_row(QUERIES["close_request"], request_id, TRADE_CONTROL.name)
        if row is None:
            return None
        entries = await self._database.fetch(QUERIES["entries_closed_by"], request_id, FOREIGN_MAX)
        return dict(row) | {"positions": [dict(each) for each in entries]}

    async def orders(self, limit: int) -> list[dict[str, Any]]:
        """Return our newest orders."""
        return [
            dict(row) for row in await self._database.fetch(QUERIES["orders"], min(limit, ORDERS_LISTED_MAX))
        ]


def retention(trades_kept_days: int, equity_kept_days: int) -> tuple[Kept, ...]:
    """Return what EXECUTE's record keeps for how long."""
    return (
        Kept("equity", QUERIES["prune_equity"], equity_kept_days),
        Kept("trades", QUERIES["prune_trades"], trades_kept_days),
        Kept("exits", QUERIES["prune_exits"], EXITS_KEPT_DAYS),
        Kept("close_requests", QUERIES["prune_close_requests"], CLOSE_REQUESTS_KEPT_DAYS),
    )
