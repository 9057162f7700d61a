"""EXECUTE's record in memory, for replay, simulation and tests (P11); the real store's twin.

One contract suite runs on both. It keeps the store's promises (compare-and-set, one live entry per symbol,
all or nothing) and nothing else: it must never be used where a restart matters.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from services.execute.execution_rules import ClosedBooks
from services.execute.foreign import ForeignOrder
from services.execute.memory_books import Ended, MemoryBooks, Result
from services.execute.memory_outbox import Journal
from services.execute.order_state import (
    FINAL,
    HAS_POSITION,
    LOST_REASON,
    MAY_HAVE_POSITION,
    Control,
    Entry,
    EntryState,
    moment_of_exit,
    why_void,
)
from services.execute.store import EVERY_SYMBOL, LOST_HOURS_MAX
from services.execute.venue import MarginSetup, OrderReport, OrderRow, ProtectiveOrder, VenueTrade
from shared.clock import Clock
from shared.models import CloseRequested, TradeApproved, TradingStateChanged
from shared.money import ZERO
from shared.signal_order import Moment, group_of, is_after_exit
from shared.values import CloseReason, TradingState

NEVER = datetime.min.replace(tzinfo=UTC)
AHEAD_MAX = timedelta(seconds=5)


class MemoryEntries(MemoryBooks):
    """Entries, orders, fills and the trading state in dictionaries; implements `KeepsEntries`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._control = {
            "": (Control(state=TradingState.ACTIVE, trading_epoch=0), datetime.min.replace(tzinfo=UTC))
        }
        self.handled: dict[tuple[str, str], bool] = {}
        self.entries: dict[str, Entry] = {}
        self.ended: dict[str, Ended] = {}
        self.results: dict[str, Result] = {}
        self.orders: dict[str, OrderRow] = {}
        self.owners: dict[str, str] = {}
        self.due: dict[str, tuple[datetime, int]] = {}
        self.fills: dict[tuple[str, str], VenueTrade] = {}
        self.exits: dict[tuple[str, str], Moment] = {}
        self.changed_at: dict[str, datetime] = {}
        self.setups: dict[str, MarginSetup] = {}
        self.foreign_orders: list[ForeignOrder] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Journal]:
        """Run one block at a time; what it wrote is taken back when it raises."""
        async with self._one_at_a_time:
            journal = Journal()
            try:
                yield journal
            except BaseException:
                journal.take_back()
                raise

    async def first_time(self, tx: Journal, queue: str, event_id: str) -> bool:
        """Record that a message is handled; False when it was before."""
        if (queue, event_id) in self.handled:
            return False
        tx.put(self.handled, (queue, event_id), True)
        return True

    async def record_intent(self, queue: str, event_id: str, approval: TradeApproved, client_id: str) -> None:
        """Record that an approval was taken and the intent to enter, together; what is there stays."""
        async with self.transaction() as tx:
            if not await self.first_time(tx, queue, event_id) or approval.signal_id in self.entries:
                return
            self._insert(tx, approval, client_id)

    def _insert(self, tx: Journal, approval: TradeApproved, client_id: str) -> None:
        made = Entry(
            signal_id=approval.signal_id,
            client_id=client_id,
            strategy=approval.strategy,
            symbol=approval.symbol,
            side=approval.side,
            state=EntryState.INTENT,
            approval=approval,
            claimed_at=None,
            quantity=approval.sizing.quantity,
            limit_price=None,
            exchange_order_id=None,
            filled_quantity=ZERO,
            entry_price=None,
            first_fill_at=None,
            stop_price=None,
            take_profit_price=None,
            protected_at=None,
            close_reason=None,
            closed_by=None,
            close_detail="",
            close_attempts=0,
            version=1,
        )
        tx.put(self.entries, approval.signal_id, made)
        tx.put(self.changed_at, approval.signal_id, self._clock())

    async def entry(self, signal_id: str) -> Entry | None:
        """Return one entry."""
        return self.entries.get(signal_id)

    async def standing(self, signal_id: str) -> tuple[Entry, Control] | None:
        """Return one entry and the newest trading state known."""
        entry = self.entries.get(signal_id)
        return None if entry is None else (entry, await self.control())

    async def unfinished(self) -> list[Entry]:
        """Return all entries that are not final, oldest first."""
        return [each for each in self.entries.values() if each.state not in FINAL]

    async def unfinished_on(self, symbol: str) -> list[Entry]:
        """Return the entries of one symbol that are not final, oldest first."""
        return [each for each in await self.unfinished() if each.symbol == symbol]

    async def lost(self) -> list[Entry]:
        """Return the entries that were given up as unknown not long ago."""
        since = self._clock() - timedelta(hours=LOST_HOURS_MAX)
        return [
            each
            for each in self.entries.values()
            if self._is_lost(each) and self.ended[each.signal_id].at > since
        ]

    async def stalled(self, in_doubt_s: float, closing_s: float, limit: int) -> list[Entry]:
        """Return entries between two steps that nobody has changed for so long; unprotected ones first."""
        ages_s = {
            EntryState.SENDING: in_doubt_s,
            EntryState.FILLED: in_doubt_s,
            EntryState.CLOSING: closing_s,
        }
        never, now = datetime.min.replace(tzinfo=UTC), self._clock()
        found = [
            (each.state is not EntryState.FILLED, self.changed_at.get(each.signal_id, never), each)
            for each in self.entries.values()
            if each.state in ages_s
        ]
        late = [each for each in found if (now - each[1]).total_seconds() > ages_s[each[2].state]]
        return [entry for _, _, entry in sorted(late, key=lambda each: each[:2])[:limit]]

    async def record_exit(self, request: CloseRequested) -> None:
        """Remember when an exit was asked for."""
        moment = moment_of_exit(request)
        strategy, made_at = group_of(moment)
        key = request.symbol or EVERY_SYMBOL, strategy
        known = self.exits.get(key, msgspec.structs.replace(moment, received_at=NEVER))
        stamps = [each for each in (made_at, known.made_at) if each is not None and strategy]
        self.exits[key] = Moment(
            strategy=strategy,
            received_at=max(min(moment.received_at, self._clock() + AHEAD_MAX), known.received_at),
            made_at=max(stamps, default=None),
        )

    async def is_superseded(self, signal_id: str) -> bool:
        """Tell whether an exit was asked for that this entry does not come after."""
        entry = self.entries[signal_id]
        return any(
            symbol in (entry.symbol, EVERY_SYMBOL) and not is_after_exit(entry.moment, moment)
            for (symbol, _), moment in self.exits.items()
        )

    async def ends_for(self, request_id: str) -> bool:
        """Tell whether some position is being closed, or was, in the name of this request."""
        return any(each.closed_by == request_id for each in self.entries.values())

    async def control(self) -> Control:
        """Return the newest trading state known."""
        return self._control[""][0]

    async def set_control(self, tx: Journal, changed: TradingStateChanged) -> None:
        """Record a trading state unless a newer one is known."""
        known, known_at = self._control[""]
        if (changed.trading_epoch, changed.changed_at) >= (known.trading_epoch, known_at):
            control = Control(state=changed.state, trading_epoch=changed.trading_epoch)
            tx.put(self._control, "", (control, changed.changed_at))

    async def claim(self, signal_id: str, limit_price: Decimal | None) -> datetime | None:
        """Claim the right to send this entry, once."""
        entry, now = self.entries.get(signal_id), self._clock()
        if entry is None or entry.state is not EntryState.INTENT:
            return None
        is_superseded = await self.is_superseded(signal_id)
        is_void = why_void(entry.approval, await self.control(), now) is not None
        if is_void or is_superseded or self._is_busy(entry.symbol):
            return None
        self._change(Journal(), entry, state=EntryState.SENDING, claimed_at=now, limit_price=limit_price)
        return now

    async def is_closed(self, client_ids: Sequence[str]) -> bool:
        """Tell whether an entry of one of these ids had a position that is over."""
        return any(
            each.client_id in client_ids and each.state is EntryState.CLOSED for each in self.entries.values()
        )

    async def record_taken_over(self, tx: Journal, entry: Entry) -> bool:
        """Insert an entry whose position was found; False when it is known, or its symbol taken."""
        clients = {each.client_id for each in self.entries.values()}
        if entry.signal_id in self.entries or entry.client_id in clients or self._is_busy(entry.symbol):
            return False
        tx.put(self.entries, entry.signal_id, entry)
        tx.put(self.changed_at, entry.signal_id, self._clock())
        return True

    async def record_fill(
        self, tx: Journal, entry: Entry, report: OrderReport, price: Decimal
    ) -> Entry | None:
        """sending → filled; also failed → filled when the order had been given up as unknown."""
        stands = self.entries[entry.signal_id]
        if stands.state is not EntryState.SENDING and not self._is_lost(stands):
            return None
        return self._change(
            tx,
            stands,
            state=EntryState.FILLED,
            exchange_order_id=report.order_id,
            filled_quantity=report.filled_quantity,
            entry_price=price,
            first_fill_at=report.updated_at,
        )

    async def record_end(self, tx: Journal, entry: Entry, *, failed: bool, reason: str) -> Entry | None:
        """intent | sending → expired | failed."""
        stands = self.entries[entry.signal_id]
        if stands.state is not entry.state:
            return None
        tx.put(self.ended, entry.signal_id, Ended(reason=reason, at=self._clock()))
        return self._change(tx, stands, state=EntryState.FAILED if failed else EntryState.EXPIRED)

    async def record_protected(
        self, tx: Journal, entry: Entry, stop: ProtectiveOrder, target: ProtectiveOrder
    ) -> Entry | None:
        """filled → protected."""
        stands = self.entries[entry.signal_id]
        if stands.state is not EntryState.FILLED:
            return None
        return self._change(
            tx,
            stands,
            state=EntryState.PROTECTED,
            stop_price=stop.trigger_price,
            take_profit_price=target.trigger_price,
            protected_at=self._clock(),
        )

    async def record_closing(
        self, tx: Journal, entry: Entry, reason: CloseReason, closed_by: str | None, detail: str = ""
    ) -> Entry | None:
        """filled | protected → closing; the first reason stays."""
        stands = self.entries[entry.signal_id]
        if stands.state not in (EntryState.FILLED, EntryState.PROTECTED):
            return None
        return self._change(
            tx,
            stands,
            state=EntryState.CLOSING,
            close_reason=stands.close_reason or reason,
            close_detail=stands.close_detail if stands.close_reason else detail,
            closed_by=stands.closed_by or closed_by,
        )

    async def margin_setup(self, symbol: str) -> MarginSetup | None:
        """Return how the symbol stands on the exchange, None when that is not known."""
        return self.setups.get(symbol)

    async def margin_setups(self) -> dict[str, MarginSetup]:
        """Return how every symbol stands on the exchange that was ever set up."""
        return dict(self.setups)

    async def record_margin_setup(self, symbol: str, setup: MarginSetup) -> None:
        """Remember how the symbol stands on the exchange."""
        self.setups[symbol] = setup

    async def forget_margin_setup(self, symbol: str) -> None:
        """Forget how a symbol stands."""
        self.setups.pop(symbol, None)

    async def record_foreign_orders(self, orders: Sequence[ForeignOrder]) -> None:
        """Replace what is known of open orders that are not ours."""
        self.foreign_orders = list(orders)

    async def next_close_attempt(self, signal_id: str) -> int | None:
        """Return the number of the next closing order, or None when the entry is not closing any more."""
        entry = self.entries[signal_id]
        if entry.state is not EntryState.CLOSING:
            return None
        counted = msgspec.structs.replace(entry, close_attempts=entry.close_attempts + 1)
        self.entries[signal_id] = counted
        self.changed_at[signal_id] = self._clock()
        return counted.close_attempts

    async def record_closed(
        self, tx: Journal, entry: Entry, reason: CloseReason, books: ClosedBooks, funding: Decimal
    ) -> Entry | None:
        """filled | protected | closing → closed, with the result and its fills."""
        stands = self.entries[entry.signal_id]
        if stands.state not in HAS_POSITION:
            return None
        self._keep_books(tx, entry, books, funding)
        if books.missing:
            tx.put(self.due, entry.signal_id, (self._clock() + timedelta(seconds=1), 0))
        tx.put(self.ended, entry.signal_id, Ended(reason=reason.value, at=self._clock()))
        return self._change(tx, stands, state=EntryState.CLOSED)

    async def record_orders(self, tx: Journal, signal_id: str, orders: Sequence[OrderRow]) -> None:
        """Insert orders, or bring their status up to date."""
        for order in orders:
            tx.put(self.owners, order.client_id, signal_id)
            known = self.orders.get(order.client_id, order)
            exchange_order_id = order.exchange_order_id or known.exchange_order_id
            fresh = msgspec.structs.replace(known, status=order.status, exchange_order_id=exchange_order_id)
            tx.put(self.orders, order.client_id, fresh)

    async def now(self) -> datetime:
        """Return the record's time."""
        return self._clock()

    async def set_order_status(
        self,
        client_id: str,
        status: str,
        *,
        filled_quantity: Decimal | None = None,
        exchange_order_id: str | None = None,
    ) -> None:
        """Bring one order's status up to date; what is not given stays as it was."""
        known = self.orders.get(client_id)
        if known is None:
            return
        self.orders[client_id] = msgspec.structs.replace(
            known,
            status=status,
            filled_quantity=known.filled_quantity if filled_quantity is None else filled_quantity,
            exchange_order_id=exchange_order_id or known.exchange_order_id,
        )

    def _is_lost(self, entry: Entry) -> bool:
        return entry.state is EntryState.FAILED and self.ended[entry.signal_id].reason == LOST_REASON

    def _is_busy(self, symbol: str) -> bool:
        return any(
            each.symbol == symbol and each.state in MAY_HAVE_POSITION for each in self.entries.values()
        )

    def _change(self, tx: Journal, entry: Entry, **changes: Any) -> Entry:
        changed = msgspec.structs.replace(entry, version=entry.version + 1, **changes)
        tx.put(self.entries, entry.signal_id, changed)
        tx.put(self.changed_at, entry.signal_id, self._clock())
        return changed
