"""The account's endpoints as faults leave them: new things that cannot be seen yet, orders filled in part.

Knows which answers show what. Must never change what is true: hiding concerns the answer only, and a partial
fill is asked of the core in the order's own command.
"""

from collections.abc import Callable

import msgspec

from infrastructure.paper_exchange import requests
from infrastructure.paper_exchange.account_endpoints import AccountEndpoints
from infrastructure.paper_exchange.commands import PlaceOrder
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.fault_kinds import FaultKind
from infrastructure.paper_exchange.faults import Seen, Switchboard
from infrastructure.paper_exchange.orders import find_order
from infrastructure.paper_exchange.requests import Params
from infrastructure.paper_exchange.values import ONE, OrderType, Payload, TimeInForce
from infrastructure.paper_exchange.venue import Venue

_PARTIAL = frozenset({FaultKind.PARTIAL_FILL})

_Hides = Callable[[Payload, str], bool]


class DisturbedEndpoints(AccountEndpoints):
    """The account of one venue, seen past the switchboard."""

    def __init__(self, venue: Venue, faults: Switchboard, *, omit_average: bool) -> None:
        super().__init__(venue, omit_average=omit_average)
        self._faults = faults

    # -- partial fills -----------------------------------------------------------------------------

    def place_order(self, params: Params) -> Payload:
        """POST order; a fault may leave a part of it unfilled. It counts only when the order was accepted."""
        if not self._faults.armed:
            return super().place_order(params)
        command = requests.place_order(params, self._listed)
        seen = Seen("place_order", "", command.symbol, command.client_order_id, reduces=command.reduce_only)
        fault = self._faults.find(_PARTIAL, seen) if self._can_be_partial(command) else None
        if fault is None:
            return self._place(command, params)
        body = self._place(msgspec.structs.replace(command, fill_share=fault.order.share or ONE), params)
        self._faults.fire(fault)
        return body

    def _can_be_partial(self, command: PlaceOrder) -> bool:
        ends_at_once = command.type is OrderType.MARKET or command.time_in_force is TimeInForce.IOC
        return ends_at_once and command.quantity > self._listed[command.symbol].step

    # -- things that cannot be seen yet ------------------------------------------------------------

    def order(self, params: Params) -> Payload:
        """GET order."""
        return self._found(super().order(params), self._hides_order, "order")

    def open_order(self, params: Params) -> Payload:
        """GET openOrder."""
        return self._found(super().open_order(params), self._hides_order, "open_order")

    def open_orders(self, params: Params) -> list[Payload]:
        """GET openOrders."""
        return self._listing(super().open_orders(params), self._hides_order, "open_orders")

    def all_orders(self, params: Params) -> list[Payload]:
        """GET allOrders."""
        return self._listing(super().all_orders(params), self._hides_order, "all_orders")

    def algo(self, params: Params) -> Payload:
        """GET algoOrder."""
        return self._found(super().algo(params), self._hides_algo, "algo")

    def open_algos(self, params: Params) -> list[Payload]:
        """GET openAlgoOrders."""
        return self._listing(super().open_algos(params), self._hides_algo, "open_algos")

    def all_algos(self, params: Params) -> list[Payload]:
        """GET allAlgoOrders."""
        return self._listing(super().all_algos(params), self._hides_algo, "all_algos")

    def user_trades(self, params: Params) -> list[Payload]:
        """GET userTrades."""
        return self._listing(super().user_trades(params), self._hides_fill, "user_trades")

    def _found(self, body: Payload, hides: _Hides, operation: str) -> Payload:
        if self._faults.armed and hides(body, operation):
            raise ApiError(-2013)
        return body

    def _listing(self, rows: list[Payload], hides: _Hides, operation: str) -> list[Payload]:
        return [row for row in rows if not hides(row, operation)] if self._faults.armed else rows

    def _hides_order(self, body: Payload, operation: str) -> bool:
        seen = Seen(operation, "", body["symbol"], body["clientOrderId"])
        return self._hides(FaultKind.HIDDEN_ORDER, seen, body["orderId"], body["time"])

    def _hides_algo(self, body: Payload, operation: str) -> bool:
        seen = Seen(operation, "", body["symbol"], body["clientAlgoId"])
        return self._hides(FaultKind.HIDDEN_ALGO, seen, body["algoId"], body["createTime"])

    def _hides_fill(self, body: Payload, operation: str) -> bool:
        client_id = self._client_id(body["symbol"], body["orderId"])
        return self._hides(
            FaultKind.HIDDEN_FILL, Seen(operation, "", body["symbol"], client_id), body["id"], body["time"]
        )

    def _hides(self, kind: FaultKind, seen: Seen, number: int, born_ms: int) -> bool:
        return self._faults.hides(kind, seen, number, self._venue.clock() - born_ms)

    def _client_id(self, symbol: str, order_id: int) -> str:
        """The client id of a fill's order; none when the order is forgotten."""
        try:
            return find_order(self._ledger, symbol, order_id, "").client_order_id
        except ApiError:
            return ""
