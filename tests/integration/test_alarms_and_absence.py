"""Absence is not health: an alarm stays, or another one says why, while what raised it cannot be seen (U6).

Each rule is made to fire, then its series are gone for five minutes (the process died, the scrape failed,
another replica keeps the number, the broker is away), then a fresh healthy value comes. Prometheus itself
judges (`promtool test rules`).
"""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from shared.topology import QUEUES
from tests.unit.monitoring.queries import rules

INTERVAL_S = 15
FIRING, GONE, WELL = 48, 20, 48
"""Looks: twelve minutes of trouble, five of silence, twelve of health."""
CHECK_TIMEOUT_S = 60
ABSENT = "_"


class Case(NamedTuple):
    """Series of a rule with its values in trouble and in health; `-` leaves a series out of health."""

    series: dict[str, tuple[str, str]]
    instead: tuple[str, ...] = ()
    """Alarms that may say it instead while the series are gone."""


def of(service: str, name: str, bad: str, well: str, labels: str = "") -> dict[str, tuple[str, str]]:
    """Return one series of one instance."""
    more = f",{labels}" if labels else ""
    return {f'{name}{{service="{service}",instance="{service}-0"{more}}}': (bad, well)}


def event(service: str, name: str, labels: str = "") -> Case:
    """A counter: what it told of is over by itself; that its process is gone is said by another alarm."""
    up = {f'up{{service="{service}",instance="{service}-0"}}': ("1", "1")}
    return Case(of(service, name, "0+20", "0", labels) | up, ("ServiceDown", "ServiceAbsent", "WatcherDown"))


def ready(dependency: str) -> Case:
    return Case(of("execute", "phoenix_ready", "0", "1", f'dependency="{dependency}"'))


KEPT = of("execute", "phoenix_positions_without_stop", "0", "0")
HOST = 'service="host",instance="host"'
QUEUE = "rabbitmq_detailed_queue_messages_ready"

CASES: dict[str, Case] = {
    "NakedPosition": Case(of("execute", "phoenix_positions_without_stop", "1", "0")),
    "UnprotectedTooLong": Case(
        event("execute", "phoenix_unprotected_seconds_count").series
        | of("execute", "phoenix_unprotected_seconds_bucket", "0", "0", 'le="10.0"'),
        ("ServiceDown",),
    ),
    "LiquidationDangerHigh": Case(
        KEPT | of("execute", "phoenix_liquidation_danger_ratio", "0.9", "0.1", 'symbol="BTCUSDT"')
    ),
    "LiquidationDangerCritical": Case(
        KEPT | of("execute", "phoenix_liquidation_danger_ratio", "0.9", "-", 'symbol="BTCUSDT"')
    ),
    "TradingHalted": Case(of("risk", "phoenix_trading_state", "1", "0", 'state="HALTED"')),
    "DayLossNearLimit": Case(of("risk", "phoenix_limit_used_ratio", "0.9", "0.1", 'limit="daily_loss_max"')),
    "DrawdownNearLimit": Case(of("risk", "phoenix_limit_used_ratio", "0.9", "0", 'limit="drawdown_max"')),
    "LimitNearlyUsed": Case(of("risk", "phoenix_limit_used_ratio", "1", "0.1", 'limit="positions_max"')),
    "BooksIncomplete": Case(of("execute", "phoenix_books_incomplete", "2", "0")),
    "SignalsOverdue": Case(of("brain", "phoenix_signals_overdue", "2", "0")),
    "AccountDataOld": Case(of("risk", "phoenix_account_time_seconds", "-100", "5000")),
    "ReconcileDifferences": event("execute", "phoenix_reconcile_differences_total", 'kind="adopt"'),
    "AlertsRefused": event("brain", "phoenix_alerts_refused_total", 'reason="invalid",action="buy"'),
    "AlertsRefusedByRate": event(
        "brain", "phoenix_webhook_requests_total", 'status="429",reason="rate_exits"'
    ),
    "WebhookNotDurable": event("brain", "phoenix_webhook_requests_total", 'status="503",reason="broker"'),
    "AuthFailures": event("brain", "phoenix_auth_failures_total", 'door="webhook_body"'),
    "DoorRefusals": event("notify", "phoenix_door_refusals_total", 'door="telegram",why="role"'),
    "ChatPolledElsewhere": event("notify", "phoenix_chat_polls_total", 'answer="polled_elsewhere"'),
    "NotificationsWaiting": Case(of("notify", "phoenix_notifications_oldest_waiting_seconds", "500", "0")),
    "NotificationsDropped": event("notify", "phoenix_notifications_dropped_total", 'why="refused"'),
    "NoMarketData": Case(of("market_feed", "phoenix_tick_age_seconds", ABSENT, "1", 'symbol="BTCUSDT"')),
    "MarketFeedSilent": Case(of("market_feed", "phoenix_tick_age_seconds", "60", "1", 'symbol="BTCUSDT"')),
    "MarketDataOld": Case(of("market_feed", "phoenix_tick_age_seconds", "60", "1", 'symbol="BTCUSDT"')),
    "SymbolLeftOut": Case(
        of("market_feed", "phoenix_feed_symbol_left_out", "1", "-", 'symbol="GONEUSDT"')
        | of("market_feed", "phoenix_feed_stale", "0", "0", 'stream="bidasks"')
    ),
    "ExchangeRowsUnread": event("execute", "phoenix_exchange_rows_unread_total", 'operation="positions"'),
    "FeedStale": Case(of("market_feed", "phoenix_feed_stale", "1", "0", 'stream="bidasks"')),
    "BreakerOpen": Case(of("execute", "phoenix_exchange_breaker_open", "1", "0")),
    "ExchangeDown": ready("exchange"),
    "ExchangeBudgetNearLimit": Case(
        of("execute", "phoenix_exchange_budget_used", "2300", "10", 'budget="weight_1m"')
        | of("execute", "phoenix_exchange_budget_limit", "2400", "2400", 'budget="weight_1m"')
    ),
    "ClockSkew": Case(of("execute", "phoenix_exchange_clock_ahead_seconds", "-3", "0")),
    "DeadLetters": Case({f'{QUEUE}{{queue="trade_control.dead"}}': ("1", "0")}),
    "QueueWithoutConsumer": Case({'rabbitmq_detailed_queue_consumers{queue="trade_control"}': ("0", "1")}),
    "QueueGone": Case(
        {'up{service="rabbitmq_queues"}': ("1", "1")}
        | {f'rabbitmq_detailed_queue_consumers{{queue="{queue.name}"}}': (ABSENT, "1") for queue in QUEUES},
        ("WatcherDown",),
    ),
    "QueueNotDrained": Case({f'{QUEUE}{{queue="trade_control"}}': ("7", "0")}),
    "MessagesLate": Case(
        of("brain", "phoenix_hop_seconds_bucket", "0", "0+9", 'queue="q",le="0.5"')
        | of("brain", "phoenix_hop_seconds_bucket", "0+9", "0+9", 'queue="q",le="5.0"')
        | of("brain", "phoenix_hop_seconds_bucket", "0+9", "0+9", 'queue="q",le="+Inf"')
        | {'up{service="brain",instance="brain-0"}': ("1", "1")},
        ("ServiceDown",),
    ),
    "ConsumerPaused": Case(of("execute", "phoenix_consumer_paused", "1", "0", 'queue="trade_control"')),
    "ConsumerLost": Case(of("execute", "phoenix_consumer_lost", "1", "0", 'queue="trade_control"')),
    "OutboxBacklog": Case(of("risk", "phoenix_outbox_oldest_unsent_seconds", "60", "0")),
    "OutboxSetAside": Case(of("risk", "phoenix_outbox_set_aside", "1", "0")),
    "ServiceDown": Case({'up{service="risk",instance="risk-0"}': ("0", "1")}, ("ServiceAbsent",)),
    "ServiceAbsent": Case(
        {f'up{{service="{each}"}}': ("1", "1") for each in ("brain", "execute", "notify", "market_feed")}
        | {'up{service="risk"}': (ABSENT, "1")},
        ("ServiceDown",),
    ),
    "ServiceNotReady": ready("redis"),
    "LoopLost": ready("loops"),
    "LogLinesLost": event("execute", "phoenix_log_lines_lost_total"),
    "ServiceRestarting": event("risk", "process_start_time_seconds"),
    "LeaseNotHeld": Case(of("execute", "phoenix_lease_held", "0", "1", 'lease="keeper"')),
    "EventLoopLag": Case(of("brain", "phoenix_event_loop_lag_seconds", "1", "0")),
    "BrokerDown": Case({'up{service="rabbitmq"}': ("0", "1")}),
    "BrokerAlarm": Case(
        {
            "rabbitmq_alarms_memory_used_watermark": ("1", "0"),
            "rabbitmq_alarms_free_disk_space_watermark": ("0", "0"),
        }
    ),
    "DatabaseDown": ready("postgresql"),
    "DatabaseConnectionsNearLimit": Case(
        of("notify", "phoenix_database_connections", "99", "5")
        | of("notify", "phoenix_database_connections_max", "100", "100")
    ),
    "RedisDown": ready("redis"),
    "DiskTooFullForEntries": Case(of("risk", "phoenix_disk_short", "1", "0")),
    "DiskNearlyFull": Case(
        {
            f'node_filesystem_avail_bytes{{{HOST},mountpoint="/"}}': ("1", "90"),
            f'node_filesystem_size_bytes{{{HOST},mountpoint="/"}}': ("100", "100"),
        }
    ),
    "MemoryLow": Case(
        {
            f"node_memory_MemAvailable_bytes{{{HOST}}}": ("1", "90"),
            f"node_memory_MemTotal_bytes{{{HOST}}}": ("100", "100"),
        }
    ),
    "CpuBusy": Case({f'node_cpu_seconds_total{{{HOST},cpu="0",mode="idle"}}': ("0+0.1", "0+14")}),
    "AlertsNotDelivered": Case(
        {
            'alertmanager_notifications_failed_total{integration="webhook"}': ("0+1", "0"),
            'up{service="alertmanager",instance="alertmanager"}': ("1", "1"),
        },
        ("WatcherDown",),
    ),
    "WatcherDown": Case(
        {f'up{{service="{each}"}}': ("1", "1") for each in ("rabbitmq_queues", "alertmanager")}
        | {f"up{{{HOST}}}": ("0", "1")}
    ),
    "RulesNotEvaluated": Case(
        {
            "prometheus_rule_evaluation_failures_total": ("0+1", "0"),
            'up{service="prometheus",instance="prometheus"}': ("1", "1"),
        },
        ("WatcherDown",),
    ),
}
ALWAYS = {"Heartbeat"}


def test_every_rule_is_held_to_it() -> None:
    assert CASES.keys() | ALWAYS == {rule["alert"] for rule in rules()}


def test_every_queue_of_ours_is_missed_when_it_is_gone() -> None:
    expr = next(rule["expr"] for rule in rules() if rule["alert"] == "QueueGone")
    assert all(f'queue="{queue.name}"' in expr for queue in QUEUES)


def _values(bad: str, well: str, name: str) -> str:
    """Return a series in promtool's notation: trouble, nothing, health."""
    gone = f"0x{GONE - 1}" if name.startswith("up{") else f"stale _x{GONE - 1}"
    trouble = f"_x{FIRING}" if bad == ABSENT else _run(bad, FIRING)
    health = f"_x{WELL}" if well == "-" else _run(well, WELL)
    return f"{trouble} {gone} {health}"


def _run(value: str, times: int) -> str:
    start, _, step = value.partition("+")
    return f"{start}+{step}x{times - 1}" if step else f"{start}x{times - 1}"


def _as_test(name: str, case: Case) -> dict[str, Any]:
    others = "|".join((name, *case.instead))
    own, any_of = (f'ALERTS{{alertname=~"{each}",alertstate="firing"}}' for each in (name, others))
    ends_s = [FIRING * INTERVAL_S, (FIRING + GONE) * INTERVAL_S, (FIRING + GONE + WELL) * INTERVAL_S]
    wanted = ((own, 1), (any_of, 1), (own, 0))
    return {
        "name": name,
        "interval": f"{INTERVAL_S}s",
        "input_series": [
            {"series": series, "values": _values(bad, well, series)}
            for series, (bad, well) in case.series.items()
        ],
        "promql_expr_test": [
            {
                "expr": f"(count({expr}) > bool 0) or vector(0)",
                "eval_time": f"{end_s - INTERVAL_S}s",
                "exp_samples": [{"value": value}],
            }
            for end_s, (expr, value) in zip(ends_s, wanted, strict=True)
        ],
    }


def judged(folder: Path, tests: dict[str, dict[str, Any]]) -> str:
    """Return what promtool says of tests by alarm, each with its rules alone (all would take a minute)."""
    by_name = {rule["alert"]: rule for rule in rules()}
    for name, test in tests.items():
        named = [name, *CASES[name].instead]
        group = {"name": name, "rules": [by_name[each] for each in named]}
        (folder / f"{name}.rules.yml").write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
        document = {
            "rule_files": [f"{name}.rules.yml"],
            "evaluation_interval": f"{INTERVAL_S}s",
            "tests": [test],
        }
        (folder / f"{name}.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", *(f"{name}.yml" for name in tests)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=CHECK_TIMEOUT_S,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_an_alarm_stays_while_its_subject_cannot_be_seen_and_ends_by_a_fresh_value(tmp_path: Path) -> None:
    assert judged(tmp_path, {name: _as_test(name, case) for name, case in CASES.items()}) == ""


KEEPER = 'phoenix_positions_without_stop{{service="execute",instance="execute-{}"}}'


@pytest.mark.parametrize(("after", "firing"), [("0", 0), ("1", 1)])
def test_another_keeper_ends_the_alarm_by_what_it_sees_and_not_by_taking_over(
    tmp_path: Path, after: str, firing: int
) -> None:
    """The one that saw the naked position is gone for ever; its last word holds until the next one speaks."""
    takes_over = {
        "name": "keeper moves",
        "interval": f"{INTERVAL_S}s",
        "input_series": [
            {"series": KEEPER.format(0), "values": "1x7 stale"},
            {"series": KEEPER.format(1), "values": f"_x12 {after}x20"},
        ],
        "promql_expr_test": [
            {
                "expr": 'count(ALERTS{alertname="NakedPosition",alertstate="firing"}) or vector(0)',
                "eval_time": f"{at * INTERVAL_S}s",
                "exp_samples": [{"value": value}],
            }
            for at, value in ((7, 1), (11, 1), (20, firing))
        ],
    }
    assert judged(tmp_path, {"NakedPosition": takes_over}) == ""
