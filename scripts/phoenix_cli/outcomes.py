"""Waits for the outcome of a signal, a bounded time."""

import time
from typing import Any

from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import Refused

WAIT_S = 10.0
POLL_S = 0.1
GOOD = ("opened", "closed", "no_op")
HTTP_NOT_FOUND = 404


def await_outcome(api: Api, signal_id: str) -> dict[str, Any] | None:
    """Return the outcome once there is one; None when there is none in time."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            outcome: dict[str, Any] | None = api.get("brain", f"/signals/{signal_id}")["outcome"]
        except Refused as refusal:
            if refusal.status != HTTP_NOT_FOUND:
                raise
            outcome = None
        if outcome is not None:
            return outcome
        time.sleep(POLL_S)
    return None
