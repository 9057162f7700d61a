"""What BRAIN looks after when no message comes: signals that wait too long for an outcome, keys past their
window.

Every replica does it: the alarm's id is a pure function of the signal that waits longest, so it is told once.
"""

import asyncio
from datetime import timedelta

from services.brain.flow import PRODUCER
from services.brain.ports import OwesMessages, RecordsSignals
from shared import codec, logs, metrics
from shared.clock import Clock
from shared.models import AlertRaised
from shared.values import Severity

WATCH_INTERVAL_S = 15.0
WATCHED_FOR = timedelta(hours=12)
"""Older cases have been told; shorter than the outbox keeps sent rows, so that they are not told again."""
WINDOWED_KEYS_KEPT = timedelta(days=1)

_log = logs.get(__name__)


class Housekeeping:
    """The watchdog of P2, and the broom."""

    def __init__(
        self, records: RecordsSignals, outbox: OwesMessages, outcome_due: timedelta, clock: Clock
    ) -> None:
        self._records = records
        self._outbox = outbox
        self._outcome_due = outcome_due
        self._clock = clock

    async def run(self) -> None:
        """Loop: watch and sweep every `WATCH_INTERVAL_S`."""
        while True:
            await self.watch()
            await self._records.forget_windowed_keys(self._clock() - WINDOWED_KEYS_KEPT)
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def watch(self) -> None:
        """Raise the alarm when an accepted signal has no outcome though it should have one by now."""
        now = self._clock()
        overdue = await self._records.overdue(now - WATCHED_FOR, now - self._outcome_due)
        metrics.SIGNALS_OVERDUE.set(0 if overdue is None else overdue.count)
        if overdue is None:
            return
        _log.warning("signals_overdue", count=overdue.count, correlation_id=overdue.oldest_signal_id)
        alarm = codec.envelop(
            AlertRaised(
                severity=Severity.CRITICAL,
                kind="signals_without_outcome",
                text=f"{overdue.count} accepted signal(s) have no outcome after"
                f" {self._outcome_due.total_seconds():.0f} s, the oldest is {overdue.oldest_signal_id}."
                " Look at the dead-letter queues and at the readiness of RISK and EXECUTE.",
            ),
            correlation_id=overdue.oldest_signal_id,
            causation_id=None,
            occurred_at=now,
            producer=PRODUCER,
            discriminator=("overdue",),
        )
        async with self._records.transaction() as tx:
            await self._outbox.stage(tx, (alarm,))  # the sweeper sends it; a second staging is a no-op
