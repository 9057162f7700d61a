"""The exchange, through ccxt: the only module that talks to it over REST.

Uses ccxt for signing, transport and addresses, on its implicit endpoints: raw payloads carry every number
as text, so no float touches money, and errors are classified by raw code. It must never retry by itself:
what an error means is the flow's decision.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from services.execute import listing, venue_parse, venue_rows
from services.execute.call_gate import REPORT_SHARE, Budget
from services.execute.ccxt_venue import make_venue
from services.execute.config import ExchangeSettings
from services.execute.error_classes import ErrorKind, VenueRefused
from services.execute.reconciliation import VenueView
from services.execute.transfers import IncomeRow
from services.execute.venue import (
    AccountModes,
    AlgoReport,
    BestPrices,
    EntryOrder,
    KeyRights,
    MarginSetup,
    OrderReport,
    OrderSide,
    ProtectiveOrder,
    VenueAccount,
    VenueCharges,
    VenuePosition,
    VenueTrade,
)
from services.execute.venue_calls import VenueCalls, read_list, readable
from services.execute.venue_history import VenueHistory
from services.execute.venue_streams import VenueStreams
from shared import metrics
from shared.errors import ExchangeUnavailable, OperatorNeeded
from shared.market import Bar, Instrument
from shared.money import plain

INCOME_PER_READ_MAX = 1_000
INCOME_PAGES_MAX = 40
INCOME_AHEAD = timedelta(minutes=1)
"""What is booked while we ask, by the exchange's clock, belongs to it."""
INCOME_KEPT = timedelta(days=89)
"""The exchange keeps three months."""
CLOSE_TIMEOUT_S = 3.0


class BinanceClient(VenueStreams):
    """Orders, positions and account of one Binance USD-M futures account."""

    def __init__(self, settings: ExchangeSettings, venue: Any = None) -> None:
        self._settings = settings
        self.venue = make_venue(settings) if venue is None else venue
        super().__init__(self.venue, VenueCalls(self.venue))
        self._call, self._find = self._calls.call, self._calls.find
        self.clock = self._calls.clock
        self.history = VenueHistory(self.venue, self._calls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.wait_for(self.venue.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            return  # the process ends; the operating system closes the sockets

    async def preflight(self) -> None:
        """Check what would make every order fail: reachable, one-way mode, single-asset mode; correct the
        clock, learn how many requests and orders are allowed.

        Raises:
            OperatorNeeded: the account is set up in a way we do not trade on; the text says what to change.
            ExchangeUnavailable: the exchange does not answer.
        """
        await self._rules()  # first: what is allowed decides what may be asked
        await self.clock.measure()
        modes = await self.account_modes()
        if modes.is_hedged:
            raise OperatorNeeded("the account is in hedge mode; switch it to one-way mode on the exchange")
        if modes.is_multi_asset:
            raise OperatorNeeded("the account is in multi-asset mode; switch it to single-asset mode")

    async def account_modes(self) -> AccountModes:
        """Return how the account is set up for all its positions."""
        dual = await self._call("position_mode", self.venue.fapiPrivateGetPositionSideDual, is_read=True)
        multi = await self._call("asset_mode", self.venue.fapiPrivateGetMultiAssetsMargin, is_read=True)
        return AccountModes(
            is_hedged=str(dual["dualSidePosition"]).lower() == "true",
            is_multi_asset=str(multi["multiAssetsMargin"]).lower() == "true",
        )

    async def key_rights(self) -> KeyRights:
        """Return what our API key may do; asked of another host of the exchange, of the real one only.

        Raises:
            ExchangeUnavailable: it does not say. Trading does not depend on the answer.
        """
        raw = await self._calls.aside(self.venue.sapiGetAccountApiRestrictions)
        return venue_parse.key_rights(raw)

    def clock_ahead(self) -> timedelta:
        """Return how far our clock is ahead of the exchange's, as last measured."""
        return self.clock.ahead()

    # --- market data ---

    async def instruments(self) -> tuple[Instrument, ...]:
        """Return what can be traded, with filters, brackets and our fee."""
        return tuple((await self.listing()).instruments.values())

    async def listing(self) -> listing.Listing:
        """Return what can be traded, and of what cannot, why.

        Raises:
            ExchangeUnavailable: no answer, or one that names no contract that trades.
        """
        info = await self._rules()
        brackets = await self._call("brackets", self.venue.fapiPrivateGetLeverageBracket, is_read=True)
        symbol = listing.a_symbol(info)
        if symbol is None:
            raise ExchangeUnavailable("it lists no perpetual contract that trades")
        fee = await self._call(
            "fee", self.venue.fapiPrivateGetCommissionRate, {"symbol": symbol}, is_read=True
        )
        return listing.read_listing(info, brackets, Decimal(str(fee["takerCommissionRate"])))

    async def _rules(self) -> Any:
        """Read the exchange's rules, and heed the budgets that they grant."""
        info = await self._call("instruments", self.venue.fapiPublicGetExchangeInfo, is_read=True)
        granted = venue_parse.budgets(info)
        self._calls.gate.allow(granted)
        for budget, limit in granted.items():
            metrics.EXCHANGE_BUDGET_LIMIT.labels(budget=budget.value).set(limit)
        if Budget.WEIGHT_1M in granted:
            self.history.pace.allow(granted[Budget.WEIGHT_1M] * REPORT_SHARE)
        return info

    async def best_prices(self, symbol: str) -> BestPrices:
        """Return the top of the book."""
        raw = await self._call(
            "best_prices", self.venue.fapiPublicGetTickerBookTicker, {"symbol": symbol}, is_read=True
        )
        return readable(venue_parse.best_prices, raw)

    async def bars(self, symbol: str, limit: int) -> tuple[Bar, ...]:
        """Return the last closed 1 m bars, oldest first."""
        rows = await self._call(
            "bars",
            self.venue.fapiPublicGetKlines,
            {"symbol": symbol, "interval": "1m", "limit": limit + 1},
            is_read=True,
        )
        found = read_list("bars", rows[:-1], venue_parse.bar)  # the last one is still open
        return found.values

    # --- orders ---

    def demand_open_for_entries(self) -> None:
        """Raise `ExchangeUnavailable` while an entry would be held back anyway: do not claim it now."""
        self._calls.demand_open("place_entry")

    async def place_entry(self, order: EntryOrder, claimed_at: datetime) -> OrderReport:
        """Send the entry, signed with the time of its claim: the exchange refuses it when it comes too late.

        Raises:
            ExecutionUnknown: the answer was lost; look it up.
            ExchangeUnavailable: surely not executed.
            VenueRefused: refused, `kind` says why.
        """
        params: dict[str, Any] = {
            "symbol": order.symbol,
            "side": order.side.upper(),
            "quantity": plain(order.quantity),
            "newClientOrderId": order.client_id,
            "newOrderRespType": "RESULT",
            **self._no_later_than(claimed_at),
        }
        if order.limit_price is None:
            params["type"] = "MARKET"
        else:
            params |= {"type": "LIMIT", "timeInForce": "IOC", "price": plain(order.limit_price)}
        raw = await self._call("place_entry", self.venue.fapiPrivatePostOrder, params)
        return readable(venue_parse.order_report, raw, is_read=False)

    def _no_later_than(self, asked_at: datetime) -> dict[str, int]:
        """Sign with a time of ours: past recvWindow after it, the exchange refuses the order."""
        stamp = venue_parse.to_ms(asked_at - self.clock_ahead())
        return {"timestamp": stamp, "recvWindow": self._settings.recv_window_ms}

    async def place_protection(self, order: ProtectiveOrder) -> bool:
        """Place a stop-loss or take-profit for the whole position; False when it stands there already.

        Raises:
            ExecutionUnknown: the answer was lost; placing it again is safe.
            ExchangeUnavailable: surely not placed.
            VenueRefused: refused, `kind` says why.
        """
        params = {
            "algoType": "CONDITIONAL",
            "symbol": order.symbol,
            "side": order.side.upper(),
            "type": "STOP_MARKET" if order.is_stop else "TAKE_PROFIT_MARKET",
            "triggerPrice": plain(order.trigger_price),
            "workingType": getattr(self._settings, "trigger_price", "MARK_PRICE"),
            "clientAlgoId": order.client_id,
        }
        if order.quantity is None:
            params["closePosition"] = "true"
        else:
            params |= {"quantity": plain(order.quantity), "reduceOnly": "true"}
        try:
            await self._call("place_protection", self.venue.fapiPrivatePostAlgoOrder, params)
        except VenueRefused as refused:
            if refused.kind is not ErrorKind.DUPLICATE_ID:
                raise
            return False
        return True

    async def close_market(
        self, client_id: str, symbol: str, side: OrderSide, quantity: Decimal, asked_at: datetime
    ) -> OrderReport:
        """Reduce the position at market; never opens one, and is refused when it comes late after `asked_at`.

        Raises:
            ExecutionUnknown: the answer was lost; look at the position.
            ExchangeUnavailable: surely not executed.
            VenueRefused: refused, `kind` says why.
        """
        params = {
            "symbol": symbol,
            "side": side.upper(),
            "type": "MARKET",
            "quantity": plain(quantity),
            "reduceOnly": "true",
            "newClientOrderId": client_id,
            "newOrderRespType": "RESULT",
            **self._no_later_than(asked_at),
        }
        raw = await self._call("close_market", self.venue.fapiPrivatePostOrder, params)
        return readable(venue_parse.order_report, raw, is_read=False)

    async def find_order(self, symbol: str, client_id: str) -> OrderReport | None:
        """Return the order with our client id, or None when the exchange does not know it (yet)."""
        raw = await self._find(
            "find_order", self.venue.fapiPrivateGetOrder, {"symbol": symbol, "origClientOrderId": client_id}
        )
        return None if raw is None else readable(venue_parse.order_report, raw)

    async def find_order_by_id(self, symbol: str, order_id: str) -> OrderReport | None:
        """Return the order with the exchange's own id."""
        raw = await self._find(
            "find_order", self.venue.fapiPrivateGetOrder, {"symbol": symbol, "orderId": order_id}
        )
        return None if raw is None else readable(venue_parse.order_report, raw)

    async def find_algo(self, client_id: str) -> AlgoReport | None:
        """Return the conditional order with our client id, or None when the exchange does not know it
        (yet).
        """
        raw = await self._find("find_algo", self.venue.fapiPrivateGetAlgoOrder, {"clientAlgoId": client_id})
        return None if raw is None else readable(venue_parse.algo_report, raw)

    async def cancel_algo(self, client_id: str) -> bool:
        """Cancel a conditional order; False when there was none to cancel."""
        params = {"clientAlgoId": client_id}
        return await self._find("cancel_algo", self.venue.fapiPrivateDeleteAlgoOrder, params) is not None

    async def cancel_order(self, symbol: str, client_id: str) -> bool:
        """Cancel an ordinary order; False when there was none to cancel."""
        params = {"symbol": symbol, "origClientOrderId": client_id}
        return await self._find("cancel_order", self.venue.fapiPrivateDeleteOrder, params) is not None

    async def open_algos(self, symbol: str | None = None) -> tuple[AlgoReport, ...]:
        """Return the standing conditional orders: of one symbol (weight 1), or all (weight 40)."""
        params = {} if symbol is None else {"symbol": symbol}
        rows = await self._call("open_algos", self.venue.fapiPrivateGetOpenAlgoOrders, params, is_read=True)
        found = read_list("open_algos", rows, venue_parse.algo_report)
        return found.values

    async def open_orders(self) -> tuple[OrderReport, ...]:
        """Return all open ordinary orders."""
        rows = await self._call("open_orders", self.venue.fapiPrivateGetOpenOrders, is_read=True)
        found = read_list("open_orders", rows, venue_parse.order_report)
        return found.values

    # --- account ---

    async def positions(self, symbol: str | None = None) -> tuple[VenuePosition, ...]:
        """Return the open positions: of one symbol, or all that can be read.

        Raises:
            ExchangeUnavailable: asked for one symbol, and what it holds cannot be read: that is not "flat".
        """
        found = await self.holdings(symbol)
        if symbol is not None and found.bad:
            raise ExchangeUnavailable(f"the position cannot be read: {venue_rows.told(found.bad)}")
        return found.values

    async def holdings(self, symbol: str | None = None) -> venue_rows.Rows[VenuePosition]:
        """Return the open positions, and which rows may be one and cannot be read."""
        params = {} if symbol is None else {"symbol": symbol}
        rows = await self._call("positions", self.venue.fapiPrivateV3GetPositionRisk, params, is_read=True)
        found = read_list("positions", rows, venue_parse.position)
        return venue_rows.Rows(tuple(each for each in found.values if each is not None), found.bad)

    async def view(self) -> VenueView:
        """Return what the exchange holds: positions, standing conditional orders, open orders."""
        held, algos, orders = await asyncio.gather(self.holdings(), self.open_algos(), self.open_orders())
        return VenueView(positions=held.values, algos=algos, orders=orders, unread=held.bad)

    async def account(self) -> VenueAccount:
        """Return wallet, equity and free balance."""
        raw = await self._call("account", self.venue.fapiPrivateV3GetAccount, is_read=True)
        return readable(venue_parse.account, raw)

    async def trades(
        self, symbol: str, since: datetime, until: datetime | None = None
    ) -> tuple[VenueTrade, ...]:
        """Return our fills of a symbol in that time, oldest first; without an end, up to now."""
        return await self.history.trades(symbol, since, until)

    async def order_trades(self, symbol: str, order_id: str) -> tuple[VenueTrade, ...]:
        """Return the fills of one order, oldest first; their fees are not valued."""
        return await self.history.order_trades(symbol, order_id)

    async def charges(self, symbol: str, since: datetime, until: datetime) -> VenueCharges:
        """Return what the exchange booked on a symbol in that time besides its trades."""
        return await self.history.charges(symbol, since, until)

    async def income_since(self, since: datetime) -> tuple[IncomeRow, ...]:
        """Return every row of the account's history from `since` on, oldest first; a page that is
        full is followed by those before and after it.

        Raises:
            ExchangeUnavailable: also when it is longer than `INCOME_PAGES_MAX` pages.
        """
        now = venue_parse.from_ms(self.venue.milliseconds())
        whole = venue_parse.to_ms(max(since, now - INCOME_KEPT)), venue_parse.to_ms(now + INCOME_AHEAD)
        found: dict[str, IncomeRow] = {}
        windows = [whole]
        for _ in range(INCOME_PAGES_MAX):
            start, end = windows.pop()
            params = {"startTime": start, "endTime": end, "limit": INCOME_PER_READ_MAX}
            raw = await self._call("income", self.venue.fapiPrivateGetIncome, params, is_read=True)
            found |= {row.key: row for row in map(venue_parse.income_row, raw)}
            if len(raw) >= INCOME_PER_READ_MAX:  # from which end it was cut, nobody says
                windows += venue_parse.beside(raw, start, end)
            if not windows:
                return tuple(sorted(found.values(), key=lambda each: each.at))
        raise ExchangeUnavailable(f"the account's history since {since} has over {INCOME_PAGES_MAX} pages")

    async def margin_setups(self, symbol: str | None = None) -> Mapping[str, MarginSetup]:
        """Return margin mode and leverage of every symbol, or of one that is about to be entered."""
        operation, params = ("margin_setups", {}) if symbol is None else ("margin_setup", {"symbol": symbol})
        rows = await self._call(operation, self.venue.fapiPrivateGetSymbolConfig, params, is_read=True)
        found = read_list("margin_setups", rows, venue_parse.margin_setup)
        return dict(found.values)

    async def set_isolated(self, symbol: str) -> None:
        """Set isolated margin for a symbol; already so is fine."""
        params = {"symbol": symbol, "marginType": "ISOLATED"}
        try:
            await self._call("set_isolated", self.venue.fapiPrivatePostMarginType, params)
        except VenueRefused as refused:
            if refused.kind is not ErrorKind.ALREADY_SO:
                raise

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the leverage of a symbol."""
        params = {"symbol": symbol, "leverage": leverage}
        await self._call("set_leverage", self.venue.fapiPrivatePostLeverage, params)

    async def ping(self) -> None:
        """Raise `ExchangeUnavailable` unless the exchange answers."""
        await self._call("ping", self.venue.fapiPublicGetPing, is_read=True)
