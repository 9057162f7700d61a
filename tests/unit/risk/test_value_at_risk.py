"""Value at risk: the stated model, nothing where it does not know, and the used-up share of limits."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from services.risk.correlation import Correlations
from services.risk.profiles import PROFILES, UNLIMITED, Limits, Profile
from services.risk.status import Reading, limit_shares
from services.risk.value_at_risk import MINUTES_MIN, holdings, losses
from tests.unit.risk.builders import NOW, account, book, held, limits

D = Decimal


def swinging(share: str, minutes: int = 300, ahead: int = 0) -> dict[datetime, Decimal]:
    """Return minute returns that go up and down by `share` in turn."""
    return {NOW + timedelta(minutes=ahead + n): D(share) if n % 2 else -D(share) for n in range(minutes)}


def test_one_position_loses_its_days_deviation_times_the_quantile() -> None:
    found = losses({"BTCUSDT": D(10_000)}, {"BTCUSDT": swinging("0.001")})
    assert found is not None
    of_a_day = D(10_000) * D("0.001") * D(1_440).sqrt()
    assert found["95"].value_at_risk_usdt == pytest.approx(of_a_day * D("1.644854"))
    assert found["99"].value_at_risk_usdt == pytest.approx(of_a_day * D("2.326348"))
    assert found["95"].expected_shortfall_usdt > found["95"].value_at_risk_usdt


def test_a_perfect_hedge_has_nothing_at_risk_and_the_same_side_twice_has_double() -> None:
    returns = {"A": swinging("0.001"), "B": swinging("0.001")}
    hedged = losses({"A": D(1_000), "B": D(-1_000)}, returns)
    doubled = losses({"A": D(1_000), "B": D(1_000)}, returns)
    alone = losses({"A": D(1_000)}, returns)
    assert hedged is not None
    assert doubled is not None
    assert alone is not None
    assert hedged["99"].value_at_risk_usdt == 0
    assert doubled["99"].value_at_risk_usdt == pytest.approx(2 * alone["99"].value_at_risk_usdt)


def test_nothing_held_is_nothing_at_risk() -> None:
    found = losses({}, {})
    assert found is not None
    assert found["99"].value_at_risk_usdt == 0


def test_what_is_not_known_is_not_guessed() -> None:
    enough, too_few = swinging("0.001"), swinging("0.001", MINUTES_MIN - 1)
    assert losses({"A": D(1)}, {}) is None
    assert losses({"A": D(1)}, {"A": too_few}) is None
    elsewhere = swinging("0.001", ahead=1_000)
    assert losses({"A": D(1), "B": D(1)}, {"A": enough, "B": elsewhere}) is None


def test_positions_of_one_symbol_add_up() -> None:
    assert holdings([("A", D(100)), ("B", D(7)), ("A", D(-30))]) == {"A": D(70), "B": D(7)}


def reading(in_force: Limits) -> Reading:
    seen = book(
        held("sig-1", risk_usdt=D(200)),
        account_=account(10_000, equity_usdt=D(9_800)),
        entries_today=25,
    )
    return Reading(seen, in_force, Correlations(), NOW)


def test_a_limits_used_up_share_is_one_when_all_of_it_is_used() -> None:
    shares = limit_shares(reading(PROFILES[Profile.MISSION]))
    assert shares["daily_loss_max"] == D("0.4"), "2 % of 5 %"
    assert shares["entries_per_day_max"] == D("0.25")
    assert shares["positions_max"] == D("0.1")
    assert shares["risk_per_trade_max"] == D("1.0204"), "200 of 2 % of 9 800"


def test_what_is_not_limited_has_no_share() -> None:
    assert "entries_per_day_max" not in limit_shares(reading(limits(entries_per_day_max=UNLIMITED)))
