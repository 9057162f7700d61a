"""The numbers worth a look among all metrics, read from every service and put into a table.

Knows which metrics matter and what they are called for a person; their definitions are in `shared.metrics`.
A histogram becomes its count and two percentiles, interpolated within its buckets as Prometheus does it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

INFINITE = float("inf")
Buckets = Mapping[float, float]

EVERYONE = ("brain", "risk", "execute", "notify")
KEEPER = ("execute",)
"""Of its replicas only the one that keeps the account has these."""
SHOWN: Sequence[tuple[str, str, Sequence[str]]] = (
    ("phoenix_equity_usdt", "equity, USDT", ("risk",)),
    ("phoenix_available_usdt", "free balance, USDT", ("risk",)),
    ("phoenix_open_positions", "open positions", ("risk",)),
    ("phoenix_positions_without_stop", "positions without a stop", KEEPER),
    ("phoenix_unrealised_pnl_usdt", "unrealised P&L, USDT", KEEPER),
    ("phoenix_margin_used_usdt", "margin in use, USDT", KEEPER),
    ("phoenix_exposure_usdt", "exposure, USDT", KEEPER),
    ("phoenix_reserved_risk_usdt", "risk at stop, USDT", ("risk",)),
    ("phoenix_signal_outcomes_total", "signals ended", ("brain",)),
    ("phoenix_signals_overdue", "signals without an outcome", ("brain",)),
    ("phoenix_trades_closed_total", "trades closed", ("execute",)),
    ("phoenix_webhook_requests_total", "webhook requests", ("brain",)),
    ("phoenix_webhook_duration_seconds", "webhook to durable", ("brain",)),
    ("phoenix_decision_duration_seconds", "decision", ("risk",)),
    ("phoenix_entry_seconds", "alert to entry accepted", ("execute",)),
    ("phoenix_unprotected_seconds", "fill to stop confirmed", ("execute",)),
    ("phoenix_exchange_request_seconds", "exchange request", ("execute",)),
    ("phoenix_exchange_errors_total", "exchange errors", ("execute",)),
    ("phoenix_exchange_budget_used", "exchange budget used", ("execute",)),
    ("phoenix_exchange_breaker_open", "breaker open", ("execute",)),
    ("phoenix_exchange_clock_ahead_seconds", "clock ahead of the exchange, s", ("execute",)),
    ("phoenix_reconcile_differences_total", "differences reconciled", ("execute",)),
    ("phoenix_consumer_paused", "consumers paused", EVERYONE),
    ("phoenix_auth_failures_total", "authentication failures", EVERYONE),
    ("phoenix_notifications_waiting", "notifications waiting", ("notify",)),
    ("phoenix_event_loop_lag_seconds", "event-loop lag, s", EVERYONE),
)
"""Metric, what a person calls it, and who measures it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number, or one histogram: then with percentiles in ms and `value` as its count."""

    name: str
    label: str
    service: str
    value: float | None
    """None: nobody has measured it, which is not zero."""
    p50_ms: float | None = None
    p99_ms: float | None = None


def read(service: str, text: str) -> list[Row]:
    """Return what is worth a look in one service's metrics, in the order of `SHOWN`."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    rows: list[Row] = []
    for name, told, measurers in SHOWN:
        family = families.get(name.removesuffix("_total"))
        if family is None or service not in measurers:
            continue
        if family.type == "gauge" and not family.samples:
            rows.append(Row(name=told, label="", service=service, value=None))
            continue
        if family.type == "histogram":
            rows += _histograms(service, told, family.samples)
            continue
        rows += [
            Row(name=told, label=",".join(sample.labels.values()), service=service, value=sample.value)
            for sample in family.samples
            if not sample.name.endswith("_created") and (sample.value or not sample.labels)
        ]
    return rows


def is_known(text: str) -> bool:
    """Tell whether the process that wrote this is the one that keeps the account."""
    kept = {name for name, _, measurers in SHOWN if measurers is KEEPER}
    return any(
        sample.name in kept for family in text_string_to_metric_families(text) for sample in family.samples
    )


def percentile(share: float, buckets: Buckets) -> float | None:
    """Return where this share of the observations ends, in the histogram's unit; None without any."""
    bounds = sorted(buckets)
    total = buckets[INFINITE]
    if not total:
        return None
    wanted = share * total
    for low, high in pairwise([0.0, *bounds]):
        before = buckets.get(low, 0.0)
        if buckets[high] >= wanted:
            if high == INFINITE:
                return low
            return low + (high - low) * (wanted - before) / (buckets[high] - before)
    return None


def _histograms(service: str, told: str, samples: Iterable[object]) -> list[Row]:
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for sample in samples:
        labels = dict(sample.labels)  # type: ignore[attr-defined]
        bound = labels.pop("le", None)
        if bound is not None:
            found[",".join(labels.values())][float(bound)] = sample.value  # type: ignore[attr-defined]
    rows = []
    for label, buckets in found.items():
        half, most = percentile(0.5, buckets), percentile(0.99, buckets)
        if half is None or most is None:
            continue
        rows.append(
            Row(
                name=told,
                label=label,
                service=service,
                value=buckets[INFINITE],
                p50_ms=half * 1000,
                p99_ms=most * 1000,
            )
        )
    return rows
