"""Processes, queues, servers, host: what stands between an alert and its position."""

from infrastructure.monitoring.panels import (
    BYTES,
    COUNT,
    PER_SECOND,
    SECONDS,
    SHARE,
    WINDOW,
    Board,
    Row,
    increases,
    lines,
    percentile_by,
)

_CHOSEN = 'service=~"$service"'
_TRADING = 'service=~"execute|market_feed"'
_WORKING = 'queue!~".+[.](dead|retry)|phoenix[.].+"'

BOARD = Board(
    "phoenix-infrastructure",
    "Phoenix 95 · Infrastructure",
    "Processes, queues, servers, host.",
    (
        Row(
            "Processes",
            (
                lines(
                    "Instances that answer",
                    COUNT,
                    "1 while Prometheus reaches the instance.",
                    (f"min by (instance) (up{{{_CHOSEN}}})", "{{instance}}"),
                ),
                lines(
                    "Not ready",
                    COUNT,
                    "Dependencies that an instance cannot use now; 0 is right.",
                    (f"sum by (instance) (1 - phoenix_ready{{{_CHOSEN}}})", "{{instance}}"),
                    alarm_at=1,
                ),
                lines(
                    "Leases held",
                    COUNT,
                    "Each lease has one holder; two for a moment when it changes hands.",
                    ("sum by (lease) (phoenix_lease_held)", "{{lease}}"),
                ),
                lines(
                    "Event loop late by",
                    SECONDS,
                    "How late a one-second timer woke: everything else in that process waits as long.",
                    (f"max by (instance) (phoenix_event_loop_lag_seconds{{{_CHOSEN}}})", "{{instance}}"),
                    warn_at=0.1,
                    alarm_at=0.25,
                ),
                lines(
                    "Memory",
                    BYTES,
                    "Resident. Budget: 110 MB a service, 220 MB EXECUTE and the feed.",
                    (f"max by (instance) (process_resident_memory_bytes{{{_CHOSEN}}})", "{{instance}}"),
                ),
                lines(
                    "Processor time",
                    SHARE,
                    "Share of one core.",
                    (
                        f"max by (instance) (rate(process_cpu_seconds_total{{{_CHOSEN}}}[{WINDOW}]))",
                        "{{instance}}",
                    ),
                ),
            ),
        ),
        Row(
            "Queues",
            (
                lines(
                    "Messages waiting",
                    COUNT,
                    "Not yet delivered. More than 0 for long: the consumer is too slow or stands still.",
                    (f"sum by (queue) (rabbitmq_detailed_queue_messages_ready{{{_WORKING}}})", "{{queue}}"),
                ),
                percentile_by(
                    "queue",
                    "Age at delivery, p99",
                    "phoenix_hop_seconds",
                    "Message created to delivered.",
                ),
                percentile_by(
                    "queue",
                    "Handling, p99",
                    "phoenix_message_handling_seconds",
                    "Delivered to acknowledged.",
                ),
                lines(
                    "Consumers",
                    COUNT,
                    "One for each replica.",
                    (f"sum by (queue) (rabbitmq_detailed_queue_consumers{{{_WORKING}}})", "{{queue}}"),
                ),
                lines(
                    "Waiting for another try, and dead",
                    COUNT,
                    "Retry queues give back after 5 s; dead letters wait for an operator.",
                    ('sum(rabbitmq_detailed_queue_messages_ready{queue=~".+[.]retry"})', "retry"),
                    ('sum(rabbitmq_detailed_queue_messages_ready{queue=~".+[.]dead"})', "dead"),
                ),
                increases(
                    "Deliveries, by what became of them",
                    "phoenix_messages_handled_total",
                    "result",
                    "acked, retried, parked, returned.",
                ),
                lines(
                    "Outbox: oldest unsent",
                    SECONDS,
                    "A message is sent right after its commit; older than a second, the sweeper sends it.",
                    ("max by (service) (phoenix_outbox_oldest_unsent_seconds)", "{{service}}"),
                    alarm_at=10,
                ),
                lines(
                    "Outbox: unsent",
                    COUNT,
                    "Committed and not confirmed by the broker yet.",
                    ("max by (service) (phoenix_outbox_unsent)", "{{service}}"),
                ),
                percentile_by(
                    "service",
                    "Publish to confirm, p99",
                    "phoenix_publish_duration_seconds",
                    "What the broker's disk takes, mostly.",
                ),
            ),
        ),
        Row(
            "Market and exchange",
            (
                lines(
                    "Age of the newest tick",
                    SECONDS,
                    "By symbol. Older than 5 s: no entry of that symbol.",
                    ('max by (symbol) (phoenix_tick_age_seconds{service="market_feed"})', "{{symbol}}"),
                    alarm_at=5,
                ),
                lines(
                    "Ticks",
                    PER_SECOND,
                    "Written to the market stream.",
                    (f'sum(rate(phoenix_ticks_published_total{{service="market_feed"}}[{WINDOW}]))', "ticks"),
                ),
                percentile_by(
                    "service",
                    "Tick written to read, p99",
                    "phoenix_stream_lag_seconds",
                    "How far each reader is behind the feed.",
                ),
                percentile_by(
                    "operation",
                    "Requests to the exchange, p99",
                    "phoenix_exchange_request_seconds",
                    "By operation.",
                ),
                lines(
                    "Errors of the exchange",
                    PER_SECOND,
                    "By our own classification; held_back are calls we did not make.",
                    (
                        f"sum by (operation, kind) (rate(phoenix_exchange_errors_total[{WINDOW}]))"
                        " or vector(0)",
                        "{{operation}} {{kind}}",
                    ),
                ),
                lines(
                    "Budgets of the exchange",
                    SHARE,
                    "Used of the weight and orders in its window. From 70 % on entries wait.",
                    (
                        "max by (budget) (phoenix_exchange_budget_used)"
                        " / max by (budget) (phoenix_exchange_budget_limit)",
                        "{{budget}}",
                    ),
                    warn_at=0.7,
                    alarm_at=0.9,
                ),
                lines(
                    "Circuit breaker",
                    COUNT,
                    "1 while entries are held back.",
                    ('max(phoenix_exchange_breaker_open{service="execute"})', "open"),
                    alarm_at=1,
                ),
                lines(
                    "Clock ahead of the exchange's",
                    SECONDS,
                    "Corrected for in orders.",
                    (
                        f"max by (instance) (phoenix_exchange_clock_ahead_seconds{{{_TRADING}}})",
                        "{{instance}}",
                    ),
                ),
                lines(
                    "User stream silent for",
                    SECONDS,
                    "Although our books say that it should have told something.",
                    ('max(phoenix_user_stream_quiet_seconds{service="execute"})', "silent"),
                ),
            ),
        ),
        Row(
            "Servers and host",
            (
                lines(
                    "Processors",
                    SHARE,
                    "Busy.",
                    (
                        f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle"}}[{WINDOW}]))',
                        "{{instance}}",
                    ),
                    warn_at=0.8,
                    alarm_at=0.9,
                ),
                lines(
                    "Memory used",
                    SHARE,
                    "Of the host.",
                    (
                        "1 - min by (instance) (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
                        "{{instance}}",
                    ),
                    warn_at=0.8,
                    alarm_at=0.9,
                ),
                lines(
                    "Disk used",
                    SHARE,
                    "By file system.",
                    (
                        "1 - min by (instance, mountpoint)"
                        " (node_filesystem_avail_bytes / node_filesystem_size_bytes)",
                        "{{mountpoint}}",
                    ),
                    warn_at=0.8,
                    alarm_at=0.9,
                ),
                lines(
                    "Sizes",
                    BYTES,
                    "Database on disk, Redis and RabbitMQ in memory.",
                    ('max(phoenix_database_bytes{service="notify"})', "database"),
                    ('max(phoenix_redis_used_bytes{service="market_feed"})', "Redis"),
                    ("max(rabbitmq_process_resident_memory_bytes)", "RabbitMQ"),
                ),
                lines(
                    "Connections to PostgreSQL",
                    COUNT,
                    "Now, and how many there can be.",
                    ('max(phoenix_database_connections{service="notify"})', "used"),
                    ('max(phoenix_database_connections_max{service="notify"})', "possible"),
                ),
                lines(
                    "Market stream",
                    COUNT,
                    "Entries that Redis keeps; about 10 000 at most.",
                    ('max by (stream) (phoenix_stream_entries{service="market_feed"})', "{{stream}}"),
                ),
            ),
        ),
        Row(
            "Telling",
            (
                increases(
                    "Notifications kept",
                    "phoenix_notifications_stored_total",
                    "severity",
                    "By severity.",
                    where='service="notify"',
                ),
                lines(
                    "Notifications waiting",
                    COUNT,
                    "Not delivered yet.",
                    ('sum(max by (channel) (phoenix_notifications_waiting{service="notify"}))', "waiting"),
                ),
                lines(
                    "Oldest notification waiting",
                    SECONDS,
                    "Longer than two minutes: the chat does not take them.",
                    ('max(phoenix_notifications_oldest_waiting_seconds{service="notify"})', "oldest"),
                    alarm_at=120,
                ),
            ),
        ),
    ),
    has_service_choice=True,
)
