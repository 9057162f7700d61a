"""Protecting: stop-loss and take-profit onto the exchange, and back onto it when one is missing (P4).

Both orders close the whole position and carry client ids made from the signal, so placing them is idempotent:
any replica may do it, before the fill is even recorded. What cannot be protected within its budget is closed.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from services.execute import execution_rules, facts
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
from shared.values import CloseReason

PROTECT_RETRY_S = 0.25

_log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Placing:
    """What came of putting both orders on the exchange."""

    stop: ProtectiveOrder
    target: ProtectiveOrder
    were_missing: bool
    errors: tuple[PhoenixError, ...]

    @property
    def is_past_trigger(self) -> bool:
        """Whether the price is already beyond the stop or the target."""
        return any(
            isinstance(each, VenueRefused) and each.kind is ErrorKind.WOULD_TRIGGER for each in self.errors
        )


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

    async def protect(self, entry: Entry) -> None:
        """Try once to protect a filled entry; the caller comes back within the budget."""
        assert entry.entry_price is not None
        await self.conclude(entry, await self.place(entry, entry.entry_price))

    async def place(self, entry: Entry, entry_price: Decimal) -> Placing:
        """Put both orders on the exchange; one that stands there already is left alone by its client id.

        Raises:
            DependencyDown: the rules of the symbol cannot be had.
        """
        stop, target = await self._orders(entry, entry_price)
        results = await asyncio.gather(
            self._exchange.place_protection(stop),
            self._exchange.place_protection(target),
            return_exceptions=True,
        )
        errors: list[PhoenixError] = []
        for result in results:
            if isinstance(result, VenueRefused | ExecutionUnknown | ExchangeUnavailable):
                errors.append(result)
            elif isinstance(result, BaseException):
                raise result
        return Placing(stop=stop, target=target, were_missing=True in results, errors=tuple(errors))

    async def conclude(self, entry: Entry, placing: Placing) -> None:
        """Act on what came of placing the orders of a filled entry: record it, wait a moment, or close."""
        if placing.is_past_trigger:
            _log.warning("price_past_protection", correlation_id=entry.signal_id, symbol=entry.symbol)
            await self._exits.close(entry, CloseReason.UNPROTECTED, None)
        elif placing.errors:
            _log.warning("protection_refused", correlation_id=entry.signal_id, error=str(placing.errors[0]))
            await self._sleep(PROTECT_RETRY_S)
        else:
            await self._record(entry, placing.stop, placing.target)

    async def flatten(self, entry: Entry) -> None:
        """End a filled entry whose budget is used up; one that stands protected after all is kept."""
        assert entry.entry_price is not None
        standing = await asyncio.gather(
            *(self._exchange.find_algo(each) for each in protection_ids(entry, self._installation))
        )
        if all(order is not None and order.is_standing for order in standing):
            await self._record(entry, *await self._orders(entry, entry.entry_price))
            return
        _log.error("protection_timed_out", correlation_id=entry.signal_id, symbol=entry.symbol)
        await self._exits.close(entry, CloseReason.UNPROTECTED, None)

    async def restore(self, entry: Entry) -> bool:
        """Put back what is missing of a protected entry within the budget, else close; False: nothing was.

        Raises:
            DependencyDown: the exchange or the database is away; call again.
        """
        assert entry.entry_price is not None
        deadline = self._clock() + self._timeout
        were_missing = False
        while True:
            placing = await self.place(entry, entry.entry_price)
            were_missing = were_missing or placing.were_missing or bool(placing.errors)
            if not placing.errors:
                await self.withdraw_if_over(entry)
                return were_missing
            if placing.is_past_trigger or self._clock() >= deadline:
                _log.error("protection_not_restored", correlation_id=entry.signal_id, symbol=entry.symbol)
                await self._exits.close(entry, CloseReason.UNPROTECTED, None)
                return True
            await self._sleep(PROTECT_RETRY_S)

    async def was_cancelled(self, entry: Entry) -> bool:
        """Tell whether a stop or target is gone although it never fired: somebody took it away."""
        orders = await asyncio.gather(
            *(self._exchange.find_algo(each) for each in protection_ids(entry, self._installation))
        )
        return any(order is not None and not order.is_standing and not order.has_fired for order in orders)

    async def withdraw_if_over(self, entry: Entry) -> None:
        """Cancel both orders when the entry is over: they were placed while another process closed it."""
        now_stands = await self._store.entry(entry.signal_id)
        if now_stands is not None and now_stands.state in FINAL:
            for client_id in protection_ids(entry, self._installation):
                await self._exchange.cancel_algo(client_id)

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
        sizing, tick, side = entry.approval.sizing, instrument.tick_size, entry.side
        stop_id, target_id = protection_ids(entry, self._installation)
        stop_at = execution_rules.stop_price(entry_price, side, sizing.stop_distance, tick)
        target_at = execution_rules.take_profit_price(entry_price, side, sizing.take_profit_distance, tick)
        return _order(entry, stop_id, stop_at, is_stop=True), _order(
            entry, target_id, target_at, is_stop=False
        )


def _order(entry: Entry, client_id: str, trigger_price: Decimal, *, is_stop: bool) -> ProtectiveOrder:
    return ProtectiveOrder(
        client_id=client_id,
        symbol=entry.symbol,
        side=OrderSide.closing(entry.side),
        is_stop=is_stop,
        trigger_price=trigger_price,
    )


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
