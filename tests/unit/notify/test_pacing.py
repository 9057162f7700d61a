"""The pace of a chat, as examples and as properties over whole days of trouble."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.telling.kinds import ALERTS, Kind, Lane
from services.notify.telling.message_format import Notification
from services.notify.telling.pacing import (
    BACKOFF_S_MAX,
    CHAT_INTERVAL_S,
    FOLDED_MAX,
    GROUP_INTERVAL_S,
    ROUTINE_INTERVAL_S,
    SINGLE_MAX,
    Answer,
    Busy,
    Delivered,
    Refused,
    Unreachable,
    backoff_s,
    interval_of,
    next_batch,
    start_pace,
    too_old_before,
)
from shared.values import Severity
from tests.unit.notify.facts import NOON

TICK_S = 0.25


def notification(
    number: int, severity: Severity, at_s: float = 0.0, kind: Kind | None = None
) -> Notification:
    return Notification(
        event_id=f"evt-{number:06}",
        correlation_id="sig-x",
        kind=kind or ALERTS[severity],
        title=f"title {number}",
        body="",
        gist="gist",
        occurred_at=NOON + timedelta(seconds=at_s),
    )


def test_danger_goes_before_money_before_warnings_before_routine() -> None:
    waiting = [
        notification(1, Severity.INFO, 0),
        notification(2, Severity.WARNING, 1),
        notification(3, Severity.INFO, 2, Kind.POSITION_OPENED),
        notification(4, Severity.CRITICAL, 3),
    ]
    told = []
    while waiting:
        batch = next_batch(waiting, with_routine=True)
        told += [one.event_id for one in batch]
        waiting = [one for one in waiting if one not in batch]
    assert told == ["evt-000004", "evt-000003", "evt-000002", "evt-000001"]


@pytest.mark.parametrize(
    ("lane", "kind"),
    [
        (Lane.TRADES, Kind.POSITION_CLOSED),
        (Lane.WARNING, Kind.ALERT_WARNING),
        (Lane.ROUTINE, Kind.DECISION_REJECTED),
    ],
)
def test_a_few_go_one_by_one_and_more_are_folded(lane: Lane, kind: Kind) -> None:
    many = [notification(number, Severity.INFO, number, kind) for number in range(300)]
    few = many[: SINGLE_MAX[lane]]
    assert next_batch(few, with_routine=True) == (few[0],)
    assert next_batch(many[: SINGLE_MAX[lane] + 1], with_routine=True) == tuple(many[: SINGLE_MAX[lane] + 1])
    assert next_batch(many[::-1], with_routine=True) == tuple(many[: FOLDED_MAX[lane]]), "the oldest first"


@pytest.mark.parametrize("at", [0, 3, 7])
def test_the_report_of_a_day_is_never_a_line_among_others(at: int) -> None:
    """After a night without Telegram it waits among the night's trades."""
    waiting = [
        notification(n, Severity.INFO, n, Kind.DAILY_REPORT if n == at else Kind.POSITION_OPENED)
        for n in range(8)
    ]
    told = []
    while waiting:
        batch = next_batch(waiting, with_routine=True)
        told.append(batch)
        waiting = [one for one in waiting if one not in batch]

    assert [batch for batch in told if any(one.kind is Kind.DAILY_REPORT for one in batch)] == [
        (notification(at, Severity.INFO, at, Kind.DAILY_REPORT),)
    ]
    assert [one.event_id for batch in told for one in batch] == [f"evt-{n:06}" for n in range(8)]


def test_danger_is_never_folded() -> None:
    criticals = [notification(number, Severity.CRITICAL, number) for number in range(10)]
    assert next_batch(criticals, with_routine=True) == (criticals[0],)


def test_routine_gathers_after_a_routine_message_and_nothing_else_does() -> None:
    pace = start_pace(CHAT_INTERVAL_S, 0.0).after(Delivered(), 10.0, Lane.ROUTINE)
    assert not pace.lets_routine(10.0 + ROUTINE_INTERVAL_S - 0.1)
    assert pace.lets_routine(10.0 + ROUTINE_INTERVAL_S)
    assert pace.wait_s(10.0) == CHAT_INTERVAL_S
    waiting = [notification(1, Severity.INFO), notification(2, Severity.WARNING)]
    assert next_batch(waiting, with_routine=False) == (waiting[1],)
    assert next_batch(waiting[:1], with_routine=False) == ()
    assert start_pace(CHAT_INTERVAL_S, 0.0).after(Delivered(), 10.0, Lane.DANGER).lets_routine(10.0)


def test_nothing_waiting_sends_nothing() -> None:
    assert next_batch([], with_routine=True) == ()


def test_a_replica_that_takes_over_waits_one_interval_first() -> None:
    assert start_pace(interval_of("95"), 100.0).wait_s(100.0) == CHAT_INTERVAL_S
    assert start_pace(interval_of("-10095"), 100.0).wait_s(100.0) == GROUP_INTERVAL_S


def test_retry_after_is_honoured_in_full() -> None:
    pace = start_pace(CHAT_INTERVAL_S, 0.0).after(Busy(3_600.0), 10.0, Lane.DANGER)
    assert pace.wait_s(10.0) >= 3_600.0


def test_backoff_doubles_up_to_its_cap_and_success_ends_it() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]
    assert backoff_s(10_000) == BACKOFF_S_MAX
    pace = start_pace(CHAT_INTERVAL_S, 0.0)
    for _ in range(20):
        pace = pace.after(Unreachable("away"), 0.0, Lane.DANGER)
    assert pace.wait_s(0.0) == BACKOFF_S_MAX
    assert pace.after(Delivered(), 0.0, Lane.DANGER).wait_s(0.0) == CHAT_INTERVAL_S
    assert pace.after(Delivered(), 0.0, Lane.DANGER).failures == 0


def test_only_danger_does_not_age() -> None:
    assert set(too_old_before(NOON)) == set(Lane) - {Lane.DANGER}
    assert too_old_before(NOON)[Lane.ROUTINE] == NOON - timedelta(minutes=15)


@dataclass
class Day:
    """One run of a chat over many arrivals and answers, as the sender would live it."""

    arrivals: Sequence[tuple[float, Severity]]
    answers: list[Answer]
    chat_id: str = "95"

    def run(self) -> tuple[list[tuple[float, tuple[Notification, ...], Answer]], list[Notification]]:
        """Return every attempt (time, batch, answer) and what still waits when the answers are used up."""
        coming = sorted(
            (notification(number, severity, at_s) for number, (at_s, severity) in enumerate(self.arrivals)),
            key=lambda one: one.occurred_at,
        )
        answers, waiting, attempts, now_s = list(self.answers), list[Notification](), [], 0.0
        pace = start_pace(interval_of(self.chat_id), 0.0)
        while (coming or waiting) and now_s < 10_000:
            now = NOON + timedelta(seconds=now_s)
            waiting += [one for one in coming if one.occurred_at <= now]
            coming = [one for one in coming if one.occurred_at > now]
            for lane, before in too_old_before(now).items():
                waiting = [one for one in waiting if one.lane is not lane or one.occurred_at >= before]
            with_routine = pace.lets_routine(now_s)
            batch = next_batch(waiting, with_routine=with_routine) if pace.wait_s(now_s) == 0 else ()
            if batch:
                answer = answers.pop() if answers else Delivered()
                attempts.append((now_s, batch, answer))
                pace = pace.after(answer, now_s, batch[0].lane)
                if isinstance(answer, Delivered):
                    waiting = [one for one in waiting if one not in batch]
            now_s += TICK_S
        return attempts, waiting


ARRIVALS = st.lists(st.tuples(st.floats(0, 300), st.sampled_from(list(Severity))), max_size=60)
TROUBLES = st.lists(
    st.one_of(st.just(Unreachable("away")), st.builds(Busy, st.floats(0, 120)), st.just(Delivered())),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, TROUBLES, st.sampled_from(["95", "-10095"]))
def test_never_more_than_one_message_per_interval(
    arrivals: list[tuple[float, Severity]], answers: list[Answer], chat_id: str
) -> None:
    attempts, _ = Day(arrivals, answers, chat_id).run()
    interval_s = GROUP_INTERVAL_S if chat_id.startswith("-") else CHAT_INTERVAL_S
    times = [at_s for at_s, _, _ in attempts]
    assert all(later - earlier >= interval_s for earlier, later in pairwise(times))
    for (at_s, _, answer), (next_at_s, _, _) in pairwise(attempts):
        if isinstance(answer, Busy):
            assert next_at_s >= at_s + answer.retry_after_s


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, TROUBLES)
def test_nothing_critical_is_dropped_and_nothing_arrives_twice(
    arrivals: list[tuple[float, Severity]], answers: list[Answer]
) -> None:
    attempts, waiting = Day(arrivals, answers).run()
    arrived = [
        one.event_id for _, batch, answer in attempts if isinstance(answer, Delivered) for one in batch
    ]
    assert len(arrived) == len(set(arrived))
    critical = {f"evt-{n:06}" for n, (_, severity) in enumerate(arrivals) if severity is Severity.CRITICAL}
    assert critical <= set(arrived)
    assert not waiting


@settings(max_examples=40, deadline=None)
@given(ARRIVALS, TROUBLES)
def test_no_info_leaves_while_danger_waits(
    arrivals: list[tuple[float, Severity]], answers: list[Answer]
) -> None:
    attempts, _ = Day(arrivals, answers).run()
    by_id = {
        one.event_id: one
        for number, (at_s, severity) in enumerate(arrivals)
        for one in [notification(number, severity, at_s)]
    }
    undelivered = {key for key, one in by_id.items() if one.severity is Severity.CRITICAL}
    for at_s, batch, answer in attempts:
        now = NOON + timedelta(seconds=at_s)
        danger = {key for key in undelivered if by_id[key].occurred_at <= now}
        if danger:
            assert batch[0].event_id in danger
        if isinstance(answer, Delivered):
            undelivered -= {one.event_id for one in batch}


def test_a_refused_message_does_not_slow_the_next_one_down() -> None:
    pace = start_pace(CHAT_INTERVAL_S, 0.0).after(Refused("chat not found"), 5.0, Lane.DANGER)
    assert pace.wait_s(5.0) == CHAT_INTERVAL_S


def test_order_is_by_time_of_the_fact() -> None:
    early, late = notification(9, Severity.WARNING, 1), notification(1, Severity.WARNING, 2)
    assert next_batch([late, early], with_routine=True) == (early,)
    assert next_batch([late, replace(early, occurred_at=late.occurred_at)], with_routine=True) == (late,)
