"""Protecting: stop-loss and take-profit onto the exchange, and back onto it when one is missing (P4).

Both orders close the whole position and carry client ids made from the signal, so placing them is idempotent:
any replica may do it, before the fill is even recorded. The stop is the protection: what cannot be given one
within its budget is closed. The target is not: a position whose stop is open stays, and its target is tried
again. Every refusal of the exchange is reported in its own words.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.execute import execution_rules, facts
from services.execute.closing_orders import LOOK_S, PUBLISH_S
from services.execute.error_classes import ErrorKind, VenueRefused
from services.execute.exit_flow import ExitFlow
from services.execute.order_state import FINAL, Entry
from services.execute.ports import Exchange, KeepsEntries, KnowsMarket, OwesMessages, Sleep
from services.execute.reconciliation import protection_ids
from services.execute.venue import OrderRow, OrderSide, ProtectiveOrder
from shared import crash_points, logs, metrics
from shared.clock import Clock
from shared.errors import ExchangeUnavailable, ExecutionUnknown, PhoenixError
from shared.ids import OrderRole
from shared.market import Instrument
from shared.supervision import Done, attempt, within
from shared.values import CloseReason

PROTECT_RETRY_S = 0.25
TARGET_REST_S_MIN = 15
TARGET_REST_S_MAX = 300
"""How long a target that was refused rests beside an open stop; twice as long each time."""
COARSER_TICKS = (1, 10, 100)
"""A price that is refused for its form is rounded to ever coarser ticks, towards the entry."""
WHOLE_POSITION_TAKEN = -4130
"""Another order that closes the whole position is open on this side: ours has to name its quantity."""
REFUSALS_KEPT = 5
DETAIL_CHARS_MAX = 300

_log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Placing:
    """What came of putting both orders on the exchange; an error is None where the order is open."""

    stop: ProtectiveOrder
    target: ProtectiveOrder
    were_missing: bool
    stop_error: PhoenixError | None
    target_error: PhoenixError | None

    @property
    def is_past_stop(self) -> bool:
        """Whether the price is already beyond the stop."""
        return _is_past(self.stop_error)

    @property
    def is_past_target(self) -> bool:
        """Whether the price is already beyond the target."""
        return _is_past(self.target_error)


class ProtectionFlow:
    """Keeps filled entries protected, or flattens them."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        market: KnowsMarket,
        outbox: OwesMessages,
        exits: ExitFlow,
        installation: str,
        timeout_s: Decimal,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._market = market
        self._outbox = outbox
        self._exits = exits
        self._installation = installation
        self._timeout = timedelta(seconds=float(timeout_s))
        self._clock = clock
        self._sleep = sleep
        self._refused: dict[str, list[VenueRefused]] = {}  # by client id; bounded by what is being protected
        self._rests: dict[str, tuple[datetime, int]] = {}  # targets: until when, how long; by signal

    async def protect(self, entry: Entry) -> None:
        """Try once to protect a filled entry; the caller comes back within the budget."""
        assert entry.entry_price is not None
        await self.conclude(entry, await self.place(entry, entry.entry_price))

    async def place(self, entry: Entry, entry_price: Decimal, *, with_target: bool = True) -> Placing:
        """Put both orders on the exchange; one that is open there already is left alone by its client id.

        Raises:
            DependencyDown: the rules of the symbol cannot be had.
        """
        stop, target = await self._orders(entry, entry_price)
        if not with_target:
            result = await attempt(self._place_one(stop))
            stop_error = None if isinstance(result, Done) else _expected(result.error)
            were_missing = isinstance(result, Done) and result.value
            return Placing(
                stop=stop, target=target, were_missing=were_missing, stop_error=stop_error, target_error=None
            )
        results = await asyncio.gather(attempt(self._place_one(stop)), attempt(self._place_one(target)))
        errors = [None if isinstance(each, Done) else _expected(each.error) for each in results]
        return Placing(
            stop=stop,
            target=target,
            were_missing=any(isinstance(each, Done) and each.value for each in results),
            stop_error=errors[0],
            target_error=errors[1],
        )

    async def _place_one(self, order: ProtectiveOrder) -> bool:
        try:
            was_missing = await self._exchange.place_protection(order)
        except VenueRefused as refused:
            known = self._refused.get(order.client_id, [])
            self._refused[order.client_id] = [*known[-REFUSALS_KEPT:], refused]
            if refused.kind is ErrorKind.STALE_RULES:
                await attempt(within(LOOK_S, self._market.renewed(order.symbol)))
            raise
        self._refused.pop(order.client_id, None)
        return was_missing

    async def conclude(self, entry: Entry, placing: Placing) -> None:
        """Act on what came of placing the orders of a filled entry: record it, wait a moment, or close."""
        await self._report(entry, placing)
        if placing.is_past_stop:
            _log.warning("price_past_protection", correlation_id=entry.signal_id, symbol=entry.symbol)
            await self._close(entry, CloseReason.UNPROTECTED, placing.stop_error)
        elif placing.is_past_target:
            _log.info("price_past_target", correlation_id=entry.signal_id, symbol=entry.symbol)
            await self._close(entry, CloseReason.UNPROTECTED, placing.target_error)
        elif placing.stop_error is not None:
            _log.warning("protection_refused", correlation_id=entry.signal_id, error=str(placing.stop_error))
            await self._sleep(PROTECT_RETRY_S)
        else:
            if placing.target_error is not None:
                self._rest_target(entry.signal_id)
            await self._record(entry, placing.stop, placing.target)

    async def flatten(self, entry: Entry) -> None:
        """End a filled entry whose budget is used up; one whose stop is open after all is kept."""
        assert entry.entry_price is not None
        stop_id, _ = protection_ids(entry, self._installation)
        found = await self._exchange.find_algo(stop_id)
        if found is not None and found.is_standing:
            await self._record(entry, *await self._orders(entry, entry.entry_price))
            return
        _log.error("protection_timed_out", correlation_id=entry.signal_id, symbol=entry.symbol)
        refused = self._refused.get(stop_id)
        await self._close(entry, CloseReason.UNPROTECTED, refused[-1] if refused else None)

    async def restore(self, entry: Entry) -> bool:
        """Put back what is missing of a protected entry; False: nothing was.

        A stop is put back within the budget, else the position is closed. A target that is refused is tried
        again later.

        Raises:
            DependencyDown: the exchange or the database is away; call again.
        """
        assert entry.entry_price is not None
        deadline = self._clock() + self._timeout
        were_missing = False
        while True:
            placing = await self.place(
                entry, entry.entry_price, with_target=not self._target_rests(entry.signal_id)
            )
            await self._report(entry, placing)
            were_missing = were_missing or placing.were_missing or placing.stop_error is not None
            if placing.stop_error is None:
                break
            if placing.is_past_stop or self._clock() >= deadline:
                _log.error("protection_not_restored", correlation_id=entry.signal_id, symbol=entry.symbol)
                await self._close(entry, CloseReason.UNPROTECTED, placing.stop_error)
                return True
            await self._sleep(PROTECT_RETRY_S)
        if placing.is_past_target:  # what it would have done at this price is done now
            await self._close(entry, CloseReason.TAKE_PROFIT, placing.target_error)
            return True
        if placing.target_error is not None:
            self._rest_target(entry.signal_id)
        await self.withdraw_if_over(entry)
        return were_missing

    async def was_cancelled(self, entry: Entry) -> bool:
        """Tell whether a stop or target is gone although it never fired: somebody took it away."""
        orders = await asyncio.gather(
            *(self._exchange.find_algo(each) for each in protection_ids(entry, self._installation))
        )
        return any(order is not None and not order.is_standing and not order.has_fired for order in orders)

    async def withdraw_if_over(self, entry: Entry) -> None:
        """Cancel both orders when the entry is over: they were placed while another process closed it."""
        newest = await self._store.entry(entry.signal_id)
        if newest is not None and newest.state in FINAL:
            for client_id in protection_ids(entry, self._installation):
                await self._exchange.cancel_algo(client_id)
                self._refused.pop(client_id, None)
            self._rests.pop(entry.signal_id, None)

    async def _close(self, entry: Entry, reason: CloseReason, because: PhoenixError | None) -> None:
        detail = "" if because is None else str(because)[:DETAIL_CHARS_MAX]
        for client_id in protection_ids(entry, self._installation):
            self._refused.pop(client_id, None)
        self._rests.pop(entry.signal_id, None)
        await self._exits.close(entry, reason, None, detail)

    async def _report(self, entry: Entry, placing: Placing) -> None:
        """State what the exchange refused, once per order and code."""
        told = []
        if isinstance(placing.stop_error, VenueRefused):
            step = "closing" if placing.is_past_stop else "retried"
            told.append((OrderRole.STOP_LOSS, placing.stop, placing.stop_error, step))
        if isinstance(placing.target_error, VenueRefused):
            step = "closing" if placing.is_past_target else "retried"
            if placing.stop_error is None and not placing.is_past_target:
                step = "target_later"
            told.append((OrderRole.TAKE_PROFIT, placing.target, placing.target_error, step))
        if not told:
            return
        now = self._clock()
        envelopes = [
            facts.refused(entry, role, each.client_id, why, step, now) for role, each, why, step in told
        ]
        async with self._store.transaction() as tx:
            await self._outbox.stage(tx, envelopes)
        await attempt(within(PUBLISH_S, self._outbox.publish(envelopes)))

    def _rest_target(self, signal_id: str) -> None:
        _, last_s = self._rests.get(signal_id, (None, 0))
        rest_s = min(max(2 * last_s, TARGET_REST_S_MIN), TARGET_REST_S_MAX)
        self._rests[signal_id] = (self._clock() + timedelta(seconds=rest_s), rest_s)

    def _target_rests(self, signal_id: str) -> bool:
        if signal_id not in self._rests:
            return False
        until, rest_s = self._rests[signal_id]  # a clock that was set back makes no rest longer
        return timedelta() < until - self._clock() <= timedelta(seconds=rest_s)

    async def _record(self, entry: Entry, stop: ProtectiveOrder, target: ProtectiveOrder) -> None:
        crash_points.reach("execute.protection_placed")
        rows = [_row(stop), _row(target)]
        async with self._store.transaction() as tx:
            protected = await self._store.record_protected(tx, entry, stop, target)
            if protected is not None:
                told = facts.opened(protected, stop, target, self._clock())
                await self._store.record_orders(tx, entry.signal_id, rows)
                await self._outbox.stage(tx, told)
        if protected is None:
            await self.withdraw_if_over(entry)
            return
        crash_points.reach("execute.protection_recorded")
        assert protected.protected_at is not None
        assert protected.first_fill_at is not None
        unprotected_s = max(0.0, (protected.protected_at - protected.first_fill_at).total_seconds())
        metrics.UNPROTECTED_SECONDS.observe(unprotected_s)
        _log.info("position_protected", correlation_id=entry.signal_id, unprotected_s=unprotected_s)
        await self._outbox.publish(told)

    async def _orders(self, entry: Entry, entry_price: Decimal) -> tuple[ProtectiveOrder, ProtectiveOrder]:
        instrument = await self._market.instrument(entry.symbol)
        if instrument is None:
            raise ExchangeUnavailable(f"the rules of {entry.symbol} are not known")
        sizing, side = entry.approval.sizing, entry.side
        stop_id, target_id = protection_ids(entry, self._installation)
        stop_tick, target_tick = self._tick(stop_id, instrument), self._tick(target_id, instrument)
        stop_at = execution_rules.stop_price(entry_price, side, sizing.stop_distance, stop_tick)
        target_at = execution_rules.take_profit_price(
            entry_price, side, sizing.take_profit_distance, target_tick
        )
        return self._order(entry, stop_id, stop_at, is_stop=True), self._order(
            entry, target_id, target_at, is_stop=False
        )

    def _tick(self, client_id: str, instrument: Instrument) -> Decimal:
        """The tick to round to: coarser where a finer one was refused although the rules allow it."""
        stale = [each for each in self._refused.get(client_id, ()) if each.kind is ErrorKind.STALE_RULES]
        return instrument.tick_size * COARSER_TICKS[max(0, len(stale) - 1) % len(COARSER_TICKS)]

    def _order(
        self, entry: Entry, client_id: str, trigger_price: Decimal, *, is_stop: bool
    ) -> ProtectiveOrder:
        refused = self._refused.get(client_id, [])
        names_quantity = any(each.code == WHOLE_POSITION_TAKEN for each in refused[-1:])
        return ProtectiveOrder(
            client_id=client_id,
            symbol=entry.symbol,
            side=OrderSide.closing(entry.side),
            is_stop=is_stop,
            trigger_price=trigger_price,
            quantity=entry.filled_quantity if names_quantity and entry.filled_quantity > 0 else None,
        )


def _is_past(error: PhoenixError | None) -> bool:
    return isinstance(error, VenueRefused) and error.kind is ErrorKind.WOULD_TRIGGER


def _expected(error: BaseException) -> PhoenixError:
    """Return an error that placing may end with; another one is raised."""
    if isinstance(error, VenueRefused | ExecutionUnknown | ExchangeUnavailable):
        return error
    raise error


def _row(order: ProtectiveOrder) -> OrderRow:
    return OrderRow(
        client_id=order.client_id,
        role=OrderRole.STOP_LOSS if order.is_stop else OrderRole.TAKE_PROFIT,
        symbol=order.symbol,
        side=order.side,
        order_type="STOP_MARKET" if order.is_stop else "TAKE_PROFIT_MARKET",
        trigger_price=order.trigger_price,
        status="NEW",
    )
