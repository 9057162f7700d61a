"""Which alarms are active: what Alertmanager says fires and has not ended, and what NOTIFY noticed itself.

A report of an alarm is kept before its message is told; both may come twice. An alarm that Alertmanager has
not repeated for `FORGOTTEN_AFTER_S` is not active any more, for nobody watches it. It must never judge.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from services.notify.alert_intake import AlertmanagerAlert, AlertmanagerWebhook, name_of, words_of
from shared.database import Database, load_queries
from shared.models import AlertRaised, Envelope
from shared.values import Severity

ALARMS_MAX = 50
FORGOTTEN_AFTER_S = 3 * 3_600.0
"""Alertmanager repeats what fires every hour."""
OWN_FORGOTTEN_AFTER_S = 7 * 86_400.0
RESOLVED = " resolved"
KEPT_DAYS = 30

_SQL = load_queries(Path(__file__).parent / "alarms.sql")


class Alarm(NamedTuple):
    """One active alarm."""

    name: str
    severity: str
    text: str
    symbol: str | None
    started_at: datetime


class AlarmBook:
    """The alarms of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, webhook: AlertmanagerWebhook) -> None:
        """Keep what Alertmanager says of each alarm."""
        for alert in webhook.readable():
            if alert.status == "resolved":
                await self._database.execute(_SQL["end"], _identity(alert))
            else:
                await self._database.execute(
                    _SQL["raise"],
                    _identity(alert),
                    name_of(alert),
                    alert.labels.get("severity", Severity.WARNING.value),
                    words_of(alert),
                    alert.labels.get("symbol"),
                    FORGOTTEN_AFTER_S,
                )

    async def note_own(self, envelope: Envelope) -> bool:
        """Keep an alarm of ours that ends with a ` resolved` of the same story; False when that ends none."""
        fact = envelope.payload
        assert isinstance(fact, AlertRaised)
        name = fact.kind.removesuffix(RESOLVED)
        identity = f"{name}:{envelope.correlation_id}"
        if fact.kind != name:
            return bool(await self._database.fetch_value(_SQL["end"], identity))
        await self._database.execute(
            _SQL["raise"], identity, name, fact.severity, fact.text, fact.symbol, OWN_FORGOTTEN_AFTER_S
        )
        return True

    async def active(self) -> Sequence[Alarm]:
        """Return the active alarms, the most severe first."""
        return [Alarm(**row) for row in await self._database.fetch(_SQL["active"], ALARMS_MAX)]

    async def prune(self) -> None:
        """Delete what ended long ago."""
        await self._database.execute(_SQL["prune"], KEPT_DAYS)


def _identity(alert: AlertmanagerAlert) -> str:
    return alert.fingerprint or repr(sorted(alert.labels.items()))
