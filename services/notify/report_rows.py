"""What reports are made of: one frozen row each, as the views of schema `reporting` have them. Pure.

Amounts are USDT, times UTC.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from shared.money import ZERO


class Period(StrEnum):
    """A calendar period in UTC; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account as RISK last knew it; amounts are None before the first snapshot."""

    state: str
    trading_epoch: int
    wallet_usdt: Decimal | None
    equity_usdt: Decimal | None
    available_usdt: Decimal | None
    snapshot_taken_at: datetime | None
    day: date | None
    day_start_equity_usdt: Decimal | None
    peak_equity_usdt: Decimal | None

    @property
    def drawdown(self) -> Decimal | None:
        """How far the equity stands below its peak, as a fraction of the peak."""
        return drawdown_of(self.equity_usdt, self.peak_equity_usdt)

    def day_pnl_usdt(self, now: datetime) -> Decimal | None:
        """Return equity against the first equity of this UTC day; None before the day's first report."""
        equity, start = self.equity_usdt, self.day_start_equity_usdt
        return None if equity is None or start is None or self.day != now.date() else equity - start


def drawdown_of(equity_usdt: Decimal | None, peak_usdt: Decimal | None) -> Decimal | None:
    """Return how far an equity stands below a peak, as a fraction of the peak; None when not known."""
    if equity_usdt is None or peak_usdt is None or peak_usdt <= ZERO:
        return None
    return max(ZERO, 1 - equity_usdt / peak_usdt)


@dataclass(frozen=True, kw_only=True)
class OpenPosition:
    """A position of ours as EXECUTE recorded it; `protected_at` is None while no stop is confirmed."""

    signal_id: str
    strategy: str
    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal | None
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    leverage: int | None
    margin_usdt: Decimal | None
    risk_usdt: Decimal | None
    state: str
    opened_at: datetime | None
    protected_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class ClosedTrade:
    """A position whose books are closed; `net_usdt` = P&L − fees + funding."""

    signal_id: str
    strategy: str
    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal | None
    exit_price: Decimal | None
    leverage: int | None
    margin_usdt: Decimal | None
    pnl_usdt: Decimal
    fees_usdt: Decimal
    funding_usdt: Decimal
    net_usdt: Decimal
    reason: str | None
    closed_by: str | None
    opened_at: datetime | None
    protected_at: datetime | None
    closed_at: datetime


@dataclass(frozen=True, kw_only=True)
class EquityPoint:
    """The account at one moment."""

    taken_at: datetime
    wallet_usdt: Decimal
    equity_usdt: Decimal
    available_usdt: Decimal
    open_positions: int


@dataclass(frozen=True, kw_only=True)
class SignalLine:
    """A signal, how it scored and how it ended; `outcome` is None while it is on its way."""

    signal_id: str
    origin: str
    strategy: str
    symbol: str
    action: str
    confidence: Decimal
    price: Decimal | None
    alert_time: datetime | None
    received_at: datetime
    phoenix95_score: Decimal | None
    final_confidence: Decimal | None
    outcome: str | None
    reason: str | None
    decided_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Closed trades summed up."""

    trades: int
    wins: int
    net_usdt: Decimal
    fees_usdt: Decimal


@dataclass(frozen=True, kw_only=True)
class PeriodResult(Totals):
    """The closed trades of one period."""

    starts_at: datetime


@dataclass(frozen=True, kw_only=True)
class StrategyResult(Totals):
    """The closed trades of one strategy in one symbol."""

    strategy: str
    symbol: str


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One minute of prices."""

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, kw_only=True)
class Fill:
    """One fill of an order of ours."""

    symbol: str
    trade_id: str
    signal_id: str
    side: str
    quantity: Decimal
    price: Decimal
    fee_usdt: Decimal
    realised_pnl_usdt: Decimal
    filled_at: datetime
