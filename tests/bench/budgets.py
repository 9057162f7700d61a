"""DESIGN.md §14 as a table: what each measurement may take. Missing one is told, never an exit status."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from tests.bench.results import Burst, Latency, Report

SUSTAINED_P99_MS_MAX = 100.0

WEBHOOK_DIRECT = "webhook → 200, direct, 50/s"
WEBHOOK_NGINX = "webhook → 200, nginx, 50/s"
APPROVALS = "approvals"
REFUSALS = "refusals"

RSS_MIB_MAX = {
    "brain": 110.0,
    "risk": 110.0,
    "notify": 110.0,
    "execute": 220.0,
    "market_feed": 220.0,
}


def entry_name(rate: int) -> str:
    """Return the name of the latency up to the accepted entry at a rate per second."""
    return f"webhook → entry accepted, {rate}/s"


def protection_name(rate: int) -> str:
    """Return the name of the latency up to the confirmed protection at a rate per second."""
    return f"webhook → stop and TP confirmed, {rate}/s"


class Verdict(StrEnum):
    """How a measurement stands to its budget."""

    MET = "met"
    MISSED = "missed"
    UNKNOWN = "not measured"


class Budget(NamedTuple):
    """One promise: `measure` finds the value in the report, None when it was not measured."""

    what: str
    unit: str
    limit: float
    measure: Callable[[Report], float | None]
    at_least: bool = False

    def verdict(self, value: float | None) -> Verdict:
        """Judge a value."""
        if value is None:
            return Verdict.UNKNOWN
        is_met = value >= self.limit if self.at_least else value <= self.limit
        return Verdict.MET if is_met else Verdict.MISSED


def _latency(name: str, percentile: str) -> Callable[[Report], float | None]:
    def measure(report: Report) -> float | None:
        found: Latency | None = next((each for each in report.latencies if each.name == name), None)
        return None if found is None else float(getattr(found.median, percentile))

    return measure


def _burst(name: str) -> Callable[[Report], float | None]:
    def measure(report: Report) -> float | None:
        found: Burst | None = next((each for each in report.bursts if each.name == name), None)
        return None if found is None else found.per_s

    return measure


def _rss(program: str) -> Callable[[Report], float | None]:
    return lambda report: report.rss_mib.get(program)


def _latency_budgets(name: str, p50_ms: float, p99_ms: float) -> tuple[Budget, Budget]:
    return (
        Budget(f"{name}: p50", "ms", p50_ms, _latency(name, "p50_ms")),
        Budget(f"{name}: p99", "ms", p99_ms, _latency(name, "p99_ms")),
    )


BUDGETS: tuple[Budget, ...] = (
    *_latency_budgets(WEBHOOK_DIRECT, 2, 20),
    *_latency_budgets(WEBHOOK_NGINX, 2, 20),
    Budget(
        f"webhook sustained with p99 ≤ {SUSTAINED_P99_MS_MAX:.0f} ms",
        "alerts/s",
        1_000,
        lambda report: float(report.sustained_per_s),
        at_least=True,
    ),
    *_latency_budgets(entry_name(20), 10, 25),
    *_latency_budgets(protection_name(20), 15, 60),
    Budget(f"RISK under a burst: {APPROVALS}", "decisions/s", 300, _burst(APPROVALS), at_least=True),
    Budget(f"RISK under a burst: {REFUSALS}", "decisions/s", 300, _burst(REFUSALS), at_least=True),
    *(Budget(f"memory of {program}", "MiB", limit, _rss(program)) for program, limit in RSS_MIB_MAX.items()),
)
