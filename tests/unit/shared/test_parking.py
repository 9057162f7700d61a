"""A parked message ends the signal whose work it carried, and no other (P2); and what its replay would do."""

from datetime import datetime, timedelta

import msgspec
import pytest

from shared import codec, topology
from shared.errors import MessageFault
from shared.models import (
    AlertRaised,
    CloseRequested,
    Message,
    SignalEnded,
    SignalReceived,
    TradeApproved,
    TradingStateChanged,
)
from shared.parking import end_of_signal, end_of_unreadable, forecast
from shared.values import Action, OutcomeKind
from tests.contract.samples import BARE, SIGNAL, SIGNAL_ID, T0, WHOLE, in_envelope

CARRIERS = {"SignalReceived", "AnalysisCompleted", "TradeApproved", "CloseRequested"}


@pytest.mark.parametrize("message", WHOLE, ids=lambda message: type(message).__name__)
def test_what_carries_a_signal_ends_it_and_news_ends_nothing(message: Message) -> None:
    ended = end_of_signal(in_envelope(message), topology.TRADE_EXECUTION, T0)

    if type(message).__name__ not in CARRIERS:
        assert ended is None
        return
    assert ended is not None
    assert isinstance(ended.payload, SignalEnded)
    assert (ended.payload.outcome, ended.payload.reason) == (OutcomeKind.FAILED, "parked")
    assert ended.correlation_id == ended.payload.signal_id


def test_a_copy_parked_from_a_queue_of_facts_ends_nothing() -> None:
    approval = next(each for each in WHOLE if type(each).__name__ == "TradeApproved")
    assert end_of_signal(in_envelope(approval), topology.BRAIN_FACTS, T0) is None


def test_parking_twice_tells_the_same_fact() -> None:
    received = in_envelope(WHOLE[0])
    first = end_of_signal(received, topology.SIGNAL_PROCESSING, T0)
    again = end_of_signal(received, topology.SIGNAL_PROCESSING, T0)
    assert first is not None
    assert again is not None
    assert first.event_id == again.event_id
    assert first.payload == again.payload
    assert SIGNAL_ID in first.correlation_id


def unreadable(message: Message) -> list[bytes]:
    """Return the message as no version of ours can decode it, in several ways."""
    whole = codec.encode(in_envelope(message))
    return [
        whole.replace(b'"price":"50123.4"', b'"price":"1E-100"').replace(
            b'"payload":{', b'"payload":{"new":1,'
        ),
        whole.replace(b".v1", b".v9"),
        whole[:-20],
    ]


@pytest.mark.parametrize("kind", sorted(CARRIERS))
@pytest.mark.parametrize("way", [0, 1, 2])
def test_what_cannot_be_decoded_ends_its_signal_by_its_envelope(kind: str, way: int) -> None:
    message = next(each for each in WHOLE if type(each).__name__ == kind)
    if isinstance(message, CloseRequested):
        message = msgspec.structs.replace(message, signal_id=SIGNAL_ID)
    body = unreadable(message)[way]
    with pytest.raises(MessageFault):
        codec.decode(body)
    ended = end_of_unreadable(body, topology.SIGNAL_PROCESSING, T0)
    readable = end_of_signal(in_envelope(message), topology.SIGNAL_PROCESSING, T0)
    assert ended is not None
    assert readable is not None
    assert ended.payload == readable.payload
    assert ended.event_id == readable.event_id
    assert end_of_unreadable(body, topology.BRAIN_FACTS, T0) is None


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff\xfe", b'{"correlation_id":"; DROP"}', b"{" * 100_000])
def test_what_does_not_even_say_whose_it_was_is_told(body: bytes) -> None:
    told = end_of_unreadable(body, topology.TRADE_CONTROL, T0)
    assert told is not None
    assert isinstance(told.payload, AlertRaised)
    assert "trade_control" in told.payload.text


def test_an_unreadable_state_of_trading_ends_no_signal() -> None:
    state = next(each for each in WHOLE if isinstance(each, TradingStateChanged))
    assert end_of_unreadable(codec.encode(in_envelope(state))[:-9], topology.TRADE_CONTROL, T0) is None


def test_a_close_of_everything_ends_its_request() -> None:
    close_all = next(each for each in BARE if type(each).__name__ == "CloseRequested")
    ended = end_of_signal(in_envelope(close_all), topology.TRADE_CONTROL, T0)
    assert ended is not None
    assert isinstance(ended.payload, SignalEnded)
    assert ended.payload.symbol == "*"


AGE_MAX = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
APPROVAL = next(each for each in WHOLE if isinstance(each, TradeApproved))
CLOSE = next(each for each in WHOLE if isinstance(each, CloseRequested))
ALERT = next(each for each in WHOLE if isinstance(each, AlertRaised))
EXIT = SignalReceived(signal=msgspec.structs.replace(SIGNAL, action=Action.EXIT))
BORN = T0 - SECOND


@pytest.mark.parametrize(
    ("message", "now", "said"),
    [
        (WHOLE[0], BORN + AGE_MAX, "MAY BE TRADED"),
        (WHOLE[0], BORN + AGE_MAX + SECOND, "expires: older than 30 s"),
        (APPROVAL, APPROVAL.valid_until - SECOND, "MAY BE TRADED"),
        (APPROVAL, APPROVAL.valid_until, "expires: its approval ran out"),
        (EXIT, T0 + timedelta(days=1), "closes what was opened before 2026-03-02 14:30:00 UTC"),
        (CLOSE, T0 + timedelta(days=1), "closes what was opened before"),
    ],
)
def test_replaying_what_carries_a_signal(message: Message, now: datetime, said: str) -> None:
    assert said in forecast(in_envelope(message), topology.SIGNAL_PROCESSING, AGE_MAX, now)


@pytest.mark.parametrize("message", WHOLE, ids=lambda message: type(message).__name__)
def test_only_a_young_entry_is_said_to_be_traded_perhaps(message: Message) -> None:
    much_later = T0 + timedelta(days=1)
    for queue in topology.QUEUES:
        assert "TRADED" not in forecast(in_envelope(message), queue, AGE_MAX, much_later)


def test_replaying_news() -> None:
    assert "known changes nothing" in forecast(in_envelope(APPROVAL), topology.BRAIN_FACTS, AGE_MAX, T0)
    assert "told, late" in forecast(in_envelope(ALERT), topology.RISK_ALERTS, AGE_MAX, T0)


def test_replaying_what_is_no_message() -> None:
    assert "parked again" in forecast(None, topology.TRADE_EXECUTION, AGE_MAX, T0)
