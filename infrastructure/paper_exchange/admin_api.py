"""The operator's side door: look at the state and the books, move prices, set the wallet, start again.

Knows what an operator may do to the account and the prices. Must never be reachable from another machine
(see `admin_http`).
"""

from collections.abc import Mapping
from decimal import Decimal

from aiohttp import web

from infrastructure.paper_exchange import payloads, views
from infrastructure.paper_exchange.admin_http import (
    AdminHandler,
    answer,
    bad,
    json_body,
    listed,
    positive,
)
from infrastructure.paper_exchange.commands import ResetAccount, SetWallet
from infrastructure.paper_exchange.faults import Switchboard
from infrastructure.paper_exchange.ledger_view import ledger_view
from infrastructure.paper_exchange.values import Payload, floor_to, plain
from infrastructure.paper_exchange.venue import Venue


class AdminApi:
    """Handlers under /admin."""

    operations: Mapping[str, str] = {
        "GET /admin/state": "account, positions, open orders, quotes, paused symbols, number of armed faults",
        "GET /admin/ledger": "everything that ever happened to the account, for auditors; says what is cut",
        'POST /admin/price {"symbol", "price", "mark"?}': "jump now; what it fires, fires before the answer",
        'POST /admin/walk {"paused": true|false, "symbol"?}': "stop or resume price moves, of one or all",
        'POST /admin/account {"wallet_balance"}': "bring the wallet to this balance by a transfer",
        "POST /admin/reset": "forget orders, positions and history, heal every fault, start with the "
        "configured wallet",
    }

    def __init__(self, venue: Venue, wallet_usdt: Decimal, faults: Switchboard) -> None:
        self._venue = venue
        self._wallet_usdt = wallet_usdt
        self._faults = faults

    def handlers(self) -> Mapping[str, AdminHandler]:
        """Routes and their handlers."""
        return {
            "GET /admin/state": self.state,
            "GET /admin/ledger": self.ledger,
            "POST /admin/price": self.price,
            "POST /admin/walk": self.walk,
            "POST /admin/account": self.account,
            "POST /admin/reset": self.reset,
        }

    def notes(self) -> Mapping[str, object]:
        """Nothing more to tell."""
        return {}

    async def state(self, _: web.Request) -> web.Response:
        """GET /admin/state."""
        return answer(self._state())

    async def ledger(self, _: web.Request) -> web.Response:
        """GET /admin/ledger."""
        return answer(ledger_view(self._venue.exchange.ledger, self._venue.clock()))

    async def price(self, request: web.Request) -> web.Response:
        """POST /admin/price: rounded down to the tick; the mark price follows unless it is given."""
        body = await json_body(request)
        symbol = listed(body, self._venue.exchange.rules)
        rules = self._venue.exchange.rules[symbol]
        price = floor_to(positive(body, "price"), rules.tick)
        mark = positive(body, "mark") if "mark" in body else price
        if not rules.price_min <= price <= rules.price_max:
            raise bad(f"price must be within {rules.price_min} and {rules.price_max}")
        self._venue.jump(symbol, price, mark)
        quote = self._venue.market[symbol].quote
        return answer({"symbol": symbol, "price": plain(quote.last), "mark": plain(quote.mark)})

    async def walk(self, request: web.Request) -> web.Response:
        """POST /admin/walk."""
        body = await json_body(request)
        if not isinstance(body.get("paused"), bool):
            raise bad("paused must be true or false")
        symbols = (
            {listed(body, self._venue.exchange.rules)}
            if "symbol" in body
            else set(self._venue.exchange.rules)
        )
        if body["paused"]:
            self._venue.paused_symbols |= symbols
        else:
            self._venue.paused_symbols -= symbols
        return answer({"paused": sorted(self._venue.paused_symbols)})

    async def account(self, request: web.Request) -> web.Response:
        """POST /admin/account."""
        return answer(self._venue.execute(SetWallet(positive(await json_body(request), "wallet_balance"))))

    async def reset(self, _: web.Request) -> web.Response:
        """POST /admin/reset."""
        self._venue.paused_symbols.clear()
        self._faults.heal()
        return answer(self._venue.execute(ResetAccount(self._wallet_usdt)))

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
            "faultsArmed": self._faults.count,
        }
