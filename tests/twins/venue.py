"""The exchange in memory: the paper exchange's core behind ccxt's endpoint names, with a clock that is told.

`BinanceClient` runs on it unchanged, so that a flow test goes through the real parameters, payloads and error
classes. A test can lose answers, refuse requests and hide orders.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import ccxt

from infrastructure.paper_exchange.account import AccountState, Terms
from infrastructure.paper_exchange.auth import check_time
from infrastructure.paper_exchange.commands import Command, MovePrices, SetLeverage, SetMarginType
from infrastructure.paper_exchange.engine import Exchange
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.limits import Limits
from infrastructure.paper_exchange.market import Market, next_funding_ms
from infrastructure.paper_exchange.rest_api import Credentials, RestApi
from infrastructure.paper_exchange.streams import StreamHub
from infrastructure.paper_exchange.symbols import listed_symbols
from infrastructure.paper_exchange.values import MarginType, Payload, Quote
from infrastructure.paper_exchange.venue import Venue
from services.execute.call_gate import Budget
from services.execute.ccxt_venue import AnswerError
from services.execute.error_classes import VenueFailure
from services.execute.venue_parse import to_ms
from shared.clock import ManualClock

WALLET_USDT = Decimal(10_000)
_NAME = re.compile(r"fapi(?:Public|Private)(V2|V3)?(Get|Post|Put|Delete)(\w+)")


@dataclass
class Core:
    """What the paper exchange's endpoints need of a running exchange, without files and streams."""

    exchange: Exchange
    market: Market
    hub: StreamHub
    clock: Callable[[], int]

    def execute(self, command: Command) -> Payload:
        """Carry out a command."""
        return self.exchange.execute(command, self.clock()).answer


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a request meets: `error`, after it was carried out or instead of that; or `answer` instead."""

    error: Exception | None = None
    executed: bool = False
    answer: Any = None


def lost_answer(*, executed: bool) -> Fault:
    """The answer never arrives."""
    return Fault(error=ccxt.RequestTimeout("no answer within 5000 ms"), executed=executed)


def refused(code: int, status: int = 400, text: str = "refused by the test") -> Fault:
    """The exchange answers with an error of its own."""
    return Fault(error=AnswerError(VenueFailure(status=status, code=code, text=text), 0.0))


def unavailable() -> Fault:
    """503, surely not executed."""
    return refused(0, 503, "Service Unavailable.")


@dataclass
class VenueTwin:
    """Stands where ccxt's exchange stands in `BinanceClient`."""

    now: ManualClock
    latency_s: float = 0.001
    omit_average: bool = False
    only_acknowledges: bool = False  # answers an order before it says what became of it
    options: dict[str, Any] = field(default_factory=dict)
    budgets_used: dict[Budget, int] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules, clock = listed_symbols(), self.milliseconds
        quotes = {symbol: Quote(each.start_price, each.start_price) for symbol, each in rules.items()}
        state = AccountState(
            cross_wallet=WALLET_USDT, quotes=quotes, next_funding_ms=next_funding_ms(clock())
        )
        self.core = Core(Exchange(rules, state, Terms()), Market(rules, quotes), StreamHub(clock), clock)
        limits = Limits(10**9, 10**9, 10**9)
        api = RestApi(
            cast(Venue, self.core),
            limits,
            Credentials("", ""),
            omit_average=self.omit_average,
            on_fatal=lambda: None,
        )
        self._endpoints = {_key(each.method, each.path): each for each in api.endpoints}

    def milliseconds(self) -> int:
        """The exchange's clock and ours are one here; `options["timeDifference"]` may say otherwise."""
        return to_ms(self.now())

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        match = _NAME.fullmatch(name)
        if match is None:
            raise AttributeError(name)
        version, method, path = match.groups()
        key = f"{method}/fapi{version or 'v1'}{path}".lower()

        async def request(params: dict[str, Any] | None = None) -> Any:
            return await self._serve(key, {each: str(value) for each, value in (params or {}).items()})

        return request

    async def close(self) -> None:
        """Nothing is open."""

    def fail(self, operation: str, *faults: Fault) -> None:
        """Let the next requests of an operation (`"POST order"`, `"GET v3/account"`) meet these faults."""
        self.faults.setdefault(_operation(operation), []).extend(faults)

    def just_before(self, operation: str, act: Callable[[], object]) -> None:
        """Let somebody else act on the account before the next request of an operation is served."""
        self.meanwhile[_operation(operation)] = act

    def stands_at(self, leverage: int, symbol: str = "BTCUSDT", *, isolated: bool = True) -> None:
        """Let somebody else change leverage and margin mode of a symbol."""
        self.core.execute(SetLeverage(symbol, leverage))
        kind = MarginType.ISOLATED if isolated else MarginType.CROSSED
        if self.core.exchange.ledger.setting(symbol).margin_type is not kind:
            self.core.execute(SetMarginType(symbol, kind))

    def heal(self) -> None:
        """Forget the faults that nobody met."""
        self.faults.clear()

    def price(self, price: str, symbol: str = "BTCUSDT") -> None:
        """Put a symbol's prices somewhere; what that fires is fired before this returns."""
        at = Decimal(price)
        self.core.market[symbol].jump(at, at, self.milliseconds())
        self.core.execute(MovePrices({symbol: self.core.market[symbol].quote}))

    def sent(self, operation: str) -> list[dict[str, str]]:
        """Return the parameters of every request of an operation, refused ones included."""
        return [params for key, params in self.requests if key == _operation(operation)]

    async def _serve(self, key: str, params: dict[str, str]) -> Any:
        self.now.advance(self.latency_s)
        await asyncio.sleep(0)
        self.requests.append((key, params))
        if key in self.meanwhile:
            self.meanwhile.pop(key)()
        waiting = self.faults.get(key)
        fault = waiting.pop(0) if waiting else None
        if fault is not None and not fault.executed:
            return _outcome(fault)
        if self.only_acknowledges and "newOrderRespType" in params:
            params = params | {"newOrderRespType": "ACK"}
        try:
            if "timestamp" in params:
                check_time(params, self.milliseconds())
            answer = self._endpoints[key].handler(params)
        except ApiError as error:
            failure = VenueFailure(status=error.status, code=error.code, text=error.message)
            raise AnswerError(failure, 0.0) from error
        return answer if fault is None else _outcome(fault)


def _outcome(fault: Fault) -> Any:
    if fault.error is not None:
        raise fault.error
    return fault.answer


def _operation(operation: str) -> str:
    method, _, path = operation.partition(" ")
    return _key(method, f"/fapi/{path}" if path.startswith("v") else f"/fapi/v1/{path}")


def _key(method: str, path: str) -> str:
    return (method + "/fapi" + path.removeprefix("/fapi").replace("/", "")).lower()
