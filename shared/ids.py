"""Identifiers as pure functions of the signal (P3): one alert has the same ids on every replica and re-run.

It must never use randomness, time or a counter of its own.
"""

import hashlib
import re
from base64 import b32encode
from enum import StrEnum

DIGEST_CHARS = 20  # 100 bits: a collision needs ~10^15 signals
CLIENT_ID_CHARS_MAX = 36  # Binance: ^[\.A-Z\:/a-z0-9_-]{1,36}$
CLIENT_ID_PREFIX = "p95"
SIGNAL_PREFIX = "sig-"
ADOPTED_PREFIX = "adopted-"

_DIGEST = rf"(?P<digest>[a-z2-7]{{{DIGEST_CHARS}}})"
_ADOPTED = re.compile(ADOPTED_PREFIX + _DIGEST)
_CLIENT_ID = re.compile(rf"{CLIENT_ID_PREFIX}(?P<installation>[a-z2-7]{{1,6}})-{_DIGEST}-[a-z][0-9]*")


class OrderRole(StrEnum):
    """What an order of ours is for; the letter stands in its client id."""

    ENTRY = "e"
    STOP_LOSS = "s"
    TAKE_PROFIT = "t"
    CLOSE = "c"


def digest(*parts: str) -> str:
    """Return a short, lower-case base32 digest of the parts, order and boundaries respected."""
    framed = "".join(f"{len(part)}:{part}" for part in parts)  # no separator: an alert's text may contain any
    hashed = hashlib.sha256(framed.encode(errors="surrogatepass")).digest()
    return b32encode(hashed).decode().lower()[:DIGEST_CHARS]


def signal_id(dedupe_key: str) -> str:
    """Return the signal id of everything that shares this deduplication key."""
    return f"{SIGNAL_PREFIX}{digest('signal', dedupe_key)}"


def event_id(schema: str, correlation_id: str, *discriminator: str) -> str:
    """Return the id of one message: equal input, equal id, so that a re-publish is recognised.

    `discriminator` tells apart several messages of one schema in one story (a version, an attempt).
    """
    return f"evt-{digest(schema, correlation_id, *discriminator)}"


def adopted_signal_id(digest_of_orders: str) -> str:
    """Return the signal id of a position whose signal nobody knows: the ids of its orders follow from it."""
    return f"{ADOPTED_PREFIX}{digest_of_orders}"


def digest_of(client_id: str, installation: str) -> str | None:
    """Return the part of an order's client id that stands for its signal; None when it is not ours."""
    match = _CLIENT_ID.fullmatch(client_id)
    if match is None or match["installation"] != installation:
        return None
    return match["digest"]


def stem(client_id: str) -> str:
    """Return what all orders of a signal have in common: `p95<inst>-<digest>`."""
    return client_id.rpartition("-")[0]


def client_order_id(installation: str, signal: str, role: OrderRole, attempt: int = 1) -> str:
    """Return the exchange client id of an order: `p95<inst>-<digest>-<role>[n]`, at most 36 characters.

    `installation` (1–6 of a–z, 2–7) keeps two installations on one account apart. `attempt` starts at 1.
    """
    assert 1 <= len(installation) <= 6, "the installation name must leave room for the rest"
    suffix = role.value if attempt == 1 else f"{role.value}{attempt}"
    adopted = _ADOPTED.fullmatch(signal)
    named = adopted["digest"] if adopted else digest("order", signal)
    made = f"{CLIENT_ID_PREFIX}{installation}-{named}-{suffix}"
    assert len(made) <= CLIENT_ID_CHARS_MAX
    return made


def is_ours(client_id: str, installation: str) -> bool:
    """Tell whether an order's client id was made by this installation."""
    return client_id.startswith(f"{CLIENT_ID_PREFIX}{installation}-")
