"""P2: whatever the order and repetition of facts, every signal has the same one outcome; the books agree."""

import asyncio
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.models import Envelope, ManualTradeProposed
from shared.values import Action, CloseReason, Origin, OutcomeKind
from tests.unit.brain.builders import (
    NOON,
    Brain,
    close_ignored,
    closed,
    fact,
    opened,
    order_ended,
    received,
    rejected,
    signal,
)

ENDINGS = ("rejected", "expired", "failed", "opened", "traded", "closed by exit")
EXPECTED = {
    "rejected": OutcomeKind.REJECTED,
    "expired": OutcomeKind.EXPIRED,
    "failed": OutcomeKind.FAILED,
    "opened": OutcomeKind.OPENED,
    "traded": OutcomeKind.OPENED,
    "closed by exit": OutcomeKind.OPENED,
}


def entry_facts(entry: str, leave: str, ending: str) -> list[Envelope]:
    """Return the facts that the other services tell about an entry with this ending."""
    match ending:
        case "rejected":
            return [fact(rejected(entry), entry, "risk")]
        case "expired" | "failed":
            return [fact(order_ended(entry, OutcomeKind(ending)), entry)]
        case "opened":
            return [fact(opened(entry), entry)]
        case "traded":
            return [fact(opened(entry), entry), fact(closed(entry), entry)]
    return [
        fact(opened(entry), entry),
        fact(closed(entry, CloseReason.EXIT_SIGNAL, leave), entry),
    ]


@given(st.data(), st.sampled_from(ENDINGS), st.booleans())
@settings(deadline=None)
def test_any_order_and_repetition_of_facts_gives_the_same_outcomes(
    data: st.DataObject, ending: str, manual: bool
) -> None:
    entry = signal("entry", origin=Origin.MANUAL if manual else Origin.ALERT)
    leave = signal("leave", action=Action.EXIT)
    facts = entry_facts(entry.signal_id, leave.signal_id, ending)
    if manual:
        facts.append(fact(ManualTradeProposed(signal=entry), entry.signal_id))
    if ending != "closed by exit":
        facts.append(fact(close_ignored(leave.signal_id), leave.signal_id))
    told = data.draw(st.permutations(facts + data.draw(st.lists(st.sampled_from(facts), max_size=5))))
    brain = Brain()

    async def play() -> None:
        await brain.flow.on_signal(received(leave))  # an exit is recorded before anyone can hear of it
        if not manual:
            when = data.draw(st.integers(0, len(told)))
            await arrive(told[:when])
            await brain.flow.on_signal(received(entry))
            del told[:when]
        await arrive(told)

    async def arrive(facts: list[Envelope]) -> None:
        """One after the other, or several at the same time."""
        while facts:
            together = data.draw(st.integers(1, len(facts)))
            await asyncio.gather(*map(brain.flow.on_fact, facts[:together]))
            facts = facts[together:]

    asyncio.run(play())
    records = brain.records
    assert {name: outcome.kind for name, outcome in records.outcomes.items()} == {
        entry.signal_id: EXPECTED[ending],
        leave.signal_id: OutcomeKind.CLOSED if ending == "closed by exit" else OutcomeKind.NO_OP,
    }
    assert set(records.signals) == {entry.signal_id, leave.signal_id}
    standing = sum(position.is_open for position in records.positions.values())
    assert standing == (1 if ending == "opened" else 0)
    assert len(records.trades) == (1 if ending in ("traded", "closed by exit") else 0)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12))
@settings(deadline=None)
def test_equal_alerts_become_one_signal_per_window_however_they_arrive(seconds: list[int]) -> None:
    brain = Brain()
    brain.clock.advance(200)
    alerts = [
        signal(
            f"{number}",
            action=Action.EXIT,
            dedupe_key="body:same",
            dedupe_window_s=60,
            received_at=NOON + timedelta(seconds=second),
        )
        for number, second in enumerate(seconds)
    ]

    async def play() -> None:
        for alert in alerts:
            await brain.flow.on_signal(received(alert))

    asyncio.run(play())
    accepted = sorted(made.received_at for made, _, _ in brain.records.signals.values())
    assert all(later - earlier >= timedelta(seconds=60) for earlier, later in pairwise(accepted))
    assert len(brain.records.signals) + len(brain.records.duplicates) == len(alerts)
    assert set(brain.records.duplicates.values()) <= set(brain.records.signals)
