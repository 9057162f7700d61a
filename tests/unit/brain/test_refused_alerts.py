"""A refused alert that carried the right secret is counted, told at once, and again once a minute at most."""

import pytest
from prometheus_client import REGISTRY

from services.brain.refused_alerts import TOLD_AGAIN_S, Refusal, RefusedAlerts
from shared import codec
from shared.clock import ManualClock
from shared.errors import BrokerUnavailable
from shared.models import AlertRaised, Envelope
from shared.values import Action, Severity
from tests.unit.brain.builders import NOON, SECRET


class Listener:
    """A broker, and a clock beside it."""

    def __init__(self) -> None:
        self.heard: list[AlertRaised] = []
        self.away = False
        self.now_s = 0.0

    async def send(self, envelope: Envelope) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        fact = codec.decode(codec.encode(envelope)).payload
        assert isinstance(fact, AlertRaised)
        self.heard.append(fact)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def refused(listener: Listener) -> RefusedAlerts:
    return RefusedAlerts(listener.send, "brain-0", (SECRET,), ManualClock(NOON), lambda: listener.now_s)


def refusal(**changes: object) -> Refusal:
    given: dict[str, object] = {
        "status": 422,
        "reason": "rsi",
        "detail": "rsi came as 'NaN'",
        "symbol": "ADAUSDT",
    }
    return Refusal(**(given | changes))  # type: ignore[arg-type]


async def test_first_is_told_at_once_and_the_rest_of_the_minute_in_one(
    refused: RefusedAlerts, listener: Listener
) -> None:
    refused.note(refusal())
    await refused.tell()
    for _ in range(1_000):
        refused.note(refusal())
        await refused.tell()
    assert len(listener.heard) == 1
    listener.now_s = TOLD_AGAIN_S
    await refused.tell()
    await refused.tell()
    assert len(listener.heard) == 2
    assert "1000 alerts with the right secret" in listener.heard[1].text


async def test_each_reason_has_its_own_message(refused: RefusedAlerts, listener: Listener) -> None:
    refused.note(refusal())
    refused.note(refusal(reason="malformed", status=400, symbol=None))
    await refused.tell()
    assert {each.symbol for each in listener.heard} == {"ADAUSDT", None}


@pytest.mark.parametrize(
    ("action", "severity", "word"),
    [
        (Action.EXIT, Severity.CRITICAL, "still open"),
        (None, Severity.CRITICAL, "still open"),
        (Action.LONG, Severity.WARNING, "not traded"),
    ],
)
async def test_what_may_have_been_an_exit_is_danger(
    action: Action | None, severity: Severity, word: str, refused: RefusedAlerts, listener: Listener
) -> None:
    refused.note(refusal(action=action))
    await refused.tell()
    [told] = listener.heard
    assert (told.severity, told.kind, told.symbol) == (severity, "alert_refused", "ADAUSDT")
    assert word in told.text
    assert "rsi came as 'NaN'" in told.text


async def test_an_exit_does_not_wait_for_the_minute_of_an_entry(
    refused: RefusedAlerts, listener: Listener
) -> None:
    refused.note(refusal(action=Action.LONG))
    await refused.tell()
    refused.note(refusal(action=Action.EXIT))
    await refused.tell()
    assert [each.severity for each in listener.heard] == [Severity.WARNING, Severity.CRITICAL]


async def test_every_market_of_a_minute_is_named(refused: RefusedAlerts, listener: Listener) -> None:
    for number in range(50):
        refused.note(refusal(action=Action.EXIT, symbol=f"A{number % 12}USDT"))
    await refused.tell()
    [told] = listener.heard
    assert told.symbol is None
    assert told.text.startswith("50 alerts")
    assert ", ".join(f"A{number}USDT" for number in range(10)) in told.text
    assert "A10USDT" not in told.text


async def test_what_the_broker_does_not_take_waits_and_is_not_counted_twice(
    refused: RefusedAlerts, listener: Listener
) -> None:
    listener.away = True
    for _ in range(3):
        refused.note(refusal())
        await refused.tell()
    listener.away = False
    await refused.tell()
    [told] = listener.heard
    assert told.text.startswith("3 alerts")


async def test_no_secret_is_told(refused: RefusedAlerts, listener: Listener) -> None:
    refused.note(refusal(detail=f"price came as '{SECRET}'"))
    await refused.tell()
    assert SECRET not in listener.heard[0].text


def test_every_one_is_counted(refused: RefusedAlerts) -> None:
    labels = {"reason": "rsi", "action": "exit"}
    before = REGISTRY.get_sample_value("phoenix_alerts_refused_total", labels) or 0
    refused.note(refusal(action=Action.EXIT))
    refused.note(refusal(action=Action.EXIT))
    assert REGISTRY.get_sample_value("phoenix_alerts_refused_total", labels) == before + 2
