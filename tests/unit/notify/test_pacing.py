"""The pace of a chat, as examples and as properties over whole days of trouble."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.message_format import Notification
from services.notify.pacing import (
    BACKOFF_S_MAX,
    CHAT_INTERVAL_S,
    COALESCE_ABOVE,
    DIGEST_LINES_MAX,
    GROUP_INTERVAL_S,
    Answer,
    Busy,
    Delivered,
    Refused,
    Unreachable,
    backoff_s,
    next_batch,
    start_pace,
    too_old_before,
)
from shared.values import Severity
from tests.unit.notify.facts import NOON

TICK_S = 0.25


def notification(number: int, severity: Severity, at_s: float = 0.0) -> Notification:
    return Notification(
        event_id=f"evt-{number:06}",
        correlation_id="sig-x",
        kind="alert",
        severity=severity,
        title=f"title {number}",
        body="",
        occurred_at=NOON + timedelta(seconds=at_s),
    )


def test_critical_goes_before_warning_before_info() -> None:
    waiting = [
        notification(1, Severity.INFO, 0),
        notification(2, Severity.WARNING, 1),
        notification(3, Severity.CRITICAL, 2),
    ]
    told = []
    while waiting:
        batch = next_batch(waiting)
        told += [one.event_id for one in batch]
        waiting = [one for one in waiting if one not in batch]
    assert told == ["evt-000003", "evt-000002", "evt-000001"]


def test_up_to_three_infos_go_one_by_one_and_more_are_folded() -> None:
    infos = [notification(number, Severity.INFO, number) for number in range(COALESCE_ABOVE + 1)]
    assert next_batch(infos[:COALESCE_ABOVE]) == (infos[0],)
    assert next_batch(infos) == tuple(infos)


def test_digest_is_bounded_and_takes_the_oldest() -> None:
    infos = [notification(number, Severity.INFO, number) for number in range(100)]
    assert next_batch(infos[::-1]) == tuple(infos[:DIGEST_LINES_MAX])


def test_criticals_are_never_folded() -> None:
    criticals = [notification(number, Severity.CRITICAL, number) for number in range(10)]
    assert next_batch(criticals) == (criticals[0],)


def test_nothing_waiting_sends_nothing() -> None:
    assert next_batch([]) == ()


def test_a_replica_that_takes_over_waits_one_interval_first() -> None:
    assert start_pace("95", 100.0).wait_s(100.0) == CHAT_INTERVAL_S
    assert start_pace("-10095", 100.0).wait_s(100.0) == GROUP_INTERVAL_S


def test_retry_after_is_honoured_in_full() -> None:
    pace = start_pace("95", 0.0).after(Busy(3_600.0), 10.0)
    assert pace.wait_s(10.0) >= 3_600.0


def test_backoff_doubles_up_to_its_cap_and_success_ends_it() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]
    assert backoff_s(10_000) == BACKOFF_S_MAX
    pace = start_pace("95", 0.0)
    for _ in range(20):
        pace = pace.after(Unreachable("away"), 0.0)
    assert pace.wait_s(0.0) == BACKOFF_S_MAX
    assert pace.after(Delivered(), 0.0).wait_s(0.0) == CHAT_INTERVAL_S
    assert pace.after(Delivered(), 0.0).failures == 0


def test_only_danger_does_not_age() -> None:
    assert set(too_old_before(NOON)) == {Severity.INFO, Severity.WARNING}
    assert too_old_before(NOON)[Severity.INFO] == NOON - timedelta(minutes=15)


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
        pace = start_pace(self.chat_id, 0.0)
        while (coming or waiting) and now_s < 10_000:
            now = NOON + timedelta(seconds=now_s)
            waiting += [one for one in coming if one.occurred_at <= now]
            coming = [one for one in coming if one.occurred_at > now]
            for severity, before in too_old_before(now).items():
                waiting = [
                    one for one in waiting if one.severity is not severity or one.occurred_at >= before
                ]
            batch = next_batch(waiting) if pace.wait_s(now_s) == 0 else ()
            if batch:
                answer = answers.pop() if answers else Delivered()
                attempts.append((now_s, batch, answer))
                pace = pace.after(answer, now_s)
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
    pace = start_pace("95", 0.0).after(Refused("chat not found"), 5.0)
    assert pace.wait_s(5.0) == CHAT_INTERVAL_S


def test_order_is_by_time_of_the_fact() -> None:
    early, late = notification(9, Severity.WARNING, 1), notification(1, Severity.WARNING, 2)
    assert next_batch([late, early]) == (early,)
    assert next_batch([late, replace(early, occurred_at=late.occurred_at)]) == (late,)
