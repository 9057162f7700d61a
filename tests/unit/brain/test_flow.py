"""BRAIN's story on the store's twin: every accepted signal is answered once and ends once (P2)."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from prometheus_client import REGISTRY

from services.brain.housekeeping import Housekeeping
from services.brain.memory import Journal
from services.brain.outcomes import PositionChange
from shared.errors import RedisUnavailable
from shared.models import AlertRaised, AnalysisCompleted, CloseRequested, ManualTradeProposed, SignalEnded
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
    tick,
)


async def test_entry_is_analysed_for_risk_and_has_no_outcome_yet() -> None:
    brain = Brain()
    entry = signal()
    await brain.flow.on_signal(received(entry))
    [answer] = brain.answers()
    assert isinstance(answer, AnalysisCompleted)
    assert answer.analysis is not None
    assert answer.analysis.final_confidence == Decimal("0.848094695378125")
    assert answer.edge is not None
    assert brain.records.outcomes == {}
    assert [story for story, _ in brain.records.stories] == [entry.signal_id] * 2


async def test_answer_names_its_cause() -> None:
    brain = Brain()
    accepted = received(signal())
    await brain.flow.on_signal(accepted)
    [sent] = brain.sent
    assert (sent.correlation_id, sent.causation_id) == (accepted.correlation_id, accepted.event_id)


async def test_failing_gates_are_reported_and_left_to_risk() -> None:
    brain = Brain()
    await brain.flow.on_signal(received(signal(confidence=Decimal("0.1"))))
    [answer] = brain.answers()
    assert isinstance(answer, AnalysisCompleted)
    assert answer.analysis is not None
    assert not any(gate.passed for gate in answer.analysis.gates)


async def test_exit_asks_to_close_what_stood_when_it_came() -> None:
    brain = Brain()
    await brain.flow.on_signal(received(signal(action=Action.EXIT)))
    [answer] = brain.answers()
    assert isinstance(answer, CloseRequested)
    assert (answer.symbol, answer.requested_at) == ("BTCUSDT", NOON)
    assert (answer.reason, answer.requested_by) == (CloseReason.EXIT_SIGNAL, "ema_cross")


async def test_exit_needs_no_market_and_never_grows_old() -> None:
    brain = Brain()
    brain.market.away = True
    brain.clock.advance(3600)
    await brain.flow.on_signal(received(signal(action=Action.EXIT)))
    assert isinstance(brain.answers()[0], CloseRequested)


@pytest.mark.parametrize(("age_s", "expired"), [(30, False), (31, True)])
async def test_entry_expires_by_the_time_of_its_alert(age_s: int, expired: bool) -> None:
    brain = Brain()
    old = signal(alert_time=NOON - timedelta(seconds=age_s))
    await brain.flow.on_signal(received(old))
    [answer] = brain.answers()
    assert isinstance(answer, SignalEnded) is expired
    if expired:
        outcome = brain.records.outcomes[old.signal_id]
        assert (outcome.kind, outcome.reason) == (OutcomeKind.EXPIRED, "too old: 31 s")


AN_EXIT = {"action": Action.EXIT, "received_at": NOON + timedelta(seconds=2)}


@pytest.mark.parametrize(
    ("entry_made_s", "exit_made_s", "superseded"),
    [(0, 1, True), (0, 0, False), (1, 0, False), (None, 1, False), (0, None, False), (0, 3_600, False)],
)
async def test_entry_that_was_made_before_an_exit_and_came_after_it_is_not_traded(
    entry_made_s: int | None, exit_made_s: int | None, superseded: bool
) -> None:
    """Refused with 503 and sent again after 5 s, it is younger by its receipt and older by its alert (P8)."""
    brain = Brain()
    brain.clock.advance(6)

    def made(after_s: int | None) -> datetime | None:
        return None if after_s is None else NOON + timedelta(seconds=after_s)

    await brain.flow.on_signal(received(signal("exit", alert_time=made(exit_made_s), **AN_EXIT)))
    entry = signal("entry", alert_time=made(entry_made_s), received_at=NOON + timedelta(seconds=5))
    await brain.flow.on_signal(received(entry))
    ended = brain.records.outcomes.get(entry.signal_id)
    assert (ended is not None) is superseded
    if ended is not None:
        assert (ended.kind, ended.reason) == (OutcomeKind.EXPIRED, "superseded")


@pytest.mark.parametrize("other", [{"strategy": "another"}, {"symbol": "ETHUSDT"}])
async def test_exit_of_another_strategy_or_symbol_supersedes_nothing(other: dict[str, str]) -> None:
    brain = Brain()
    brain.clock.advance(6)
    leave = signal("exit", alert_time=NOON + timedelta(seconds=1), **AN_EXIT, **other)
    await brain.flow.on_signal(received(leave))
    await brain.flow.on_signal(received(signal("entry", alert_time=NOON)))
    assert isinstance(brain.answers()[-1], AnalysisCompleted)


async def test_entry_without_a_time_ages_from_its_receipt() -> None:
    brain = Brain()
    brain.clock.advance(31)
    await brain.flow.on_signal(received(signal()))
    assert isinstance(brain.answers()[0], SignalEnded)


async def test_alert_time_in_the_future_makes_nothing_younger() -> None:
    brain = Brain()
    brain.clock.advance(31)
    await brain.flow.on_signal(received(signal(alert_time=NOON + timedelta(days=1))))
    assert isinstance(brain.answers()[0], SignalEnded)


async def test_entry_without_any_price_is_rejected() -> None:
    brain = Brain()
    priceless = signal(price=None, symbol="ETHUSDT")
    await brain.flow.on_signal(received(priceless))
    outcome = brain.records.outcomes[priceless.signal_id]
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REJECTED, "no price")


async def test_market_away_loses_nothing_and_the_signal_is_answered_when_it_is_back() -> None:
    brain = Brain()
    brain.market.away = True
    with pytest.raises(RedisUnavailable):
        await brain.flow.on_signal(received(signal()))
    assert brain.records.handled == {}
    brain.market.away = False
    await brain.flow.on_signal(received(signal()))
    assert isinstance(brain.answers()[0], AnalysisCompleted)


async def test_market_away_for_too_long_expires_the_entry_without_asking_it() -> None:
    brain = Brain()
    brain.market.away = True
    brain.clock.advance(31)
    await brain.flow.on_signal(received(signal()))
    assert isinstance(brain.answers()[0], SignalEnded)


async def test_redelivery_changes_nothing() -> None:
    brain = Brain()
    before = REGISTRY.get_sample_value("phoenix_signal_duplicates_total")
    for _ in range(3):
        await brain.flow.on_signal(received(signal()))
    assert len(brain.sent) == 1
    assert REGISTRY.get_sample_value("phoenix_signal_duplicates_total") == before  # nobody sent it twice


async def test_same_alert_sent_again_is_one_signal() -> None:
    brain = Brain()
    for mark in ("first", "second", "third"):
        await brain.flow.on_signal(received(signal(), mark))
    assert len(brain.sent) == 1
    assert brain.records.duplicates == {}  # the ids are equal: nothing to lead anywhere


async def test_equal_body_within_its_window_is_a_duplicate_that_leads_to_the_first() -> None:
    brain = Brain()
    first = signal("a", dedupe_key="body:1", dedupe_window_s=60)
    again = signal("b", dedupe_key="body:1", dedupe_window_s=60, received_at=NOON + timedelta(seconds=59))
    for each in (first, again):
        await brain.flow.on_signal(received(each))
    assert len(brain.sent) == 1
    assert brain.records.duplicates == {again.signal_id: first.signal_id}


async def test_equal_body_after_its_window_is_a_new_signal() -> None:
    brain = Brain()
    for number in range(3):
        moment = NOON + timedelta(seconds=60 * number)
        await brain.flow.on_signal(
            received(signal(str(number), dedupe_key="body:1", dedupe_window_s=60, received_at=moment))
        )
        brain.clock.advance(60)
    assert len(brain.sent) == 3


async def test_two_replicas_at_once_answer_once() -> None:
    brain = Brain()
    twins = [signal(name, dedupe_key="body:1", dedupe_window_s=60) for name in "abcd"]
    await asyncio.gather(*(brain.flow.on_signal(received(each)) for each in twins))
    assert len(brain.sent) == 1
    assert len(brain.records.signals) == 1
    assert len(brain.records.duplicates) == 3


async def test_own_closed_trades_move_the_odds_at_once() -> None:
    brain = Brain()
    await brain.flow.on_signal(received(signal("a")))
    await brain.flow.on_fact(fact(closed("sig-old"), "sig-old"))
    await brain.flow.on_signal(received(signal("b")))
    before, after = (answer.edge for answer in brain.answers() if isinstance(answer, AnalysisCompleted))
    assert before is not None
    assert after is not None
    assert (before.closed_trades, after.closed_trades) == (0, 1)
    assert after.win_rate > before.win_rate


async def test_open_positions_count_in_whatever_order_their_facts_come() -> None:
    brain = Brain()
    await brain.flow.on_fact(fact(opened("sig-1"), "sig-1"))
    await brain.flow.on_fact(fact(closed("sig-2"), "sig-2"))
    await brain.flow.on_fact(fact(opened("sig-2"), "sig-2"))
    assert await brain.records.open_positions() == 1


async def test_outcome_is_set_by_the_fact_that_decides() -> None:
    brain = Brain()
    entry = signal()
    await brain.flow.on_signal(received(entry))
    await brain.flow.on_fact(fact(opened(entry.signal_id), entry.signal_id))
    await brain.flow.on_fact(fact(order_ended(entry.signal_id), entry.signal_id))
    assert brain.records.outcomes[entry.signal_id].kind is OutcomeKind.OPENED


async def test_exit_is_closed_by_the_position_it_closed_and_both_stories_tell_it() -> None:
    brain = Brain()
    leave = signal("exit", action=Action.EXIT)
    await brain.flow.on_signal(received(leave))
    closing = fact(closed("sig-entry", CloseReason.EXIT_SIGNAL, leave.signal_id), "sig-entry")
    await brain.flow.on_fact(closing)
    assert brain.records.outcomes[leave.signal_id].kind is OutcomeKind.CLOSED
    for story in ("sig-entry", leave.signal_id):
        assert (story, closing.event_id) in brain.records.stories


async def test_exit_that_found_nothing_is_a_no_op_and_an_operators_request_is_no_signal() -> None:
    brain = Brain()
    leave = signal("exit", action=Action.EXIT)
    await brain.flow.on_signal(received(leave))
    await brain.flow.on_fact(fact(close_ignored(leave.signal_id), leave.signal_id))
    await brain.flow.on_fact(fact(close_ignored("req-1"), "req-1"))
    assert {key: value.kind for key, value in brain.records.outcomes.items()} == {
        leave.signal_id: OutcomeKind.NO_OP
    }


async def test_manual_proposal_becomes_a_signal_even_after_its_outcome() -> None:
    brain = Brain()
    manual = signal("manual", origin=Origin.MANUAL)
    await brain.flow.on_fact(fact(rejected(manual.signal_id), manual.signal_id, "risk"))
    proposal = ManualTradeProposed(signal=manual)
    await brain.flow.on_fact(fact(proposal, manual.signal_id, "execute"))
    assert brain.records.signals[manual.signal_id][0] == manual
    assert brain.records.outcomes[manual.signal_id].kind is OutcomeKind.REJECTED


@pytest.mark.parametrize("age_s", [0, 31])
async def test_own_facts_that_come_back_change_nothing(age_s: int) -> None:
    brain = Brain()
    brain.clock.advance(age_s)
    await brain.flow.on_signal(received(signal()))
    told, ended = dict(brain.records.stories), dict(brain.records.outcomes)
    await brain.flow.on_fact(brain.sent[0])
    assert (brain.records.stories, brain.records.outcomes) == (told, ended)


async def test_signal_whose_message_was_parked_has_failed() -> None:
    brain = Brain()
    entry = signal()
    await brain.flow.on_signal(received(entry))
    parked = SignalEnded(
        signal_id=entry.signal_id, symbol=entry.symbol, outcome=OutcomeKind.FAILED, reason="parked"
    )
    await brain.flow.on_fact(fact(parked, entry.signal_id, "risk_assessment"))
    assert brain.records.outcomes[entry.signal_id].kind is OutcomeKind.FAILED


async def test_facts_that_arrive_together_are_taken_in_one_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brain = Brain()
    opened_transactions, transaction = [], brain.records.transaction

    def counted() -> AbstractAsyncContextManager[Journal]:
        opened_transactions.append(1)
        return transaction()

    monkeypatch.setattr(brain.records, "transaction", counted)
    told = [fact(opened("sig-1"), "sig-1"), fact(closed("sig-1"), "sig-1"), fact(opened("sig-2"), "sig-2")]
    await asyncio.gather(*map(brain.flow.on_fact, told))
    assert len(opened_transactions) == 1
    assert await brain.records.open_positions() == 1
    assert {name: each.kind for name, each in brain.records.outcomes.items()} == {
        "sig-1": OutcomeKind.OPENED,
        "sig-2": OutcomeKind.OPENED,
    }
    assert len(brain.records.stories) == len(told)


async def test_fact_that_cannot_be_taken_keeps_no_other_out(monkeypatch: pytest.MonkeyPatch) -> None:
    brain = Brain()
    move = brain.records.move_positions

    async def refuse(tx: Journal, changes: Sequence[PositionChange]) -> None:
        await move(tx, changes)
        if "sig-bad" in {each.signal_id for each in changes}:
            raise ValueError("sig-bad")

    monkeypatch.setattr(brain.records, "move_positions", refuse)
    names = ("sig-1", "sig-bad", "sig-2")
    took = await asyncio.gather(
        *(brain.flow.on_fact(fact(opened(name), name)) for name in names), return_exceptions=True
    )
    assert [type(each) for each in took] == [type(None), ValueError, type(None)]
    assert set(brain.records.positions) == set(brain.records.outcomes) == {"sig-1", "sig-2"}


async def test_score_on_request_has_no_effect() -> None:
    brain = Brain()
    brain.market.ticks["BTCUSDT"] = tick(volume="20000000")
    assessment = await brain.flow.assess(signal())
    assert assessment is not None
    assert all(gate.passed for gate in assessment.analysis.gates)
    assert brain.records.signals == {}
    assert brain.sent == []


async def test_watchdog_tells_once_of_the_signal_that_waits_longest() -> None:
    brain = Brain()
    watchdog = Housekeeping(brain.records, brain.outbox, timedelta(seconds=120), brain.clock)
    entry = signal()
    await brain.flow.on_signal(received(entry))
    brain.clock.advance(119)
    await watchdog.watch()
    raised = [each.payload for each in brain.outbox.staged.values() if isinstance(each.payload, AlertRaised)]
    assert raised == []
    brain.clock.advance(1)
    await watchdog.watch()
    brain.clock.advance(15)
    await watchdog.watch()
    [alarm] = [each for each in brain.outbox.staged.values() if isinstance(each.payload, AlertRaised)]
    assert alarm.correlation_id == entry.signal_id
    await brain.flow.on_fact(fact(opened(entry.signal_id), entry.signal_id))
    assert await brain.records.overdue(NOON - timedelta(days=1), brain.clock()) is None
