"""The HTTP side of a process from the moment its port is open: until it is built it is alive and not ready.

It must never know a route of a service; what it passes on to is built elsewhere.
"""

from http import HTTPStatus

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

RETRY_AFTER_S = 5


class Entrance:
    """An ASGI application that another one takes the place of."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self.app: ASGIApp | None = None
        self.waits_for = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer that we are not that far."""
        if self.app is not None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope["path"])(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1013})

    def _answer(self, path: str) -> Response:
        if path == "/health":
            return _json({"status": "ok", "waits_for": self.waits_for}, HTTPStatus.OK)
        told = {"ready": False, "mode": self._mode, "dependencies": {"start": self.waits_for}}
        return _json(told, HTTPStatus.SERVICE_UNAVAILABLE)


def _json(value: object, status: int) -> Response:
    headers = {} if status == HTTPStatus.OK else {"Retry-After": str(RETRY_AFTER_S)}
    return Response(msgspec.json.encode(value), status, headers, "application/json")
