"""Metrics that a dashboard can rely on: one prefix, one unit each, an explanation each."""

import prometheus_client
import pytest
from prometheus_client.metrics import MetricWrapperBase

from shared import metrics

OURS = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
UNITS = ("_seconds", "_ratio", "_usdt", "_bytes")


def test_there_is_one_place_for_all_of_them() -> None:
    assert len(OURS) > 30
    registered = {
        each.name for each in prometheus_client.REGISTRY.collect() if each.name.startswith("phoenix_")
    }
    assert {each._name for each in OURS} == registered


@pytest.mark.parametrize("metric", OURS, ids=lambda metric: str(metric._name))
def test_each_has_our_prefix_and_explains_itself(metric: MetricWrapperBase) -> None:
    assert metric._name.startswith("phoenix_")
    assert metric._documentation.endswith(".")


@pytest.mark.parametrize(
    "metric", [each for each in OURS if each._type == "histogram"], ids=lambda m: str(m._name)
)
def test_what_is_measured_has_its_unit_in_its_name(metric: MetricWrapperBase) -> None:
    assert metric._name.endswith(UNITS)


def test_a_gauge_that_nobody_measured_is_absent_and_not_zero() -> None:
    gauge = metrics.Gauge("phoenix_test_gauge", "Of this test.", registry=None)
    assert [each.samples for each in gauge.collect()] == [[]]
    gauge.set(0)
    assert [each.value for family in gauge.collect() for each in family.samples] == [0]
    gauge.forget()
    assert [each.samples for each in gauge.collect()] == [[]]
