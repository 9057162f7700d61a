"""The doors of the webhook: who may send alerts, by which of the four proofs.

Every proof that is presented must be right, and at least one must be presented. It must never log, keep or
return a secret. TradingView cannot set headers: its alerts use the body or the path.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.brain.alert_body import SECRET_FIELD
from shared.http_api import same_secret

TIMESTAMP_TOLERANCE_S = 60

_UNIX_SECONDS = re.compile(r"\d{1,12}", re.ASCII)


class DoorClosed(Exception):
    """No proof, or a wrong one; `door` names which."""

    def __init__(self, door: str) -> None:
        super().__init__(f"the webhook's {door} door stays closed")
        self.door = door


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What opens the doors."""

    webhook_secret: str = field(repr=False)
    api_key: str = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be found nowhere else."""
        return self.webhook_secret, self.api_key


def outer_doors(
    headers: Mapping[str, str], token: str | None, body: bytes, now: datetime, keys: Keys
) -> dict[str, bool]:
    """Return the doors that can be tried before the body is understood, and whether each opens."""
    tried = header_doors(headers, token, keys)
    if (signature := headers.get("x-signature")) is not None:
        timestamp = headers.get("x-timestamp", "")
        tried["signature"] = _is_recent(timestamp, now) and same_secret(
            signature.lower(), signature_of(keys.webhook_secret, timestamp, body)
        )
    return tried


def header_doors(headers: Mapping[str, str], token: str | None, keys: Keys) -> dict[str, bool]:
    """Return the doors that can be tried when the body is not to be had, and whether each opens."""
    tried: dict[str, bool] = {}
    if token is not None:
        tried["path"] = same_secret(token, keys.webhook_secret)
    if (api_key := headers.get("x-api-key")) is not None:
        tried["api_key"] = same_secret(api_key, keys.api_key)
    return tried


def body_door(fields: Mapping[str, object], keys: Keys) -> dict[str, bool]:
    """Return the body's door when the alert carries a secret, and whether it opens."""
    if SECRET_FIELD not in fields:
        return {}
    return {"body": same_secret(str(fields[SECRET_FIELD]), keys.webhook_secret)}


def require_all(tried: Mapping[str, bool]) -> None:
    """Raise `DoorClosed` when one of the doors did not open."""
    for door, opened in tried.items():
        if not opened:
            raise DoorClosed(door)


def signature_of(secret: str, timestamp: str, body: bytes) -> str:
    """Return the lower-case hex HMAC-SHA256 of `timestamp`, a dot, and the body as sent."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _is_recent(timestamp: str, now: datetime) -> bool:
    if not _UNIX_SECONDS.fullmatch(timestamp):
        return False
    return abs(now.timestamp() - int(timestamp)) <= TIMESTAMP_TOLERANCE_S
