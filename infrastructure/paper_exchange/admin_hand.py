"""Acts by hand: what the account's owner does elsewhere, and what the exchange does to a position.

Knows which command each act is. Must never get round the exchange's rules: a hand's order is checked like any
other, and is told to the streams and written to the journal like any other.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from infrastructure.paper_exchange.admin_http import (
    AdminHandler,
    answer,
    bad,
    json_body,
    listed,
    missing,
    only,
    positive,
)
from infrastructure.paper_exchange.commands import (
    CancelAlgo,
    CancelOrder,
    Command,
    ForceClose,
    PlaceOrder,
    SetLeverage,
    SetMarginType,
)
from infrastructure.paper_exchange.requests import is_client_id
from infrastructure.paper_exchange.values import (
    ZERO,
    ForcedClose,
    MarginType,
    OrderType,
    Payload,
    Side,
    TimeInForce,
)
from infrastructure.paper_exchange.venue import Venue


class HandAdmin:
    """Handlers under /admin/hand; each answers with the order it led to."""

    operations: Mapping[str, str] = {
        'POST /admin/hand/order {"symbol", "side", "quantity", "reduce_only"?, "client_id"?}': "MARKET order",
        'POST /admin/hand/close {"symbol", "client_id"?}': "close the position with a MARKET order",
        'POST /admin/hand/cancel {"client_id"}': "cancel an open order or conditional order",
        'POST /admin/hand/leverage {"symbol", "leverage"}': "set the leverage of a symbol",
        'POST /admin/hand/margin_type {"symbol", "margin_type"}': "set it to ISOLATED or CROSSED",
        'POST /admin/hand/liquidate {"symbol"}': "liquidate the position now, at the mark price",
        'POST /admin/hand/adl {"symbol", "quantity"?}': "deleverage the position, or so much of it",
        'POST /admin/hand/settle {"symbol"}': "settle the position, as at a delisting",
    }

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._symbols = venue.exchange.rules

    def handlers(self) -> Mapping[str, AdminHandler]:
        """Routes and their handlers."""
        return {
            "POST /admin/hand/order": self.order,
            "POST /admin/hand/close": self.close,
            "POST /admin/hand/cancel": self.cancel,
            "POST /admin/hand/leverage": self.leverage,
            "POST /admin/hand/margin_type": self.margin_type,
            "POST /admin/hand/liquidate": self.liquidate,
            "POST /admin/hand/adl": self.adl,
            "POST /admin/hand/settle": self.settle,
        }

    def notes(self) -> Mapping[str, object]:
        """Nothing more to tell."""
        return {}

    async def order(self, request: web.Request) -> web.Response:
        """POST /admin/hand/order."""
        body = only(await json_body(request), "symbol", "side", "quantity", "reduce_only", "client_id")
        if body.get("side") not in list(Side):
            raise bad("side must be BUY or SELL")
        if not isinstance(body.get("reduce_only", False), bool):
            raise bad("reduce_only must be true or false")
        return self._place(
            body, Side(body["side"]), positive(body, "quantity"), reduce_only=body.get("reduce_only", False)
        )

    async def close(self, request: web.Request) -> web.Response:
        """POST /admin/hand/close."""
        body = only(await json_body(request), "symbol", "client_id")
        amount = self._held(listed(body, self._symbols))
        return self._place(body, Side.SELL if amount > 0 else Side.BUY, abs(amount), reduce_only=True)

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /admin/hand/cancel; 404 when nothing open has this client id."""
        wanted = _client_id(only(await json_body(request), "client_id"))
        return answer(self._venue.execute(self._cancelling(wanted)))

    async def leverage(self, request: web.Request) -> web.Response:
        """POST /admin/hand/leverage."""
        body = only(await json_body(request), "symbol", "leverage")
        leverage = body.get("leverage")
        if isinstance(leverage, bool) or not isinstance(leverage, int):
            raise bad("leverage must be a whole number")
        return answer(self._venue.execute(SetLeverage(listed(body, self._symbols), leverage)))

    async def margin_type(self, request: web.Request) -> web.Response:
        """POST /admin/hand/margin_type."""
        body = only(await json_body(request), "symbol", "margin_type")
        if body.get("margin_type") not in list(MarginType):
            raise bad(f"margin_type must be one of {', '.join(MarginType)}")
        kind = MarginType(body["margin_type"])
        return answer(self._venue.execute(SetMarginType(listed(body, self._symbols), kind)))

    async def liquidate(self, request: web.Request) -> web.Response:
        """POST /admin/hand/liquidate."""
        return await self._force(request, ForcedClose.LIQUIDATION)

    async def adl(self, request: web.Request) -> web.Response:
        """POST /admin/hand/adl."""
        return await self._force(request, ForcedClose.ADL)

    async def settle(self, request: web.Request) -> web.Response:
        """POST /admin/hand/settle."""
        return await self._force(request, ForcedClose.SETTLEMENT)

    def _place(
        self, body: dict[str, Any], side: Side, quantity: Decimal, *, reduce_only: bool
    ) -> web.Response:
        command = PlaceOrder(
            symbol=listed(body, self._symbols),
            side=side,
            type=OrderType.MARKET,
            quantity=quantity,
            price=ZERO,
            time_in_force=TimeInForce.GTC,
            reduce_only=reduce_only,
            client_order_id=_client_id(body) if "client_id" in body else "",
        )
        return answer(self._venue.execute(command))

    async def _force(self, request: web.Request, reason: ForcedClose) -> web.Response:
        known = ("symbol", "quantity") if reason is ForcedClose.ADL else ("symbol",)
        body = only(await json_body(request), *known)
        symbol = listed(body, self._symbols)
        held = abs(self._held(symbol))
        quantity = positive(body, "quantity") if "quantity" in body else held
        if quantity > held or quantity % self._symbols[symbol].step:
            raise bad(f"quantity must be whole steps of {self._symbols[symbol].step} and at most {held}")
        return answer(self._venue.execute(ForceClose(symbol, reason, quantity)))

    def _held(self, symbol: str) -> Decimal:
        amount = self._venue.exchange.ledger.position(symbol).amount
        if not amount:
            raise missing(f"there is no position in {symbol}")
        return amount

    def _cancelling(self, client_id: str) -> Command:
        state = self._venue.exchange.state
        for order in state.open_orders.values():
            if order.client_order_id == client_id:
                return CancelOrder(order.symbol, order.order_id)
        for algo in state.open_algos.values():
            if algo.client_algo_id == client_id:
                return CancelAlgo(algo.algo_id)
        raise missing(f"nothing open has the client id {client_id}")


def _client_id(body: Payload) -> str:
    text = body.get("client_id")
    if not isinstance(text, str) or not is_client_id(text):
        raise bad("client_id must be 1 to 36 characters of .A-Z:/a-z0-9_-")
    return text
