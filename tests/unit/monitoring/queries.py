"""Every query that is asked of Prometheus: of panels as Grafana would ask, of rules as they stand."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from infrastructure.local.layout import REPOSITORY
from infrastructure.monitoring.boards import BOARDS
from infrastructure.monitoring.panels import OURS

ALERTS = REPOSITORY / "infrastructure" / "monitoring" / "alerts.yml"
GRAFANAS = {"$__rate_interval": "1m", "$__range": "5m", "$service": OURS}
"""What Grafana fills in."""

ONLY_IN_TROUBLE = {"SymbolLeftOut"}
"""Its series is there only while a symbol is left out."""

_COMPARISON = re.compile(r"\s(==|!=|>=|<=|>|<)\s-?[\d.]+$")
_ABSENT = re.compile(r"^absent\((.*)\)$", re.DOTALL)


class Asked(NamedTuple):
    """One query and where it comes from."""

    of: str
    expr: str


def rules() -> list[dict[str, Any]]:
    """Return every rule of the file."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def of_panels() -> Iterator[Asked]:
    """Yield every query of every panel."""
    for board in BOARDS:
        for panel in board.panels:
            for query in panel.queries:
                expr = query.expr
                for variable, value in GRAFANAS.items():
                    expr = expr.replace(variable, value)
                yield Asked(f"{board.title}: {panel.title}", expr)


def of_rules() -> Iterator[Asked]:
    """Yield what each rule measures: its expression without the comparison, and what must not be absent.

    What holds an alarm while its subject cannot be seen is left out: it is empty on a healthy system.
    """
    for rule in rules():
        if rule["alert"] in ONLY_IN_TROUBLE:
            continue
        for part in rule["expr"].split(" or "):
            if "ALERTS{" in part or "last_over_time" in part or " and on() max(up" in rule["expr"]:
                continue
            measured = _COMPARISON.sub("", part)
            inside = _ABSENT.match(measured)
            yield Asked(f"rule {rule['alert']}", inside.group(1) if inside else measured)
