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
    net_transfers_usdt: Decimal | None = None
    unexplained_usdt: Decimal = ZERO

    @property
    def earned_usdt(self) -> Decimal | None:
        """Equity without what came in and is not explained yet; what RISK judges by."""
        return None if self.equity_usdt is None else self.equity_usdt - max(self.unexplained_usdt, ZERO)

    @property
    def drawdown(self) -> Decimal | None:
        """How far the equity stands below its peak, as a fraction of the peak."""
        return drawdown_of(self.earned_usdt, self.peak_equity_usdt)

    def day_pnl_usdt(self, now: datetime) -> Decimal | None:
        """Return equity against the first equity of this UTC day; None before the day's first report."""
        equity, start = self.earned_usdt, self.day_start_equity_usdt
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
class ForeignPosition:
    """A position on the account that is not ours, as EXECUTE's keeper saw it at `seen_at`."""

    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal
    liquidation_price: Decimal
    leverage: int
    margin_usdt: Decimal
    unrealised_pnl_usdt: Decimal
    has_stop: bool
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    first_seen_at: datetime
    seen_at: datetime | None


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
    pnl_usdt: Decimal | None  # None, like the other amounts, while the books are incomplete
    fees_usdt: Decimal | None
    funding_usdt: Decimal | None
    net_usdt: Decimal | None
    reason: str | None
    closed_by: str | None
    opened_at: datetime | None
    protected_at: datetime | None
    closed_at: datetime
    books_missing: str | None = None  # what the books lack, and why


@dataclass(frozen=True, kw_only=True)
class EquityPoint:
    """The account at one moment."""

    taken_at: datetime
    wallet_usdt: Decimal
    equity_usdt: Decimal
    available_usdt: Decimal
    open_positions: int
    net_transfers_usdt: Decimal = ZERO


@dataclass(frozen=True, kw_only=True)
class SignalLine:
    """A signal, how it scored, how it ended and what became of it.

    `outcome` is None while it is on its way. `position_state` is EXECUTE's for the position that it opened,
    `net_usdt` what that brought; `realised_usdt` is what the `closed_trades` brought that the signal closed.
    """

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
    position_state: str | None = None
    closed_reason: str | None = None
    net_usdt: Decimal | None = None
    closed_trades: int = 0
    realised_usdt: Decimal | None = None

    @property
    def result(self) -> "Result":
        """What the signal led to, as far as it is known now."""
        return result_of(self)


@dataclass(frozen=True)
class Result:
    """What a signal led to in one word, why, and in money; `tone` is `good`, `bad`, `open` or `none`."""

    name: str
    reason: str | None
    net_usdt: Decimal | None
    tone: str


HARD_ENDS = ("liquidation", "adl")
"""Ends that the exchange forced: they are called by their own name."""


POSITION_WORDS = {
    "filled": ("unprotected", "bad"),
    "protected": ("open", "open"),
    "closing": ("closing", "open"),
}


def result_of(line: SignalLine) -> Result:
    """Return what a signal led to: its outcome, until something that it opened or closed tells more."""
    if line.position_state == "closed":
        name = line.closed_reason if line.closed_reason in HARD_ENDS else "closed"
        tone = "bad" if name in HARD_ENDS else _tone(line.net_usdt)
        return Result(name or "closed", line.closed_reason, line.net_usdt, tone)
    if line.position_state is not None:
        name, tone = POSITION_WORDS[line.position_state]
        return Result(name, line.reason, None, tone)
    if line.closed_trades:
        return Result(line.outcome or "closed", line.reason, line.realised_usdt, _tone(line.realised_usdt))
    tone = "bad" if line.outcome in ("failed", "rejected") else "none"
    return Result(line.outcome or "on_its_way", line.reason, None, tone)


def _tone(net_usdt: Decimal | None) -> str:
    if net_usdt is None or net_usdt == ZERO:
        return "none"
    return "good" if net_usdt > ZERO else "bad"


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
