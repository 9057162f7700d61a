"""A parked message ends the signal whose work it carried, and no other (P2)."""

import pytest

from shared import topology
from shared.models import Message, SignalEnded
from shared.parking import end_of_signal
from shared.values import OutcomeKind
from tests.contract.samples import BARE, SIGNAL_ID, T0, WHOLE, in_envelope

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


def test_a_close_of_everything_ends_its_request() -> None:
    close_all = next(each for each in BARE if type(each).__name__ == "CloseRequested")
    ended = end_of_signal(in_envelope(close_all), topology.TRADE_CONTROL, T0)
    assert ended is not None
    assert isinstance(ended.payload, SignalEnded)
    assert ended.payload.symbol == "*"
