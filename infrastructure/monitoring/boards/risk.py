"""How much may be lost: limits, exposure, danger, and whether books and exchange agree."""

from infrastructure.monitoring.panels import (
    COUNT,
    SECONDS,
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
)

_SHOWN = (
    "daily_loss_max|drawdown_max|portfolio_risk_max|positions_max|entries_per_day_max|entries_per_minute_max"
)
_LOSSES = "daily_loss_max|drawdown_max"

BOARD = Board(
    "phoenix-risk",
    "Phoenix 95 · Risk",
    "How much may be lost, how much of each limit is used, and do books and exchange agree?",
    (
        Row(
            "Now",
            (
                number(
                    "Today",
                    USDT,
                    'avg(phoenix_day_result_usdt{service="risk"})',
                    "Equity against the first equity of this UTC day.",
                    warn_at=0,
                    alarm_at=-1,
                ),
                number(
                    "Drawdown",
                    SHARE,
                    'max(phoenix_drawdown_ratio{service="risk"})',
                    "How far equity stands below its peak.",
                    warn_at=0.08,
                    alarm_at=0.12,
                ),
                number(
                    "Risk at stop",
                    USDT,
                    'max(phoenix_reserved_risk_usdt{service="risk"})',
                    "What is lost when every stop is hit, reserved entries included.",
                ),
                number(
                    "Value at risk, 1 day, 95 %",
                    USDT,
                    'max(phoenix_value_at_risk_usdt{service="risk",confidence="95"})',
                    "On 19 of 20 days like the last hours the open positions lose less than this, without"
                    " their stops. Nothing is shown while there are too few prices.",
                ),
                number(
                    "Nearest liquidation",
                    SHARE,
                    'max(phoenix_liquidation_danger_ratio{service="execute"}) or vector(0)',
                    "Used-up share of the way from entry to liquidation, of the position nearest to it.",
                    warn_at=0.5,
                    alarm_at=0.75,
                ),
                number(
                    "Age of the account data",
                    SECONDS,
                    'time() - max(phoenix_account_time_seconds{service="risk"})',
                    "Older than 10 s: no entry is approved.",
                    warn_at=10,
                    alarm_at=15,
                ),
            ),
        ),
        Row(
            "Limits",
            (
                Panel(
                    "Used of each limit",
                    SHARE,
                    (
                        Query(
                            f'max by (limit) (phoenix_limit_used_ratio{{service="risk",limit=~"{_SHOWN}"}})',
                            "{{limit}}",
                        ),
                    ),
                    "At 100 % entries are lowered or refused.",
                    Kind.BARS,
                    12,
                    0.8,
                    1.0,
                ),
                lines(
                    "Used of the loss limits",
                    SHARE,
                    "Day's loss and drawdown, each as a share of its limit.",
                    (
                        f'max by (limit) (phoenix_limit_used_ratio{{service="risk",limit=~"{_LOSSES}"}})',
                        "{{limit}}",
                    ),
                    width=12,
                    warn_at=0.8,
                    alarm_at=1,
                ),
            ),
        ),
        Row(
            "Exposure",
            (
                lines(
                    "Exposure",
                    USDT,
                    "Notional of the open positions at the mark price.",
                    ('sum by (side) (phoenix_exposure_usdt{service="execute"})', "{{side}}"),
                    is_stacked=True,
                ),
                lines(
                    "Margin and unrealised result",
                    USDT,
                    "Of the open positions.",
                    ('sum(phoenix_margin_used_usdt{service="execute"})', "margin"),
                    ('sum(phoenix_unrealised_pnl_usdt{service="execute"})', "unrealised"),
                ),
                lines(
                    "Way to liquidation used up",
                    SHARE,
                    "By symbol. A working stop ends a position before half of it.",
                    ('max by (symbol) (phoenix_liquidation_danger_ratio{service="execute"})', "{{symbol}}"),
                    warn_at=0.5,
                    alarm_at=0.75,
                ),
                lines(
                    "Risk at stop",
                    USDT,
                    "The plain sum, and the combined risk with correlations considered.",
                    ('max(phoenix_reserved_risk_usdt{service="risk"})', "sum"),
                    ('max(phoenix_portfolio_risk_usdt{service="risk"})', "combined"),
                ),
                lines(
                    "Value at risk and expected shortfall, 1 day",
                    USDT,
                    "From minute returns of the last hours, normal, stops not considered.",
                    (
                        'max by (confidence) (phoenix_value_at_risk_usdt{service="risk"})',
                        "VaR {{confidence}} %",
                    ),
                    (
                        'max by (confidence) (phoenix_expected_shortfall_usdt{service="risk"})',
                        "CVaR {{confidence}} %",
                    ),
                ),
                lines(
                    "Positions",
                    COUNT,
                    "Open in RISK's book, and without a stop on the exchange.",
                    ('max(phoenix_open_positions{service="risk"})', "open"),
                    ('sum(phoenix_positions_without_stop{service="execute"})', "without a stop"),
                ),
            ),
        ),
        Row(
            "Books and exchange",
            (
                increases(
                    "Differences found",
                    "phoenix_reconcile_differences_total",
                    "kind",
                    "What reconciliation found every 15 s, and corrected or reported.",
                    where='service="execute"',
                    width=12,
                ),
                lines(
                    "Trading state",
                    COUNT,
                    "1 for the state in force.",
                    ('max by (state) (phoenix_trading_state{service="risk"})', "{{state}}"),
                    width=12,
                ),
            ),
        ),
    ),
)
