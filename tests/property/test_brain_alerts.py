"""What is accepted can be read by every consumer and kept by the database (P1, P2), whatever was sent."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.brain.alert_body import AlertFault, MalformedBody, fields_of
from services.brain.alert_fields import FIELDS
from services.brain.alerts import signal_from
from services.brain.message_publisher import SignalPublisher
from services.brain.outcomes import stories
from shared import codec
from shared.models import AnalysisCompleted, CloseRequested, Envelope, SignalReceived
from shared.money import stored
from shared.values import Action, CloseReason, Signal
from tests.unit.brain.builders import NOON, receipt, signal

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    [
        "NaN",
        "Infinity",
        "1e-100",
        "1E+99",
        "0E-200",
        "9" * 60,
        "-0",
        "1e24",
        "\0",
        "a\0b",
        "x" * 200,
        "{{close}}",
    ]
)
NUMBERS = st.builds(
    lambda digits, exponent: f"{digits}e{exponent}", st.integers(-(10**30), 10**30), st.integers(-999, 999)
)
MOMENTS = st.datetimes().map(lambda at: f"{at.isoformat()}+14:00") | st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-31T12:00:00+00:00:30"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | NUMBERS | MOMENTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from([name for field in FIELDS for name in field.names]) | TEXTS
WORDS = st.sampled_from(["buy", "sell", "close", "flat"])


class Broker:
    """Takes what is published as a consumer would find it."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []

    async def send(self, envelope: Envelope) -> None:
        self.taken.append(codec.decode(codec.encode(envelope)))


def bare_numbers(text: str) -> str:
    """Write strings that are numbers as JSON numbers."""
    return text.replace('"#', "").replace('#"', "")


ALERTS = st.builds(
    lambda word, sent, quoted: json.dumps({"symbol": "BTCUSDT", "action": word} | sent, ensure_ascii=quoted),
    WORDS,
    st.dictionaries(NAMES, VALUES | NUMBERS.map(lambda text: f"#{text}#"), max_size=6),
    st.booleans(),
).map(bare_numbers)


@given(ALERTS | st.text(max_size=200) | st.binary(max_size=200))
def test_whatever_is_accepted_comes_back_and_can_be_kept(body: str | bytes) -> None:
    raw = body if isinstance(body, bytes) else body.encode(errors="replace")
    try:
        made = signal_from(fields_of(raw), receipt())
    except (AlertFault, MalformedBody):
        return
    assert_carried(SignalReceived(signal=made))
    assert_carried(AnalysisCompleted(signal=made, analysis=None, edge=None))
    if made.action is Action.EXIT:
        assert_carried(
            CloseRequested(
                signal_id=made.signal_id,
                symbol=made.symbol,
                requested_at=made.received_at,
                reason=CloseReason.EXIT_SIGNAL,
                requested_by=made.strategy,
            )
        )


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_an_exit_of_a_known_symbol_is_never_refused(sent: dict[str, Any]) -> None:
    named = {name: value for name, value in sent.items() if name.strip().lower() not in ("symbol", "action")}
    body = json.dumps(named | {"symbol": "BTCUSDT", "action": "close"}).encode()
    made = signal_from(fields_of(body), receipt())
    assert (made.symbol, made.action) == ("BTCUSDT", Action.EXIT)


def assert_carried(payload: Any) -> None:
    sent = codec.envelop(
        payload, correlation_id="sig-x", causation_id=None, occurred_at=NOON, producer="brain"
    )
    body = codec.encode(sent)
    assert codec.decode(body) == sent
    assert b"\\u0000" not in body.replace(b"\\\\", b"")
    assert stories(sent) == ("sig-x",)
    for part in texts_and_numbers(payload):
        if isinstance(part, str):
            part.encode()
            assert "\0" not in part
        elif isinstance(part, Decimal):
            assert part.is_finite()
    made = getattr(payload, "signal", None)
    if isinstance(made, Signal):
        for column in (made.confidence, made.price):
            assert column is None or abs(stored(column)) < Decimal(10) ** 12
        assert made.price is None or stored(made.price) > 0


def texts_and_numbers(value: object) -> list[object]:
    if isinstance(value, msgspec.Struct):
        return [each for name in value.__struct_fields__ for each in texts_and_numbers(getattr(value, name))]
    if isinstance(value, tuple):
        return [each for item in value for each in texts_and_numbers(item)]
    return [value]


@pytest.mark.parametrize("number", ["1E-200", "1E+200", "NaN"])
async def test_what_no_consumer_could_read_is_not_published(number: str) -> None:
    broker = Broker()
    publisher = SignalPublisher(broker, "brain-0")  # type: ignore[arg-type]
    with pytest.raises(AlertFault):
        await publisher.accept(signal(rsi=Decimal(number)))
    assert broker.taken == []
    await publisher.accept(signal(action=Action.EXIT, rsi=Decimal(number), alert_time=NOON + timedelta(1)))
    [taken] = broker.taken
    assert isinstance(taken.payload, SignalReceived)
    assert taken.payload.signal.rsi is None
    assert taken.payload.signal.dropped
