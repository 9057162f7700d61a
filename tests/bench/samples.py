"""Percentiles of samples, and the median of several runs. Pure; milliseconds throughout.

Every sample counts: there are no buckets and nothing is thrown away.
"""

import math
from collections.abc import Sequence
from statistics import median

import msgspec


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a set of latencies looks like; `failed` attempts are counted, not timed."""

    count: int
    failed: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest sample that at least `share` (0..1] of the ascending samples do not exceed."""
    assert ordered, "no samples"
    assert 0 < share <= 1
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class NothingMeasured(Exception):
    """Not one attempt succeeded."""


def summary(samples_ms: Sequence[float], failed: int = 0) -> Summary:
    """Return the percentiles of one run.

    Raises:
        NothingMeasured: there is no sample; percentiles of nothing would read like good ones.
    """
    if not samples_ms:
        raise NothingMeasured(f"none of {failed} attempts succeeded")
    ordered = sorted(samples_ms)
    return Summary(
        count=len(ordered),
        failed=failed,
        p50_ms=_rounded(percentile(ordered, 0.50)),
        p90_ms=_rounded(percentile(ordered, 0.90)),
        p99_ms=_rounded(percentile(ordered, 0.99)),
        max_ms=_rounded(ordered[-1]),
    )


def median_of(runs: Sequence[Summary]) -> Summary:
    """Return the run that each percentile's median makes up; counts and failures are added up."""
    assert runs, "no runs"
    return Summary(
        count=sum(run.count for run in runs),
        failed=sum(run.failed for run in runs),
        p50_ms=_rounded(median(run.p50_ms for run in runs)),
        p90_ms=_rounded(median(run.p90_ms for run in runs)),
        p99_ms=_rounded(median(run.p99_ms for run in runs)),
        max_ms=_rounded(median(run.max_ms for run in runs)),
    )


def _rounded(value_ms: float) -> float:
    return round(value_ms, 3)
