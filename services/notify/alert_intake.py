"""Alerts over HTTP: our own format and Alertmanager's webhook, made into the `AlertRaised` of the pipeline.

Pure. It must never lose an alert for its form: what is too much is counted in one more alert.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from shared.codec import envelop
from shared.http_input import words
from shared.models import AlertRaised, Envelope
from shared.symbols import SYMBOL_CHARS_MAX
from shared.values import Severity

ALERTS_MAX = 50
"""Told one by one from one webhook; Alertmanager may send thousands."""
REPEAT_S = 3_600
"""Alertmanager repeats what still fires; it is told again at most this often."""
RESOLVED = " resolved"
"""Ends the kind of an alert that Alertmanager says is over."""
KIND_CHARS_MAX = 80
TEXT_CHARS_MAX = 3_000

SEVERITIES: Mapping[str, Severity] = {
    "critical": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "error": Severity.CRITICAL,
    "warning": Severity.WARNING,
    "info": Severity.INFO,
    "none": Severity.INFO,
}
"""Alertmanager's label `severity` is free text; an unknown one is a warning."""


_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Alertmanager's names are written `LikeThis`, our kinds like_this."""


Words = Annotated[str, BeforeValidator(words(TEXT_CHARS_MAX))]


class OwnAlert(BaseModel):
    """An alert in our own words."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "severity": "critical",
                    "kind": "disk_full",
                    "text": "92 % used: free some space",
                    "symbol": None,
                }
            ]
        },
    )

    severity: Severity
    kind: Annotated[str, BeforeValidator(words(KIND_CHARS_MAX))] = Field(
        min_length=1, description="A stable name, such as disk_full."
    )
    text: Annotated[str, BeforeValidator(words(TEXT_CHARS_MAX))] = Field(
        min_length=1, description="What happened and what to do; what is too long is cut."
    )
    symbol: Annotated[str, BeforeValidator(words(SYMBOL_CHARS_MAX))] | None = None


class AlertmanagerAlert(BaseModel):
    """One alert of an Alertmanager webhook; fields that are not told are ignored."""

    status: str = Field(pattern="^(firing|resolved)$")
    labels: dict[Words, Words] = {}
    annotations: dict[Words, Words] = {}
    starts_at: Words = Field("", alias="startsAt")
    fingerprint: Words = ""


class AlertmanagerWebhook(BaseModel):
    """What Alertmanager posts to a webhook receiver (version 4); each alert is read by itself."""

    version: str
    alerts: list[JsonValue]

    def readable(self) -> list[AlertmanagerAlert]:
        """Return the alerts that can be read: one that cannot takes no other with it."""
        found = []
        for raw in self.alerts:
            with suppress(ValidationError):
                found.append(AlertmanagerAlert.model_validate(raw))
        return found


def envelopes(body: OwnAlert | AlertmanagerWebhook, now: datetime) -> Iterator[Envelope]:
    """Yield each alert of a request as the fact it is, received at `now`."""
    if isinstance(body, OwnAlert):
        yield _own(body, now)
        return
    told = body.readable()[:ALERTS_MAX]
    for alert in told:
        yield _from_alertmanager(alert, now)
    rest = len(body.alerts) - len(told)
    if rest > 0:
        yield _own(
            OwnAlert(
                severity=Severity.WARNING,
                kind="alerts_folded",
                text=f"Alertmanager sent {rest} more alerts; see its page for all of them.",
                symbol=None,
            ),
            now,
        )


def _own(alert: OwnAlert, now: datetime) -> Envelope:
    fact = AlertRaised(severity=alert.severity, kind=alert.kind, text=alert.text, symbol=alert.symbol)
    return envelop(
        fact,
        correlation_id=f"alert-{alert.kind}",
        causation_id=None,
        occurred_at=now,
        producer="operator",
        discriminator=(now.isoformat(), alert.severity, alert.text, alert.symbol or ""),
    )


def _from_alertmanager(alert: AlertmanagerAlert, now: datetime) -> Envelope:
    name = name_of(alert)
    is_over = alert.status == "resolved"
    told = SEVERITIES.get(alert.labels.get("severity", "").lower(), Severity.WARNING)
    fact = AlertRaised(
        severity=Severity.INFO if is_over else told,
        kind=f"{name}{RESOLVED}" if is_over else name,
        text=words_of(alert),
        symbol=alert.labels.get("symbol", "")[:SYMBOL_CHARS_MAX] or None,
    )
    identity = alert.fingerprint or repr(sorted(alert.labels.items()))
    period = str(int(now.timestamp()) // REPEAT_S)
    return envelop(
        fact,
        correlation_id=f"alert-{name}",
        causation_id=None,
        occurred_at=now,
        producer="alertmanager",
        discriminator=(identity, alert.status, alert.starts_at, period),
    )


def name_of(alert: AlertmanagerAlert) -> str:
    """Return the name of an alert as our own kinds are written."""
    return _CAPITAL.sub("_", alert.labels.get("alertname", "alert")).lower()[:KIND_CHARS_MAX]


def words_of(alert: AlertmanagerAlert) -> str:
    """Return what an alert says: its annotations, and its labels on the last line."""
    lines = [alert.annotations.get(key, "") for key in ("summary", "description", "runbook")]
    labels = ", ".join(
        f"{name}={value}"
        for name, value in sorted(alert.labels.items())
        if name not in ("alertname", "severity")
    )
    return ("\n".join(line for line in (*lines, labels) if line) or alert.status)[:TEXT_CHARS_MAX]
