"""The least HTTP/1.1 client that load can be made with: one request in flight per kept-alive connection.

A full client would spend more of the shared processors on a request than the service under test does. It
knows answers with a Content-Length only (all of ours have one) and must never re-send a request by itself.
"""

import asyncio
import re
from collections.abc import Callable
from typing import cast

NO_ANSWER = 0
"""Status of a request whose connection was refused or closed, or that was not answered in time."""

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"

OnAnswer = Callable[[int, bytes], None]
"""Called with status and body."""


def request_bytes(host: str, path: str, body: bytes) -> bytes:
    """Return a POST of JSON as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def parse_answer(received: bytes) -> tuple[int, bytes] | None:
    """Return status and body once the whole answer is there, else None."""
    head_end = received.find(_HEAD_END)
    if head_end < 0:
        return None
    length = _CONTENT_LENGTH.search(received, 0, head_end + 2)
    assert length is not None, "an answer without a Content-Length"
    body = received[head_end + len(_HEAD_END) :]
    if len(body) < int(length.group(1)):
        return None
    return int(received[9:12]), body


class Wire(asyncio.Protocol):
    """One connection; `on_closed` is told once when it is gone."""

    def __init__(self, on_closed: Callable[["Wire"], None]) -> None:
        self._on_closed = on_closed
        self._on_answer: OnAnswer | None = None
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def send(self, request: bytes, on_answer: OnAnswer) -> None:
        """Send a request; the connection must be idle."""
        assert self._on_answer is None, "a request is in flight"
        assert self._transport is not None
        self._on_answer = on_answer
        self._transport.write(request)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        """Hand the answer over when it is complete."""
        self._received += data
        if found := parse_answer(self._received):
            self._received = b""
            self._finish(*found)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner first, so that nothing more is sent here; then whoever waits for an answer."""
        self._on_closed(self)
        self._finish(NO_ANSWER, b"")

    def _finish(self, status: int, body: bytes) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(status, body)
