"""The order desk: accepts, fills, rests and cancels orders of the order endpoint.

Knows the life of an order and the sequence of its events. Must never fire conditional orders (see
`triggers`), and changes nothing when it refuses.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from infrastructure.paper_exchange import matching, payloads, validation
from infrastructure.paper_exchange.account import Ledger
from infrastructure.paper_exchange.commands import CancelAllOrders, CancelOrder, PlaceOrder
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.matching import Fill
from infrastructure.paper_exchange.values import (
    ONE,
    ZERO,
    Algo,
    ForcedClose,
    Order,
    OrderStatus,
    OrderType,
    Payload,
    Side,
    TimeInForce,
)

_RESTING = frozenset({TimeInForce.GTC, TimeInForce.GTX})
_EXCHANGE_IDS = {
    ForcedClose.LIQUIDATION: "autoclose-{}",
    ForcedClose.ADL: "adl_autoclose",
    ForcedClose.SETTLEMENT: "settlement_autoclose-{}",
}
"""Client ids of the exchange's own orders; the gap is the time."""


class OrderDesk:
    """Works the orders of one account."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._state = ledger.state

    # -- commands ----------------------------------------------------------------------------------

    def place(self, request: PlaceOrder, now_ms: int, events: list[Payload]) -> Order:
        """Accept and work an order; raises `ApiError` when a rule forbids it."""
        validation.check_order(request, self._ledger)
        order = self._accept(request, now_ms)
        self.work(order, now_ms, events, request.fill_share)
        return order

    def cancel(self, request: CancelOrder, now_ms: int, events: list[Payload]) -> Order:
        """Cancel one open order; raises -2011 when it is not open."""
        for order in self._state.open_orders.values():
            if order.symbol == request.symbol and _is_named(order, request.order_id, request.client_order_id):
                self._finish(order, OrderStatus.CANCELED, now_ms, events)
                return order
        raise ApiError(-2011)

    def cancel_all(self, request: CancelAllOrders, now_ms: int, events: list[Payload]) -> None:
        """Cancel every open order of a symbol."""
        for order in [each for each in self._state.open_orders.values() if each.symbol == request.symbol]:
            self._finish(order, OrderStatus.CANCELED, now_ms, events)

    # -- what prices and triggers ask for ----------------------------------------------------------

    def accept_fired(self, algo: Algo, quantity: Decimal, now_ms: int) -> Order:
        """Accept the MARKET order of a conditional order, under the conditional order's client id.

        Raises `ApiError` when it would open a position that the account may not open. The caller works it.
        """
        request = PlaceOrder(
            symbol=algo.symbol,
            side=algo.side,
            type=OrderType.MARKET,
            quantity=quantity,
            price=ZERO,
            time_in_force=TimeInForce.GTC,
            reduce_only=algo.reduce_only or algo.close_position,
            client_order_id=algo.client_algo_id,
        )
        if not request.reduce_only:
            validation.check_order(request, self._ledger)
        order = self._accept(request, now_ms)
        order.orig_type, order.stop_price = algo.type.value, algo.trigger_price
        order.working_type, order.close_position = algo.working_type, algo.close_position
        return order

    def work(self, order: Order, now_ms: int, events: list[Payload], fill_share: Decimal = ONE) -> None:
        """Announce an accepted order, fill it from the book, and rest or expire what is left."""
        events.append(payloads.order_trade_update(order, "NEW", now_ms))
        limit = None if order.type is OrderType.MARKET else order.price
        quantity = order.quantity
        if fill_share < ONE:
            quantity = matching.share_of(quantity, fill_share, self._ledger.rules[order.symbol].step)
        fills = matching.take(order.side, quantity, limit, self._book(order))
        self._apply(order, fills, now_ms, events, maker=False)
        if order.status is OrderStatus.FILLED:
            self._archive(order)
        elif order.type is OrderType.LIMIT and order.time_in_force in _RESTING:
            self._state.open_orders[order.order_id] = order
        else:
            self._finish(order, OrderStatus.EXPIRED, now_ms, events)

    def fill_resting(self, now_ms: int, events: list[Payload]) -> None:
        """Fill resting orders whose price the book has reached, in full and at their own price."""
        for order in list(self._state.open_orders.values()):
            if matching.crosses(order.side, order.price, self._best_price(order)):
                self._fill_as_maker(order, now_ms, events)

    def force_close(
        self, symbol: str, reason: ForcedClose, quantity: Decimal, now_ms: int, events: list[Payload]
    ) -> Order:
        """Close a position, or `quantity` of it, at the mark price by an order of the exchange's own.

        A liquidation costs the clearance fee, the others the taker fee. Only deleveraging leaves resting
        orders where they are.
        """
        if reason is not ForcedClose.ADL:
            self.cancel_all(CancelAllOrders(symbol), now_ms, events)
        position, mark = self._state.positions[symbol], self._state.quotes[symbol].mark
        request = PlaceOrder(
            symbol=symbol,
            side=position.side.opposite,
            type=OrderType.LIMIT,
            quantity=quantity,
            price=mark,
            time_in_force=TimeInForce.IOC,
            client_order_id=_EXCHANGE_IDS[reason].format(now_ms),
        )
        order = self._accept(request, now_ms)
        events.append(payloads.order_trade_update(order, "NEW", now_ms))
        if reason is ForcedClose.LIQUIDATION:
            trade = self._ledger.settle_liquidation(order, mark, now_ms)
        else:
            trade = self._ledger.apply_fill(order, Fill(mark, quantity), maker=False, now_ms=now_ms)
        events.append(payloads.account_update(self._ledger, "ORDER", [symbol], now_ms))
        order.status = OrderStatus.FILLED
        events.append(payloads.order_trade_update(order, "CALCULATED", now_ms, trade))
        self._archive(order)
        return order

    # -- inside ------------------------------------------------------------------------------------

    def _accept(self, request: PlaceOrder, now_ms: int) -> Order:
        number = self._state.counters.order
        self._state.counters.order += 1
        quantity = request.quantity
        if request.reduce_only:
            quantity = min(quantity, abs(self._ledger.position(request.symbol).amount))
        return Order(
            order_id=number,
            symbol=request.symbol,
            client_order_id=request.client_order_id or f"paper-{number}",
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            quantity=quantity,
            price=request.price,
            reduce_only=request.reduce_only,
            created_ms=now_ms,
            updated_ms=now_ms,
        )

    def _fill_as_maker(self, order: Order, now_ms: int, events: list[Payload]) -> None:
        quantity = order.remaining
        if order.reduce_only:
            amount = self._ledger.position(order.symbol).amount
            quantity = min(quantity, abs(amount)) if amount * order.side.sign < 0 else ZERO
        if quantity:
            self._apply(order, [Fill(order.price, quantity)], now_ms, events, maker=True)
        if order.status is OrderStatus.FILLED:
            del self._state.open_orders[order.order_id]
            self._archive(order)
        else:
            self._finish(order, OrderStatus.EXPIRED, now_ms, events)

    def _apply(
        self, order: Order, fills: Sequence[Fill], now_ms: int, events: list[Payload], *, maker: bool
    ) -> None:
        """Book the fills: the account's event comes first, each trade's shows the order as of that trade."""
        executions: list[Payload] = []
        for fill in fills:
            trade = self._ledger.apply_fill(order, fill, maker=maker, now_ms=now_ms)
            order.status = OrderStatus.PARTIALLY_FILLED if order.remaining else OrderStatus.FILLED
            executions.append(payloads.order_trade_update(order, "TRADE", now_ms, trade))
        if executions:
            events.append(payloads.account_update(self._ledger, "ORDER", [order.symbol], now_ms))
            events.extend(executions)

    def _finish(self, order: Order, status: OrderStatus, now_ms: int, events: list[Payload]) -> None:
        self._state.open_orders.pop(order.order_id, None)
        order.status, order.updated_ms = status, now_ms
        events.append(payloads.order_trade_update(order, status.value, now_ms))
        self._archive(order)

    def _archive(self, order: Order) -> None:
        self._ledger.archive_order(order)

    def _book(self, order: Order) -> Iterator[matching.Level]:
        ledger = self._ledger
        last = self._state.quotes[order.symbol].last
        return matching.levels(order.side, last, ledger.rules[order.symbol], ledger.terms.book)

    def _best_price(self, order: Order) -> Decimal:
        ledger = self._ledger
        last = self._state.quotes[order.symbol].last
        top = matching.top_of_book(last, ledger.rules[order.symbol], ledger.terms.book)
        return top.ask if order.side is Side.BUY else top.bid


def _is_named(order: Order, order_id: int, client_order_id: str) -> bool:
    return order.order_id == order_id if order_id else order.client_order_id == client_order_id


def find_order(ledger: Ledger, symbol: str, order_id: int, client_order_id: str) -> Order:
    """An order by id or client id: an open one, else the newest done one; raises -2013 without one."""
    for order in ledger.state.open_orders.values():
        if order.symbol == symbol and _is_named(order, order_id, client_order_id):
            return order
    for order in reversed(ledger.state.done_orders.get(symbol, [])):
        if _is_named(order, order_id, client_order_id):
            return order
    raise ApiError(-2013)
