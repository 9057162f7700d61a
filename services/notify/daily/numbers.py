"""The numbers of a day, read from the views of schema `reporting`: the truth as committed.

It reads only, and must never see a table of another service.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from services.notify.daily.report import DayNumbers, Trade, bounds
from services.notify.equity_curve import growth_of, paid_in_over, without_transfers
from services.notify.report_rows import drawdown_of
from services.notify.reports import Account, EquityPoint, Reports
from shared.database import Database, load_queries

OUTCOMES_MAX = 50
CURVE_DAYS = 30
CURVE_POINTS = 360
"""As many as a phone shows."""

_SQL = load_queries(Path(__file__).parent / "report.sql")


class DailyNumbers:
    """Reads what a daily report tells."""

    def __init__(self, database: Database, reports: Reports) -> None:
        self._database = database
        self._reports = reports

    async def of(self, day: date) -> DayNumbers:
        """Return the numbers of a UTC day; raises `DatabaseUnavailable`."""
        since, until = bounds(day)
        totals = await self._database.fetch_row(_SQL["day"], since, until)
        assert totals is not None, "an aggregate has a row"
        extremes = [Trade(**row) for row in await self._database.fetch(_SQL["extremes"], since, until)]
        outcomes = await self._database.fetch(_SQL["outcomes"], since, until, OUTCOMES_MAX)
        positions = await self._reports.positions()
        foreign = await self._reports.foreign_positions()
        account = await self._reports.account()
        equity = await self._reports.equity(since, until, CURVE_POINTS)
        return DayNumbers(
            **totals,
            unprotected_s_max=await self._database.fetch_value(_SQL["unprotected"], since, until),
            best=extremes[0] if extremes else None,
            worst=extremes[-1] if extremes else None,
            outcomes=[(row["outcome"], row["reason"], row["signals"]) for row in outcomes],
            equity_usdt=equity[-1].equity_usdt if equity else account.equity_usdt,
            growth=growth_of(equity),
            paid_in_usdt=paid_in_over(equity),
            drawdown=drawdown_at_end(equity, account),
            positions=[(one.symbol, one.side) for one in positions],
            foreign=[(one.symbol, one.side, one.has_stop) for one in foreign],
            state=account.state,
        )

    async def curve(self, day: date) -> Sequence[EquityPoint]:
        """Return the equity of the days up to the end of `day`, the oldest first, without transfers."""
        _, until = bounds(day)
        since = until - timedelta(days=CURVE_DAYS)
        return without_transfers(await self._reports.equity(since, until, CURVE_POINTS))


def drawdown_at_end(equity: Sequence[EquityPoint], account: Account) -> Decimal | None:
    """Return how far the equity ended below the account's peak, as a fraction."""
    if not equity or account.net_transfers_usdt is None:
        return drawdown_of(
            equity[-1].equity_usdt if equity else account.earned_usdt, account.peak_equity_usdt
        )
    # The peak has moved with what was transferred since; so does the equity that is held against it.
    since = account.net_transfers_usdt - equity[-1].net_transfers_usdt
    return drawdown_of(equity[-1].equity_usdt + since, account.peak_equity_usdt)
