"""What people are shown, read from the views of schema `reporting`: the truth as committed.

Amounts are USDT, times UTC. It reads only, and must never see a table of another service.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from services.notify.message_format import Context
from shared.database import Database, load_queries

ROWS_MAX = 1_000
"""No report is longer than this."""

_SQL = load_queries(Path(__file__).parent / "reports.sql")

Row = TypeVar("Row")


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
    day: Any
    day_start_equity_usdt: Decimal | None
    peak_equity_usdt: Decimal | None


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


class Reports:
    """Reads for people. Every method raises `DatabaseUnavailable` when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account(self) -> Account:
        """Return the account and the trading state."""
        return (await self._rows(Account, "account"))[0]

    async def positions(self) -> Sequence[OpenPosition]:
        """Return the open positions, the oldest first."""
        return await self._rows(OpenPosition, "positions")

    async def trades(
        self, since: datetime, *, symbol: str | None = None, limit: int = ROWS_MAX
    ) -> Sequence[ClosedTrade]:
        """Return what closed since then, the newest first."""
        return await self._rows(ClosedTrade, "trades", since, symbol, min(limit, ROWS_MAX))

    async def equity(self, since: datetime, until: datetime, points: int) -> Sequence[EquityPoint]:
        """Return the equity curve in at most about `points` points, the oldest first."""
        return await self._rows(EquityPoint, "equity", since, until, min(points, ROWS_MAX))

    async def signals(self, limit: int, symbol: str | None = None) -> Sequence[SignalLine]:
        """Return the newest signals."""
        return await self._rows(SignalLine, "signals", symbol, min(limit, ROWS_MAX))

    async def find_signals(self, front: str) -> Sequence[str]:
        """Return up to two ids of signals that begin so."""
        return [row["signal_id"] for row in await self._database.fetch(_SQL["signal_ids"], front)]

    async def newest_signal(self) -> str | None:
        """Return the id of the newest signal."""
        found: str | None = await self._database.fetch_value(_SQL["newest_signal_id"])
        return found

    async def totals(self, since: datetime) -> Totals:
        """Return the sum of what closed since then."""
        return (await self._rows(Totals, "totals", since))[0]

    async def results_by_period(self, period: Period, limit: int) -> Sequence[PeriodResult]:
        """Return the newest periods in which something closed, the newest first."""
        return await self._rows(PeriodResult, "results_by_period", period.value, min(limit, ROWS_MAX))

    async def results_by_strategy(self, since: datetime, limit: int = 50) -> Sequence[StrategyResult]:
        """Return strategies and symbols, the best first."""
        return await self._rows(StrategyResult, "results_by_strategy", since, min(limit, ROWS_MAX))

    async def outcomes(self, since: datetime, limit: int = 50) -> Sequence[tuple[str, str, int]]:
        """Return (outcome, reason, signals) since then, the most frequent first."""
        rows = await self._database.fetch(_SQL["outcomes"], since, min(limit, ROWS_MAX))
        return [(row["outcome"], row["reason"], row["signals"]) for row in rows]

    async def orders(self, signal_id: str) -> Sequence[dict[str, Any]]:
        """Return the orders of a signal."""
        return [dict(row) for row in await self._database.fetch(_SQL["orders"], signal_id, ROWS_MAX)]

    async def fills(self, symbol: str, since: datetime) -> Sequence[Fill]:
        """Return our fills in a symbol, the oldest first."""
        return await self._rows(Fill, "fills", symbol, since, ROWS_MAX)

    async def bars(self, symbol: str, since: datetime) -> Sequence[Bar]:
        """Return the 1 m bars of a symbol, the oldest first, at most `ROWS_MAX`."""
        return await self._rows(Bar, "bars", symbol, since, ROWS_MAX)

    async def risk_acts(self, limit: int) -> Sequence[dict[str, Any]]:
        """Return RISK's newest audit lines: state and limits, and what was recorded there."""
        return [dict(row) for row in await self._database.fetch(_SQL["acts"], min(limit, ROWS_MAX))]

    async def context(self, signal_id: str) -> Context:
        """Return what makes an opened position easier to judge."""
        row = await self._database.fetch_row(_SQL["context"], signal_id)
        assert row is not None, "two scalar subqueries make one row"
        return Context(row["equity_usdt"], row["final_confidence"])

    async def _rows(self, kind: type[Row], query: str, *arguments: object) -> list[Row]:
        return [kind(**row) for row in await self._database.fetch(_SQL[query], *arguments)]
