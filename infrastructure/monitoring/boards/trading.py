"""What became of the alerts: taken or refused, decided, filled, closed, and at what cost."""

from infrastructure.monitoring.panels import (
    COUNT,
    SHARE,
    USDT,
    WINDOW,
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

_CLOSED = "phoenix_trade_results_total"
_NET = 'sum(phoenix_net_result_usdt_total{{service="notify",sign="{sign}"}})'

BOARD = Board(
    "phoenix-trading",
    "Phoenix 95 · Trading",
    "What became of the alerts, how fast, and what the trades brought.",
    (
        Row(
            "Alerts",
            (
                increases(
                    "Webhook requests",
                    "phoenix_webhook_requests_total",
                    "status, reason",
                    "200 accepted; 401 wrong secret; 422 does not fit; 429 too many; 503 not durable.",
                ),
                lines(
                    "Alerts that came again",
                    COUNT,
                    "Recognised as already received: TradingView's repetitions. They trade nothing.",
                    (
                        f'sum(increase(phoenix_signal_duplicates_total{{service="brain"}}[{WINDOW}]))',
                        "repeated",
                    ),
                ),
                quantiles(
                    "Webhook received to answered",
                    "phoenix_webhook_duration_seconds",
                    "Durable when answered.",
                ),
            ),
        ),
        Row(
            "Decisions",
            (
                Panel(
                    "Outcomes since the start of BRAIN",
                    COUNT,
                    (Query('sum by (outcome, reason) (phoenix_signal_outcomes_total{service="brain"})'),),
                    "Entries: opened, rejected, expired, failed, no_op. Exits: closed, no_op, failed.",
                    Kind.TABLE,
                    8,
                ),
                increases(
                    "RISK's decisions",
                    "phoenix_decisions_total",
                    "result, reason",
                    "The first check that refuses gives the reason.",
                    where='service="risk"',
                ),
                quantiles(
                    "A decision",
                    "phoenix_decision_duration_seconds",
                    "From the analysis to the reservation, committed.",
                    where='service="risk"',
                ),
            ),
        ),
        Row(
            "Execution",
            (
                quantiles(
                    "Alert received to entry accepted",
                    "phoenix_entry_seconds",
                    "Through all services to the exchange's answer.",
                    where='service="execute"',
                ),
                quantiles(
                    "First fill to stop confirmed",
                    "phoenix_unprotected_seconds",
                    "P4: without a stop for as short as can be, 10 s at most.",
                    where='service="execute"',
                ),
                quantiles(
                    "Slippage",
                    "phoenix_slippage_ratio",
                    "Entry fill against the reference price; above zero is worse.",
                    unit=SHARE,
                    where='service="execute"',
                ),
            ),
        ),
        Row(
            "Results",
            (
                number(
                    "Closed trades",
                    COUNT,
                    f'sum(increase({_CLOSED}{{service="notify"}}[$__range]))',
                    "In the time shown. Estimated between scrapes, hence not always whole.",
                ),
                number(
                    "Won",
                    SHARE,
                    f'sum({_CLOSED}{{service="notify",result="won"}}) / sum({_CLOSED}{{service="notify"}})',
                    "Share of the trades closed since the start of NOTIFY.",
                ),
                number(
                    "Net result",
                    USDT,
                    f"{_NET.format(sign='won')} - {_NET.format(sign='lost')}",
                    "Realised, fees and funding included, since the start of NOTIFY.",
                ),
                number(
                    "Fees",
                    USDT,
                    'sum(phoenix_trade_fees_usdt_total{service="notify"})',
                    "Of the trades closed since the start of NOTIFY.",
                ),
                number(
                    "Funding",
                    USDT,
                    'sum(phoenix_trade_funding_usdt_total{service="notify",sign="received"})'
                    ' - sum(phoenix_trade_funding_usdt_total{service="notify",sign="paid"})',
                    "Received less paid, of the same trades.",
                ),
                number(
                    "Time in a position, mean",
                    "s",
                    'sum(phoenix_trade_hold_seconds_sum{service="notify"})'
                    ' / sum(phoenix_trade_hold_seconds_count{service="notify"})',
                    "Opened to closed, of the same trades.",
                ),
                increases(
                    "Positions closed, by why",
                    "phoenix_trades_closed_total",
                    "reason",
                    "Stop, target, exit alert, operator, by hand on the exchange, liquidation.",
                    where='service="execute"',
                    width=12,
                ),
                quantiles(
                    "Result of a trade, share of its margin",
                    "phoenix_trade_return_ratio",
                    "Net, so fees and funding count.",
                    unit=SHARE,
                    where='service="notify"',
                    width=12,
                ),
            ),
        ),
    ),
)
