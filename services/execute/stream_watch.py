"""When a user-data stream has to be opened anew. Pure: times in, verdict out.

A private stream may be quiet for days, so silence alone proves nothing. It is judged against what REST and
our books show: an order of ours changed, and nothing was heard of it.
"""

from datetime import datetime, timedelta
from enum import StrEnum

RENEW_AFTER = timedelta(hours=12)
"""The exchange ends every connection after 24 h; ours goes at a time of our choosing."""
GRACE = timedelta(seconds=10)
"""How long after a change its event may still be on its way."""
LEAD = timedelta(seconds=20)
"""How long before our books show a change its event may have come; longer than a round of reconciliation."""


class Why(StrEnum):
    """Why a stream was opened."""

    START = "start"
    CLOSED = "closed"  # the connection ended or could not be made
    EXPIRED = "expired"  # its listen key did
    SILENT = "silent"
    PLANNED = "planned"


class StreamWatch:
    """What is known about the present connection."""

    def __init__(self) -> None:
        self._opened_at: datetime | None = None
        self._heard_at: datetime | None = None
        self._changed_at: datetime | None = None

    def opened(self, now: datetime) -> None:
        """Note a new connection: what happened before it is not its fault."""
        self._opened_at, self._heard_at, self._changed_at = now, None, None

    def heard(self, now: datetime) -> None:
        """Note an event."""
        self._heard_at = now

    def changed(self, at: datetime) -> None:
        """Note that REST or our books show a change of an order of ours."""
        if self._changed_at is None or at > self._changed_at:
            self._changed_at = at

    def quiet_for(self, now: datetime) -> timedelta:
        """Return how long nothing has been heard."""
        since = self._heard_at or self._opened_at
        return timedelta(0) if since is None else now - since

    def why_renew(self, now: datetime) -> Why | None:
        """Return why the connection has to be replaced, or None while it may stay."""
        if self._opened_at is None:
            return None
        if now - self._opened_at >= RENEW_AFTER:
            return Why.PLANNED
        return Why.SILENT if self._missed_something(self._opened_at, now) else None

    def _missed_something(self, opened_at: datetime, now: datetime) -> bool:
        if self._changed_at is None or now - self._changed_at <= GRACE:
            return False
        event_due_from = self._changed_at - LEAD
        return opened_at < event_due_from and (self._heard_at is None or self._heard_at < event_due_from)
