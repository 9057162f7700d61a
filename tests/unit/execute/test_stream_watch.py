"""When a private stream is opened anew: silence is judged against what our books and REST show."""

from datetime import timedelta

import pytest

from services.execute.stream_watch import GRACE, LEAD, RENEW_AFTER, StreamWatch, Why
from tests.unit.execute.builders import NOON

SECOND = timedelta(seconds=1)
LATER = NOON + timedelta(hours=1)


def watch() -> StreamWatch:
    opened = StreamWatch()
    opened.opened(NOON)
    return opened


def test_quiet_stream_of_a_quiet_account_is_left_alone() -> None:
    under_test = watch()
    assert under_test.why_renew(LATER) is None
    assert under_test.quiet_for(LATER) == timedelta(hours=1)


def test_stream_that_told_nothing_of_a_change_is_deaf() -> None:
    under_test = watch()
    under_test.changed(LATER)
    assert under_test.why_renew(LATER + GRACE) is None
    assert under_test.why_renew(LATER + GRACE + SECOND) is Why.SILENT


@pytest.mark.parametrize(
    ("heard_before", "verdict"), [(LEAD + SECOND, Why.SILENT), (LEAD, None), (SECOND, None), (-SECOND, None)]
)
def test_event_may_come_before_our_books_show_the_change(
    heard_before: timedelta, verdict: Why | None
) -> None:
    under_test = watch()
    under_test.heard(LATER - heard_before)
    under_test.changed(LATER)
    assert under_test.why_renew(LATER + GRACE + SECOND) is verdict


def test_what_happened_before_the_connection_is_not_its_fault() -> None:
    under_test = watch()
    under_test.changed(NOON - SECOND)
    under_test.changed(NOON + LEAD)
    assert under_test.why_renew(LATER) is None


def test_older_change_does_not_hide_a_newer_one() -> None:
    under_test = watch()
    under_test.changed(LATER)
    under_test.changed(NOON + timedelta(minutes=1))
    assert under_test.why_renew(LATER + GRACE) is None
    assert under_test.why_renew(LATER + GRACE + SECOND) is Why.SILENT


def test_new_connection_starts_afresh() -> None:
    under_test = watch()
    under_test.changed(LATER)
    under_test.opened(LATER + GRACE + SECOND)
    assert under_test.why_renew(LATER + GRACE + SECOND) is None


def test_connection_is_replaced_before_the_exchange_ends_it() -> None:
    under_test = watch()
    under_test.heard(NOON + RENEW_AFTER - SECOND)
    assert under_test.why_renew(NOON + RENEW_AFTER - SECOND) is None
    assert under_test.why_renew(NOON + RENEW_AFTER) is Why.PLANNED
    assert timedelta(hours=24) > RENEW_AFTER


def test_stream_that_was_never_opened_is_not_to_be_renewed() -> None:
    assert StreamWatch().why_renew(NOON) is None
    assert StreamWatch().quiet_for(NOON) == timedelta(0)
