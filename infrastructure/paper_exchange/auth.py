"""Signatures, API keys and request time, as the wire contract demands them.

Knows HMAC and the time window. Must never know what a request does.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from infrastructure.paper_exchange.errors import TIMESTAMP_AHEAD, ApiError

RECV_WINDOW_DEFAULT_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000
AHEAD_MAX_MS = 1_000
PARAMETERS_MAX = 100
_SIGNATURE = "signature="


def parse(query: str, body: str) -> dict[str, str]:
    """Parameters of query and form body; the query wins."""
    pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    pairs += parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    return dict(pairs)


def signed_text(query: str, body: str) -> str:
    """What is signed: the raw query and the raw body, one after the other, without the signature itself."""
    return _unsigned(query) + _unsigned(body)


def sign(secret: str, text: str) -> str:
    """HMAC-SHA256 as lower-case hex."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def check_key(sent: str | None, expected: str) -> None:
    """Refuse a missing (-2014) or unknown (-2015) API key."""
    if not sent:
        raise ApiError(-2014)
    if not hmac.compare_digest(sent.encode(), expected.encode()):
        raise ApiError(-2015)


def check_signature(secret: str, query: str, body: str, params: Mapping[str, str]) -> None:
    """Refuse a missing (-1102) or wrong (-1022) signature."""
    signature = params.get("signature", "")
    if not signature:
        raise ApiError(-1102, "signature")
    expected = sign(secret, signed_text(query, body))
    if not hmac.compare_digest(signature.lower().encode(), expected.encode()):
        raise ApiError(-1022)


def check_time(params: Mapping[str, str], now_ms: int) -> None:
    """Refuse a request from the future or older than its recvWindow (-1021)."""
    try:
        timestamp = int(params["timestamp"])
        window = int(params.get("recvWindow") or RECV_WINDOW_DEFAULT_MS)
    except (KeyError, ValueError):
        raise ApiError(-1102, "timestamp") from None
    if timestamp >= now_ms + AHEAD_MAX_MS:
        raise ApiError(-1021, message=TIMESTAMP_AHEAD)
    if window > RECV_WINDOW_MAX_MS or now_ms - timestamp > window:
        raise ApiError(-1021)


def _unsigned(text: str) -> str:
    if _SIGNATURE not in text:
        return text
    return "&".join(pair for pair in text.split("&") if not pair.startswith(_SIGNATURE))
