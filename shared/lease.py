"""Leases: which replica does the work that only one may do.

A lease is a row (holder, epoch, expiry) judged by the database clock alone. A frozen process loses it
without knowing: whatever a holder does must therefore be harmless when done by two. No session locks: a
frozen process keeps those.
"""

from shared import metrics
from shared.database import Database

LEASE_S = 6.0
RENEW_INTERVAL_S = 2.0

_HOLD = """
INSERT INTO leases AS lease (name, holder, epoch, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE
SET holder = EXCLUDED.holder,
    epoch = lease.epoch + CASE WHEN lease.holder = EXCLUDED.holder THEN 0 ELSE 1 END,
    expires_at = EXCLUDED.expires_at
WHERE lease.holder = EXCLUDED.holder OR lease.expires_at < clock_timestamp()
RETURNING epoch
"""
_RELEASE = "UPDATE leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2"


class Lease:
    """One named lease as seen by one holder."""

    def __init__(self, database: Database, name: str, holder: str) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._held = metrics.LEASE_HELD.labels(lease=name)
        self._held.set(0)

    async def hold(self) -> bool:
        """Take or renew the lease for `LEASE_S`; True while this holder has it."""
        is_held = False
        try:
            is_held = await self._database.fetch_value(_HOLD, self._name, self._holder, LEASE_S) is not None
        finally:
            self._held.set(is_held)
        return is_held

    async def release(self) -> None:
        """Let another holder take over at once."""
        self._held.set(0)
        await self._database.execute(_RELEASE, self._name, self._holder)
