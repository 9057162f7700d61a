"""A seed is a plan: the same one every time, with every kind of fault in it while there is room."""

from tests.chaos.faults import TROUBLES
from tests.chaos.plan import Alert, Fault, ManualTrade, Step, make_plan

KINDS = [each.kind for each in TROUBLES.values()]


def plan(seed: int, *, signals: int = 300, faults: int = 200) -> list[Step]:
    return make_plan(seed, signals=signals, faults=faults, duration_s=300.0, kinds=KINDS)


def test_one_seed_is_one_plan_and_another_seed_another() -> None:
    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


def test_a_long_plan_has_every_kind_of_fault() -> None:
    assert {step.act.kind for step in plan(1) if isinstance(step.act, Fault)} == set(TROUBLES)


def test_a_plan_has_what_was_asked_for_in_order_and_in_time() -> None:
    steps = plan(3, faults=40)
    assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)
    assert sum(isinstance(step.act, Fault) for step in steps) == 40
    assert all(0 <= step.at_s <= 300 for step in steps if isinstance(step.act, Fault))
    asked = {step.act.key for step in steps if isinstance(step.act, Alert)}
    manual = sum(isinstance(step.act, ManualTrade) for step in steps)
    assert 250 < len(asked) + manual <= 300, "the rest are closes and pauses of the operator"


def test_some_alerts_are_repeated_later_word_for_word() -> None:
    alerts = [step.act for step in plan(1) if isinstance(step.act, Alert)]
    assert len(alerts) > len({alert.key for alert in alerts})
    assert any(alert.copies > 1 for alert in alerts)
