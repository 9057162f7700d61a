"""The account's endpoints as faults leave them: new things that cannot be seen yet, orders filled in part.

Knows which answers show what. Must never change what is true: hiding concerns the answer only, and a partial
fill is asked of the core in the order's own command.
"""

from typing import NamedTuple

import msgspec
import structlog

from infrastructure.paper_exchange import requests
from infrastructure.paper_exchange.account_endpoints import AccountEndpoints
from infrastructure.paper_exchange.commands import PlaceOrder
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.fault_kinds import FaultKind
from infrastructure.paper_exchange.faults import Seen, Switchboard
from infrastructure.paper_exchange.requests import Params
from infrastructure.paper_exchange.values import ONE, OrderType, Payload, TimeInForce
from infrastructure.paper_exchange.venue import Venue

_LOG = structlog.get_logger()
_PARTIAL = frozenset({FaultKind.PARTIAL_FILL})
_SHORT = frozenset({FaultKind.SHORT_PAGE})
_FEE_ASSET = frozenset({FaultKind.FEE_ASSET})


class _Veiled(NamedTuple):
    """What can be hidden, and the fields that tell its id, its client id and when it came into being."""

    kind: FaultKind
    number: str
    client_id: str
    born: str


_ORDER = _Veiled(FaultKind.HIDDEN_ORDER, "orderId", "clientOrderId", "time")
_ALGO = _Veiled(FaultKind.HIDDEN_ALGO, "algoId", "clientAlgoId", "createTime")
_FILL = _Veiled(FaultKind.HIDDEN_FILL, "id", "", "time")


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
        _LOG.warning(
            "fault_fired", fault=fault.number, kind=fault.kind, client_order_id=body["clientOrderId"]
        )
        return body

    def _can_be_partial(self, command: PlaceOrder) -> bool:
        ends_at_once = command.type is OrderType.MARKET or command.time_in_force is TimeInForce.IOC
        return ends_at_once and command.quantity > self._listed[command.symbol].step

    # -- things that cannot be seen yet ------------------------------------------------------------

    def order(self, params: Params) -> Payload:
        """GET order."""
        return self._found(super().order(params), _ORDER, "order")

    def open_order(self, params: Params) -> Payload:
        """GET openOrder."""
        return self._found(super().open_order(params), _ORDER, "open_order")

    def open_orders(self, params: Params) -> list[Payload]:
        """GET openOrders."""
        return self._listing(super().open_orders(params), _ORDER, "open_orders")

    def all_orders(self, params: Params) -> list[Payload]:
        """GET allOrders."""
        return self._listing(super().all_orders(params), _ORDER, "all_orders")

    def algo(self, params: Params) -> Payload:
        """GET algoOrder."""
        return self._found(super().algo(params), _ALGO, "algo")

    def open_algos(self, params: Params) -> list[Payload]:
        """GET openAlgoOrders."""
        return self._listing(super().open_algos(params), _ALGO, "open_algos")

    def all_algos(self, params: Params) -> list[Payload]:
        """GET allAlgoOrders."""
        return self._listing(super().all_algos(params), _ALGO, "all_algos")

    def user_trades(self, params: Params) -> list[Payload]:
        """GET userTrades; a fill's role is that of its order."""
        rows = self._half("user_trades", params, super().user_trades(params))
        fault = self._faults.strike(_FEE_ASSET, Seen("user_trades", "", params.get("symbol", "")))
        if fault is not None:
            rows = [row | {"commissionAsset": fault.order.asset} for row in rows]
        if not self._faults.has(FaultKind.HIDDEN_FILL):
            return rows
        orders = [*self._state.open_orders.values(), *self._state.done_orders.get(params["symbol"], [])]
        client_ids = {order.order_id: order.client_order_id for order in orders}
        return [
            row
            for row in rows
            if not self._hides(_FILL, row, "user_trades", client_ids.get(row["orderId"], ""))
        ]

    def income(self, params: Params) -> list[Payload]:
        """GET income."""
        return self._half("income", params, super().income(params))

    def _half(self, operation: str, params: Params, rows: list[Payload]) -> list[Payload]:
        if not self._faults.has(FaultKind.SHORT_PAGE):
            return rows
        fault = self._faults.strike(_SHORT, Seen(operation, "", params.get("symbol", "")))
        return rows if fault is None else rows[: len(rows) // 2]

    def _found(self, body: Payload, what: _Veiled, operation: str) -> Payload:
        if self._faults.has(what.kind) and self._hides(what, body, operation, body[what.client_id]):
            raise ApiError(-2013)
        return body

    def _listing(self, rows: list[Payload], what: _Veiled, operation: str) -> list[Payload]:
        if not self._faults.has(what.kind):
            return rows
        return [row for row in rows if not self._hides(what, row, operation, row[what.client_id])]

    def _hides(self, what: _Veiled, body: Payload, operation: str, client_id: str) -> bool:
        seen = Seen(operation, "", body["symbol"], client_id)
        age_ms = self._venue.clock() - body[what.born]
        return self._faults.hides(what.kind, seen, body[what.number], age_ms)
