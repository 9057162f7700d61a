"""What every operator's handler needs: the guard, bodies, answers and refusals.

Loopback only and without signatures: never reachable from another machine, nor from a page in a browser on
this one. Bodies and answers are JSON.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any, Protocol

import orjson
from aiohttp import web

from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.values import ZERO

AdminHandler = Callable[[web.Request], Awaitable[web.Response]]


class Door(Protocol):
    """Some operations under /admin."""

    operations: Mapping[str, str]
    """`METHOD path {body}` → what it does."""

    def handlers(self) -> Mapping[str, AdminHandler]:
        """`METHOD path` → handler."""
        ...

    def notes(self) -> Mapping[str, object]:
        """More to tell in GET /admin."""
        ...


def admin_routes(doors: Iterable[Door]) -> list[web.RouteDef]:
    """All routes under /admin, guarded; GET /admin lists what there is."""
    operations: dict[str, str] = {}
    notes: dict[str, object] = {}
    handlers: dict[str, AdminHandler] = {}
    for door in doors:
        operations |= door.operations
        notes |= door.notes()
        handlers |= door.handlers()

    async def overview(_: web.Request) -> web.Response:
        return answer({"operations": operations} | notes)

    handlers["GET /admin"] = overview
    return [_route(name, handler) for name, handler in handlers.items()]


def _route(name: str, handler: AdminHandler) -> web.RouteDef:
    method, _, path = name.partition(" ")
    return web.route(method, path, guarded(handler))


def guarded(handler: AdminHandler) -> AdminHandler:
    """The same handler for this machine only, with the exchange's refusals told as ours."""

    async def guard(request: web.Request) -> web.Response:
        if not ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104 - stands for an unknown address
            raise web.HTTPForbidden(text="loopback only")
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="not from a browser")
        try:
            return await handler(request)
        except ApiError as refusal:
            raise bad(f"the exchange refuses: {refusal}") from refusal

    return guard


async def json_body(request: web.Request) -> dict[str, Any]:
    """The body as an object."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise bad("the body must be JSON") from None
    if not isinstance(body, dict):
        raise bad("the body must be a JSON object")
    return body


def only(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """The body, refused when it has a field that means nothing here."""
    foreign = body.keys() - set(names)
    if foreign:
        raise bad(f"{', '.join(sorted(foreign))} means nothing here; known: {', '.join(names)}")
    return body


def positive(body: dict[str, Any], name: str) -> Decimal:
    """A number above 0."""
    try:
        value = Decimal(str(body[name]))
    except (KeyError, InvalidOperation):
        raise bad(f"{name} must be a number") from None
    if not value.is_finite() or value <= ZERO:
        raise bad(f"{name} must be positive")
    return value


def listed(body: dict[str, Any], symbols: Collection[str]) -> str:
    """The symbol."""
    symbol = body.get("symbol")
    if symbol not in symbols:
        raise bad("symbol is not listed")
    return str(symbol)


def bad(reason: str) -> web.HTTPBadRequest:
    """400 with the reason."""
    return web.HTTPBadRequest(body=orjson.dumps({"error": reason}), content_type="application/json")


def missing(reason: str) -> web.HTTPNotFound:
    """404 with the reason."""
    return web.HTTPNotFound(body=orjson.dumps({"error": reason}), content_type="application/json")


def answer(content: object) -> web.Response:
    """200 with JSON."""
    return web.Response(body=orjson.dumps(content), content_type="application/json")
