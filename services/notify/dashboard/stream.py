"""Server-sent events: one mailbox for each open page, and the response that empties it into a socket.

A mailbox keeps the newest text of each event and nothing older, so it is bounded by the number of names. A
socket that does not take what it is given within `SEND_TIMEOUT_S` is dropped; its browser comes back and gets
the whole state. It must never make the sender wait.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HEARTBEAT_S = 15.0
SEND_TIMEOUT_S = 20.0
RECONNECT_MS = 2_000

V = TypeVar("V")

HEARTBEAT = ": still here\n\n"


class Mailbox(Generic[V]):
    """What one open page has yet to be told."""

    def __init__(self, view: V, key: bytes, expires_at: datetime) -> None:
        self.view = view
        self.key = key
        self.expires_at = expires_at
        self._told: dict[str, str] = {}
        self._waiting: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._last_word: str | None = None

    def offer(self, parts: Mapping[str, str]) -> None:
        """Have the page told what is new to it."""
        for name, text in parts.items():
            if self._told.get(name) != text:
                self._told[name] = self._waiting[name] = text
                self._wake.set()

    def end(self, last_word: str) -> None:
        """Have the page told a last event, and its stream closed."""
        self._last_word = last_word
        self._wake.set()

    async def take(self) -> tuple[str, bool]:
        """Wait at most `HEARTBEAT_S`; return the next text of the stream and whether it is the last."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_S):
                await self._wake.wait()
        self._wake.clear()
        waiting, self._waiting = self._waiting, {}
        text = "".join(event(name, data) for name, data in waiting.items())
        if self._last_word is not None:
            return text + event(self._last_word, ""), True
        return text or HEARTBEAT, False


def event(name: str, data: str) -> str:
    """Return one server-sent event; a line break in the data is a line of its own."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n"


class EventStream(Response):
    """Empties a mailbox into a socket until either ends."""

    media_type = "text/event-stream"

    def __init__(self, mailbox: Mailbox[Any], on_end: Callable[[], None], headers: Mapping[str, str]) -> None:
        super().__init__(headers=dict(headers))
        del self.headers["content-length"]
        self._mailbox = mailbox
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Speak ASGI."""
        gone = asyncio.ensure_future(_gone(receive))
        telling = asyncio.ensure_future(self._tell(send))
        try:
            await asyncio.wait({gone, telling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._on_end()
            for task in (gone, telling):
                task.cancel()
            await asyncio.gather(gone, telling, return_exceptions=True)

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        text, is_last = f"retry: {RECONNECT_MS}\n\n", False
        while True:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                message = {"type": "http.response.body", "body": text.encode(), "more_body": not is_last}
                await send(message)
            if is_last:
                return
            text, is_last = await self._mailbox.take()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
