"""Deposits and withdrawals are the owner's: they move what results are measured against (F8)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.risk.account import Account
from services.risk.operator_change import OperatorChange, changed_account
from services.risk.position_manager import Book, apply_snapshot
from shared.models import AccountSnapshot
from tests.unit.risk.builders import NOW, D, seconds, snapshot

STOP = D("0.02")
amounts = st.decimals(min_value=-30_000, max_value=30_000, places=2)
results = st.decimals(min_value=D("-0.3"), max_value=D("0.3"), places=4)


def reported(
    at: float, equity: Decimal | int, transfers: Decimal | int | None = 0, unexplained: Decimal | int = 0
) -> AccountSnapshot:
    made = snapshot(taken_at=NOW + seconds(at), equity=D(equity))
    return AccountSnapshot(
        taken_at=made.taken_at,
        wallet_usdt=made.wallet_usdt,
        equity_usdt=made.equity_usdt,
        available_usdt=made.available_usdt,
        positions=(),
        net_transfers_usdt=None if transfers is None else D(transfers),
        unexplained_usdt=D(unexplained),
    )


def after(*snapshots: AccountSnapshot) -> Account:
    book = Book(account=Account())
    for each in snapshots:
        book = apply_snapshot(book, each, STOP)
    return book.account


def distances(account: Account, at: float) -> tuple[Any, Any]:
    return account.day_loss(NOW + seconds(at)), account.drawdown


@pytest.mark.parametrize("amount", [-700, -9_000, 500, 50_000])
def test_a_transfer_alone_is_no_result(amount: int) -> None:
    account = after(reported(0, 10_000), reported(5, 10_000 + amount, amount))
    assert distances(account, 5) == (0, 0)
    assert account.day_result_usdt(NOW) == 0


def test_the_days_result_in_usdt_is_what_trading_came_to() -> None:
    account = after(reported(0, 10_000), reported(5, 9_600), reported(10, 4_600, -5_000))
    assert account.day_result_usdt(NOW) == -400
    assert account.day_loss(NOW) == pytest.approx(
        D("0.04"), abs=D("1e-8")
    )  # a withdrawal brings no limit nearer


@given(
    st.lists(st.tuples(results, amounts, st.booleans()), min_size=1, max_size=12),
    st.decimals(min_value=100, max_value=50_000, places=2),
)
def test_no_transfer_changes_how_far_a_limit_is(
    steps: Sequence[tuple[Decimal, Decimal, bool]], start: Decimal
) -> None:
    """Two accounts with the same results, one with transfers: equal fractions, whatever the order."""
    quiet, moved, quiet_equity, equity, paid = (
        Book(account=Account()),
        Book(account=Account()),
        start,
        start,
        D(0),
    )
    for number, (result, amount, is_at_once) in enumerate([(D(0), D(0), False), *steps]):
        quiet_equity *= 1 + result
        equity *= 1 + result
        if not is_at_once:  # result and transfer in snapshots of their own, else in one
            moved = apply_snapshot(moved, reported(2 * number, equity, paid), STOP)
        if equity + amount >= D(10):
            equity += amount
            paid += amount
        moved = apply_snapshot(moved, reported(2 * number + 1, equity, paid), STOP)
        quiet = apply_snapshot(quiet, reported(2 * number + 1, quiet_equity), STOP)
    at = 2.0 * len(steps) + 1
    for mine, other in zip(distances(moved.account, at), distances(quiet.account, at), strict=True):
        assert mine == pytest.approx(other, abs=D("1e-6"))
    assert moved.account.day_result_usdt(NOW) == pytest.approx(equity - paid - start, abs=D("1e-6"))


def test_what_was_taken_out_whole_and_comes_back_is_measured_as_before() -> None:
    account = after(
        reported(0, 10_000), reported(5, 9_000), reported(10, 0, -9_000), reported(15, 5_000, -4_000)
    )
    assert distances(account, 15) == pytest.approx((D("0.1"), D("0.1")), abs=D("1e-8"))


def test_a_deposit_after_everything_was_lost_gives_no_fresh_start() -> None:
    account = after(reported(0, 10_000), reported(5, 0), reported(10, 10_000, 10_000))
    assert account.drawdown == D("0.5")


def test_a_transfer_at_midnight_belongs_to_neither_day() -> None:
    to_midnight = 12 * 3_600
    account = after(
        reported(to_midnight - 5, 10_000),
        reported(to_midnight + 1, 12_000, 2_000),
        reported(to_midnight + 6, 11_940, 2_000),
    )
    now = NOW + seconds(to_midnight + 6)
    assert account.day_result_usdt(now) == -60
    assert account.day_loss(now) == account.drawdown == D("0.005")


@pytest.mark.parametrize("amount", [-700, 700])
@pytest.mark.parametrize("begins_day", [False, True])
def test_a_transfer_that_cannot_be_read_yet_is_judged_carefully_and_heals(
    amount: int, begins_day: bool
) -> None:
    start = 12 * 3_600 if begins_day else 0
    account = after(reported(start - 10, 10_000), reported(start, 10_000 + amount, 0, amount))
    now = NOW + seconds(start)
    assert account.day_result_usdt(now) == min(amount, 0), "never a gain, a loss until it is known"
    assert account.peak_equity_usdt == 10_000
    healed = apply_snapshot(Book(account=account), reported(start + 5, 10_000 + amount, amount), STOP).account
    assert healed.day_result_usdt(now) == 0
    assert distances(healed, start) == (0, 0)


def test_transfers_of_before_the_first_report_are_in_the_equity_it_begins_with() -> None:
    account = after(reported(0, 10_000, None), reported(5, 10_000, 2_500))
    assert distances(account, 5) == (0, 0)
    assert account.net_transfers_usdt == 2_500


def test_an_older_execute_that_reports_no_transfers_moves_nothing() -> None:
    account = after(reported(0, 10_000, 500), reported(5, 9_900, None), reported(10, 9_900, 500))
    assert account.day_result_usdt(NOW) == -100


def test_a_new_baseline_forgets_what_transfers_had_moved() -> None:
    account = after(reported(0, 10_000), reported(5, 9_000), reported(10, 4_000, -5_000))
    fresh = changed_account(account, OperatorChange(resets_baseline=True))
    assert distances(fresh, 10) == (0, 0)
