"""One request to the exchange: past the gate, timed, its errors told apart and counted.

The only place that knows the exceptions of ccxt and aiohttp. It must never call twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
from ccxt.base.errors import BaseError

from services.execute.call_gate import CallGate, Urgency
from services.execute.ccxt_venue import FAILURE_TEXT_CHARS_MAX, AnswerError
from services.execute.error_classes import (
    ClockSkewed,
    ErrorKind,
    VenueFailure,
    VenueRefused,
    classify,
    to_exception,
)
from services.execute.exchange_clock import ExchangeClock
from services.execute.venue_rows import UNREADABLE, Rows, read_rows, told
from shared import logs, metrics
from shared.errors import ExchangeUnavailable, ExecutionUnknown, PhoenixError

Endpoint = Callable[[dict[str, Any]], Awaitable[Any]]

T = TypeVar("T")

TIME = "time"
ROWS_TOLD_MAX = 5
LISTS = ("bars", "margin_setups", "open_algos", "open_orders", "positions")

_URGENCIES: dict[str, Urgency] = {
    "place_entry": Urgency.ENTRY,
    "best_prices": Urgency.ENTRY,
    "margin_setup": Urgency.ENTRY,
    "set_isolated": Urgency.ENTRY,
    "set_leverage": Urgency.ENTRY,
    "place_protection": Urgency.EXIT,
    "time": Urgency.EXIT,  # without it, what closes a position stays wrongly stamped
    "close_market": Urgency.EXIT,
    "cancel_algo": Urgency.EXIT,
    "cancel_order": Urgency.EXIT,
    "find_order": Urgency.EXIT,
    "find_algo": Urgency.EXIT,
    "positions": Urgency.EXIT,
    "entry_fills": Urgency.EXIT,  # what a stop needs when the order's answer lacks its price
    "trades": Urgency.REPORT,
    "charges": Urgency.REPORT,
    "fee_price": Urgency.REPORT,
}
"""What is not named is a read."""

_log = logs.get(__name__)


def readable(parse: Callable[[Any], T], raw: Any, *, is_read: bool = True) -> T:
    """Return `raw`, parsed.

    Raises:
        ExchangeUnavailable: the answer to a read cannot be understood.
        ExecutionUnknown: the same of an order: it may have been executed.
    """
    try:
        return parse(raw)
    except UNREADABLE as error:
        text = f"an answer that cannot be read: {error!r}"[:FAILURE_TEXT_CHARS_MAX]
        raise (ExchangeUnavailable(text) if is_read else ExecutionUnknown(text)) from error


class VenueCalls:
    """Makes the calls of one ccxt exchange."""

    def __init__(self, venue: Any) -> None:
        self._venue = venue
        metrics.from_zero(metrics.EXCHANGE_ROWS_UNREAD, "operation", LISTS)
        self.gate = CallGate()
        self.clock = ExchangeClock(venue, self._ask_time)

    async def call(
        self,
        operation: str,
        endpoint: Endpoint,
        params: dict[str, Any] | None = None,
        *,
        is_read: bool = False,
    ) -> Any:
        """Call one endpoint and return its payload.

        Raises:
            ExchangeUnavailable: surely not executed, or a read without an answer.
            ExecutionUnknown: may have been executed.
            VenueRefused: refused, `kind` says why.
        """
        self.demand_open(operation)
        try:
            with metrics.EXCHANGE_SECONDS.labels(operation=operation).time():
                return await self.translated(operation, endpoint(params or {}), is_read=is_read)
        except ClockSkewed:
            if operation == TIME:
                raise
            await self.clock.measure_again()  # so that whoever tries again is stamped with the right time
            raise

    async def _ask_time(self) -> Any:
        return await self.call(TIME, self._venue.fapiPublicGetTime, is_read=True)

    async def find(self, operation: str, endpoint: Endpoint, params: dict[str, Any]) -> Any:
        """Call an endpoint about one order; None when the exchange does not know it."""
        try:
            return await self.call(operation, endpoint, params, is_read=True)
        except VenueRefused as refused:
            if refused.kind is ErrorKind.NOT_FOUND:
                return None
            raise

    async def aside(self, endpoint: Endpoint) -> Any:
        """Ask something that no order depends on: neither the gate nor the breaker hears of the answer.

        Raises:
            ExchangeUnavailable: there is no usable answer, whatever the reason.
        """
        try:
            return await endpoint({})
        except AnswerError as answer:
            raise ExchangeUnavailable(f"refused with code {answer.failure.code}") from None
        except (BaseError, aiohttp.ClientError, TimeoutError, OSError) as failed:
            raise ExchangeUnavailable(type(failed).__name__) from None

    def demand_open(self, operation: str) -> None:
        """Raise `ExchangeUnavailable` unless the gate lets this operation pass now."""
        urgency, now = _URGENCIES.get(operation, Urgency.READ), _monotonic()
        why = self.gate.why_closed(urgency, now)
        metrics.EXCHANGE_BREAKER_OPEN.set(1 if self.gate.is_open(now) else 0)
        if why is not None:
            metrics.EXCHANGE_ERRORS.labels(operation=operation, kind="held_back").inc()
            raise ExchangeUnavailable(why, self.gate.ban_left_s(urgency, now))

    async def translated(self, operation: str, work: Awaitable[Any], *, is_read: bool) -> Any:
        """Await `work` of ccxt; its exceptions become ours. Raises as `call` does."""
        try:
            payload = await work
        except AnswerError as answer:
            failure, retry_after_s = answer.failure, answer.retry_after_s
        except BaseError as failed:
            is_unsent = isinstance(failed.__cause__, aiohttp.ClientConnectorError)
            failure, retry_after_s = _lost(failed, was_sent=not is_unsent), 0.0
        except (aiohttp.ClientError, TimeoutError, OSError) as failed:
            failure, retry_after_s = _lost(failed, was_sent=True), 0.0
        else:
            self._note(None, 0.0)
            return payload
        self._note(failure, retry_after_s)
        error = to_exception(failure, is_read=is_read, retry_after_s=retry_after_s)
        metrics.EXCHANGE_ERRORS.labels(operation=operation, kind=_kind_name(error)).inc()
        raise error

    def _note(self, failure: VenueFailure | None, retry_after_s: float) -> None:
        now = _monotonic()
        if failure is None or (400 <= failure.status < 500 and failure.status != 408):
            self.gate.answered()
        else:
            self.gate.failed(now)
        if failure is not None and classify(failure) is ErrorKind.STOP_CALLING:
            self.gate.banned(now, retry_after_s)
        used, self._venue.budgets_used = self._venue.budgets_used, {}
        for budget, amount in used.items():
            self.gate.used(budget, amount, now)
            metrics.EXCHANGE_BUDGET_USED.labels(budget=budget.value).set(amount)
        metrics.EXCHANGE_BREAKER_OPEN.set(1 if self.gate.is_open(now) else 0)


def _lost(error: Exception, *, was_sent: bool) -> VenueFailure:
    return VenueFailure(status=0, code=0, text=repr(error)[:FAILURE_TEXT_CHARS_MAX], was_sent=was_sent)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _kind_name(error: PhoenixError) -> str:
    if isinstance(error, VenueRefused):
        return error.kind.value
    if isinstance(error, ClockSkewed):
        return ErrorKind.CLOCK_SKEW.value
    return "unavailable" if isinstance(error, ExchangeUnavailable) else "unknown"


def read_list(operation: str, rows: Any, parse: Callable[[Any], T]) -> Rows[T]:
    """Parse a list; what cannot be read of it is counted and named, and the rest is used.

    Raises:
        ExchangeUnavailable: it is no list: nothing is known then.
    """
    if not isinstance(rows, list):
        raise ExchangeUnavailable(f"{operation}: the answer is no list but {type(rows).__name__}")
    found = read_rows(rows, parse)
    if found.bad:
        metrics.EXCHANGE_ROWS_UNREAD.labels(operation=operation).inc(len(found.bad))
        _log.error("exchange_rows_unread", operation=operation, rows=told(found.bad[:ROWS_TOLD_MAX]))
    return found
