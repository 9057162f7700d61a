"""Alerts over HTTP keep their loudness and their words, and the same alert is the same fact."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.notify.alert_intake import ALERTS_MAX, TEXT_CHARS_MAX, AlertmanagerWebhook, OwnAlert, envelopes
from shared import codec
from shared.models import AlertRaised, Envelope
from shared.values import Severity
from tests.unit.notify.facts import NOON

BODY: TypeAdapter[OwnAlert | AlertmanagerWebhook] = TypeAdapter(OwnAlert | AlertmanagerWebhook)


def webhook(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{alertname="QueueDeep"}',
        "status": "firing",
        "receiver": "notify",
        "alerts": list(alerts),
    }


def alert(**changes: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "QueueDeep", "severity": "critical", "queue": "trade_execution"},
        "annotations": {"summary": "500 messages wait", "runbook": "docs/runbook.md#queues"},
        "startsAt": "2026-11-20T11:59:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "f1",
    } | changes


def facts_of(body: dict[str, Any], after_s: float = 0) -> list[Envelope]:
    return list(envelopes(BODY.validate_python(body), NOON + timedelta(seconds=after_s)))


def raised(envelope: Envelope) -> AlertRaised:
    assert isinstance(envelope.payload, AlertRaised)
    return envelope.payload


def test_own_alert_becomes_the_fact_it_is() -> None:
    (envelope,) = facts_of({"severity": "warning", "kind": "disk_full", "text": "92 %", "symbol": None})
    assert raised(envelope) == AlertRaised(severity=Severity.WARNING, kind="disk_full", text="92 %")
    assert envelope.occurred_at == NOON


def test_alertmanager_alert_keeps_severity_words_and_labels() -> None:
    (envelope,) = facts_of(webhook(alert()))
    fact = raised(envelope)
    assert (fact.severity, fact.kind) == (Severity.CRITICAL, "queue_deep")
    assert fact.text == "500 messages wait\ndocs/runbook.md#queues\nqueue=trade_execution"


def test_resolved_alert_is_information() -> None:
    (envelope,) = facts_of(webhook(alert(status="resolved")))
    assert raised(envelope).severity is Severity.INFO
    assert raised(envelope).kind == "queue_deep resolved"


@pytest.mark.parametrize("severity", ["", "P2", "warning"])
def test_unknown_severity_is_a_warning(severity: str) -> None:
    (envelope,) = facts_of(webhook(alert(labels={"alertname": "A", "severity": severity})))
    assert raised(envelope).severity is Severity.WARNING


def test_same_alert_sent_again_at_once_is_the_same_fact() -> None:
    (first,), (again,) = facts_of(webhook(alert())), facts_of(webhook(alert()), after_s=5)
    assert first.event_id == again.event_id


def test_alert_that_still_fires_hours_later_is_told_again() -> None:
    (first,), (later,) = facts_of(webhook(alert())), facts_of(webhook(alert()), after_s=4 * 3_600)
    assert first.event_id != later.event_id


def test_flood_of_one_webhook_is_folded_and_counted() -> None:
    many = [alert(fingerprint=str(number)) for number in range(ALERTS_MAX + 7)]
    found = facts_of(webhook(*many))
    assert len(found) == ALERTS_MAX + 1
    assert "7 more alerts" in raised(found[-1]).text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"severity": "loud", "kind": "x", "text": "y"},
        {"severity": "info", "kind": "", "text": "y"},
        {"severity": "info", "kind": "x", "text": "y", "extra": 1},
        {"version": "4", "alerts": "burning"},
    ],
)
def test_anything_else_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BODY.validate_python(body)


def test_alert_that_cannot_be_read_does_not_take_the_others_with_it() -> None:
    found = facts_of(webhook(alert(), {"status": "burning"}, {"status": "firing", "labels": 5}, alert()))
    assert [raised(each).kind for each in found] == ["queue_deep", "queue_deep", "alerts_folded"]
    assert "2 more alerts" in raised(found[-1]).text


NASTY = "a\0b\ud800c\x1bd"


@pytest.mark.parametrize(
    "body",
    [
        {"severity": "info", "kind": NASTY, "text": NASTY, "symbol": NASTY},
        {"severity": "info", "kind": "x" * 500, "text": "y" * 50_000, "symbol": "z" * 500},
        webhook(alert(labels={"alertname": NASTY, "symbol": NASTY}, annotations={"summary": NASTY})),
        webhook(alert(fingerprint=NASTY, startsAt=NASTY)),
    ],
)
def test_no_alert_is_lost_for_a_character_that_cannot_be_kept(body: dict[str, Any]) -> None:
    (envelope,) = facts_of(body)
    kept = codec.decode(codec.encode(envelope))
    assert kept.payload == envelope.payload
    assert b"\\u0000" not in codec.encode(envelope)
    assert len(raised(envelope).text) <= TEXT_CHARS_MAX
