"""ccxt, made ours: addresses, its hooks for errors and market messages. `BinanceClient` is its only user.

Paper, demo and live differ in the addresses and in nothing else. Its throttle is off (it adds 200 ms to each
order) and it must never retry by itself: what an error means is the flow's decision.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import ccxt.pro

from services.execute.call_gate import Budget
from services.execute.config import ExchangeSettings
from services.execute.error_classes import VenueFailure
from services.execute.venue_parse import to_ms
from services.execute.venue_rows import UNREADABLE
from shared.clock import utc_now

MarketHandler = Callable[[str, dict[str, Any]], None]
OrderHandler = Callable[[dict[str, Any]], None]

FAILURE_TEXT_CHARS_MAX = 300


_BUDGET_HEADERS: Mapping[Budget, str] = {
    Budget.WEIGHT_1M: "x-mbx-used-weight-1m",
    Budget.ORDERS_1M: "x-mbx-order-count-1m",
    Budget.ORDERS_10S: "x-mbx-order-count-10s",
}


class AnswerError(Exception):
    """An error answer, caught before ccxt turns it into one of its classes."""

    def __init__(self, failure: VenueFailure, retry_after_s: float) -> None:
        super().__init__(failure.text)
        self.failure = failure
        self.retry_after_s = retry_after_s


class ListenKeyExpired(ccxt.NetworkError):  # type: ignore[misc]
    """The exchange says that it tells this stream nothing any more."""


class _Venue(ccxt.pro.binanceusdm):  # type: ignore[misc]
    """ccxt's exchange with our own reading of answers (`handle_errors` is its hook for that)."""

    budgets_used: Mapping[Budget, int] = MappingProxyType({})  # of the newest answer that told any

    def milliseconds(self) -> int:
        """Return our time, not this machine's: what ccxt stamps requests by, less `timeDifference`."""
        return to_ms(utc_now())

    def handle_errors(self, code: int, reason: str, *rest: Any) -> None:
        """Raise `AnswerError` for an error answer; rest = url, method, headers, body, response, …"""
        _, _, headers, body, response = rest[:5]
        told = {key.lower(): value for key, value in (headers or {}).items()}
        used = {budget: _whole(told.get(header)) for budget, header in _BUDGET_HEADERS.items()}
        self.budgets_used = {**self.budgets_used, **{b: n for b, n in used.items() if n is not None}}
        error_code = response.get("code") if isinstance(response, dict) else None
        if code < 400 and str(error_code or 200) in ("200", "0"):
            return
        text = response.get("msg", body) if isinstance(response, dict) else body
        failure = VenueFailure(
            status=code, code=_whole(error_code) or 0, text=str(text or reason)[:FAILURE_TEXT_CHARS_MAX]
        )
        raise AnswerError(failure, float(_whole(told.get("retry-after")) or 0))

    def parse_market(self, market: Any) -> Any:
        """Leave out of the market table what ccxt cannot read: it would refuse the whole table for it."""
        try:
            return super().parse_market(market)
        except (ccxt.BaseError, *UNREADABLE):
            return None


class _StreamingVenue(_Venue):
    """Hands every raw message on as it comes: ccxt's own way conflates symbols, mixes marks with trades,
    gives order events to nobody while nobody waits, and ignores that a listen key has expired.
    """

    take_market: MarketHandler | None = None
    take_order: OrderHandler | None = None

    def handle_message(self, client: Any, message: Any) -> None:
        """Receive every message of every stream."""
        kind = message.get("e") if isinstance(message, dict) else None
        if kind == "listenKeyExpired":
            client.reject(ListenKeyExpired("the exchange says so"))
        elif kind == "ACCOUNT_CONFIG_UPDATE":  # which ccxt passes over
            self.handle_order_update(client, message)
        else:
            super().handle_message(client, message)

    def handle_acount_update(self, client: Any, message: Any) -> None:
        """Receive ACCOUNT_UPDATE; ccxt's hook, spelled its way. Nobody here reads what ccxt makes of it."""
        self.handle_order_update(client, message)

    def handle_order_update(self, client: Any, message: Any) -> None:  # noqa: ARG002
        """Receive ORDER_TRADE_UPDATE, ALGO_UPDATE and what the methods above pass on; ccxt's hook for two."""
        if self.take_order is not None:
            self.take_order(message)

    async def keep_alive_listen_key(self, params: Any = None) -> None:
        """Do nothing: ccxt starts one more of these timers with every connection, and none of them ends."""

    def forget_listen_key(self) -> None:
        """Let the next `authenticate` ask for a key instead of trusting the one it remembers."""
        known = self.options.get("linear", {})
        self.options["linear"] = known | {"listenKey": None, "lastAuthenticatedTime": 0}

    def handle_tickers_and_bids_asks(self, client: Any, message: Any, method_type: str) -> None:  # noqa: ARG002
        """Receive `bidasks`, `markPrices` or `tickers` messages; ccxt's hook for all three."""
        if self.take_market is not None:
            for raw in message if isinstance(message, list) else [message]:
                self.take_market(method_type, raw)


def make_venue(settings: ExchangeSettings) -> Any:
    """Return a configured ccxt exchange; paper, demo and live differ in the addresses and in nothing else."""
    options = {
        "apiKey": settings.exchange_api_key.get_secret_value(),
        "secret": settings.exchange_api_secret.get_secret_value(),
        "enableRateLimit": False,
        "timeout": settings.exchange_timeout_ms,
        "options": {
            "fetchCurrencies": False,  # would call another host with our key
            "recvWindow": settings.recv_window_ms,
            "warnOnFetchOpenOrdersWithoutSymbol": False,
        },
    }
    if settings.mode == "paper":
        options["urls"] = {"api": _paper_addresses(settings.exchange_base_url)}
    exchange = _StreamingVenue(options)
    if settings.mode == "demo":
        exchange.enable_demo_trading(True)
    return exchange


def _paper_addresses(base: str) -> dict[str, Any]:
    rest = {
        f"fapi{visibility}{'' if version == 1 else f'V{version}'}": f"{base}/fapi/v{version}"
        for visibility in ("Public", "Private")
        for version in (1, 2, 3)
    }
    streams = base.replace("http", "ws", 1)
    return rest | {
        "fapiData": f"{base}/futures/data",
        "ws": {"linear": f"{streams}/ws", "ws-api": {"linear": f"{streams}/ws-fapi/v1"}},
    }


def _whole(text: object) -> int | None:
    """Return the whole number in a header or a payload, or None: gateways write what they like."""
    try:
        return int(str(text))
    except ValueError:
        return None
