"""Rows that a replica of another version wrote are told all the same."""

from services.notify.store import _repeated
from services.notify.telling.kinds import Kind
from tests.unit.notify.facts import NOON


def test_a_repeat_of_a_kind_that_this_version_does_not_know_is_a_warning() -> None:
    """Raising would end the loop again and again, and no repeat would be told any more."""
    row = {"event_id": "evt-1", "correlation_id": "x", "kind": "of_tomorrow", "title": "t", "repeats": 3}
    told = _repeated(row, lambda title, repeats: f"{title} ×{repeats}", NOON)
    assert (told.kind, told.title) == (Kind.ALERT_WARNING, "t ×3")
