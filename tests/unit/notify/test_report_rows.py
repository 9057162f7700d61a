"""What follows from a report's row alone: the day's result and the drawdown, for chat and dashboard."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.notify.report_rows import Account, drawdown_of
from tests.unit.notify.facts import NOON

D = Decimal


def account(equity: str | None, start: str | None) -> Account:
    return Account(
        state="ACTIVE",
        trading_epoch=1,
        wallet_usdt=None,
        equity_usdt=None if equity is None else D(equity),
        available_usdt=None,
        snapshot_taken_at=NOON,
        day=NOON.date(),
        day_start_equity_usdt=None if start is None else D(start),
        peak_equity_usdt=None,
    )


@pytest.mark.parametrize(
    ("equity", "start", "pnl"),
    [("990", "1000", D(-10)), ("1000", "1000", D(0)), (None, "1000", None), ("990", None, None)],
)
def test_the_days_result_is_equity_against_its_first(
    equity: str | None, start: str | None, pnl: Decimal | None
) -> None:
    assert account(equity, start).day_pnl_usdt(NOON) == pnl


def test_yesterdays_start_says_nothing_of_today() -> None:
    assert account("990", "1000").day_pnl_usdt(NOON + timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("equity", "peak", "drawdown"),
    [
        ("900", "1000", D("0.1")),
        ("1001", "1000", D(0)),  # the peak is told a moment later than the equity
        (None, "1000", None),
        ("900", None, None),
        ("900", "0", None),
    ],
)
def test_drawdown_is_the_share_below_the_peak(
    equity: str | None, peak: str | None, drawdown: Decimal | None
) -> None:
    found = drawdown_of(None if equity is None else D(equity), None if peak is None else D(peak))

    assert found == drawdown
