"""When the exchange may be called: a ban holds all, the breaker holds entries, weight is kept for exits."""

import pytest

from services.execute.call_gate import (
    AFTER_BAN_S,
    BAN_S_MIN,
    FAILURES_MAX,
    OPEN_S,
    REPORT_BURST,
    Budget,
    CallGate,
    Pace,
    Urgency,
)

NOW = 1_000.0


def gate() -> CallGate:
    return CallGate()


def passing(under_test: CallGate, now: float = NOW) -> set[Urgency]:
    return {each for each in Urgency if under_test.why_closed(each, now) is None}


def test_everything_passes_at_first() -> None:
    assert passing(gate()) == set(Urgency)


def test_breaker_opens_after_five_failures_in_a_row_and_holds_entries_only() -> None:
    under_test = gate()
    for _ in range(FAILURES_MAX - 1):
        under_test.failed(NOW)
    assert passing(under_test) == set(Urgency)
    under_test.failed(NOW)
    assert passing(under_test) == {Urgency.READ, Urgency.EXIT}
    assert under_test.is_open(NOW)


def test_an_answer_between_failures_starts_the_count_again() -> None:
    under_test = gate()
    for _ in range(FAILURES_MAX * 2):
        under_test.failed(NOW)
        under_test.answered()
    assert passing(under_test) == set(Urgency)


def test_open_breaker_closes_with_the_first_answer() -> None:
    under_test = gate()
    for _ in range(FAILURES_MAX):
        under_test.failed(NOW)
    under_test.answered()
    assert passing(under_test) == set(Urgency)
    assert not under_test.is_open(NOW)


def test_half_open_lets_one_try_pass_and_opens_again_at_the_next_failure() -> None:
    under_test = gate()
    for _ in range(FAILURES_MAX):
        under_test.failed(NOW)
    later = NOW + OPEN_S
    assert passing(under_test, later) == set(Urgency)
    under_test.failed(later)
    assert Urgency.ENTRY not in passing(under_test, later)


def test_ban_holds_exits_too_and_only_as_long_as_it_lasts() -> None:
    under_test = gate()
    under_test.banned(NOW, 120)
    under_test.banned(NOW, 5)
    assert passing(under_test, NOW + 119.9) == set()
    assert passing(under_test, NOW + 120) == {Urgency.EXIT}


def test_exits_come_first_when_a_ban_is_over() -> None:
    under_test = gate()
    under_test.banned(NOW, 120)
    reads_at, entries_at = (NOW + 120 + AFTER_BAN_S[each] for each in (Urgency.READ, Urgency.ENTRY))
    assert passing(under_test, reads_at - 0.1) == {Urgency.EXIT}
    assert passing(under_test, reads_at) == {Urgency.EXIT, Urgency.READ}
    assert passing(under_test, entries_at) == set(Urgency) - {Urgency.REPORT}
    assert passing(under_test, NOW + 120 + AFTER_BAN_S[Urgency.REPORT]) == set(Urgency)


def test_ban_without_a_time_lasts_a_moment() -> None:
    under_test = gate()
    under_test.banned(NOW, 0)
    assert passing(under_test, NOW + BAN_S_MIN / 2) == set()
    assert passing(under_test, NOW + BAN_S_MIN) == {Urgency.EXIT}


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (1_439, set(Urgency)),
        (1_440, set(Urgency) - {Urgency.REPORT}),
        (1_679, set(Urgency) - {Urgency.REPORT}),
        (1_680, {Urgency.READ, Urgency.EXIT}),
        (2_159, {Urgency.READ, Urgency.EXIT}),
        (2_160, {Urgency.EXIT}),
        (2_399, {Urgency.EXIT}),
    ],
)
def test_weight_is_kept_for_exits(used: int, expected: set[Urgency]) -> None:
    under_test = gate()
    under_test.used(Budget.WEIGHT_1M, used, NOW)
    assert passing(under_test, NOW + 1) == expected


def test_allowed_weight_is_learned_from_the_exchange() -> None:
    under_test = gate()
    under_test.used(Budget.WEIGHT_1M, 2_399, NOW)
    under_test.allow({Budget.WEIGHT_1M: 100_000})
    assert passing(under_test, NOW) == set(Urgency)


def test_weight_of_a_past_minute_does_not_count() -> None:
    under_test = gate()
    under_test.used(Budget.WEIGHT_1M, 2_399, NOW)
    assert passing(under_test, NOW + 60) == set(Urgency)


@pytest.mark.parametrize(
    ("budget", "limit", "window_s"), [(Budget.ORDERS_10S, 300, 10), (Budget.ORDERS_1M, 1_200, 60)]
)
def test_entries_yield_before_the_order_limit_and_exits_never_do(
    budget: Budget, limit: int, window_s: float
) -> None:
    under_test = gate()
    under_test.used(budget, int(limit * 0.7) - 1, NOW)
    assert passing(under_test) == set(Urgency)
    under_test.used(budget, limit - 1, NOW)
    assert passing(under_test) == set(Urgency) - {Urgency.ENTRY}
    assert passing(under_test, NOW + window_s) == set(Urgency)


def test_reporting_reads_spend_their_share_of_a_minute_and_no_more() -> None:
    pace, spent = Pace(240), 0
    now = NOW
    while now < NOW + 600:
        if pace.wait_s(30, now) > 0:
            now += 0.5
        else:
            pace.spend(30, now)
            spent += 30
    assert 10 * 240 <= spent <= 10 * 240 + 240 * REPORT_BURST


def test_the_books_of_ten_positions_that_end_together_are_read_at_once() -> None:
    pace = Pace(240)
    for _ in range(10):
        for weight in (5, 5, 30):
            assert pace.wait_s(weight, NOW) == 0
            pace.spend(weight, NOW)


def test_the_share_follows_what_the_exchange_grants() -> None:
    pace = Pace(240)
    pace.spend(600, NOW)
    assert pace.wait_s(30, NOW) > 5
    pace.allow(24_000)
    assert pace.wait_s(30, NOW) < 0.1


def test_read_that_weighs_more_than_a_minute_waits_for_a_whole_one() -> None:
    pace = Pace(240)
    assert pace.wait_s(1_000, NOW) == 0
    pace.spend(1_000, NOW)
    assert pace.wait_s(5, NOW) > 60
