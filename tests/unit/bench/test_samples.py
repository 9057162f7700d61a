"""Percentiles count every sample; runs are joined by medians."""

import pytest

from tests.bench.samples import NothingMeasured, Summary, median_of, percentile, summary


def test_a_percentile_is_a_sample_that_was_measured_and_never_an_interpolation() -> None:
    samples = [1.0, 2.0, 3.0, 100.0]
    assert percentile(samples, 0.50) == 2.0
    assert percentile(samples, 0.75) == 3.0
    assert percentile(samples, 0.76) == 100.0
    assert percentile(samples, 1.0) == 100.0


def test_one_slow_answer_in_a_hundred_is_outside_p99_but_is_the_maximum() -> None:
    found = summary([1.0] * 99 + [50.0])
    assert (found.p99_ms, found.max_ms) == (1.0, 50.0)
    assert summary([1.0] * 98 + [50.0] * 2).p99_ms == 50.0


def test_the_order_of_samples_does_not_matter() -> None:
    assert summary([3.0, 1.0, 2.0]) == summary([1.0, 2.0, 3.0])


def test_failed_attempts_are_counted_beside_the_times() -> None:
    found = summary([1.0], failed=3)
    assert (found.count, found.failed) == (1, 3)


def test_no_sample_is_an_error_and_not_a_good_number() -> None:
    with pytest.raises(NothingMeasured, match="none of 7"):
        summary([], failed=7)


def test_one_disturbed_run_of_three_does_not_move_the_result() -> None:
    runs = [_run(1.0), _run(900.0), _run(2.0)]
    joined = median_of(runs)
    assert (joined.p50_ms, joined.p99_ms) == (2.0, 2.0)
    assert joined.count == 30


def _run(value_ms: float) -> Summary:
    return Summary(count=10, failed=0, p50_ms=value_ms, p90_ms=value_ms, p99_ms=value_ms, max_ms=value_ms)
