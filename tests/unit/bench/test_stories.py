"""Hops are read from the facts of a signal's story."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from shared.models import OrderPlaced, ProtectionPlaced, SignalReceived, TradeApproved
from tests.bench import stories
from tests.bench.stories import HOPS, MOMENTS, moments_of, stretch_ms

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOON_US = round(NOON.timestamp() * 1e6)


def test_the_hops_are_one_way_without_a_gap_from_the_alert_to_the_stop() -> None:
    assert HOPS[0].begin == stories.PROTECTION.begin == stories.ENTRY.begin == "due"
    assert HOPS[-1].end == stories.PROTECTION.end
    assert all(hop.end == after.begin for hop, after in pairwise(HOPS))
    assert {hop.end for hop in HOPS} == {moment.name for moment in MOMENTS}


def test_an_order_fact_tells_when_it_was_claimed_accepted_and_answered() -> None:
    payload = {"claimed_at": _at(1), "accepted_at": _at(3)}
    found = moments_of(OrderPlaced.SCHEMA, NOON + timedelta(milliseconds=4), payload)
    assert found == {"claimed": NOON_US + 1_000, "accepted": NOON_US + 3_000, "filled": NOON_US + 4_000}


def test_other_facts_tell_when_they_occurred() -> None:
    assert moments_of(SignalReceived.SCHEMA, NOON, {}) == {"received": NOON_US}
    assert moments_of(TradeApproved.SCHEMA, NOON, {}) == {"decided": NOON_US}
    assert moments_of(ProtectionPlaced.SCHEMA, NOON, {}) == {"protected": NOON_US}


def test_a_story_that_broke_off_is_unfinished_and_has_no_latency() -> None:
    whole = {"due": 0, "accepted": 7_000, "protected": 9_500}
    broken = {"due": 0, "accepted": 8_000}
    told = [whole, broken]
    assert stories.unfinished(told) == 1
    assert stretch_ms(stories.ENTRY, told) == [7.0, 8.0]
    assert stretch_ms(stories.PROTECTION, told) == [9.5]


def _at(milliseconds: int) -> str:
    return (NOON + timedelta(milliseconds=milliseconds)).isoformat()
