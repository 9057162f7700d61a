"""Which of two alerts came first: by stamp within a strategy, else by receipt; closing works (P8, P9)."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.signal_order import Moment, group_of, is_after_exit, made_at
from tests.unit.risk.builders import signal

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def moment(received_s: float, made_s: float | None = None, strategy: str = "trend") -> Moment:
    made = None if made_s is None else NOON + timedelta(seconds=made_s)
    return Moment(strategy=strategy, received_at=NOON + timedelta(seconds=received_s), made_at=made)


@pytest.mark.parametrize(
    ("entry", "leave", "is_after"),
    [
        (moment(1.2), moment(1.1), True),
        (moment(1.1), moment(1.1), False),
        (moment(1.1), moment(1.2), False),
        (moment(1.2, 1), moment(1.1, 1), True),
        (moment(1.1, 1), moment(1.2, 1), True),  # one second: the exit is the first half
        (moment(1.1, 1), moment(3.2, 1), True),
        (moment(1.1, 1), moment(1.2, 0), True),  # made before, received after
        (moment(1.1, 1), moment(2.2, 2), False),
        (moment(2.2, 1), moment(2.1, 2), False),  # P8: an entry that came late
        (moment(1.1, 1), moment(11.2, 1), False),  # P9: too late to be half of anything
        (moment(1.1, 1, "one"), moment(1.2, 1, "two"), False),
        (moment(1.1, 1, ""), moment(1.2, 1, ""), False),
        (moment(1.1, 1), moment(1.2), False),
        (moment(1.1), moment(1.2, 1), False),
    ],
)
def test_an_entry_comes_after_an_exit_by_stamp_or_by_receipt(
    entry: Moment, leave: Moment, is_after: bool
) -> None:
    assert is_after_exit(entry, leave) is is_after


@pytest.mark.parametrize(("ahead_s", "counts"), [(-20, True), (0, True), (4, True), (6, False)])
def test_a_stamp_from_the_future_is_none(ahead_s: int, counts: bool) -> None:
    stamp = NOON + timedelta(seconds=ahead_s)
    found = made_at(signal(received_at=NOON, alert_time=stamp))
    assert found == (stamp if counts else None)


def test_exits_are_kept_by_strategy_only_with_a_stamp() -> None:
    assert group_of(moment(1, 1)) == ("trend", NOON + timedelta(seconds=1))
    assert group_of(moment(1)) == group_of(moment(1, 1, "")) == ("", None)
