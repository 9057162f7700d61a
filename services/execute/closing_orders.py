"""The orders that close a position: in which form, how much of it is still ours, what became of them.

Everything is reduce-only. A form that the exchange refused is not sent again unchanged, and no more is ever
sold than our own entry can still hold: a position of a stranger on the same symbol is not ours to close.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.execute import closing_forms, facts
from services.execute.closing_forms import Refusal, is_of_form
from services.execute.error_classes import ClockSkewed, ErrorKind, VenueRefused
from services.execute.order_state import Entry
from services.execute.ports import Exchange, KeepsEntries, KnowsMarket, OwesMessages
from services.execute.reconciliation import protection_ids
from services.execute.venue import AlgoReport, OrderRow, OrderSide, ProtectiveOrder, VenuePosition
from shared import crash_points, ids, logs
from shared.clock import Clock
from shared.errors import ExchangeUnavailable, ExecutionUnknown
from shared.ids import OrderRole
from shared.market import Instrument
from shared.money import ZERO, plain
from shared.supervision import Done, attempt, within

LOOK_S = 2.0
"""How long a look that only refines what is known may take while a position waits to be closed."""
PUBLISH_S = 0.25
"""How long word of a refusal may keep back the order that answers it; the sweeper sends what is left."""
WHOLE = "TAKE_PROFIT_MARKET"
"""The order type that closes the whole position without a quantity; the stop stays beside it."""
UNKNOWN_STATUS = "SENDING"

_log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """What came of one closing order; `trouble` in the exchange's words, empty when it filled."""

    trouble: str = ""
    changes_form: bool = False
    is_refused: bool = False
    is_waiting: bool = False  # a conditional order will do it


FILLED = Reduction()


class ClosingOrders:
    """Sends closing orders, and knows what they have closed."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        market: KnowsMarket,
        outbox: OwesMessages,
        installation: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._market = market
        self._outbox = outbox
        self._installation = installation
        self._clock = clock
        self._refused: dict[str, dict[Decimal, Refusal]] = {}  # bounded by the positions being closed

    def forget(self, signal_id: str) -> None:
        """Forget the forms that were refused: the position is over."""
        self._refused.pop(signal_id, None)

    # --- what our orders have closed ---

    async def closed_by_us(self, entry: Entry) -> Decimal:
        """Return how much of the entry's quantity orders of ours are known to have closed, stop and target
        included. An order that cannot be looked up now counts as nothing: it is looked up again.
        """
        rows = await self._store.closing_orders(entry.signal_id)
        total = ZERO
        for row in rows:
            total += await self._filled_by(entry, row)
        for client_id in protection_ids(entry, self._installation):
            total += await self._filled_by_algo(entry, client_id)
        return total

    async def _filled_by(self, entry: Entry, row: OrderRow) -> Decimal:
        if row.filled_quantity is not None:
            return row.filled_quantity
        if row.order_type == WHOLE:
            return await self._filled_by_algo(entry, row.client_id)
        if row.status != UNKNOWN_STATUS:
            return ZERO
        match await attempt(within(LOOK_S, self._exchange.find_order(entry.symbol, row.client_id))):
            case Done(report) if report is not None:
                filled = report.filled_quantity if report.is_final else None
                await self._store.set_order_status(
                    row.client_id, report.status, filled_quantity=filled, exchange_order_id=report.order_id
                )
                return report.filled_quantity
        return ZERO

    async def _filled_by_algo(self, entry: Entry, client_id: str) -> Decimal:
        match await attempt(within(LOOK_S, self._exchange.find_algo(client_id))):
            case Done(AlgoReport(actual_order_id=str(order_id)) as algo) if algo.has_fired:
                match await attempt(within(LOOK_S, self._exchange.find_order_by_id(entry.symbol, order_id))):
                    case Done(report) if report is not None:
                        filled = report.filled_quantity if report.is_final else None
                        await self._store.set_order_status(
                            client_id, algo.status, filled_quantity=filled, exchange_order_id=order_id
                        )
                        return report.filled_quantity
        return ZERO

    # --- sending ---

    async def reduce(
        self, entry: Entry, held: VenuePosition | None, left: Decimal, number: int, asked_at: datetime
    ) -> Reduction:
        """Send one closing order for what is `left`, in a form that was not refused before.

        It is signed with the time at which the entry still was ours to close: a process that was frozen
        since is refused when it wakes, and cannot close the next position of the symbol (P9).
        """
        refused = self._refused.get(entry.signal_id, {})
        rules = await self._rules(entry.symbol) if refused or left != entry.filled_quantity else None
        quantity = closing_forms.quantity(left, rules, refused)
        if quantity is None:
            return await self.close_whole(entry, held, left, number)
        client_id = self._client_id(entry, number)
        row = self._row(entry, client_id, "MARKET", quantity=quantity)
        async with self._store.transaction() as tx:
            await self._store.record_orders(tx, entry.signal_id, [row])
        side = OrderSide.closing(entry.side)
        try:
            report = await self._exchange.close_market(client_id, entry.symbol, side, quantity, asked_at)
            crash_points.reach("execute.close_answered")
        except ExecutionUnknown as lost:
            _log.warning("close_answer_lost", correlation_id=entry.signal_id, error=str(lost))
            return Reduction(trouble=str(lost))
        except ClockSkewed as skewed:
            await self._note_refused(client_id)
            return Reduction(trouble=str(skewed))
        except ExchangeUnavailable:  # surely not executed: never to be looked up again
            await self._note_refused(client_id)
            raise
        except VenueRefused as refusal:
            await self._note_refused(client_id)
            return await self._refused_form(entry, client_id, quantity, refusal)
        filled = report.filled_quantity if report.is_final else None
        await self._store.set_order_status(
            client_id, report.status, filled_quantity=filled, exchange_order_id=report.order_id
        )
        if report.filled_quantity >= quantity:
            return FILLED
        return Reduction(trouble=f"{report.filled_quantity} of {quantity} filled, {report.status}")

    async def _refused_form(
        self, entry: Entry, client_id: str, quantity: Decimal, refusal: VenueRefused
    ) -> Reduction:
        if refusal.kind is ErrorKind.NOTHING_TO_REDUCE:
            return Reduction(trouble=str(refusal))  # the position is looked at before anything else is sent
        changes_form = is_of_form(refusal)
        await self.report_refusal(
            entry, OrderRole.CLOSE, client_id, refusal, "form_changed" if changes_form else "retried"
        )
        if changes_form:
            known = self._refused.setdefault(entry.signal_id, {})
            known[quantity] = Refusal(code=refusal.code)
            if refusal.kind is ErrorKind.STALE_RULES:
                await attempt(within(LOOK_S, self._market.renewed(entry.symbol)))
        return Reduction(trouble=str(refusal), changes_form=changes_form, is_refused=True)

    async def close_whole(
        self, entry: Entry, held: VenuePosition | None, left: Decimal, number: int
    ) -> Reduction:
        """Let the exchange close the whole position at the next tick of the price, without a quantity.

        Only where all of it is ours. The target makes room, for the exchange takes one such order of a kind;
        the stop stays.
        """
        rules = await self._rules(entry.symbol)
        if held is None or rules is None or held.quantity > left:
            return Reduction(trouble=f"{left} of {entry.symbol} fit no order, and the rest is not ours")
        trigger = closing_forms.next_tick(held.mark_price, entry.side, rules.tick_size)
        open_at = await self._open_whole_at(entry)
        if open_at is not None and not closing_forms.is_nearer(trigger, open_at, entry.side):
            return _waiting_at(open_at)  # moving it away from the price, it would never fire
        await self._withdraw_conditional(entry)
        order = ProtectiveOrder(
            client_id=self._client_id(entry, number),
            symbol=entry.symbol,
            side=OrderSide.closing(entry.side),
            is_stop=False,
            trigger_price=trigger,
        )
        row = self._row(entry, order.client_id, WHOLE, trigger_price=order.trigger_price)
        async with self._store.transaction() as tx:
            await self._store.record_orders(tx, entry.signal_id, [row])
        try:
            await self._exchange.place_protection(order)
        except ExecutionUnknown as lost:
            return Reduction(trouble=str(lost))
        except ExchangeUnavailable:
            await self._note_refused(order.client_id)
            raise
        except VenueRefused as refusal:
            await self._note_refused(order.client_id)
            if refusal.kind is not ErrorKind.WOULD_TRIGGER:
                await self.report_refusal(entry, OrderRole.CLOSE, order.client_id, refusal, "retried")
            return Reduction(trouble=str(refusal))
        await self._store.set_order_status(order.client_id, "NEW")
        _log.warning("whole_position_order", correlation_id=entry.signal_id, trigger=str(order.trigger_price))
        return _waiting_at(trigger)

    async def _open_whole_at(self, entry: Entry) -> Decimal | None:
        """Return where an order for the whole position is open already."""
        for row in await self._conditional(entry):
            match await attempt(within(LOOK_S, self._exchange.find_algo(row.client_id))):
                case Done(AlgoReport() as algo) if algo.is_standing:
                    return algo.trigger_price
        return None

    async def withdraw(self, entry: Entry) -> None:
        """Cancel every conditional order of an entry whose position is gone.

        Raises:
            DependencyDown: one may still be open; call again.
        """
        for client_id in protection_ids(entry, self._installation):
            await self._cancel(client_id)
        for row in await self._conditional(entry):
            await self._cancel(row.client_id)

    async def _withdraw_conditional(self, entry: Entry) -> None:
        _, target_id = protection_ids(entry, self._installation)
        await self._cancel(target_id)
        for row in await self._conditional(entry):
            await self._cancel(row.client_id)

    async def _conditional(self, entry: Entry) -> list[OrderRow]:
        rows = await self._store.closing_orders(entry.signal_id)
        return [each for each in rows if each.order_type == WHOLE and each.status in ("NEW", UNKNOWN_STATUS)]

    async def _cancel(self, client_id: str) -> None:
        """Cancel one; what the exchange refuses to cancel may be gone already."""
        try:
            was_open = await self._exchange.cancel_algo(client_id)
        except VenueRefused:
            found = await self._exchange.find_algo(client_id)
            if found is None or found.is_standing:
                raise
            was_open = False
        if was_open:
            await self._store.set_order_status(client_id, "CANCELED")

    # --- telling and small change ---

    async def report_refusal(
        self, entry: Entry, role: OrderRole, client_id: str, refusal: VenueRefused, next_step: str
    ) -> None:
        """State what the exchange refused, once per role and code."""
        _log.warning("order_refused", correlation_id=entry.signal_id, client_id=client_id, error=str(refusal))
        told = [facts.refused(entry, role, client_id, refusal, next_step, self._clock())]
        async with self._store.transaction() as tx:
            await self._outbox.stage(tx, told)
        await attempt(within(PUBLISH_S, self._outbox.publish(told)))

    async def _rules(self, symbol: str) -> Instrument | None:
        match await attempt(within(LOOK_S, self._market.instrument(symbol))):
            case Done(rules):
                return rules
        return None  # closing does not wait for them

    async def _note_refused(self, client_id: str) -> None:
        await self._store.set_order_status(client_id, "REFUSED", filled_quantity=ZERO)

    def _client_id(self, entry: Entry, number: int) -> str:
        return ids.client_order_id(self._installation, entry.signal_id, OrderRole.CLOSE, number)

    def _row(
        self,
        entry: Entry,
        client_id: str,
        order_type: str,
        *,
        quantity: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> OrderRow:
        return OrderRow(
            client_id=client_id,
            role=OrderRole.CLOSE,
            symbol=entry.symbol,
            side=OrderSide.closing(entry.side),
            order_type=order_type,
            quantity=quantity,
            trigger_price=trigger_price,
            status=UNKNOWN_STATUS,
        )


def _waiting_at(trigger: Decimal) -> Reduction:
    return Reduction(
        trouble=f"a conditional order closes the whole position at {plain(trigger)}", is_waiting=True
    )
