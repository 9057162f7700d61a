"""Kelly, liquidation prices, correlations, limits by name, findings: arithmetic checked against worked
examples.
"""

import msgspec
import pytest

from services.risk.correlation import (
    Correlations,
    Exposure,
    Measured,
    measure,
    portfolio_risk,
    returns,
    room_for,
)
from services.risk.findings import config_findings
from services.risk.kelly_calculator import kelly_fraction, stake
from services.risk.profiles import (
    PROFILES,
    SPECS,
    LimitFault,
    Limits,
    OnOpposite,
    Profile,
    as_text,
    parse,
    with_changes,
)
from services.risk.sizing import liquidation_price
from shared.values import RiskLevel, Side
from tests.unit.risk.builders import BTC_BRACKETS, EDGE, MIRRORED, NO_EDGE, UP_AND_DOWN, D, bars, bracket

CENTS = D("0.00001")


# --- Kelly ---


@pytest.mark.parametrize(
    ("win_rate", "win", "loss", "fraction"),
    [
        ("0.68", "0.0175", "0.0095", "0.25"),  # 0.506, limited
        ("0.40", "0.02", "0.01", "0.10"),
        ("0.50", "0.01", "0.01", "0"),
        ("0.30", "0.0175", "0.0095", "0"),  # negative: no edge
        ("0.20", "0.01", "0", "0.20"),  # never lost: only the win rate speaks
        ("0.90", "0", "0.01", "0"),  # never won anything
    ],
)
def test_kelly_fraction_of_known_odds(win_rate: str, win: str, loss: str, fraction: str) -> None:
    odds = msgspec.structs.replace(EDGE, win_rate=D(win_rate), average_win=D(win), average_loss=D(loss))
    assert kelly_fraction(odds) == D(fraction)


def test_stake_is_a_fifth_of_kelly_and_never_above_the_limit() -> None:
    assert stake(EDGE, scale=D("0.2"), margin_fraction_max=D("0.15")).margin_fraction == D("0.05")
    assert stake(EDGE, scale=D(1), margin_fraction_max=D("0.15")).margin_fraction == D("0.15")
    assert not stake(NO_EDGE, scale=D("0.2"), margin_fraction_max=D("0.15")).has_edge


# --- liquidation, worked examples of the exchange's own formula ---


@pytest.mark.parametrize(
    ("side", "quantity", "entry", "margin", "price"),
    [
        (Side.LONG, "0.5", "60000", "1500", "57228.91566"),
        (Side.SHORT, "0.5", "60000", "1500", "62749.00398"),
        (Side.LONG, "10", "60000", "12000", "59065.32663"),  # 600 000 USDT: the second bracket
    ],
)
def test_liquidation_price(side: Side, quantity: str, entry: str, margin: str, price: str) -> None:
    found = liquidation_price(side, D(quantity), D(entry), D(margin), BTC_BRACKETS)
    assert found.quantize(CENTS) == D(price)


def test_liquidation_price_of_a_small_coin() -> None:
    doge = (bracket(75, 0, 80_000, "0.0065", "0"), bracket(50, 80_000, 150_000, "0.01", "280"))
    assert liquidation_price(Side.LONG, D(10**6), D("0.12"), D(4_800), doge).quantize(D("1e-7")) == D(
        "0.1160808"
    )


def test_long_that_is_fully_paid_is_never_liquidated() -> None:
    assert liquidation_price(Side.LONG, D(1), D(100), D(100), BTC_BRACKETS) == 0


# --- correlation ---


def test_the_same_movement_correlates_fully_and_the_mirrored_one_inversely() -> None:
    one, other = returns(bars(*UP_AND_DOWN)), returns(bars(*MIRRORED))
    alike, against = measure(one, one), measure(one, other)
    assert alike is not None
    assert alike.returns == 39
    assert alike.correlation > D("0.999")
    assert against is not None
    assert against.correlation < D("-0.99")


def test_too_few_common_minutes_or_no_movement_measure_nothing() -> None:
    assert measure(returns(bars(*UP_AND_DOWN[:10])), returns(bars(*UP_AND_DOWN[:10]))) is None
    assert measure(returns(bars(*["100"] * 40)), returns(bars(*UP_AND_DOWN))) is None


def test_correlation_is_shrunk_towards_falling_together_by_how_little_is_known() -> None:
    long_a, long_b = Exposure("A", Side.LONG, D(1)), Exposure("B", Side.LONG, D(1))
    short_b = Exposure("B", Side.SHORT, D(1))
    assert Correlations().between(long_a, long_b) == 1
    assert Correlations().between(long_a, short_b) == 1
    half = Correlations({("A", "B"): Measured(D(0), 60)})
    assert half.between(long_a, long_b) == half.between(long_b, long_a) == D("0.5")
    hedge = Correlations({("A", "B"): Measured(D(1), 60)})
    assert hedge.between(long_a, short_b) == D("0.5")  # independent at best, never relief
    assert hedge.between(long_a, long_b) == 1


def test_room_is_what_brings_the_combined_risk_exactly_to_the_limit() -> None:
    others = [Exposure("A", Side.LONG, D(300)), Exposure("B", Side.LONG, D(400))]
    apart = Correlations({(a, b): Measured(D(0), 10**6) for a, b in (("A", "B"), ("A", "C"), ("B", "C"))})
    room = room_for("C", Side.LONG, others, apart, D(1_000))
    together = portfolio_risk([*others, Exposure("C", Side.LONG, room)], apart)
    assert abs(together - D(1_000)) < D("1e-9")
    assert room_for("C", Side.LONG, others, apart, D(500)) == 0


# --- limits by name ---


def test_every_limit_has_a_specification_and_only_those() -> None:
    assert tuple(SPECS) == Limits.__struct_fields__


@pytest.mark.parametrize("profile", Profile)
def test_every_limit_of_a_profile_reads_back_from_its_own_text(profile: Profile) -> None:
    for name in SPECS:
        value = getattr(PROFILES[profile], name)
        assert parse(name, as_text(value)) == value


def test_changes_are_read_in_their_own_types() -> None:
    changed = with_changes(
        PROFILES[Profile.MISSION],
        {
            "positions_max": "5",
            "risk_per_trade_max": 0.01,
            "on_opposite": "REVERSE",
            "risk_level_max": "medium",
            "symbols_allowed": "ethusdt, BTCUSDT,",
        },
    )
    assert changed.positions_max == 5
    assert changed.risk_per_trade_max == D("0.01")
    assert changed.on_opposite is OnOpposite.REVERSE
    assert changed.risk_level_max is RiskLevel.MEDIUM
    assert changed.symbols_allowed == ("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("no_such_limit", "1", "there is no limit"),
        ("positions_max", "0", "outside"),
        ("positions_max", "2.5", "whole number"),
        ("risk_per_trade_max", "0.6", "outside"),
        ("risk_per_trade_max", "NaN", "outside"),
        ("risk_per_trade_max", "lots", "not a number"),
        ("on_opposite", "panic", "none of close, reverse, ignore"),
    ],
)
def test_unusable_change_says_why(name: str, value: str, why: str) -> None:
    with pytest.raises(LimitFault, match=why):
        with_changes(PROFILES[Profile.MISSION], {name: value})


# --- findings ---


def test_mission_says_that_the_day_ends_before_five_stops_do() -> None:
    findings = config_findings(PROFILES[Profile.MISSION])
    assert "5 positions on the same side lose 10 %" in findings[0]
    assert "reached 50 % of the way" in findings[0]


def test_balanced_has_no_such_finding() -> None:
    assert not any("same side" in finding for finding in config_findings(PROFILES[Profile.BALANCED]))


def test_target_that_does_not_pay_the_fees_is_said() -> None:
    findings = config_findings(
        msgspec.structs.replace(PROFILES[Profile.MISSION], take_profit_distance=D("0.001"))
    )
    assert any("does not pay the fees" in finding for finding in findings)
