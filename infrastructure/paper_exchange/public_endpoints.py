"""Handlers of the public REST endpoints: parameters in, JSON value out.

Knows what each market data request may ask. Must never know HTTP or accounts.
"""

from collections.abc import Callable

from infrastructure.paper_exchange import market_payloads, requests
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.limits import Limits
from infrastructure.paper_exchange.market import INTERVALS_MS, SymbolMarket
from infrastructure.paper_exchange.requests import Params
from infrastructure.paper_exchange.values import Payload
from infrastructure.paper_exchange.venue import Venue

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
DEPTH_DEFAULT = 500
KLINES_DEFAULT, KLINES_MAX = 500, 1_500


class PublicEndpoints:
    """Market data of one venue."""

    def __init__(self, venue: Venue, limits: Limits) -> None:
        self._venue = venue
        self._market = venue.market
        self._listed = venue.exchange.rules
        self._shape = venue.exchange.ledger.terms.book
        self._limits = limits

    def ping(self, _: Params) -> Payload:
        """GET ping."""
        return {}

    def time(self, _: Params) -> Payload:
        """GET time."""
        return {"serverTime": self._venue.clock()}

    def exchange_info(self, _: Params) -> Payload:
        """GET exchangeInfo; always the full list."""
        return market_payloads.exchange_info(self._listed, self._limits.rows(), self._venue.clock())

    def depth(self, params: Params) -> Payload:
        """GET depth."""
        symbol = requests.symbol(params, self._listed)
        count = requests.integer(params, "limit", DEPTH_DEFAULT)
        if count not in DEPTH_LIMITS:
            raise ApiError(-4021)
        return market_payloads.depth(self._market[symbol], self._shape, count, self._venue.clock())

    def klines(self, params: Params) -> list[list[str | int]]:
        """GET klines: from startTime forwards when it is given, else the latest."""
        symbol = requests.symbol(params, self._listed)
        interval_ms = INTERVALS_MS.get(params.get("interval", ""), 0)
        if not interval_ms:
            raise ApiError(-1120) if params.get("interval") else ApiError(-1102, "interval")
        count = requests.limit(params, KLINES_DEFAULT, KLINES_MAX)
        start, end = requests.integer(params, "startTime"), requests.integer(params, "endTime", 2**62)
        bars = [bar for bar in self._market[symbol].klines(interval_ms) if start <= bar.open_ms <= end]
        chosen = bars[:count] if start else bars[-count:]
        return [market_payloads.kline_row(bar, interval_ms) for bar in chosen]

    def premium_index(self, params: Params) -> Payload | list[Payload]:
        """GET premiumIndex."""
        now_ms = self._venue.clock()
        return self._one_or_all(params, lambda market: market_payloads.premium_index(market, now_ms))

    def day_ticker(self, params: Params) -> Payload | list[Payload]:
        """GET ticker/24hr."""
        return self._one_or_all(params, market_payloads.day_ticker)

    def book_ticker(self, params: Params) -> Payload | list[Payload]:
        """GET ticker/bookTicker."""
        return self._one_or_all(params, lambda market: market_payloads.book_ticker(market, self._shape))

    def price_ticker(self, params: Params) -> Payload | list[Payload]:
        """GET ticker/price."""
        return self._one_or_all(params, market_payloads.price_ticker)

    def _one_or_all(self, params: Params, body: Callable[[SymbolMarket], Payload]) -> Payload | list[Payload]:
        symbol = requests.optional_symbol(params, self._listed)
        if symbol:
            return body(self._market[symbol])
        return [body(each) for each in self._market.symbols.values()]
