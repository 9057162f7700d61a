"""Closing: reduce at market, see the position gone, cancel the twin order, close the books, tell.

Everything here is reduce-only and idempotent: any replica may do it, twice, at any time (P9). `settle` is the
one place where a position's books are closed, whatever ended it: our order, its stop, its target, or somebody
else. Exits of one symbol are taken one after the other within a process; they never wait for an entry, whose
protection may be retried for seconds.
"""

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

from services.execute import execution_rules, facts
from services.execute.error_classes import ClockSkewed, VenueRefused
from services.execute.execution_rules import ClosedBooks
from services.execute.order_state import FINAL, Entry, EntryState
from services.execute.ports import Exchange, KeepsEntries, OwesMessages, Sleep
from services.execute.reconciliation import protection_ids
from services.execute.venue import AlgoReport, OrderRow, OrderSide
from shared import crash_points, ids, logs, metrics
from shared.clock import Clock
from shared.errors import ExecutionUnknown
from shared.ids import OrderRole
from shared.values import CloseReason, Severity

FILLS_READS_MAX = 5
FILLS_READ_INTERVAL_S = 0.1
CLOCK_MARGIN = timedelta(minutes=1)
"""How far the exchange's clock may have been set back since the entry, and its fills still be found."""
CHARGED_WITHIN = timedelta(seconds=5)
"""A liquidation's fee, or funding that fell due with the close, may be booked a moment after it."""
CLOSE_TRIES_MAX = 3
CLOSE_RETRY_S = 0.25

_log = logs.get(__name__)


class ExitFlow:
    """Takes positions to closed books."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        outbox: OwesMessages,
        installation: str,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._outbox = outbox
        self._installation = installation
        self._clock = clock
        self._sleep = sleep
        self._symbols: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # bounded by the number of symbols

    async def close(self, entry: Entry, reason: CloseReason, closed_by: str | None) -> None:
        """Close this position now; one that is being closed already is taken further.

        Raises:
            DependencyDown: the exchange or the database is away; call again.
        """
        async with self._store.transaction() as tx:
            closing = await self._store.record_closing(tx, entry, reason, closed_by)
        crash_points.reach("execute.closing_recorded")
        if closing is None:
            closing = await self._store.entry(entry.signal_id)
        if closing is not None and closing.state is EntryState.CLOSING:
            await self.finish(closing)

    async def finish(self, entry: Entry) -> None:
        """Reduce what is left of a closing position, then settle it.

        A refused, lost or partly filled order is followed by another, `CLOSE_TRIES_MAX` in all; after that
        the operator is told and reconciliation goes on.
        """
        async with self._symbols[entry.symbol]:
            for _ in range(CLOSE_TRIES_MAX):
                held = await self._held_quantity(entry)
                if held is None:
                    if await self._settle_flat(entry):
                        return
                    continue  # right after a fill, the position itself may not be visible yet
                asked_at = self._clock()  # before the turn is taken: see `_reduce`
                attempt = await self._store.next_close_attempt(entry.signal_id)
                if attempt is None:
                    return  # settled meanwhile by another process
                if not await self._reduce(entry, min(held, entry.filled_quantity), attempt, asked_at):
                    await self._sleep(CLOSE_RETRY_S)
            if await self._held_quantity(entry) is None:
                await self._settle_flat(entry)
                return
        await self._tell_not_closed(entry)

    def is_busy_with(self, symbol: str) -> bool:
        """Tell whether this process is closing or settling this symbol right now."""
        return self._symbols[symbol].locked()

    async def settle(self, entry: Entry) -> bool:
        """Close the books if the position is gone from the exchange; True when they are closed.

        False means: still held, or its closing fills are not visible yet. Reconciliation comes back.
        """
        async with self._symbols[entry.symbol]:
            if await self._held_quantity(entry) is not None:
                return False
            # After that look: whoever closed it has recorded before why, and the caller's copy may be older.
            now_stands = await self._store.entry(entry.signal_id)
            if now_stands is None or now_stands.state in FINAL:
                return True
            return await self._settle_flat(now_stands)

    async def _reduce(self, entry: Entry, quantity: Decimal, attempt: int, asked_at: datetime) -> bool:
        """Send one closing order; True when it was filled.

        It is signed with the time at which the entry still was ours to close: a process that was frozen
        since is refused when it wakes, and cannot close the next position of the symbol (P9).
        """
        client_id = ids.client_order_id(self._installation, entry.signal_id, OrderRole.CLOSE, attempt)
        side = OrderSide.closing(entry.side)
        row = OrderRow(
            client_id=client_id,
            role=OrderRole.CLOSE,
            symbol=entry.symbol,
            side=side,
            order_type="MARKET",
            quantity=quantity,
            status="SENDING",
        )
        async with self._store.transaction() as tx:
            await self._store.record_orders(tx, entry.signal_id, [row])
        try:
            report = await self._exchange.close_market(client_id, entry.symbol, side, quantity, asked_at)
            crash_points.reach("execute.close_answered")
        except ExecutionUnknown as lost:
            _log.warning("close_answer_lost", correlation_id=entry.signal_id, error=str(lost))
            return False
        except (VenueRefused, ClockSkewed) as refused:
            _log.warning("close_refused", correlation_id=entry.signal_id, error=str(refused))
            await self._store.set_order_status(client_id, "REFUSED")
            return False
        await self._store.set_order_status(client_id, report.status)
        return report.filled_quantity >= quantity

    async def _tell_not_closed(self, entry: Entry) -> None:
        text = (
            f"{entry.symbol}: {CLOSE_TRIES_MAX} tries did not close the position; Phoenix goes on "
            "trying. Look at the exchange and close it there if need be."
        )
        told = [
            facts.alert(
                "position_not_closed", text, Severity.CRITICAL, entry.signal_id, self._clock(), entry.symbol
            )
        ]
        async with self._store.transaction() as tx:
            await self._outbox.stage(tx, told)
        _log.error("position_not_closed", correlation_id=entry.signal_id, symbol=entry.symbol)
        await self._outbox.publish(told)

    async def _settle_flat(self, entry: Entry) -> bool:
        books = await self._visible_books(entry)
        if books is None:
            _log.warning("closing_fills_not_visible", correlation_id=entry.signal_id, symbol=entry.symbol)
            return False
        stop, target = await self._protection(entry)
        reason = await self._reason(entry, books, stop, target)
        # The twin goes before the symbol is free: left standing, it would close the next position of this
        # symbol.
        await self._cancel_standing(entry, stop, target)
        crash_points.reach("execute.twin_cancelled")
        assert entry.first_fill_at is not None
        until = books.closed_at + CHARGED_WITHIN
        charges = await self._exchange.charges(entry.symbol, entry.first_fill_at, until)
        await self._record(
            entry, books.with_fees(charges.liquidation_fees_usdt), reason, charges.funding_usdt
        )
        return True

    async def _record(self, entry: Entry, books: ClosedBooks, reason: CloseReason, funding: Decimal) -> None:
        async with self._store.transaction() as tx:
            closed = await self._store.record_closed(tx, entry, reason, books, funding)
            if closed is None:
                return  # another process closed the books
            told = facts.closed(closed, reason, books, funding, self._clock())
            await self._outbox.stage(tx, told)
        crash_points.reach("execute.books_closed")
        net = books.pnl_usdt - books.fees_usdt + funding
        metrics.TRADES_CLOSED.labels(reason=reason.value).inc()
        _log.info(
            "position_closed", correlation_id=entry.signal_id, reason=reason.value, net_pnl_usdt=str(net)
        )
        await self._outbox.publish(told)

    async def _held_quantity(self, entry: Entry) -> Decimal | None:
        positions = await self._exchange.positions(entry.symbol)
        return next((each.quantity for each in positions if each.side is entry.side), None)

    async def _visible_books(self, entry: Entry) -> ClosedBooks | None:
        """Fills may become visible a moment after the position is gone."""
        assert entry.first_fill_at is not None
        for attempt in range(FILLS_READS_MAX):
            trades = await self._exchange.trades(entry.symbol, entry.first_fill_at - CLOCK_MARGIN)
            books = execution_rules.close_books(entry, trades)
            if books is not None:
                return books
            if attempt < FILLS_READS_MAX - 1:
                await self._sleep(FILLS_READ_INTERVAL_S)
        return None

    async def _protection(self, entry: Entry) -> tuple[AlgoReport | None, AlgoReport | None]:
        stop_id, target_id = protection_ids(entry, self._installation)
        stop, target = await asyncio.gather(
            self._exchange.find_algo(stop_id), self._exchange.find_algo(target_id)
        )
        return stop, target

    async def _reason(
        self, entry: Entry, books: ClosedBooks, stop: AlgoReport | None, target: AlgoReport | None
    ) -> CloseReason:
        order = await self._exchange.find_order_by_id(entry.symbol, books.exit_order_id)
        return execution_rules.close_reason(
            entry,
            books.exit_order_id,
            None if order is None else order.client_id,
            None if stop is None else stop.actual_order_id,
            None if target is None else target.actual_order_id,
        )

    async def _cancel_standing(self, entry: Entry, *found: AlgoReport | None) -> None:
        for client_id, order in zip(protection_ids(entry, self._installation), found, strict=True):
            if order is None or order.is_standing:  # a fresh one may be invisible and stand nevertheless
                was_standing = await self._exchange.cancel_algo(client_id)
                status = "CANCELED" if was_standing or order is None else order.status
            else:
                status = order.status
            await self._store.set_order_status(client_id, status)
