"""Who may pass the dashboard's door: the rules for cookies, forms and passwords.

Pure. It must never keep a session (`session_store`) nor answer a request (`gate`).
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from services.notify.people import Door, Person, Role

COOKIE = "phoenix_session"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
TOKEN_BYTES = 32
TOKEN_CHARS_MAX = 128
"""A longer cookie is none of ours; nothing is computed over it."""
PASSWORD_CHARS_MAX = 256

PERSONS: Mapping[str, Role] = {"operator": Role.OPERATOR, "viewer": Role.VIEWER}
"""The dashboard's users; each has one password, a setting."""


def person(name: str) -> Person:
    """Return one of `PERSONS` as somebody at this door."""
    return Person(Door.DASHBOARD, name, PERSONS[name])


def session_key(token: str, password: str) -> bytes:
    """Return what a session is kept under.

    Keyed with its person's password: with another password no session of the former one is found again.
    """
    return hmac.digest(password.encode(), token.encode(errors="surrogatepass"), hashlib.sha256)


def csrf_of(token: str) -> str:
    """Return what a form of this session must bring back; the session cannot be computed from it."""
    return hmac.new(token.encode(errors="surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def same_text(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(errors="surrogatepass"), expected.encode())


def is_from_own_page(headers: Mapping[str, str]) -> bool:
    """Tell whether a browser says that a page of ours sent this request.

    Browsers always tell one of both; whoever tells neither is no browser of ours. The proxy's `Host` may have
    lost its port, so ports are held against one another only where both are told; `Sec-Fetch-Site` is exact.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:
        return site is not None
    return _is_same_place(origin, headers.get("host", ""))


def _is_same_place(origin: str, host: str) -> bool:
    try:
        claimed, ours = urlsplit(origin), urlsplit(f"//{host}")
        ports = (claimed.port, ours.port)
    except ValueError:
        return False
    if not claimed.hostname or claimed.hostname != ours.hostname:
        return False
    return ports[1] is None or ports[0] == ports[1]
