"""Closing: reduce at market, see the position gone, cancel the twin orders, free the symbol, report.

Everything here is reduce-only and idempotent: any replica may do it, twice, at any time (P9). A position that
is gone frees its symbol first; its books follow with what can be read at once, and are completed later by
`book_keeper`. Exits of one symbol are taken one after the other within a process; they never wait for an
entry, whose protection may be retried for seconds, nor for a read that only reports.
"""

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

from services.execute import execution_rules, facts
from services.execute.book_reader import CLOCK_MARGIN, BookReader
from services.execute.closing_orders import LOOK_S, ClosingOrders, Reduction
from services.execute.error_classes import VenueRefused
from services.execute.execution_rules import ClosedBooks
from services.execute.order_state import FINAL, Entry, EntryState
from services.execute.ports import Exchange, KeepsEntries, KnowsMarket, OwesMessages, Sleep
from services.execute.venue import VenuePosition
from shared import crash_points, logs, metrics
from shared.clock import Clock
from shared.money import ZERO
from shared.supervision import Done, attempt, within
from shared.values import CloseReason, Severity

CLOSE_TRIES_MAX = 3
CLOSE_RETRY_S = 0.25
CLOSE_ORDERS_MAX = 10
"""In one go: the tries, and the forms that a close may have to go through."""
REST_S_MIN = 5
REST_S_MAX = 60
"""How long a close that failed rests; twice as long each time. A new request does not wait for it."""
VISIBLE_WITHIN = timedelta(seconds=3)
"""A position may not be visible right after its fill; one that is not there later is gone."""
SECOND_LOOK_S = 0.25

_log = logs.get(__name__)


class ExitFlow:
    """Takes positions to a free symbol and to their books."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        market: KnowsMarket,
        outbox: OwesMessages,
        installation: str,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._outbox = outbox
        self._clock = clock
        self._sleep = sleep
        self._orders = ClosingOrders(store, exchange, market, outbox, installation, clock)
        self._books = BookReader(exchange, installation, sleep)
        self._symbols: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # bounded by the number of symbols
        self._rests: dict[
            str, tuple[datetime, int]
        ] = {}  # until when, and how long; by position being closed

    async def close(self, entry: Entry, reason: CloseReason, closed_by: str | None, detail: str = "") -> None:
        """Close this position now; one that is being closed already is taken further.

        Raises:
            DependencyDown: the exchange or the database is away; call again.
        """
        async with self._store.transaction() as tx:
            closing = await self._store.record_closing(tx, entry, reason, closed_by, detail)
        crash_points.reach("execute.closing_recorded")
        if closing is None:
            closing = await self._store.entry(entry.signal_id)
        if closing is not None and closing.state is EntryState.CLOSING:
            self._rests.pop(entry.signal_id, None)
            await self.finish(closing)

    async def finish(self, entry: Entry) -> None:
        """Reduce what is left of a closing position, then settle it.

        A lost, refused or partly filled order is followed by another, in another form where its form was
        refused. What resists rests for a while; the operator is told, and rescue goes on.
        """
        if self._rests_now(entry.signal_id):
            return
        async with self._symbols[entry.symbol]:
            trouble = await self._reduce_all(entry)
        if trouble is None:
            self._forget(entry.signal_id)
            return
        self._rest(entry.signal_id)
        await self._report_not_closed(entry, trouble)

    def is_busy_with(self, symbol: str) -> bool:
        """Tell whether this process is closing or settling this symbol right now."""
        return self._symbols[symbol].locked()

    async def settle(self, entry: Entry) -> bool:
        """Free the symbol and close the books if our position is gone from the exchange; True when it is.

        False means: still held, or nobody can tell yet. Reconciliation comes back.
        """
        async with self._symbols[entry.symbol]:
            held = await self._held(entry)
            if held is not None and await self._orders.closed_by_us(entry) < entry.filled_quantity:
                return False
            # After that look: whoever closed it has recorded before why, and the caller's copy may be older.
            newest = await self._store.entry(entry.signal_id)
            if newest is None or newest.state in FINAL:
                return True
            if held is None and not await self._is_surely_gone(newest):
                return False
            await self._settle_gone(newest)
            self._forget(entry.signal_id)
            return True

    # --- reducing ---

    async def _reduce_all(self, entry: Entry) -> str | None:
        """Send closing orders until the position is gone; None when it is, else what was in the way."""
        trouble, failures, refusals, is_first = "", 0, 0, entry.close_attempts == 0
        for _ in range(CLOSE_ORDERS_MAX):
            held, left = await self._left(entry, is_first=is_first)
            is_first = False
            if left == ZERO and (held is not None or await self._is_surely_gone(entry)):
                await self._settle_newest(entry)
                return None
            if failures >= CLOSE_TRIES_MAX:
                break
            reduction = await self._send(entry, held, left)
            if reduction is None:
                return None  # settled meanwhile by another process
            trouble = reduction.trouble or trouble
            if not reduction.trouble or reduction.changes_form:
                continue
            failures = CLOSE_TRIES_MAX if reduction.is_waiting else failures + 1
            refusals += reduction.is_refused
            if refusals == CLOSE_TRIES_MAX:
                last = await self._send(entry, held, left, whole=True)
                trouble = trouble if last is None else f"{trouble}; {last.trouble}"
            await self._sleep(CLOSE_RETRY_S)
        return trouble

    async def _send(
        self, entry: Entry, held: VenuePosition | None, left: Decimal, *, whole: bool = False
    ) -> Reduction | None:
        """Send one closing order; None when the entry is not closing any more."""
        if left == ZERO:  # right after a fill, the position itself may not be visible yet
            return Reduction(trouble="the position is not visible")
        asked_at = self._clock()  # before the turn is taken: see `ClosingOrders.reduce`
        number = await self._store.next_close_attempt(entry.signal_id)
        if number is None:
            return None
        if whole:
            return await self._orders.close_whole(entry, held, left, number)
        return await self._orders.reduce(entry, held, left, number, asked_at)

    async def _left(self, entry: Entry, *, is_first: bool) -> tuple[VenuePosition | None, Decimal]:
        """Return the position, and how much of it is still ours to close."""
        try:
            held = await self._held(entry)
        except VenueRefused as refused:  # what is ours is closed all the same: every order is reduce-only
            _log.warning("position_not_readable", correlation_id=entry.signal_id, error=str(refused))
            return None, max(ZERO, entry.filled_quantity - await self._orders.closed_by_us(entry))
        if held is None:
            return None, ZERO
        if is_first:
            return held, min(held.quantity, entry.filled_quantity)
        closed = await self._orders.closed_by_us(entry)
        if closed < entry.filled_quantity and await self._fills_show_the_end(entry):
            return held, ZERO  # closed by somebody else, and what is held was opened since
        return held, max(ZERO, min(held.quantity, entry.filled_quantity - closed))

    async def _held(self, entry: Entry) -> VenuePosition | None:
        positions = await self._exchange.positions(entry.symbol)
        return next((each for each in positions if each.side is entry.side), None)

    async def _is_surely_gone(self, entry: Entry) -> bool:
        """Tell whether a position that is not held now has ended, rather than not being visible yet."""
        assert entry.first_fill_at is not None
        if await self._orders.closed_by_us(entry) >= entry.filled_quantity:
            return True
        if await self._fills_show_the_end(entry):
            return True
        age = self._clock() - self._exchange.clock_ahead() - entry.first_fill_at
        if age < VISIBLE_WITHIN:
            return False
        await self._sleep(SECOND_LOOK_S)
        try:
            return await self._held(entry) is None
        except VenueRefused:
            return False

    async def _fills_show_the_end(self, entry: Entry) -> bool:
        assert entry.first_fill_at is not None
        since = entry.first_fill_at - CLOCK_MARGIN
        match await attempt(within(LOOK_S, self._exchange.trades(entry.symbol, since))):
            case Done(trades):
                return execution_rules.close_books(entry, trades) is not None
        return False

    def _rests_now(self, signal_id: str) -> bool:
        if signal_id not in self._rests:
            return False
        until, rest_s = self._rests[signal_id]  # a clock that was set back makes no rest longer
        return timedelta() < until - self._clock() <= timedelta(seconds=rest_s)

    def _rest(self, signal_id: str) -> None:
        _, last_s = self._rests.get(signal_id, (None, REST_S_MIN // 2))
        rest_s = min(max(2 * last_s, REST_S_MIN), REST_S_MAX)
        self._rests[signal_id] = (self._clock() + timedelta(seconds=rest_s), rest_s)

    def _forget(self, signal_id: str) -> None:
        self._rests.pop(signal_id, None)
        self._orders.forget(signal_id)

    async def _report_not_closed(self, entry: Entry, trouble: str) -> None:
        text = (
            f"{entry.symbol}: {CLOSE_TRIES_MAX} tries did not close the position; Phoenix goes on "
            f"trying. Look at the exchange and close it there if need be. Last: {trouble}"
        )
        told = [
            facts.alert(
                "position_not_closed", text, Severity.CRITICAL, entry.signal_id, self._clock(), entry.symbol
            )
        ]
        async with self._store.transaction() as tx:
            await self._outbox.stage(tx, told)
        _log.error(
            "position_not_closed", correlation_id=entry.signal_id, symbol=entry.symbol, trouble=trouble
        )
        await self._outbox.publish(told)

    # --- the symbol, then the books ---

    async def _settle_newest(self, entry: Entry) -> None:
        newest = await self._store.entry(entry.signal_id)
        if newest is not None and newest.state not in FINAL:
            await self._settle_gone(newest)

    async def _settle_gone(self, entry: Entry) -> None:
        # The twins go before the symbol is free: left open, one would close the next position of this symbol.
        await self._orders.withdraw(entry)
        crash_points.reach("execute.twin_cancelled")
        gone_at = self._clock() - self._exchange.clock_ahead()
        rows = await self._store.closing_orders(entry.signal_id)
        ours = frozenset(each.exchange_order_id for each in rows if each.exchange_order_id is not None)
        await self._record(entry, await self._books.read(entry, ours, gone_at, is_first=True))

    async def _record(self, entry: Entry, books: ClosedBooks) -> None:
        async with self._store.transaction() as tx:
            closed = await self._store.record_closed(tx, entry, books.reason, books, books.funding_usdt)
            if closed is None:
                return  # another process closed the books
            told = facts.closed(closed, books.reason, books, books.funding_usdt, self._clock())
            await self._outbox.stage(tx, told)
        crash_points.reach("execute.books_closed")
        metrics.TRADES_CLOSED.labels(reason=books.reason.value).inc()
        _log.info(
            "position_closed",
            correlation_id=entry.signal_id,
            reason=books.reason.value,
            net_pnl_usdt=str(books.pnl_usdt - books.fees_usdt + books.funding_usdt),
            missing="; ".join(books.missing),
        )
        await self._outbox.publish(told)
