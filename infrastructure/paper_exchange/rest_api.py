"""The REST endpoints: one table from method and path to weight, security and handler.

Knows HTTP: authentication, limits, headers, error bodies. Must never decide about orders or money (see
`engine`). aiohttp serves REST and WebSocket from one event loop with a C parser and no layer in between,
which keeps a signed order well under a millisecond. `RestApi.handle` is the one way in: faults strike there,
at requests that would otherwise be served (see `disturbed_requests`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import cast

import orjson
import structlog
from aiohttp import web

from infrastructure.paper_exchange import auth
from infrastructure.paper_exchange.account_endpoints import AccountEndpoints
from infrastructure.paper_exchange.changed_rules import ChangedRules
from infrastructure.paper_exchange.disturbed_endpoints import DisturbedEndpoints
from infrastructure.paper_exchange.disturbed_requests import Disturber, may_open, seen_request
from infrastructure.paper_exchange.errors import EXECUTION_UNKNOWN, ApiError
from infrastructure.paper_exchange.faults import Fault, Switchboard
from infrastructure.paper_exchange.limits import Limits
from infrastructure.paper_exchange.public_endpoints import PublicEndpoints
from infrastructure.paper_exchange.requests import Params
from infrastructure.paper_exchange.values import Payload
from infrastructure.paper_exchange.venue import Venue

BODY_BYTES_MAX = 64 * 1024
_VERSION = re.compile(r"_v\d$")
_LOG = structlog.get_logger()

Handler = Callable[[Params], object]
Weight = int | Callable[[Params], int]


class Security(Enum):
    """What a request must prove."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table."""

    method: str
    path: str
    security: Security
    weight: Weight
    handler: Handler
    counts_order: bool = False

    @property
    def operation(self) -> str:
        """The name that faults are armed by: the handler's, without its version."""
        return _VERSION.sub("", self.handler.__name__)

    @property
    def route(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The key pair that is accepted."""

    api_key: str
    api_secret: str


def _by_symbol(with_symbol: int, without: int) -> Weight:
    return lambda params: with_symbol if params.get("symbol") else without


def _by_limit(steps: tuple[tuple[int, int], ...], default: int) -> Weight:
    """Weight of the first step whose limit is not exceeded."""

    def weight(params: Params) -> int:
        text = params.get("limit", "")
        asked = int(text) if text.isdecimal() else default
        return next((cost for limit, cost in steps if asked <= limit), steps[-1][1])

    return weight


_DEPTH_WEIGHT = _by_limit(((50, 2), (100, 5), (500, 10), (1000, 20)), 500)
_KLINES_WEIGHT = _by_limit(((99, 1), (499, 2), (1000, 5), (1500, 10)), 500)


def _public_table(api: PublicEndpoints) -> list[Endpoint]:
    row = partial(Endpoint, "GET", security=Security.NONE)
    return [
        row("/fapi/v1/ping", weight=1, handler=api.ping),
        row("/fapi/v1/time", weight=1, handler=api.time),
        row("/fapi/v1/exchangeInfo", weight=1, handler=api.exchange_info),
        row("/fapi/v1/depth", weight=_DEPTH_WEIGHT, handler=api.depth),
        row("/fapi/v1/klines", weight=_KLINES_WEIGHT, handler=api.klines),
        row("/fapi/v1/premiumIndex", weight=_by_symbol(1, 10), handler=api.premium_index),
        row("/fapi/v1/ticker/24hr", weight=_by_symbol(1, 40), handler=api.day_ticker),
        row("/fapi/v1/ticker/bookTicker", weight=_by_symbol(2, 5), handler=api.book_ticker),
        row("/fapi/v1/ticker/price", weight=_by_symbol(1, 2), handler=api.price_ticker),
        row("/fapi/v2/ticker/price", weight=_by_symbol(1, 2), handler=api.price_ticker),
    ]


def _account_table(api: AccountEndpoints) -> list[Endpoint]:
    signed, key = Security.SIGNED, Security.KEY
    return [
        Endpoint("POST", "/fapi/v1/order", signed, 0, api.place_order, counts_order=True),
        Endpoint("GET", "/fapi/v1/order", signed, 1, api.order),
        Endpoint("DELETE", "/fapi/v1/order", signed, 1, api.cancel_order),
        Endpoint("GET", "/fapi/v1/openOrder", signed, 1, api.open_order),
        Endpoint("GET", "/fapi/v1/openOrders", signed, _by_symbol(1, 40), api.open_orders),
        Endpoint("GET", "/fapi/v1/allOrders", signed, 5, api.all_orders),
        Endpoint("DELETE", "/fapi/v1/allOpenOrders", signed, 1, api.cancel_all_orders),
        Endpoint("POST", "/fapi/v1/algoOrder", signed, 0, api.place_algo),
        Endpoint("GET", "/fapi/v1/algoOrder", signed, 1, api.algo),
        Endpoint("DELETE", "/fapi/v1/algoOrder", signed, 1, api.cancel_algo),
        Endpoint("GET", "/fapi/v1/openAlgoOrders", signed, _by_symbol(1, 40), api.open_algos),
        Endpoint("GET", "/fapi/v1/allAlgoOrders", signed, 5, api.all_algos),
        Endpoint("DELETE", "/fapi/v1/algoOpenOrders", signed, 1, api.cancel_all_algos),
        Endpoint("POST", "/fapi/v1/leverage", signed, 1, api.set_leverage),
        Endpoint("POST", "/fapi/v1/marginType", signed, 1, api.set_margin_type),
        Endpoint("GET", "/fapi/v1/positionSide/dual", signed, 30, api.position_mode),
        Endpoint("POST", "/fapi/v1/positionSide/dual", signed, 1, api.set_position_mode),
        Endpoint("GET", "/fapi/v1/multiAssetsMargin", signed, 30, api.multi_assets),
        Endpoint("POST", "/fapi/v1/multiAssetsMargin", signed, 1, api.set_multi_assets),
        Endpoint("GET", "/fapi/v2/balance", signed, 5, api.balance),
        Endpoint("GET", "/fapi/v3/balance", signed, 5, api.balance),
        Endpoint("GET", "/fapi/v2/account", signed, 5, api.account_v2),
        Endpoint("GET", "/fapi/v3/account", signed, 5, api.account_v3),
        Endpoint("GET", "/fapi/v2/positionRisk", signed, 5, api.position_risk_v2),
        Endpoint("GET", "/fapi/v3/positionRisk", signed, 5, api.position_risk_v3),
        Endpoint("GET", "/fapi/v1/symbolConfig", signed, 5, api.symbol_config),
        Endpoint("GET", "/fapi/v1/accountConfig", signed, 5, api.account_config),
        Endpoint("GET", "/fapi/v1/commissionRate", signed, 20, api.commission_rate),
        Endpoint("GET", "/fapi/v1/leverageBracket", signed, 1, api.leverage_brackets),
        Endpoint("GET", "/fapi/v1/userTrades", signed, 5, api.user_trades),
        Endpoint("GET", "/fapi/v1/income", signed, 30, api.income),
        Endpoint("POST", "/fapi/v1/listenKey", key, 1, api.open_listen_key),
        Endpoint("PUT", "/fapi/v1/listenKey", key, 1, api.extend_listen_key),
        Endpoint("DELETE", "/fapi/v1/listenKey", key, 1, api.close_listen_key),
    ]


class RestApi:
    """Serves the table over HTTP."""

    def __init__(
        self,
        venue: Venue,
        limits: Limits,
        credentials: Credentials,
        *,
        omit_average: bool,
        on_fatal: Callable[[], None],
        faults: Switchboard | None = None,
    ) -> None:
        self._clock = venue.clock
        self._faults = faults or Switchboard(venue.clock)
        self._disturber = Disturber(venue.clock)
        self._rules = ChangedRules(self._faults)
        self._limits = limits
        self._credentials = credentials
        self._on_fatal = on_fatal
        self.endpoints = [
            *_public_table(PublicEndpoints(venue, limits)),
            *_account_table(DisturbedEndpoints(venue, self._faults, omit_average=omit_average)),
        ]

    def routes(self) -> list[web.RouteDef]:
        """The table as routes."""
        return [
            web.route(each.method, each.path, partial(self.handle, each), name=None)
            for each in self.endpoints
        ]

    async def handle(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        """Serve one request: limits, authentication, handler, headers."""
        query = request.raw_path.partition("?")[2]
        body = (await request.read()).decode("utf-8", "replace") if request.body_exists else ""
        headers: dict[str, str] = {}
        try:
            params = self._admit(endpoint, request, query, body, headers)
        except ApiError as refusal:
            return self._refused(endpoint, refusal, headers)
        if self._faults.armed:
            seen = seen_request(endpoint.operation, endpoint.route, params)
            fault = self._faults.strike(self._disturber.possible, seen)
            if fault is not None:
                return await self._disturbed(fault, endpoint, request, params, headers)
        return self._serve(endpoint, params, headers)

    async def _disturbed(
        self, fault: Fault, endpoint: Endpoint, request: web.Request, params: Params, headers: dict[str, str]
    ) -> web.Response:
        _LOG.warning("fault_fired", fault=fault.number, kind=fault.kind, request=endpoint.route)

        def check_time() -> None:
            if endpoint.security is Security.SIGNED:
                auth.check_time(params, self._clock())

        def serve(*, late: bool) -> web.Response:
            return self._serve(endpoint, params, headers, check_time if late else None)

        return await self._disturber.answer(fault, request, serve)

    def _serve(
        self,
        endpoint: Endpoint,
        params: Params,
        headers: dict[str, str],
        check: Callable[[], None] | None = None,
    ) -> web.Response:
        try:
            if check is not None:
                check()
            if not self._faults.armed:
                answer = endpoint.handler(params)
            else:
                self._rules.check(params, opens=may_open(endpoint.operation, params))
                answer = endpoint.handler(params)
                if endpoint.operation == "exchange_info":
                    answer = self._rules.shown(cast(Payload, answer))
        except ApiError as refusal:
            return self._refused(endpoint, refusal, headers)
        except OSError as error:
            _LOG.critical("journal_write_failed", error=str(error))
            self._on_fatal()
            return _json({"msg": EXECUTION_UNKNOWN}, headers, HTTPStatus.SERVICE_UNAVAILABLE)
        return _json(answer, headers, HTTPStatus.OK)

    def _refused(self, endpoint: Endpoint, refusal: ApiError, headers: dict[str, str]) -> web.Response:
        if refusal.status is HTTPStatus.TOO_MANY_REQUESTS:
            headers["Retry-After"] = str(self._limits.retry_after_s(refusal.code, self._clock()))
        _LOG.info("request_refused", path=endpoint.path, code=refusal.code, reason=refusal.message)
        return _json(refusal.payload(), headers, refusal.status)

    def _admit(
        self, endpoint: Endpoint, request: web.Request, query: str, body: str, headers: dict[str, str]
    ) -> Params:
        now_ms = self._clock()
        params = _parse(query, body)
        weight = endpoint.weight if isinstance(endpoint.weight, int) else endpoint.weight(params)
        used = self._limits.count_request(request.remote or "", weight, now_ms)
        headers["x-mbx-used-weight-1m"] = str(used)
        self._limits.check_request(used)
        if endpoint.security is not Security.NONE:
            auth.check_key(request.headers.get("X-MBX-APIKEY"), self._credentials.api_key)
        if endpoint.security is Security.SIGNED:
            auth.check_signature(self._credentials.api_secret, query, body, params)
            auth.check_time(params, now_ms)
        if endpoint.counts_order:
            counts = self._limits.count_order(now_ms)
            headers["x-mbx-order-count-10s"], headers["x-mbx-order-count-1m"] = map(str, counts)
            self._limits.check_order(counts)
        return params


def _parse(query: str, body: str) -> dict[str, str]:
    try:
        return auth.parse(query, body)
    except ValueError as error:
        raise ApiError(-1130, "parameters") from error


def _json(content: object, headers: dict[str, str], status: int) -> web.Response:
    return web.Response(
        body=orjson.dumps(content), headers=headers, status=status, content_type="application/json"
    )
