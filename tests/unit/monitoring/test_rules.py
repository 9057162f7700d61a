"""Rules: they measure what exists, say what to do, and the file says the same as the runbook."""

import re
from collections import Counter
from typing import Any

import prometheus_client
import pytest

from infrastructure.local.layout import REPOSITORY
from shared import metrics
from tests.unit.monitoring.queries import Asked, of_panels, of_rules, rules

RUNBOOK = REPOSITORY / "docs" / "RUNBOOK.md"
PARTS = ("**Means.**", "**Costs.**", "**Look.**", "**Do.**")
"""What whoever is woken needs to know, in this order."""

_OURS = re.compile(r"\b(phoenix_\w+?)(?:_bucket|_count|_sum)?\b(?=[{\[)\s,]|$)")
_SELECTED = re.compile(r"\b(phoenix_\w+)\{([^}]*)\}")
_GROUPED = re.compile(r"by \(([^)]*)\)")


def known_series() -> dict[str, set[str]]:
    """Return the labels of every series of ours by its name."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase):
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
            below_zero = min(getattr(metric, "_upper_bounds", [0])) < 0
            for suffix in suffixes.get(str(metric._type), ("",)):
                if suffix == "_sum" and below_zero:
                    continue  # the library leaves it out: it would not only grow
                found[f"{metric._name}{suffix}"] = set(metric._labelnames) | (
                    {"le"} if suffix == "_bucket" else set()
                )
    return found


EVERY_TARGET_HAS = {"job", "service", "instance"}


@pytest.mark.parametrize("asked", [*of_panels(), *of_rules()], ids=lambda asked: asked.of)
def test_a_query_names_metrics_and_labels_that_exist(asked: Asked) -> None:
    known = known_series()
    named = set(re.findall(r"\bphoenix_\w+", asked.expr))
    assert named <= known.keys(), "a panel or rule of a metric that nobody measures stays empty for ever"
    labels = {label for name in named for label in known[name]} | EVERY_TARGET_HAS
    for name, matchers in _SELECTED.findall(asked.expr):
        assert set(re.findall(r"(\w+)(?:=|!)", matchers)) <= known[name] | EVERY_TARGET_HAS
    if named:
        for grouped in _GROUPED.findall(asked.expr):
            assert {label.strip() for label in grouped.split(",")} <= labels


ALIKE_EVERYWHERE = {
    "phoenix_event_loop_lag_seconds",
    "phoenix_outbox_unsent",
    "phoenix_outbox_oldest_unsent_seconds",
    "phoenix_outbox_set_aside",
}
"""Measured by every service, so that a zero is a measurement."""


@pytest.mark.parametrize("asked", [*of_panels(), *of_rules()], ids=lambda asked: asked.of)
def test_a_gauge_without_labels_is_asked_of_the_service_that_sets_it(asked: Asked) -> None:
    """Every process shows every metric; where nobody sets it, it is 0, and a loss would be hidden by it."""
    bare = {
        metric._name
        for metric in vars(metrics).values()
        if isinstance(metric, prometheus_client.Gauge) and not metric._labelnames
    } - ALIKE_EVERYWHERE
    for name in set(re.findall(r"\bphoenix_\w+", asked.expr)) & bare:
        assert re.search(name + r'\{[^}]*service=~?"', asked.expr), name


def test_every_rule_has_one_name() -> None:
    assert not [name for name, times in Counter(rule["alert"] for rule in rules()).items() if times > 1]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_what_happened_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "none"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/RUNBOOK.md#{rule['alert'].lower()}"


def sections() -> dict[str, str]:
    """Return the runbook's sections of alerts by name."""
    text = RUNBOOK.read_text(encoding="utf-8")
    found = re.split(r"^### (\w+)$", text, flags=re.MULTILINE)
    return {name: body.split("\n## ")[0] for name, body in zip(found[1::2], found[2::2], strict=True)}


def test_each_rule_has_its_section_and_each_section_its_rule() -> None:
    assert list(sections()) == [rule["alert"] for rule in rules()], "in the order of the rules"


@pytest.mark.parametrize("name", [rule["alert"] for rule in rules()])
def test_a_section_says_what_it_means_costs_and_what_to_do(name: str) -> None:
    places = [sections()[name].find(part) for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)
