"""Deposits and withdrawals are neither growth nor a jump of the curve (F8)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.daily.numbers import drawdown_at_end
from services.notify.equity_curve import growth_of, paid_in_over, without_transfers
from services.notify.report_rows import Account, EquityPoint

D = Decimal
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def point(number: int, equity: Decimal | int, transfers: Decimal | int = 0) -> EquityPoint:
    return EquityPoint(
        taken_at=NOON + timedelta(minutes=number),
        wallet_usdt=D(equity),
        equity_usdt=D(equity),
        available_usdt=D(equity),
        open_positions=0,
        net_transfers_usdt=D(transfers),
    )


steps = st.lists(
    st.tuples(
        st.decimals(min_value=D("-0.2"), max_value=D("0.2"), places=4),
        st.decimals(min_value=-50_000, max_value=50_000, places=2),
    ),
    min_size=1,
    max_size=10,
)


@given(steps)
def test_transfers_change_neither_growth_nor_the_shape_of_the_curve(
    drawn: Sequence[tuple[Decimal, Decimal]],
) -> None:
    equity, paid, pure = D(10_000), D(0), D(10_000)
    points, untouched = [point(0, equity)], [pure]
    for number, (result, amount) in enumerate(drawn, 1):
        equity, pure = equity * (1 + result), pure * (1 + result)
        if equity + amount >= D(10):
            equity, paid = equity + amount, paid + amount
        points.append(point(number, equity, paid))
        untouched.append(pure)
    assert growth_of(points) == pytest.approx(pure / 10_000 - 1, abs=D("1e-9"))
    assert paid_in_over(points) == paid
    curve = without_transfers(points)
    assert curve[-1].equity_usdt == equity
    shape = [each.equity_usdt / curve[-1].equity_usdt for each in curve]
    assert shape == pytest.approx([each / pure for each in untouched], abs=D("1e-9"))


def test_an_emptied_account_grows_by_nothing_until_money_is_back() -> None:
    points = [
        point(0, 1_000),
        point(1, 0, -1_000),
        point(2, 0, -1_000),
        point(3, 500, -500),
        point(4, 550, -500),
    ]
    assert growth_of(points) == D("0.1")
    assert [each.equity_usdt for each in without_transfers(points)][-2:] == [500, 550]


def test_nothing_recorded_is_no_growth() -> None:
    assert growth_of([]) is None
    assert without_transfers([]) == []
    assert paid_in_over([]) == 0


def test_the_days_drawdown_is_held_against_a_peak_that_moved_since() -> None:
    account = Account(
        state="ACTIVE",
        trading_epoch=1,
        wallet_usdt=D(4_500),
        equity_usdt=D(4_500),
        available_usdt=D(4_500),
        snapshot_taken_at=NOON,
        day=NOON.date(),
        day_start_equity_usdt=D(4_500),
        peak_equity_usdt=D(5_000),  # 10 000 before 4 500 of 9 000 were taken out
        net_transfers_usdt=D(-4_500),
    )
    assert drawdown_at_end([point(0, 9_000)], account) == D("0.1")
