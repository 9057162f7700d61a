"""Stage 3: what the account can carry together with everything reserved and open."""

import pytest

from services.risk.correlation import Correlations, Measured
from services.risk.limits import decide
from services.risk.position_manager import Reservation
from services.risk.profiles import PROFILES, Profile
from shared.values import CheckResult
from tests.unit.risk.builders import (
    NOW,
    D,
    account,
    book,
    case,
    found,
    held,
    limits,
    market,
    reservation,
    seconds,
)


def risking(count: int, risk: str, **changes: object) -> list[Reservation]:
    return [reservation(f"sig-{n}", f"S{n}USDT", risk_usdt=D(risk), **changes) for n in range(count)]


@pytest.mark.parametrize(
    ("available", "result"),
    [("479.75", CheckResult.PASS), ("480", CheckResult.PASS), ("479", CheckResult.RESIZE)],
)
def test_margin_and_entry_fee_must_be_free(available: str, result: CheckResult) -> None:
    # 9523.81 USDT of notional: 476.19 margin and 4.76 fee before the step, 475 and 4.75 after it.
    lean = limits(risk_per_trade_max=D("0.01995"))
    decision = decide(case(book_=book(account_=account(available_usdt=D(available))), limits_=lean))
    assert found(decision.checks, "free_balance").result is result
    assert decision.sizing is not None
    assert decision.sizing.margin_usdt + decision.sizing.notional_usdt * D("0.0005") <= D(available)


def test_margin_promised_but_not_reported_is_not_free() -> None:
    promised = held("sig-0", margin_usdt=D(9_990), notional_usdt=D(1_000))
    decision = decide(case(book_=book(promised)))
    assert decision.reason == "free_balance"


def test_margin_of_a_position_opened_since_the_snapshot_is_not_free() -> None:
    fresh = reservation(margin_usdt=D(9_990), opened_at=NOW, snapshot_at=NOW - seconds(5))
    assert decide(case(book_=book(fresh))).reason == "free_balance"
    reported = reservation(margin_usdt=D(9_990), opened_at=NOW - seconds(9), snapshot_at=NOW)
    assert decide(case(book_=book(reported))).is_approved


def test_eleventh_position_is_refused() -> None:
    assert decide(case(book_=book(*risking(9, "1")))).is_approved
    assert decide(case(book_=book(*risking(10, "1")))).reason == "positions_max"
    promised = [held(f"h-{n}", f"H{n}USDT") for n in range(5)]
    assert decide(case(book_=book(*risking(5, "1"), *promised))).reason == "positions_max"


def test_position_that_is_not_ours_counts() -> None:
    strangers = risking(5, "200", is_ours=False)
    assert decide(case(book_=book(*strangers))).reason == "portfolio_risk_max"


def test_unknown_correlation_counts_as_falling_together() -> None:
    assert decide(case(book_=book(*risking(4, "200")))).is_approved
    assert decide(case(book_=book(*risking(5, "200")))).reason == "portfolio_risk_max"


def test_what_is_left_of_the_portfolio_risk_is_used_down_to_the_size_of_a_probe() -> None:
    decision = decide(case(book_=book(*risking(5, "190"))))
    assert found(decision.checks, "portfolio_risk").result is CheckResult.RESIZE
    assert decision.sizing is not None
    assert D(45) < decision.sizing.risk_usdt <= D(50)
    assert (
        decide(case(book_=book(*risking(5, "195.5")))).reason == "portfolio_risk_max"
    )  # 22.5 left, a probe is 25


def test_symbols_that_move_apart_leave_room_for_more() -> None:
    symbols = sorted({"BTCUSDT", *(f"S{n}USDT" for n in range(6))})
    pairs = {(a, b): Measured(D(0), 600) for a in symbols for b in symbols if a < b}
    apart = market(correlations=Correlations(pairs))
    assert decide(case(book_=book(*risking(6, "200")), market_=apart)).is_approved


@pytest.mark.parametrize(("equity", "approved"), [("9500.01", True), ("9500", False)])
def test_five_percent_down_on_the_day_entries_stop(equity: str, approved: bool) -> None:
    down = account(D(equity), day_start_equity_usdt=D(10_000), peak_equity_usdt=D(10_000))
    decision = decide(case(book_=book(account_=down)))
    assert decision.is_approved is approved
    if not approved:
        assert decision.reason == "daily_loss"


def test_loss_of_yesterday_does_not_count_today() -> None:
    down = account(9_400, day_start_equity_usdt=D(10_000), peak_equity_usdt=D(10_000))
    tomorrow = NOW.replace(day=NOW.day + 1)
    assert down.day_loss(NOW) == D("0.06")
    assert down.day_loss(tomorrow) == 0


@pytest.mark.parametrize(("equity", "approved"), [("8500.01", True), ("8500", False)])
def test_fifteen_percent_below_the_peak_entries_stop(equity: str, approved: bool) -> None:
    fallen = account(D(equity), day_start_equity_usdt=D(equity), peak_equity_usdt=D(10_000))
    decision = decide(case(book_=book(account_=fallen)))
    assert decision.is_approved is approved
    if not approved:
        assert decision.reason == "drawdown"


def test_entries_of_a_day_and_of_a_minute_are_limited() -> None:
    assert decide(case(book_=book(entries_today=99, entries_last_minute=9))).is_approved
    assert decide(case(book_=book(entries_today=100))).reason == "entries_per_day_max"
    assert decide(case(book_=book(entries_last_minute=10))).reason == "entries_per_minute_max"
    unlimited = PROFILES[Profile.BENCH]
    busy = book(entries_today=10**6, entries_last_minute=10**6)
    assert decide(case(book_=busy, limits_=unlimited)).is_approved
