"""The operator's side door: look at the state, move prices, set the wallet, start again.

Loopback only and without signatures: never reachable from another machine. Bodies and answers are JSON;
`GET /admin` lists what there is.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any

import orjson
from aiohttp import web

from infrastructure.paper_exchange import payloads, views
from infrastructure.paper_exchange.commands import ResetAccount, SetWallet
from infrastructure.paper_exchange.values import ZERO, Payload, floor_to, plain
from infrastructure.paper_exchange.venue import Venue

_OPERATIONS: dict[str, str] = {
    "GET /admin/state": "account, positions, open orders, quotes, paused symbols",
    'POST /admin/price {"symbol", "price", "mark"?}': "jump now; what it fires, fires before the answer",
    'POST /admin/walk {"paused": true|false, "symbol"?}': "stop or resume price moves, of one symbol or all",
    'POST /admin/account {"wallet_balance"}': "bring the wallet to this balance by a transfer",
    "POST /admin/reset": "forget orders, positions and history; start with the configured wallet",
}

_Handler = Callable[[web.Request], Awaitable[web.Response]]


class AdminApi:
    """Handlers under /admin."""

    def __init__(self, venue: Venue, wallet_usdt: Decimal) -> None:
        self._venue = venue
        self._wallet_usdt = wallet_usdt

    def routes(self) -> list[web.RouteDef]:
        """All routes under /admin, guarded."""
        return [
            web.get("/admin", _guarded(self.operations)),
            web.get("/admin/state", _guarded(self.state)),
            web.post("/admin/price", _guarded(self.price)),
            web.post("/admin/walk", _guarded(self.walk)),
            web.post("/admin/account", _guarded(self.account)),
            web.post("/admin/reset", _guarded(self.reset)),
        ]

    async def operations(self, _: web.Request) -> web.Response:
        """GET /admin."""
        return _json({"operations": _OPERATIONS})

    async def state(self, _: web.Request) -> web.Response:
        """GET /admin/state."""
        return _json(self._state())

    async def price(self, request: web.Request) -> web.Response:
        """POST /admin/price: rounded down to the tick; the mark price follows unless it is given."""
        body = await _body(request)
        symbol = self._symbol(body)
        rules = self._venue.exchange.rules[symbol]
        price = floor_to(_positive(body, "price"), rules.tick)
        mark = _positive(body, "mark") if "mark" in body else price
        if not rules.price_min <= price <= rules.price_max:
            raise _bad(f"price must be within {rules.price_min} and {rules.price_max}")
        self._venue.jump(symbol, price, mark)
        quote = self._venue.market[symbol].quote
        return _json({"symbol": symbol, "price": plain(quote.last), "mark": plain(quote.mark)})

    async def walk(self, request: web.Request) -> web.Response:
        """POST /admin/walk."""
        body = await _body(request)
        if not isinstance(body.get("paused"), bool):
            raise _bad("paused must be true or false")
        symbols = {self._symbol(body)} if "symbol" in body else set(self._venue.exchange.rules)
        if body["paused"]:
            self._venue.paused_symbols |= symbols
        else:
            self._venue.paused_symbols -= symbols
        return _json({"paused": sorted(self._venue.paused_symbols)})

    async def account(self, request: web.Request) -> web.Response:
        """POST /admin/account."""
        return _json(self._venue.execute(SetWallet(_positive(await _body(request), "wallet_balance"))))

    async def reset(self, _: web.Request) -> web.Response:
        """POST /admin/reset."""
        self._venue.paused_symbols.clear()
        return _json(self._venue.execute(ResetAccount(self._wallet_usdt)))

    def _state(self) -> Payload:
        ledger, state = self._venue.exchange.ledger, self._venue.exchange.state
        account = views.account_v3(ledger)
        return {
            "time": self._venue.clock(),
            "walletBalance": account["totalWalletBalance"],
            "marginBalance": account["totalMarginBalance"],
            "availableBalance": account["availableBalance"],
            "positions": views.position_risk_v3(ledger, ""),
            "openOrders": [payloads.order_body(order) for order in state.open_orders.values()],
            "openAlgoOrders": [payloads.algo_body(algo, detailed=True) for algo in state.open_algos.values()],
            "quotes": {
                symbol: {"last": plain(quote.last), "mark": plain(quote.mark)}
                for symbol, quote in state.quotes.items()
            },
            "paused": sorted(self._venue.paused_symbols),
            "nextFundingTime": state.next_funding_ms,
        }

    def _symbol(self, body: dict[str, Any]) -> str:
        symbol = body.get("symbol")
        if symbol not in self._venue.exchange.rules:
            raise _bad("symbol is not listed")
        return str(symbol)


def _guarded(handler: _Handler) -> _Handler:
    async def guarded(request: web.Request) -> web.Response:
        if not ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104 - stands for an unknown address
            raise web.HTTPForbidden(text="loopback only")
        return await handler(request)

    return guarded


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise _bad("the body must be JSON") from None
    if not isinstance(body, dict):
        raise _bad("the body must be a JSON object")
    return body


def _positive(body: dict[str, Any], name: str) -> Decimal:
    try:
        value = Decimal(str(body[name]))
    except (KeyError, InvalidOperation):
        raise _bad(f"{name} must be a number") from None
    if not value.is_finite() or value <= ZERO:
        raise _bad(f"{name} must be positive")
    return value


def _bad(reason: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(body=orjson.dumps({"error": reason}), content_type="application/json")


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")
