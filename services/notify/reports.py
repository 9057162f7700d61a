"""What people are shown, read from the views of schema `reporting`: the truth as committed.

Amounts are USDT, times UTC. It reads only, and must never see a table of another service.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from services.notify.report_rows import (
    Account,
    Bar,
    ClosedTrade,
    EquityPoint,
    Fill,
    ForeignPosition,
    OpenPosition,
    Period,
    PeriodResult,
    SignalLine,
    StrategyResult,
    Totals,
)
from services.notify.telling.message_format import Context
from shared.database import Database, load_queries

__all__ = [
    "ROWS_MAX",
    "Account",
    "Bar",
    "ClosedTrade",
    "EquityPoint",
    "Fill",
    "ForeignPosition",
    "OpenPosition",
    "Period",
    "PeriodResult",
    "Reports",
    "SignalLine",
    "StrategyResult",
    "Totals",
]

ROWS_MAX = 1_000
"""No report is longer than this."""

_SQL = load_queries(Path(__file__).parent / "reports.sql")

Row = TypeVar("Row")


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

    async def foreign_positions(self) -> Sequence[ForeignPosition]:
        """Return what stands on the account and is not ours."""
        return await self._rows(ForeignPosition, "foreign_positions", ROWS_MAX)

    async def trades(
        self, since: datetime, *, symbol: str | None = None, limit: int = ROWS_MAX
    ) -> Sequence[ClosedTrade]:
        """Return what closed since then, the newest first."""
        return await self._rows(ClosedTrade, "trades", since, symbol, _bounded(limit))

    async def equity(self, since: datetime, until: datetime, points: int) -> Sequence[EquityPoint]:
        """Return the equity curve in at most `points` + 1 points (≥ 1 asked for), the oldest first."""
        if since >= until:
            return []
        return await self._rows(EquityPoint, "equity", since, until, _bounded(points))

    async def signals(self, limit: int, symbol: str | None = None) -> Sequence[SignalLine]:
        """Return the newest signals."""
        return await self._rows(SignalLine, "signals", symbol, _bounded(limit))

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
        return await self._rows(PeriodResult, "results_by_period", period.value, _bounded(limit))

    async def results_by_strategy(self, since: datetime, limit: int = 50) -> Sequence[StrategyResult]:
        """Return strategies and symbols, the best first."""
        return await self._rows(StrategyResult, "results_by_strategy", since, _bounded(limit))

    async def outcomes(self, since: datetime, limit: int = 50) -> Sequence[tuple[str, str, int]]:
        """Return (outcome, reason, signals) since then, the most frequent first."""
        rows = await self._database.fetch(_SQL["outcomes"], since, _bounded(limit))
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
        return [dict(row) for row in await self._database.fetch(_SQL["acts"], _bounded(limit))]

    async def context(self, signal_id: str) -> Context:
        """Return what makes an opened position easier to judge."""
        row = await self._database.fetch_row(_SQL["context"], signal_id)
        assert row is not None, "two scalar subqueries make one row"
        return Context(row["equity_usdt"], row["final_confidence"])

    async def _rows(self, kind: type[Row], query: str, *arguments: object) -> list[Row]:
        return [kind(**row) for row in await self._database.fetch(_SQL[query], *arguments)]


def _bounded(rows: int) -> int:
    return max(1, min(rows, ROWS_MAX))
