"""Handlers of the account's REST endpoints: parameters in, JSON value out.

Knows which command or view answers a request. Must never know HTTP, nor change the account but by a command.
"""

from typing import Any

from infrastructure.paper_exchange import payloads, requests, views
from infrastructure.paper_exchange.commands import CancelAllAlgos, CancelAllOrders, PlaceOrder
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.orders import find_order
from infrastructure.paper_exchange.requests import Params
from infrastructure.paper_exchange.triggers import find_algo
from infrastructure.paper_exchange.values import Order, Payload
from infrastructure.paper_exchange.venue import Venue

_SWITCHES = {"true": True, "false": False}


class AccountEndpoints:
    """The account of one venue."""

    def __init__(self, venue: Venue, *, omit_average: bool) -> None:
        self._venue = venue
        self._ledger = venue.exchange.ledger
        self._state = venue.exchange.state
        self._listed = venue.exchange.rules
        self._omit_average = omit_average

    # -- orders ------------------------------------------------------------------------------------

    def place_order(self, params: Params) -> Payload:
        """POST order; an ACK shows the order as it was accepted, a RESULT what became of it."""
        return self._place(requests.place_order(params, self._listed), params)

    def _place(self, command: PlaceOrder, params: Params) -> Payload:
        body = self._venue.execute(command)
        if params.get("newOrderRespType", "ACK") != "RESULT":
            body = payloads.acknowledged(body)
        return self._without_average(body)

    def cancel_order(self, params: Params) -> Payload:
        """DELETE order."""
        return self._without_average(self._venue.execute(requests.cancel_order(params, self._listed)))

    def order(self, params: Params) -> Payload:
        """GET order: open or done."""
        named = requests.cancel_order(params, self._listed)
        return self._order_body(find_order(self._ledger, named.symbol, named.order_id, named.client_order_id))

    def open_order(self, params: Params) -> Payload:
        """GET openOrder: only while it is open."""
        named = requests.cancel_order(params, self._listed)
        found = find_order(self._ledger, named.symbol, named.order_id, named.client_order_id)
        if found.order_id not in self._state.open_orders:
            raise ApiError(-2013)
        return self._order_body(found)

    def open_orders(self, params: Params) -> list[Payload]:
        """GET openOrders; conditional orders are elsewhere."""
        symbol = requests.optional_symbol(params, self._listed)
        return [
            self._order_body(order)
            for order in self._state.open_orders.values()
            if symbol in ("", order.symbol)
        ]

    def all_orders(self, params: Params) -> list[Payload]:
        """GET allOrders."""
        wanted = requests.row_filter(params, self._listed, symbol_needed=False)
        return [self._order_body(order) for order in views.orders(self._ledger, wanted)]

    def cancel_all_orders(self, params: Params) -> Payload:
        """DELETE allOpenOrders."""
        return self._venue.execute(CancelAllOrders(requests.symbol(params, self._listed)))

    # -- conditional orders ------------------------------------------------------------------------

    def place_algo(self, params: Params) -> Payload:
        """POST algoOrder."""
        return self._venue.execute(requests.place_algo(params, self._listed))

    def cancel_algo(self, params: Params) -> Payload:
        """DELETE algoOrder."""
        return self._venue.execute(requests.cancel_algo(params))

    def algo(self, params: Params) -> Payload:
        """GET algoOrder: open or done."""
        named = requests.cancel_algo(params)
        return payloads.algo_body(find_algo(self._ledger, named.algo_id, named.client_algo_id), detailed=True)

    def open_algos(self, params: Params) -> list[Payload]:
        """GET openAlgoOrders."""
        symbol = requests.optional_symbol(params, self._listed)
        return [
            payloads.algo_body(algo, detailed=True)
            for algo in self._state.open_algos.values()
            if symbol in ("", algo.symbol)
        ]

    def all_algos(self, params: Params) -> list[Payload]:
        """GET allAlgoOrders."""
        wanted = requests.row_filter(params, self._listed)
        return [payloads.algo_body(algo, detailed=True) for algo in views.algos(self._ledger, wanted)]

    def cancel_all_algos(self, params: Params) -> Payload:
        """DELETE algoOpenOrders."""
        return self._venue.execute(CancelAllAlgos(requests.symbol(params, self._listed)))

    # -- settings ----------------------------------------------------------------------------------

    def set_leverage(self, params: Params) -> Payload:
        """POST leverage."""
        return self._venue.execute(requests.set_leverage(params, self._listed))

    def set_margin_type(self, params: Params) -> Payload:
        """POST marginType."""
        return self._venue.execute(requests.set_margin_type(params, self._listed))

    def position_mode(self, _: Params) -> Payload:
        """GET positionSide/dual: always one-way."""
        return {"dualSidePosition": False}

    def set_position_mode(self, params: Params) -> Payload:
        """POST positionSide/dual: one-way is all there is."""
        return _keep_off(params, "dualSidePosition")

    def multi_assets(self, _: Params) -> Payload:
        """GET multiAssetsMargin: always single-asset."""
        return {"multiAssetsMargin": False}

    def set_multi_assets(self, params: Params) -> Payload:
        """POST multiAssetsMargin: single-asset is all there is."""
        return _keep_off(params, "multiAssetsMargin")

    # -- account -----------------------------------------------------------------------------------

    def balance(self, _: Params) -> list[Payload]:
        """GET balance."""
        return views.balances(self._ledger)

    def account_v2(self, _: Params) -> Payload:
        """GET /fapi/v2/account."""
        return views.account_v2(self._ledger)

    def account_v3(self, _: Params) -> Payload:
        """GET /fapi/v3/account."""
        return views.account_v3(self._ledger)

    def position_risk_v2(self, params: Params) -> list[Payload]:
        """GET /fapi/v2/positionRisk."""
        return views.position_risk_v2(self._ledger, requests.optional_symbol(params, self._listed))

    def position_risk_v3(self, params: Params) -> list[Payload]:
        """GET /fapi/v3/positionRisk."""
        return views.position_risk_v3(self._ledger, requests.optional_symbol(params, self._listed))

    def symbol_config(self, params: Params) -> list[Payload]:
        """GET symbolConfig."""
        return views.symbol_config(self._ledger, requests.optional_symbol(params, self._listed))

    def account_config(self, _: Params) -> Payload:
        """GET accountConfig."""
        return views.account_config(self._ledger)

    def commission_rate(self, params: Params) -> Payload:
        """GET commissionRate."""
        return views.commission_rate(self._ledger, requests.symbol(params, self._listed))

    def leverage_brackets(self, params: Params) -> list[Payload]:
        """GET leverageBracket."""
        symbol = requests.optional_symbol(params, self._listed)
        wanted = [self._listed[symbol]] if symbol else self._listed.values()
        return [views.leverage_bracket(each) for each in wanted]

    def user_trades(self, params: Params) -> list[Payload]:
        """GET userTrades."""
        return views.user_trades(self._ledger, requests.row_filter(params, self._listed))

    def income(self, params: Params) -> list[Payload]:
        """GET income."""
        wanted = requests.row_filter(params, self._listed, symbol_needed=False)
        return views.incomes(self._ledger, wanted, params.get("incomeType", ""))

    # -- listen key --------------------------------------------------------------------------------

    def open_listen_key(self, _: Params) -> Payload:
        """POST listenKey."""
        return {"listenKey": self._venue.hub.open_listen_key()}

    def extend_listen_key(self, _: Params) -> Payload:
        """PUT listenKey."""
        return {"listenKey": self._venue.hub.extend_listen_key()}

    def close_listen_key(self, _: Params) -> Payload:
        """DELETE listenKey."""
        self._venue.hub.close_listen_key()
        return {}

    def _order_body(self, order: Order) -> Payload:
        return payloads.order_body(order, with_time=True, with_average=not self._omit_average)

    def _without_average(self, body: dict[str, Any]) -> Payload:
        if not self._omit_average:
            return body
        return {name: value for name, value in body.items() if name not in ("avgPrice", "cumQuote")}


def _keep_off(params: Params, name: str) -> Payload:
    wanted = _SWITCHES.get(params.get(name, "").lower())
    if wanted is None:
        raise ApiError(-1102, name)
    raise ApiError(-4084 if wanted else -4059)
