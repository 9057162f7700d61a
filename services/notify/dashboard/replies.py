"""How the dashboard answers and is asked: the headers of every answer, small forms, a browser's language."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import Request, Response
from starlette.responses import HTMLResponse

from services.notify.dashboard import entrance
from services.notify.dashboard.texts import TABLES
from shared.http_api import Problem, json_response

HOME = "/dashboard"
LOGIN = "/dashboard/login"
LANGUAGE_COOKIE = "phoenix_language"
FORM_BYTES_MAX = 4_096

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cache-Control": "no-store",
    "Vary": "Cookie, HX-Request",
}
"""`data:` pictures are the component kit's arrows and ticks; there is no inline script or style anywhere."""


def html(text: str, status: int = 200, **headers: str) -> Response:
    """Return a page or a piece of one."""
    return HTMLResponse(text, status_code=status, headers={**HEADERS, **headers})


def document(value: object) -> Response:
    """Return JSON for a page's script."""
    response = json_response(value)
    response.headers.update(HEADERS)
    return response


def to_page(address: str) -> Response:
    """Send the browser to another page of ours."""
    return Response(status_code=303, headers={**HEADERS, "Location": address})


def to_login(request: Request) -> Response:
    """Send whoever has no session to the login, and from there back to where they wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if is_from_script(request):
        return Response(status_code=401, headers={**HEADERS, "HX-Redirect": LOGIN})
    return to_page(f"{LOGIN}?{urlencode({'to': wanted})}" if wanted != HOME else LOGIN)


def is_from_script(request: Request) -> bool:
    """Tell whether a piece of a page is asked for, not a whole one."""
    return request.headers.get("hx-request") == "true"


def own_address(given: str) -> str:
    """Return a place of the dashboard; anything else leads home, so that a link cannot send people away."""
    is_ours = given == HOME or given.startswith((f"{HOME}/", f"{HOME}?"))
    return given if is_ours and given.isprintable() and "\\" not in given else HOME


def language_of(request: Request, default: str) -> str:
    """Return the language this browser has chosen."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in TABLES else default


async def form_of(request: Request) -> Mapping[str, str]:
    """Return the fields of a small form.

    Raises:
        Problem: it is larger than any of ours.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise Problem(413, "form too large", f"At most {FORM_BYTES_MAX} bytes are taken.")
    fields = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def set_session(response: Response, token: str, *, hours: int, is_secure: bool) -> None:
    """Give the browser its session: no script can read it, no other site can use it."""
    common: dict[str, Any] = {"path": HOME, "httponly": True, "samesite": "strict", "secure": is_secure}
    response.set_cookie(entrance.COOKIE, token, max_age=hours * 3_600, **common)


def forget_session(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(entrance.COOKIE, path=HOME, httponly=True, samesite="strict")


def csrf_given(request: Request, form: Mapping[str, str]) -> str:
    """Return what the request brings as proof that it comes from a page of ours."""
    return request.headers.get(entrance.CSRF_HEADER) or form.get(entrance.CSRF_FIELD, "")
