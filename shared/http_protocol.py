"""uvicorn's HTTP protocol with our answer to what is no HTTP request: a problem document, like every other.

It must never repeat a part of the request: it may hold a secret.
"""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_BODY = (
    b'{"type":"about:blank","title":"Bad Request","status":400,"detail":"This is no HTTP request that can be'
    b' read."}'
)
_ANSWER = b"\r\n".join(
    (
        f"HTTP/1.1 {HTTPStatus.BAD_REQUEST.value} {HTTPStatus.BAD_REQUEST.phrase}".encode(),
        b"content-type: application/problem+json",
        b"content-length: %d" % len(_BODY),
        b"connection: close",
        b"",
        _BODY,
    )
)


class ProblemProtocol(HttpToolsProtocol):
    """Answers like our applications do where no application is asked."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own text
        """Answer and hang up."""
        self.transport.write(_ANSWER)
        self.transport.close()
