"""What a benchmark found: one value per measurement, every run kept, written to JSON as it stands."""

import msgspec

from tests.bench.machine import Machine
from tests.bench.samples import Summary, median_of


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """One latency over all runs; `median` has the median of each percentile."""

    name: str
    median: Summary
    runs: list[Summary]


class RampStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the sustained load: what was asked for, how it was answered, what came through."""

    rate: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: int
    answered_per_s: float
    ended_per_s: float  # accepted signals brought to their outcome, per second, until the last one was

    def holds(self, p99_ms_max: float) -> bool:
        """Tell whether every alert was answered 200, and in time."""
        return self.failed == 0 and self.p99_ms <= p99_ms_max


class Burst(msgspec.Struct, frozen=True, kw_only=True):
    """A burst of proposals to RISK alone: how many it decided, and how fast by its own clock."""

    name: str
    decisions: int
    lost: int
    per_s: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What one run measured."""

    latencies: dict[str, Summary]
    hops: dict[str, Summary]
    floors: dict[str, Summary]
    ramp: list[RampStep]
    cpu_ms: dict[str, dict[str, float]]  # by load, then by program: processor time per alert or entry
    others_share: dict[str, float]  # by load: share of the machine that neither we nor our load used
    late_p99_ms: float  # how late the load generator was


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, as `--json` writes it."""

    measured_at: str
    is_quick: bool
    machine: Machine
    latencies: list[Latency]
    hops: list[Latency]
    floors: list[Latency]
    sustained_per_s: int
    bursts: list[Burst]
    rss_mib: dict[str, float]
    runs: list[Run]


def over_runs(found: list[dict[str, Summary]]) -> list[Latency]:
    """Join the measurements of several runs by name, in the order of the first run that has them."""
    names = dict.fromkeys(name for run in found for name in run)
    joined = []
    for name in names:
        runs = [run[name] for run in found if name in run]
        joined.append(Latency(name=name, median=median_of(runs), runs=runs))
    return joined


def sustained(ramps: list[list[RampStep]], p99_ms_max: float) -> int:
    """Return the highest rate per second that held in most runs, with every lower rate; 0 when none did.

    A run that ended its ramp before a rate did not hold it.
    """
    best = 0
    for rate in sorted({step.rate for ramp in ramps for step in ramp}):
        held = sum(step.holds(p99_ms_max) for ramp in ramps for step in ramp if step.rate == rate)
        if held * 2 <= len(ramps):
            break
        best = rate
    return best
