"""What a dashboard is made of, in our words: panels with a title, a unit, queries and a sentence about them.

Pure values and a few helpers for the queries that come again and again. How Grafana wants it is told in
`grafana_json` only.
"""

from enum import StrEnum
from typing import NamedTuple

USDT = "suffix: USDT"
SHARE = "percentunit"
SECONDS = "s"
BYTES = "bytes"
COUNT = "short"
PER_SECOND = "ops"

WINDOW = "$__rate_interval"
"""Grafana's own: four scrapes at least, more when the picture shows days."""

OURS = "brain|risk|execute|notify|market_feed"


class Kind(StrEnum):
    """How a panel shows its numbers; the values are Grafana's names."""

    LINES = "timeseries"
    NUMBER = "stat"
    BARS = "bargauge"
    TABLE = "table"


class Query(NamedTuple):
    """One query and what its series are called, with `{{label}}` for a label."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One picture, coloured from `warn_at` and `alarm_at` on; downwards if the alarm is below the warning."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    about: str
    kind: Kind = Kind.LINES
    width: int = 8
    warn_at: float | None = None
    alarm_at: float | None = None
    is_stacked: bool = False
    words: tuple[str, ...] = ()
    """What the values 0, 1, 2 … are called, where they are names."""


class Row(NamedTuple):
    """Panels that belong together, under a heading."""

    title: str
    panels: tuple[Panel, ...]


class Board(NamedTuple):
    """One dashboard."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    has_service_choice: bool = False

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)


def number(
    title: str,
    unit: str,
    expr: str,
    about: str,
    *,
    width: int = 4,
    warn_at: float | None = None,
    alarm_at: float | None = None,
    words: tuple[str, ...] = (),
) -> Panel:
    """Return a panel with the newest value, large."""
    return Panel(title, unit, (Query(expr),), about, Kind.NUMBER, width, warn_at, alarm_at, words=words)


def lines(
    title: str,
    unit: str,
    about: str,
    *queries: tuple[str, str],
    width: int = 8,
    warn_at: float | None = None,
    alarm_at: float | None = None,
    is_stacked: bool = False,
) -> Panel:
    """Return a panel with curves; each query is (expression, legend)."""
    told = tuple(Query(*query) for query in queries)
    return Panel(title, unit, told, about, Kind.LINES, width, warn_at, alarm_at, is_stacked)


def quantiles(
    title: str, metric: str, about: str, *, unit: str = SECONDS, where: str = "", width: int = 8
) -> Panel:
    """Return the median and the 99th percentile of a histogram, over all replicas."""
    rates = f"sum by (le) (rate({metric}_bucket{{{where}}}[{WINDOW}]))"
    return lines(
        title,
        unit,
        about,
        (f"histogram_quantile(0.5, {rates})", "p50"),
        (f"histogram_quantile(0.99, {rates})", "p99"),
        width=width,
    )


def percentile_by(label: str, title: str, metric: str, about: str, *, width: int = 8) -> Panel:
    """Return the 99th percentile of a histogram, one curve for each value of a label."""
    rates = f"sum by (le, {label}) (rate({metric}_bucket[{WINDOW}]))"
    return lines(
        title, SECONDS, about, (f"histogram_quantile(0.99, {rates})", f"{{{{{label}}}}}"), width=width
    )


def increases(title: str, counter: str, by: str, about: str, *, where: str = "", width: int = 8) -> Panel:
    """Return how often something happened, stacked by labels (comma-separated)."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    expr = f"sum by ({by}) (increase({counter}{{{where}}}[{WINDOW}]))"
    return lines(title, COUNT, about, (expr, legend), width=width, is_stacked=True)
