"""Warns before the day's loss reaches its limit: once at half of it and once at four fifths, each day.

RISK knows loss and limit; its answer is read, never computed again. The fact's id is a function of day and
mark, so that replicas and restarts tell it once. It must never change a limit nor the trading state.
"""

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.notify.ports import AsksStatus, ServiceFailure, TellsFact
from services.notify.telling.texts import Language
from shared import codec, logs
from shared.clock import Clock
from shared.models import AlertRaised, Envelope
from shared.money import CENT, ZERO
from shared.values import Severity

LOOK_INTERVAL_S = 15.0
MARKS = (Decimal("0.8"), Decimal("0.5"))
"""Shares of the limit, the highest first."""
LIMIT = "daily_loss_max"
KIND = "day_loss_near_limit"
SOURCE = "day_loss"

_log = logs.get(__name__)


def warning_of(status: dict[str, Any], now: datetime, words: Language) -> Envelope | None:
    """Return the warning that RISK's status calls for, None below the first mark."""
    row = next((each for each in status.get("limits", ()) if each["name"] == LIMIT), None)
    if row is None or row["used"] is None:
        return None
    loss, limit = Decimal(row["used"]), Decimal(row["limit"])
    mark = next((mark for mark in MARKS if limit > ZERO and loss >= mark * limit), None)
    if mark is None:
        return None
    day = now.date().isoformat()
    text = words.phrases["day_loss"].format(loss=_percent(loss), limit=_percent(limit))
    return codec.envelop(
        AlertRaised(severity=Severity.WARNING, kind=KIND, text=text),
        correlation_id=f"day-loss-{day}",
        causation_id=None,
        occurred_at=now,
        producer="notify",
        discriminator=(day, str(mark)),
    )


class DayLossWatch:
    """Looks at the day's loss again and again."""

    def __init__(self, services: AsksStatus, tell: TellsFact, words: Language, clock: Clock) -> None:
        self._services = services
        self._tell = tell
        self._words = words
        self._clock = clock

    async def run(self) -> None:
        """Look, tell, wait. Loops for ever; RISK being away is its own alarm, not ours."""
        while True:
            try:
                await self.look()
            except ServiceFailure as failure:
                _log.info("day_loss_not_seen", why=failure.detail)
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def look(self) -> None:
        """Tell the warning that is due; told before, it is not told again."""
        warning = warning_of(await self._services.get("risk", "/status"), self._clock(), self._words)
        if warning is not None:
            await self._tell(SOURCE, warning)


def _percent(fraction: Decimal) -> str:
    return format((fraction * 100).quantize(CENT), "f")
