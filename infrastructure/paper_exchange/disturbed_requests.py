"""Carries out the faults that strike requests: lost, late, throttled and refused answers.

Knows what a client gets to see in each case. Must never decide which request is struck (see `faults`), nor
serve one otherwise than the REST API does: it calls what it is handed, at most once.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

import orjson
from aiohttp import web

from infrastructure.paper_exchange.errors import (
    BANNED,
    EXECUTION_UNKNOWN,
    INTERNAL_ERROR,
    SERVICE_UNAVAILABLE,
    ApiError,
    text_of,
)
from infrastructure.paper_exchange.fault_kinds import KINDS, ORDER_OPERATIONS, FaultKind, Stage
from infrastructure.paper_exchange.fault_orders import RETRY_AFTER_S_DEFAULT, Execution, FaultOrder
from infrastructure.paper_exchange.faults import Clock, Fault, Seen
from infrastructure.paper_exchange.requests import Params

DELAYED_MAX = 200
_CLIENT_IDS = ("newClientOrderId", "origClientOrderId", "clientAlgoId")
_REQUEST_KINDS = frozenset(kind for kind, row in KINDS.items() if row.stage is Stage.REQUEST)
_UNDELAYED_KINDS = _REQUEST_KINDS - {FaultKind.DELAY}
_NEVER_EXECUTED = frozenset(
    {
        FaultKind.SERVICE_UNAVAILABLE,
        FaultKind.INTERNAL_ERROR,
        FaultKind.THROTTLED,
        FaultKind.TOO_MANY_REQUESTS,
        FaultKind.BANNED,
        FaultKind.REFUSED,
    }
)

_Answer = Callable[[FaultOrder, int], web.Response]


class Serve(Protocol):
    """Carries the request out and makes the true answer; `late` asks for one more look at its time."""

    def __call__(self, *, late: bool) -> web.Response:
        """Serve it."""
        ...


def seen_request(operation: str, route: str, params: Params) -> Seen:
    """A request as the switchboard sees it."""
    reduces = "true" in (params.get("reduceOnly", "").lower(), params.get("closePosition", "").lower())
    return Seen(
        operation=operation,
        route=route,
        symbol=params.get("symbol", ""),
        client_id=next((params[name] for name in _CLIENT_IDS if params.get(name)), ""),
        sheltered=reduces or operation not in ORDER_OPERATIONS,
        reduces=reduces,
    )


def may_open(operation: str, params: Params) -> bool:
    """Return True for an order that may open a position."""
    return operation in ORDER_OPERATIONS and not seen_request(operation, "", params).reduces


class Disturber:
    """Answers the requests that were struck. `clock` is the exchange's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._delayed = 0

    @property
    def possible(self) -> frozenset[FaultKind]:
        """The kinds that may strike now: no more than `DELAYED_MAX` requests wait at a time."""
        return _REQUEST_KINDS if self._delayed < DELAYED_MAX else _UNDELAYED_KINDS

    async def answer(self, fault: Fault, request: web.Request, serve: Serve) -> web.Response:
        """Execute the request or not, and give the client what the fault leaves of the answer."""
        order = fault.order
        if order.kind is FaultKind.DELAY:
            return await self._delay(order, serve)
        if order.kind not in _NEVER_EXECUTED and order.executed is not False:
            serve(late=False)
        if order.kind is FaultKind.CONNECTION_RESET:
            _reset(request)
        return _ANSWERS[order.kind](order, self._clock())

    async def _delay(self, order: FaultOrder, serve: Serve) -> web.Response:
        answer = None
        if order.execution in (None, Execution.AT_ONCE):
            answer = serve(late=False)
        self._delayed += 1
        try:
            await asyncio.sleep((order.delay_ms or 0) / 1000)
        finally:
            self._delayed -= 1
        return answer if answer is not None else serve(late=order.execution is Execution.AT_END)


def _reset(request: web.Request) -> None:
    """Close the connection; what is answered afterwards goes nowhere."""
    if request.transport is not None:
        request.transport.abort()


def _text(status: HTTPStatus, text: str) -> _Answer:
    return lambda _order, _now_ms: _json({"msg": text}, status)


def _code(code: int) -> _Answer:
    refusal = ApiError(code)
    return lambda _order, _now_ms: _json(refusal.payload(), refusal.status)


def _bare_408(_order: FaultOrder, _now_ms: int) -> web.Response:
    return web.Response(status=HTTPStatus.REQUEST_TIMEOUT, text="Request Timeout")


def _too_many(order: FaultOrder, _now_ms: int) -> web.Response:
    body = {"code": -1003, "msg": text_of(-1003)}
    return _json(body, HTTPStatus.TOO_MANY_REQUESTS, _retry_after_s(order))


def _banned(order: FaultOrder, now_ms: int) -> web.Response:
    retry_s = _retry_after_s(order)
    body = {"code": -1003, "msg": BANNED.format(now_ms + retry_s * 1000)}
    return _json(body, HTTPStatus.IM_A_TEAPOT, retry_s)


def _refused(order: FaultOrder, _now_ms: int) -> web.Response:
    code = order.code or 0
    refusal = ApiError(code, message=order.msg or text_of(code))
    return _json(refusal.payload(), order.status or refusal.status)


def _nothing(_order: FaultOrder, _now_ms: int) -> web.Response:
    return web.Response()


_ANSWERS: dict[FaultKind, _Answer] = {
    FaultKind.UNKNOWN_503: _text(HTTPStatus.SERVICE_UNAVAILABLE, EXECUTION_UNKNOWN),
    FaultKind.SERVICE_UNAVAILABLE: _text(HTTPStatus.SERVICE_UNAVAILABLE, SERVICE_UNAVAILABLE),
    FaultKind.INTERNAL_ERROR: _text(HTTPStatus.SERVICE_UNAVAILABLE, INTERNAL_ERROR),
    FaultKind.UNEXPECTED_RESPONSE: _code(-1006),
    FaultKind.BACKEND_TIMEOUT: _code(-1007),
    FaultKind.HTTP_408: _bare_408,
    FaultKind.CONNECTION_RESET: _nothing,
    FaultKind.THROTTLED: _code(-1008),
    FaultKind.TOO_MANY_REQUESTS: _too_many,
    FaultKind.BANNED: _banned,
    FaultKind.REFUSED: _refused,
}


def _retry_after_s(order: FaultOrder) -> int:
    return order.retry_after_s or RETRY_AFTER_S_DEFAULT


def _json(body: object, status: int, retry_after_s: int = 0) -> web.Response:
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )
