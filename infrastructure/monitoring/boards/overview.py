"""The first look: is it trading, is the money safe, is everything up?"""

from infrastructure.monitoring.panels import (
    COUNT,
    OURS,
    SHARE,
    USDT,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    increases,
    lines,
    number,
    quantiles,
)

BOARD = Board(
    "phoenix-overview",
    "Phoenix 95 · Overview",
    "Is it trading, is the money safe, is everything up?",
    (
        Row(
            "Now",
            (
                number(
                    "Trading state",
                    COUNT,
                    'max(phoenix_trading_state{service="risk",state="REDUCING"})'
                    ' + 2 * max(phoenix_trading_state{service="risk",state="HALTED"})',
                    "Only ACTIVE takes entries. Exits always work.",
                    words=("ACTIVE", "REDUCING", "HALTED"),
                    warn_at=1,
                    alarm_at=2,
                ),
                number(
                    "Equity",
                    USDT,
                    'max(phoenix_equity_usdt{service="risk"})',
                    "As the exchange reported it last.",
                ),
                number(
                    "Today",
                    USDT,
                    'avg(phoenix_day_result_usdt{service="risk"})',
                    "Equity against the first equity of this UTC day, open positions included.",
                    warn_at=0,
                    alarm_at=-1,
                ),
                number(
                    "Open positions",
                    COUNT,
                    'max(phoenix_open_positions{service="risk"})',
                    "What RISK counts as open.",
                ),
                number(
                    "Without a stop",
                    COUNT,
                    'sum(phoenix_positions_without_stop{service="execute"})',
                    "On the exchange, ours or not. More than 0 for 15 s is an alarm.",
                    warn_at=1,
                    alarm_at=1,
                ),
                number(
                    "Instances that answer",
                    SHARE,
                    f'avg(up{{service=~"{OURS}"}})',
                    "Share of all instances of our services that Prometheus reaches.",
                    warn_at=0.999,
                    alarm_at=0.6,
                ),
            ),
        ),
        Row(
            "Alarms",
            (
                Panel(
                    "Firing now",
                    COUNT,
                    (Query('count by (alertname, severity) (ALERTS{alertstate="firing"})'),),
                    "What the rules say. Heartbeat always fires: it shows that they are looked at."
                    " Each has a section in docs/RUNBOOK.md.",
                    Kind.TABLE,
                    12,
                ),
                lines(
                    "Dead letters",
                    COUNT,
                    "Messages that failed three times, by queue. `phoenix.py dlq list` shows them.",
                    (
                        'sum by (queue) (rabbitmq_detailed_queue_messages_ready{queue=~".+[.]dead"})',
                        "{{queue}}",
                    ),
                    width=6,
                    alarm_at=1,
                ),
                lines(
                    "Signals without an outcome",
                    COUNT,
                    "Accepted more than two minutes ago and still on their way.",
                    ('max(phoenix_signals_overdue{service="brain"})', "overdue"),
                    width=6,
                    alarm_at=1,
                ),
            ),
        ),
        Row(
            "Money",
            (
                lines(
                    "Equity",
                    USDT,
                    "As the exchange reported it, every 5 s.",
                    ('max(phoenix_equity_usdt{service="risk"})', "equity"),
                    ('max(phoenix_available_usdt{service="risk"})', "free"),
                    width=12,
                ),
                increases(
                    "Signals by outcome",
                    "phoenix_signal_outcomes_total",
                    "outcome",
                    "Every accepted signal ends in exactly one.",
                    width=12,
                ),
            ),
        ),
        Row(
            "Speed",
            (
                quantiles(
                    "Webhook received to answered",
                    "phoenix_webhook_duration_seconds",
                    "The answer comes after the broker has confirmed the alert. Budget: p50 2 ms, p99 20 ms.",
                ),
                quantiles(
                    "Alert received to entry accepted",
                    "phoenix_entry_seconds",
                    "The whole way to the exchange. Budget: p50 10 ms, p99 25 ms against the paper exchange.",
                ),
                quantiles(
                    "First fill to stop confirmed",
                    "phoenix_unprotected_seconds",
                    "How long a position stood without its stop. After 10 s it is flattened.",
                ),
            ),
        ),
    ),
)
