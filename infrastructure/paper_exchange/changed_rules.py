"""Rules that the exchange has changed since a client read them: another step or tick, a delisted symbol.

Knows what exchangeInfo then shows and which orders are then refused. Must never touch the core: whatever is
open stays as it is, and prices go on.
"""

from decimal import Decimal, InvalidOperation

from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.fault_kinds import FaultKind
from infrastructure.paper_exchange.fault_orders import GONE, FaultOrder
from infrastructure.paper_exchange.faults import Switchboard
from infrastructure.paper_exchange.requests import Params
from infrastructure.paper_exchange.values import ZERO, Payload, plain

_LOT_FILTERS = ("LOT_SIZE", "MARKET_LOT_SIZE")
_PRICES = ("price", "triggerPrice")


class ChangedRules:
    """What the armed faults of kind `rules_changed` say about symbols."""

    def __init__(self, faults: Switchboard) -> None:
        self._faults = faults

    def check(self, params: Params, *, opens: bool) -> None:
        """Refuse a request by a symbol's changed rules; `opens` marks an order that may open a position.

        Raises:
            ApiError: -1121 for a symbol that is gone, -4140 for one that trades no more, -1111 and -4014 for
                a quantity and a price that do not fit.
        """
        for order in self._orders():
            if params.get("symbol") != order.symbol:
                continue
            if order.listing == GONE:
                raise ApiError(-1121)
            if order.listing is not None and opens:
                raise ApiError(-4140)
            if not _fits(params.get("quantity"), order.step):
                raise ApiError(-1111)
            if not all(_fits(params.get(name), order.tick) for name in _PRICES):
                raise ApiError(-4014)

    def shown(self, exchange_info: Payload) -> Payload:
        """Return exchangeInfo with the changed rules."""
        changed = {order.symbol: order for order in self._orders() if order.shown is not False}
        rows = [
            _changed(row, changed[row["symbol"]]) if row["symbol"] in changed else row
            for row in exchange_info["symbols"]
            if row["symbol"] not in changed or changed[row["symbol"]].listing != GONE
        ]
        return {**exchange_info, "symbols": rows}

    def _orders(self) -> list[FaultOrder]:
        return [fault.order for fault in self._faults.armed_of(FaultKind.RULES_CHANGED)]


def _fits(text: str | None, grain: Decimal | None) -> bool:
    if grain is None or not text:
        return True
    try:
        return Decimal(text) % grain == ZERO
    except InvalidOperation:
        return True  # the request's own check says what is wrong with it


def _changed(row: Payload, order: FaultOrder) -> Payload:
    filters = [_filter(each, order) for each in row["filters"]]
    return {**row, "filters": filters} | ({} if order.listing is None else {"status": order.listing})


def _filter(row: Payload, order: FaultOrder) -> Payload:
    if order.step is not None and row["filterType"] in _LOT_FILTERS:
        return {**row, "stepSize": plain(order.step), "minQty": plain(order.step)}
    if order.tick is not None and row["filterType"] == "PRICE_FILTER":
        return {**row, "tickSize": plain(order.tick)}
    return row
