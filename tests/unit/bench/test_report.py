"""Budgets are judged, missed ones are told, and the report can be read by people and by programs."""

import msgspec
import pytest

from services.risk.profiles import PROFILES, Profile
from tests.bench.budgets import APPROVALS, BUDGETS, WEBHOOK_DIRECT, Verdict, entry_name
from tests.bench.machine import Machine, Usage, by_family, cpu_per_item_ms
from tests.bench.plan import FULL, QUICK, SYMBOLS_EXTRA, Plan
from tests.bench.results import Burst, RampStep, Report, Run, over_runs, sustained
from tests.bench.samples import summary
from tests.bench.table import render

P99_MS_MAX = 100.0


def test_a_latency_over_its_budget_is_missed_and_one_at_it_is_met() -> None:
    budget = next(each for each in BUDGETS if each.what == f"{WEBHOOK_DIRECT}: p50")
    assert budget.verdict(2.0) is Verdict.MET
    assert budget.verdict(2.001) is Verdict.MISSED
    assert budget.verdict(None) is Verdict.UNKNOWN


def test_a_throughput_under_its_budget_is_missed() -> None:
    budget = next(each for each in BUDGETS if APPROVALS in each.what)
    assert budget.verdict(299.9) is Verdict.MISSED
    assert budget.verdict(300.0) is Verdict.MET


def test_what_was_not_measured_is_not_called_met() -> None:
    report = _report()
    unknown = {each.what for each in BUDGETS if each.verdict(each.measure(report)) is Verdict.UNKNOWN}
    assert f"{entry_name(20)}: p99" in unknown
    assert f"{WEBHOOK_DIRECT}: p50" not in unknown


def test_the_sustained_rate_ends_at_the_first_rate_that_most_runs_did_not_hold() -> None:
    good, slow = 50.0, 150.0
    runs = [
        [_step(250, good), _step(500, good), _step(1_000, slow), _step(1_500, good)],
        [_step(250, good), _step(500, slow), _step(1_000, slow), _step(1_500, good)],
        [_step(250, good), _step(500, good), _step(1_000, good), _step(1_500, good)],
    ]
    assert sustained(runs, P99_MS_MAX) == 500


def test_one_failed_alert_spoils_a_rate() -> None:
    assert sustained([[_step(250, 1.0, failed=1)]], P99_MS_MAX) == 0


def test_the_report_is_readable_and_survives_json() -> None:
    report = _report()
    text = render(report)
    assert WEBHOOK_DIRECT in text
    assert "MISSED" in text
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_runs_are_joined_by_name() -> None:
    joined = over_runs([{"a": summary([1.0])}, {"a": summary([3.0]), "b": summary([5.0])}])
    assert [(each.name, each.median.p50_ms, len(each.runs)) for each in joined] == [
        ("a", 2.0, 2),
        ("b", 5.0, 1),
    ]


def test_what_a_program_uses_anyway_is_not_charged_to_the_load() -> None:
    idle = Usage(elapsed_s=2.0, by_program_s={"brain-0": 0.2, "redis": 0.0}, machine_s=0.3)
    busy = Usage(elapsed_s=4.0, by_program_s={"brain-0": 1.4, "redis": 0.1}, machine_s=2.0)
    assert cpu_per_item_ms(busy, idle, items=100) == {"brain-0": 10.0, "redis": 1.0}


def test_instances_count_as_their_service() -> None:
    assert by_family({"brain-0": 1.0, "brain-1": 2.0, "market_feed": 4.0}) == {
        "brain": 3.0,
        "market_feed": 4.0,
    }


@pytest.mark.parametrize("plan", [FULL, QUICK])
def test_no_phase_needs_more_symbols_than_there_are(plan: Plan) -> None:
    largest = max(round(rate * plan.entry_s) for rate in plan.entry_rates)
    assert max(largest, plan.warm_up_entries) <= plan.symbols_prepared
    assert plan.burst_approvals <= SYMBOLS_EXTRA


def test_the_profile_lifts_what_the_load_would_hit() -> None:
    limits, plan = PROFILES[Profile.BENCH], FULL
    assert limits.positions_max > plan.symbols_prepared
    assert limits.entries_per_day_max == limits.entries_per_minute_max == 0


def _step(rate: int, p99_ms: float, failed: int = 0) -> RampStep:
    return RampStep(
        rate=rate, p50_ms=1.0, p99_ms=p99_ms, max_ms=p99_ms, failed=failed, answered_per_s=1, ended_per_s=1
    )


def _report() -> Report:
    slow = summary([2.5] * 100)
    run = Run(
        latencies={WEBHOOK_DIRECT: slow},
        hops={},
        floors={"redis xadd": summary([0.1])},
        ramp=[_step(250, 1.0)],
        cpu_ms={"entries": {"brain": 5.0}},
        others_share={"idle": 0.1},
        late_p99_ms=0.2,
    )
    return Report(
        measured_at="2026-01-31T12:00:00+00:00",
        is_quick=True,
        machine=Machine(
            cpu="a processor",
            cores=2,
            memory_gib=8.0,
            system="Linux",
            python="3.11",
            fsync_p50_ms=0.1,
            fsync_p99_ms=0.2,
            libraries={"redis": "1"},
        ),
        latencies=over_runs([run.latencies]),
        hops=[],
        floors=over_runs([run.floors]),
        sustained_per_s=250,
        bursts=[Burst(name=APPROVALS, decisions=10, lost=0, per_s=400.0)],
        rss_mib={"brain": 80.0},
        runs=[run],
    )
