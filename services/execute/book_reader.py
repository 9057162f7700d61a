"""The books of a position that is gone, as far as the exchange lets them be read.

Every read here only reports. None may hold up what is needed for safety: each has its time, each may fail,
and what it would have given is then named as missing.
"""

import asyncio
from collections.abc import Awaitable, Collection
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from services.execute import execution_rules
from services.execute.execution_rules import MISSING_FILLS, ClosedBooks
from services.execute.order_state import Entry
from services.execute.ports import Exchange, Sleep
from services.execute.reconciliation import protection_ids
from services.execute.venue import AlgoReport, VenueCharges
from shared.money import ZERO
from shared.supervision import Done, Failed, attempt, within
from shared.values import CloseReason

FIRST_READ_S = 1.0
"""How long the symbol of a position that is gone stays taken for the sake of each read of its books."""
LATER_READ_S = 300.0
"""The same when nothing waits any more: reads are paced, and a long history takes many."""
FILLS_READS_MAX = 5
FILLS_READ_INTERVAL_S = 0.1
CLOCK_MARGIN = timedelta(minutes=1)
"""How far the exchange's clock may have been set back since the entry, and its fills still be found."""
CHARGED_WITHIN = timedelta(seconds=5)
"""A liquidation's fee, or funding that fell due with the close, may be booked a moment after it."""
WHY_CHARS_MAX = 200

T = TypeVar("T")


class BookReader:
    """Reads what a position came to and which order ended it."""

    def __init__(self, exchange: Exchange, installation: str, sleep: Sleep = asyncio.sleep) -> None:
        self._exchange = exchange
        self._installation = installation
        self._sleep = sleep

    async def read(
        self, entry: Entry, our_closing_ids: Collection[str], gone_at: datetime, *, is_first: bool
    ) -> ClosedBooks:
        """Return the books; never raises for what cannot be read. `gone_at` is when it was seen to be gone.

        A first reading is short, but waits a moment for fills that are not visible yet.
        """
        read_s = FIRST_READ_S if is_first else LATER_READ_S
        books = await self._fills(entry, gone_at, FILLS_READS_MAX if is_first else 1, read_s)
        missing = books.missing
        if books.exit_order_id is None:  # without it nothing else can be complete: it is read with the fills
            return msgspec.structs.replace(books, reason=await self._presumed(entry, read_s))
        reason, charges = await asyncio.gather(
            self._reason(entry, books.exit_order_id, our_closing_ids, read_s),
            self._charges(entry, books, read_s),
        )
        if isinstance(reason, Failed):
            missing += (_why("the order that closed it", reason),)
        if isinstance(charges, Failed):
            missing += (_why("funding and liquidation fees", charges),)
        charged = charges.value if isinstance(charges, Done) else None
        return msgspec.structs.replace(
            books,
            reason=reason.value if isinstance(reason, Done) else await self._presumed(entry, read_s),
            fees_usdt=books.fees_usdt + (ZERO if charged is None else charged.liquidation_fees_usdt),
            funding_usdt=ZERO if charged is None else charged.funding_usdt,
            missing=missing,
        )

    async def _fills(self, entry: Entry, gone_at: datetime, reads_max: int, read_s: float) -> ClosedBooks:
        assert entry.first_fill_at is not None
        since, until = entry.first_fill_at - CLOCK_MARGIN, gone_at + CLOCK_MARGIN
        for number in range(reads_max):
            match await _timed(read_s, self._exchange.trades(entry.symbol, since, until)):
                case Failed() as failed:
                    none = execution_rules.known_books(entry, (), gone_at)
                    return msgspec.structs.replace(none, missing=(_why("fills", failed),))
                case Done(trades):
                    books = execution_rules.known_books(entry, trades, gone_at)
            if MISSING_FILLS not in books.missing:
                break
            if number < reads_max - 1:
                await self._sleep(FILLS_READ_INTERVAL_S)
        return books

    async def _charges(self, entry: Entry, books: ClosedBooks, read_s: float) -> Done[VenueCharges] | Failed:
        assert entry.first_fill_at is not None
        until = books.closed_at + CHARGED_WITHIN
        return await _timed(read_s, self._exchange.charges(entry.symbol, entry.first_fill_at, until))

    async def _reason(
        self, entry: Entry, exit_order_id: str, our_closing_ids: Collection[str], read_s: float
    ) -> Done[CloseReason] | Failed:
        stop_id, target_id = self._protection(entry)
        stop, target, order = await asyncio.gather(
            _timed(read_s, self._exchange.find_algo(stop_id)),
            _timed(read_s, self._exchange.find_algo(target_id)),
            _timed(read_s, self._exchange.find_order_by_id(entry.symbol, exit_order_id)),
        )
        reason = execution_rules.close_reason(
            entry,
            exit_order_id,
            order.value.client_id if isinstance(order, Done) and order.value else None,
            _fired_as(stop),
            _fired_as(target),
            our_closing_ids,
        )
        failed = next((each for each in (stop, target, order) if isinstance(each, Failed)), None)
        if failed is not None and reason is CloseReason.EXTERNAL:
            return failed  # what could not be read may be what ended it
        return Done(reason)

    async def _presumed(self, entry: Entry, read_s: float) -> CloseReason:
        stop, target = await asyncio.gather(
            *(_timed(read_s, self._exchange.find_algo(each)) for each in self._protection(entry))
        )
        return execution_rules.presumed_reason(entry, _fired_as(stop), _fired_as(target))

    def _protection(self, entry: Entry) -> tuple[str, str]:
        return protection_ids(entry, self._installation)


async def _timed(seconds: float, work: Awaitable[T]) -> Done[T] | Failed:
    return await attempt(within(seconds, work))


def _fired_as(found: Done[AlgoReport | None] | Failed) -> str | None:
    return found.value.actual_order_id if isinstance(found, Done) and found.value is not None else None


def _why(what: str, failed: Failed) -> str:
    text = "no answer in time" if isinstance(failed.error, TimeoutError) else str(failed.error)
    return f"{what}: {text or repr(failed.error)}"[:WHY_CHARS_MAX]
