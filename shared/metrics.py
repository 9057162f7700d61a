"""Every metric of Phoenix: name, unit and help in one place, so that dashboards and code cannot drift apart.

Modules that measure import the metric from here; nobody else defines one. Counters and histograms add up over
replicas (`sum`). What a replica knows only of itself is a gauge that `max` makes right; where it is `sum` or
`min`, the help says so. A counter stands at 0 in every process; a gauge is absent until somebody has measured
it, for a zero that nobody measured is a lie. Labels are names from our own tables, never text from outside.
"""

from collections.abc import Iterable

import prometheus_client
from prometheus_client import Counter, Histogram, disable_created_metrics
from prometheus_client.samples import Sample

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double each counter, and no query of ours reads them


class Gauge(prometheus_client.Gauge):
    """A gauge that is absent until it is set for the first time, and after it was forgotten."""

    _is_known = False

    def set(self, value: float) -> None:
        """Set it; from now on it is shown."""
        super().set(value)
        self._is_known = True

    def inc(self, amount: float = 1) -> None:
        """Raise it; from now on it is shown."""
        super().inc(amount)
        self._is_known = True

    def dec(self, amount: float = 1) -> None:
        """Lower it; from now on it is shown."""
        super().dec(amount)
        self._is_known = True

    def forget(self) -> None:
        """Show nothing any more: what it was is not known to be so now."""
        self._is_known = False

    def _child_samples(self) -> Iterable[Sample]:
        return super()._child_samples() if self._is_known else ()


_FAST_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

WEBHOOK_REQUESTS = Counter(
    "phoenix_webhook_requests_total", "Webhook requests by HTTP status and reason.", ["status", "reason"]
)
ALERTS_REFUSED = Counter(
    "phoenix_alerts_refused_total",
    "Alerts with the right secret that were refused, by reason and what was asked: entry, exit, unknown.",
    ["reason", "action"],
)
HTTP_REFUSED = Counter(
    "phoenix_http_refused_total",
    "Requests that no route took (unknown path, wrong method, unusable address), by HTTP status.",
    ["status"],
)
WEBHOOK_SECONDS = Histogram(
    "phoenix_webhook_duration_seconds", "Webhook received to answered (durable).", buckets=_FAST_S
)
AUTH_FAILURES = Counter(
    "phoenix_auth_failures_total", "Requests refused for a wrong or missing secret.", ["door"]
)
DOOR_REFUSALS = Counter(
    "phoenix_door_refusals_total", "Acts refused at the chat and the dashboard, by why.", ["door", "why"]
)
CHAT_COMMANDS = Counter(
    "phoenix_chat_commands_total", "Commands and buttons taken from the chat, by which.", ["command"]
)
CHAT_POLLS = Counter(
    "phoenix_chat_polls_total",
    "Asked Telegram for updates, by answer: ok, busy, unreachable, refused, polled_elsewhere.",
    ["answer"],
)
DASHBOARD_PAGES = Gauge("phoenix_dashboard_pages", "Open pages of the dashboard on this instance.")
RATE_LIMIT_ALONE = Gauge(
    "phoenix_rate_limit_alone", "1 while this instance counts requests by itself: Redis does not answer."
)
SIGNAL_OUTCOMES = Counter(
    "phoenix_signal_outcomes_total", "Signals ended, by outcome and reason.", ["outcome", "reason"]
)
SIGNAL_DUPLICATES = Counter("phoenix_signal_duplicates_total", "Alerts recognised as already received.")
SIGNALS_OVERDUE = Gauge("phoenix_signals_overdue", "Accepted signals that should have an outcome by now.")

ROWS_PRUNED = Counter(
    "phoenix_rows_pruned_total", "Old rows deleted, or months of rows dropped, by kind.", ["rows"]
)
MESSAGES_PUBLISHED = Counter(
    "phoenix_messages_published_total", "Messages confirmed by the broker.", ["exchange", "routing_key"]
)
PUBLISH_FAILURES = Counter("phoenix_publish_failures_total", "Publishes without a confirm.", ["exchange"])
PUBLISH_SECONDS = Histogram("phoenix_publish_duration_seconds", "Publish to confirm.", buckets=_FAST_S)
MESSAGES_HANDLED = Counter(
    "phoenix_messages_handled_total",
    "Deliveries by what became of them: acked, retried, parked, returned.",
    ["queue", "result"],
)
MESSAGE_HANDLING_SECONDS = Histogram(
    "phoenix_message_handling_seconds", "Delivery to acknowledgement.", ["queue"], buckets=_FAST_S
)
HOP_SECONDS = Histogram(
    "phoenix_hop_seconds", "Message created to delivered, by queue.", ["queue"], buckets=_FAST_S
)
CONSUMER_PAUSED = Gauge(
    "phoenix_consumer_paused", "1 while a consumer waits for a dependency to return.", ["queue"]
)
CONSUMER_LOST = Gauge(
    "phoenix_consumer_lost", "1 while the broker does not confirm that the consumer is registered.", ["queue"]
)
CONSUMERS_REBUILT = Counter(
    "phoenix_consumers_rebuilt_total", "Consumers that got a new connection from their watchdog.", ["queue"]
)
QUEUES_RECREATED = Counter(
    "phoenix_queues_recreated_total", "Queues that never worked and were declared anew at start.", ["queue"]
)
OUTBOX_SWEPT = Counter("phoenix_outbox_swept_total", "Outbox rows published by the sweeper, not at once.")
OUTBOX_SET_ASIDE = Gauge(
    "phoenix_outbox_set_aside", "Outbox rows that this version cannot read; they stay unsent until one can."
)
OUTBOX_UNSENT = Gauge(
    "phoenix_outbox_unsent", "Committed messages that no broker has confirmed yet; the same in every replica."
)
OUTBOX_OLDEST_SECONDS = Gauge(
    "phoenix_outbox_oldest_unsent_seconds", "Age of the oldest of them; the same in every replica."
)
LEASE_HELD = Gauge(
    "phoenix_lease_held", "1 while this instance holds the lease; the sum over replicas is 1.", ["lease"]
)
LOOP_RESTARTS = Counter("phoenix_loop_restarts_total", "Background loops that failed or ended.", ["loop"])
LOOP_LAG_SECONDS = Gauge("phoenix_event_loop_lag_seconds", "How late the event loop woke a one-second timer.")
LOG_LINES_LOST = Counter(
    "phoenix_log_lines_lost_total", "Log lines that could not be formed or written; the work went on."
)
READY = Gauge(
    "phoenix_ready", "1 when the dependency answered the last readiness check; look at min.", ["dependency"]
)
DATABASE_BYTES = Gauge("phoenix_database_bytes", "Size of the database on disk.")
DATABASE_CONNECTIONS = Gauge("phoenix_database_connections", "Connections that the database server has now.")
DATABASE_CONNECTIONS_MAX = Gauge(
    "phoenix_database_connections_max", "Connections that the database server can have."
)
REDIS_BYTES = Gauge("phoenix_redis_used_bytes", "Memory that Redis uses for what it holds.")
STREAM_ENTRIES = Gauge("phoenix_stream_entries", "Entries in a Redis stream.", ["stream"])
STREAM_LAG_SECONDS = Histogram(
    "phoenix_stream_lag_seconds", "Tick written to tick read by this service.", buckets=_FAST_S
)

DISK_FREE_BYTES = Gauge(
    "phoenix_disk_free_bytes", "Room on the fullest disk that RISK looks at; look at min."
)
DISK_SHORT = Gauge("phoenix_disk_short", "1 while there is too little room on a disk to open positions.")
DECISIONS = Counter("phoenix_decisions_total", "RISK's decisions by result and reason.", ["result", "reason"])
DECISION_SECONDS = Histogram(
    "phoenix_decision_duration_seconds", "RISK's decision, reservation committed.", buckets=_FAST_S
)
EQUITY_USDT = Gauge("phoenix_equity_usdt", "Account equity at the last snapshot, USDT.")
AVAILABLE_USDT = Gauge("phoenix_available_usdt", "Free balance at the last snapshot, USDT.")
ACCOUNT_TIME_SECONDS = Gauge(
    "phoenix_account_time_seconds", "When the account was last reported, Unix time; no approvals when old."
)
DAY_RESULT_USDT = Gauge(
    "phoenix_day_result_usdt", "Equity against the first equity of this UTC day, USDT; the same everywhere."
)
DRAWDOWN_RATIO = Gauge("phoenix_drawdown_ratio", "How far equity stands below its peak, fraction of it.")
LIMIT_USED_RATIO = Gauge(
    "phoenix_limit_used_ratio", "How much of a limit of RISK is used up; entries are refused at 1.", ["limit"]
)
VALUE_AT_RISK_USDT = Gauge(
    "phoenix_value_at_risk_usdt",
    "Loss of the open positions within a day that is exceeded with the rest of the probability, USDT;"
    " from the last hours' minute returns, normal; NaN while there are too few of them.",
    ["confidence"],
)
EXPECTED_SHORTFALL_USDT = Gauge(
    "phoenix_expected_shortfall_usdt",
    "Mean loss where value at risk is exceeded (CVaR), USDT; from the same numbers.",
    ["confidence"],
)
OPEN_POSITIONS = Gauge("phoenix_open_positions", "Open positions at the last snapshot.")
RESERVED_RISK_USDT = Gauge("phoenix_reserved_risk_usdt", "Risk at stop, reserved and open, USDT.")
PORTFOLIO_RISK_USDT = Gauge(
    "phoenix_portfolio_risk_usdt", "Combined risk at stop, correlations considered, USDT."
)
TRADING_STATE = Gauge("phoenix_trading_state", "1 for the state in force.", ["state"])

EXCHANGE_SECONDS = Histogram(
    "phoenix_exchange_request_seconds", "Requests to the exchange.", ["operation"], buckets=_FAST_S
)
EXCHANGE_ERRORS = Counter(
    "phoenix_exchange_errors_total", "Exchange errors by our own classification.", ["operation", "kind"]
)
EXCHANGE_ROWS_UNREAD = Counter(
    "phoenix_exchange_rows_unread_total",
    "Rows of the exchange's lists that could not be read and were set aside, by operation.",
    ["operation"],
)
EXCHANGE_BUDGET_USED = Gauge(
    "phoenix_exchange_budget_used",
    "Request weight and orders used in the exchange's current window, by budget.",
    ["budget"],
)
EXCHANGE_BUDGET_LIMIT = Gauge(
    "phoenix_exchange_budget_limit", "What the exchange allows in that window, by budget.", ["budget"]
)
EXCHANGE_BREAKER_OPEN = Gauge(
    "phoenix_exchange_breaker_open", "1 while the circuit breaker holds entries back."
)
EXCHANGE_CLOCK_AHEAD_SECONDS = Gauge(
    "phoenix_exchange_clock_ahead_seconds", "How far our clock is ahead of the exchange's; corrected for."
)
USER_STREAM_OPENED = Counter(
    "phoenix_user_stream_opened_total",
    "User-data streams opened, by why: start, or what became of the one before.",
    ["why"],
)
USER_STREAM_QUIET_SECONDS = Gauge(
    "phoenix_user_stream_quiet_seconds", "How long the user-data stream has told nothing; may be right."
)
ENTRY_SECONDS = Histogram("phoenix_entry_seconds", "Alert received to entry order accepted.", buckets=_FAST_S)
UNPROTECTED_SECONDS = Histogram(
    "phoenix_unprotected_seconds", "First fill to the stop confirmed on the exchange.", buckets=_SLOW_S
)
SLIPPAGE_RATIO = Histogram(
    "phoenix_slippage_ratio",
    "Entry fill against the reference price, fraction, positive is worse.",
    buckets=(-0.002, -0.001, -0.0005, 0.0, 0.0002, 0.0005, 0.001, 0.002, 0.005),
)
TRADES_CLOSED = Counter("phoenix_trades_closed_total", "Positions closed, by reason.", ["reason"])
NET_PNL_USDT = Counter(
    "phoenix_net_result_usdt_total", "Net results of closed trades, USDT, wins and losses apart.", ["sign"]
)
ENTRIES_TAKEN_UP = Counter(
    "phoenix_entries_taken_up_total",
    "Entries that stalled in a state, in another process's hand or in nobody's, and were taken up.",
    ["state"],
)
EXCHANGE_REPORT_WEIGHT = Counter(
    "phoenix_exchange_report_weight_total",
    "Request weight spent on reads that only complete the books, by operation.",
    ["operation"],
)
BOOKS_INCOMPLETE = Gauge(
    "phoenix_books_incomplete", "Closed positions whose books are not complete yet; the same on each replica."
)
BOOKS_TRIES = Counter(
    "phoenix_books_tries_total", "Tries to complete the books of a closed position, by result.", ["result"]
)
RULES_RENEWED = Counter(
    "phoenix_rules_renewed_total",
    "Times a symbol's rules were read again because the exchange contradicted them, had they changed or not.",
    ["changed"],
)
CLOCK_PUT_RIGHT = Counter(
    "phoenix_clock_put_right_total", "Times this process's clock was put right by the database's."
)
WALLET_UNEXPLAINED_USDT = Gauge(
    "phoenix_wallet_unexplained_usdt",
    "What the wallet changed by and its history does not explain.",
)
SNAPSHOTS_REFUSED = Counter(
    "phoenix_snapshots_refused_total", "Account snapshots from the future, by the database's clock."
)
RECONCILE_DIFFERENCES = Counter(
    "phoenix_reconcile_differences_total", "Differences found against the exchange, by kind.", ["kind"]
)

TICKS_PUBLISHED = Counter("phoenix_ticks_published_total", "Ticks written to the market stream.")
TICK_AGE_SECONDS = Gauge("phoenix_tick_age_seconds", "Age of the newest tick.", ["symbol"])
FEED_RECONNECTS = Counter(
    "phoenix_feed_reconnects_total", "Market streams re-opened, by stream and why.", ["stream", "why"]
)
FEED_STALE = Gauge("phoenix_feed_stale", "1 while a market stream is silent for too long.", ["stream"])

SYMBOL_LEFT_OUT = Gauge(
    "phoenix_feed_symbol_left_out",
    "1 for a symbol that is to be watched and cannot be: not listed, not trading, unreadable; else 0.",
    ["symbol"],
)

NOTIFICATIONS_SENT = Counter(
    "phoenix_notifications_sent_total", "Notifications delivered, by channel.", ["channel"]
)
NOTIFICATION_FAILURES = Counter(
    "phoenix_notification_failures_total", "Notification attempts that failed.", ["channel", "why"]
)
NOTIFICATIONS_WAITING = Gauge(
    "phoenix_notifications_waiting",
    "Notifications not delivered yet, by channel; from the replica that sends.",
    ["channel"],
)
NOTIFICATIONS_OLDEST_SECONDS = Gauge(
    "phoenix_notifications_oldest_waiting_seconds",
    "How long the oldest that no channel has yet waits; the same in every replica.",
)
NOTIFICATIONS_STORED = Counter(
    "phoenix_notifications_stored_total", "Notifications kept, by fact and severity.", ["schema", "severity"]
)
NOTIFICATIONS_DROPPED = Counter(
    "phoenix_notifications_dropped_total",
    "Notifications that will never be delivered, by channel and reason.",
    ["channel", "why"],
)
TRADE_RESULTS = Counter("phoenix_trade_results_total", "Closed trades by net result.", ["result"])
TRADE_RETURN_RATIO = Histogram(
    "phoenix_trade_return_ratio",
    "Net result of a closed trade as a fraction of its margin.",
    buckets=(-1.0, -0.5, -0.4, -0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0),
)
TRADE_HOLD_SECONDS = Histogram(
    "phoenix_trade_hold_seconds",
    "Position opened to closed.",
    buckets=(1, 10, 60, 300, 900, 3_600, 4 * 3_600, 12 * 3_600, 24 * 3_600, 48 * 3_600, 72 * 3_600),
)
TRADE_FEES_USDT = Counter("phoenix_trade_fees_usdt_total", "Fees of closed trades, USDT.")
TRADE_FUNDING_USDT = Counter(
    "phoenix_trade_funding_usdt_total", "Funding of closed trades, USDT, received and paid apart.", ["sign"]
)

# Shown by the keeper, who takes the snapshot; every other replica shows no series at all.
EXPOSURE_USDT = Gauge(
    "phoenix_exposure_usdt", "Notional of the open positions, USDT; sum over replicas.", ["side"]
)
MARGIN_USED_USDT = Gauge("phoenix_margin_used_usdt", "Margin of the open positions, USDT; sum over replicas.")
UNREALISED_PNL_USDT = Gauge(
    "phoenix_unrealised_pnl_usdt", "Unrealised result of the open positions, USDT; sum over replicas."
)
POSITIONS_WITHOUT_STOP = Gauge(
    "phoenix_positions_without_stop",
    "Open positions without a stop on the exchange, ours or not; sum over replicas.",
)
LIQUIDATION_DANGER_RATIO = Gauge(
    "phoenix_liquidation_danger_ratio",
    "Used-up share of the way from entry to liquidation, by position; 1 is liquidation.",
    ["symbol"],
)


def from_zero(counter: Counter, label: str, values: Iterable[str], **others: str) -> None:
    """Let a counter's series stand at 0 before the first event.

    Prometheus computes an increase between two samples: a series that begins at 1 has not increased, and the
    one event that mattered would be missing from every rule and panel.
    """
    for value in values:
        counter.labels(**{label: value}, **others)
