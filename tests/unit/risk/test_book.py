"""The book: what facts and snapshots make of a reservation."""

from datetime import timedelta

import pytest

from services.risk.account import Account
from services.risk.correlation import Correlations
from services.risk.operator_change import OperatorChange, changed_account
from services.risk.position_manager import (
    HELD_GRACE_S,
    OPENED_MARGIN_S,
    Book,
    Reservation,
    ReservationState,
    apply_closed,
    apply_order_ended,
    apply_position,
    apply_snapshot,
    external_id,
)
from services.risk.profiles import PROFILES, Profile
from services.risk.status import Reading, status_of
from shared.values import Side, TradingState
from tests.unit.risk.builders import (
    NOW,
    D,
    account,
    book,
    held,
    position,
    reservation,
    seconds,
    shown,
    snapshot,
)

STOP = D("0.02")
OPEN, HELD, RELEASED = ReservationState.OPEN, ReservationState.HELD, ReservationState.RELEASED


def only(found: Book) -> Reservation:
    (reservation_,) = found.reservations.values()
    return reservation_


def test_opened_position_replaces_the_promised_numbers_by_the_real_ones() -> None:
    after = only(apply_position(book(held()), position()))
    assert (after.state, after.quantity, after.entry_price) == (OPEN, D("0.2"), D(2_001))
    assert (after.margin_usdt, after.risk_usdt) == (D("20.01"), D("8.5"))


def test_older_version_changes_nothing() -> None:
    newer = apply_position(book(held()), position(version=3, quantity=D("0.1"), risk_usdt=D(4)))
    assert only(apply_position(newer, position(version=2))) == only(newer)


def test_closed_position_stays_closed_whatever_arrives_late() -> None:
    closed = apply_closed(book(held()), position(), "take_profit")
    late = apply_position(closed, position(version=9))
    assert only(late).state is RELEASED
    assert only(late).released_because == "take_profit"
    assert only(apply_snapshot(late, snapshot(shown(), taken_at=NOW + seconds(60)), STOP)).state is RELEASED


def test_ended_order_frees_its_risk_and_a_position_found_after_all_takes_it_again() -> None:
    ended = apply_order_ended(book(held()), "sig-0", "failed: unknown")
    assert (only(ended).state, only(ended).released_because) == (RELEASED, "failed: unknown")
    assert only(apply_position(ended, position(opened_at=NOW + seconds(3)))).state is OPEN


def test_end_of_an_unknown_order_is_no_matter() -> None:
    assert apply_order_ended(book(), "sig-9", "expired: slippage") == book()


def test_snapshot_shows_a_position_before_its_fact_arrives() -> None:
    after = only(apply_snapshot(book(held()), snapshot(shown(), taken_at=NOW + seconds(5)), STOP))
    assert (after.state, after.quantity) == (OPEN, D("0.2"))
    # 40.02 to the stop and 0.05 % of 400.2 twice
    assert after.risk_usdt == D("0.2") * D("40.02") + D("0.4002")


def test_position_of_ours_without_a_visible_stop_is_taken_to_have_the_planned_one() -> None:
    bare = shown(stop_price=None)
    after = only(apply_snapshot(book(held()), snapshot(bare, taken_at=NOW + seconds(5)), STOP))
    assert after.risk_usdt == D("400.2") * D("0.021")


def test_stop_beyond_break_even_risks_the_fees_only() -> None:
    for side, stop in ((Side.LONG, "2010"), (Side.SHORT, "1990")):
        after = only(apply_snapshot(book(), snapshot(shown(side=side, stop_price=D(stop))), STOP))
        assert after.risk_usdt == D("0.4002")


def test_position_that_is_not_ours_counts_with_its_stop_or_its_whole_margin() -> None:
    bare = only(apply_snapshot(book(), snapshot(shown(None, stop_price=None)), STOP))
    assert bare.signal_id == external_id("ETHUSDT")
    assert (bare.is_ours, bare.state, bare.risk_usdt) == (False, OPEN, D("20.01"))
    stopped = only(apply_snapshot(book(), snapshot(shown(None)), STOP))
    assert stopped.risk_usdt == D("0.2") * D("40.02") + D("0.4002")


def test_external_position_that_went_away_and_came_back_counts_again() -> None:
    there = apply_snapshot(book(), snapshot(shown(None), taken_at=NOW + seconds(5)), STOP)
    gone = apply_snapshot(there, snapshot(taken_at=NOW + seconds(10)), STOP)
    back = apply_snapshot(gone, snapshot(shown(None), taken_at=NOW + seconds(15)), STOP)
    assert [only(each).state for each in (there, gone, back)] == [OPEN, RELEASED, OPEN]


@pytest.mark.parametrize(("after_s", "state"), [(OPENED_MARGIN_S, OPEN), (OPENED_MARGIN_S + 1, RELEASED)])
def test_open_position_missing_from_a_later_snapshot_is_released(
    after_s: int, state: ReservationState
) -> None:
    opened = apply_position(book(held()), position(opened_at=NOW + seconds(1)))
    after = only(apply_snapshot(opened, snapshot(taken_at=NOW + seconds(1 + after_s)), STOP))
    assert after.state is state
    assert after.released_because == (None if state is OPEN else "snapshot")


@pytest.mark.parametrize(("late_s", "state"), [(0, HELD), (1, RELEASED)])
def test_promise_is_given_up_only_after_the_order_cannot_appear_any_more(
    late_s: int, state: ReservationState
) -> None:
    promised = held()
    taken_at = promised.valid_until + seconds(HELD_GRACE_S + late_s)
    assert only(apply_snapshot(book(promised), snapshot(taken_at=taken_at), STOP)).state is state


def test_wrongly_released_position_is_taken_back_when_the_exchange_shows_it() -> None:
    released = reservation(
        state=RELEASED,
        opened_at=None,
        snapshot_at=None,
        released_because="never_seen",
        valid_until=NOW - seconds(60),
    )
    after = only(apply_snapshot(book(released), snapshot(shown(), taken_at=NOW + seconds(1)), STOP))
    assert (after.state, after.released_because) == (OPEN, None)


def test_older_snapshot_does_not_replace_a_newer_one() -> None:
    newer = apply_snapshot(book(account_=Account()), snapshot(taken_at=NOW, equity=9_000), STOP)
    after = apply_snapshot(newer, snapshot(shown(), taken_at=NOW - seconds(5), equity=8_000), STOP)
    assert after.account == newer.account
    assert only(after).state is RELEASED  # it stood then, the newer report does not show it


def test_first_snapshot_of_a_utc_day_starts_the_day_and_the_peak_only_rises() -> None:
    first = apply_snapshot(book(account_=Account()), snapshot(equity=10_000), STOP)
    later = apply_snapshot(first, snapshot(equity=9_500, taken_at=NOW + seconds(5)), STOP)
    assert later.account.day_start_equity_usdt == later.account.peak_equity_usdt == D(10_000)
    assert later.account.day_loss(NOW) == later.account.drawdown == D("0.05")
    next_day = apply_snapshot(later, snapshot(equity=9_400, taken_at=NOW + timedelta(days=1)), STOP)
    assert next_day.account.day_start_equity_usdt == D(9_400)
    assert next_day.account.peak_equity_usdt == D(10_000)


# --- the operator ---


def test_halt_and_reduce_raise_the_epoch_every_time_and_resuming_once() -> None:
    """EXECUTE orders what it hears by the epoch: a replica whose clock is behind may take the resume."""
    halted = changed_account(account(), OperatorChange(state=TradingState.HALTED))
    again = changed_account(halted, OperatorChange(state=TradingState.HALTED))
    reducing = changed_account(again, OperatorChange(state=TradingState.REDUCING))
    active = changed_account(reducing, OperatorChange(state=TradingState.ACTIVE))
    still = changed_account(active, OperatorChange(state=TradingState.ACTIVE))
    assert [each.trading_epoch for each in (halted, again, reducing, active, still)] == [2, 3, 4, 5, 5]
    assert active.state is TradingState.ACTIVE


def test_new_baseline_ends_a_drawdown_stop() -> None:
    fallen = account(8_000, day_start_equity_usdt=D(9_000), peak_equity_usdt=D(10_000))
    reset = changed_account(fallen, OperatorChange(resets_baseline=True))
    assert reset.drawdown == reset.day_loss(NOW) == 0


def test_status_tells_every_limit_with_what_is_used_of_it() -> None:
    seen = book(held(), reservation("sig-7", "XRPUSDT"), entries_today=3)
    status = status_of(Reading(seen, PROFILES[Profile.MISSION], Correlations(), NOW), "mission")
    used = {each["name"]: each for each in status["limits"]}  # type: ignore[attr-defined]
    assert (used["positions_max"]["used"], used["positions_max"]["limit"]) == ("2", "10")
    assert used["portfolio_risk_max"]["used"] == "0.00084"
    assert used["entries_per_day_max"]["used"] == "3"
    assert used["leverage_max"]["used"] is None
    assert status["findings"]
