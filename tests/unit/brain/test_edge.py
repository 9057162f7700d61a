"""The odds: the prior while we know nothing, our own record when we know much, and an interval that says
which.
"""

from decimal import Decimal

from shared.edge import HALF_LIFE_TRADES, TRADES_CONSIDERED_MAX, estimate_edge

WIN, LOSS = Decimal("0.02"), Decimal("-0.02")


def test_no_trades_give_the_prior() -> None:
    edge = estimate_edge([])
    assert edge.closed_trades == 0
    assert edge.effective_trades == 0
    assert edge.win_rate == Decimal("0.68")
    assert (edge.average_win, edge.average_loss) == (Decimal("0.0175"), Decimal("0.0095"))


def test_one_win_moves_the_odds_a_little() -> None:
    edge = estimate_edge([WIN])
    assert edge.win_rate == Decimal("0.70909091")  # (1 + 6.8) / 11
    assert edge.average_win == Decimal("0.01782051")  # (0.02 + 6.8 · 0.0175) / 7.8
    assert edge.average_loss == Decimal("0.0095")


def test_trade_one_half_life_ago_weighs_half() -> None:
    edge = estimate_edge([WIN] * (HALF_LIFE_TRADES + 1))
    older = estimate_edge([WIN] * HALF_LIFE_TRADES)
    assert edge.effective_trades - older.effective_trades == Decimal("0.5")


def test_recent_losses_count_more_than_old_wins() -> None:
    losing_now = estimate_edge([LOSS] * 50 + [WIN] * 50)
    winning_now = estimate_edge([WIN] * 50 + [LOSS] * 50)
    assert losing_now.win_rate < Decimal("0.5") < winning_now.win_rate


def test_interval_narrows_with_experience_and_stays_within_one() -> None:
    few, many = estimate_edge([WIN, LOSS]), estimate_edge([WIN, LOSS] * 50)
    assert few.win_rate_high - few.win_rate_low > many.win_rate_high - many.win_rate_low
    always = estimate_edge([WIN] * 500)
    assert 0 < always.win_rate_low < always.win_rate < always.win_rate_high <= 1


def test_number_of_trades_is_the_true_one_when_only_the_newest_are_given() -> None:
    assert estimate_edge([WIN], closed_trades=4321).closed_trades == 4321
    assert estimate_edge([WIN] * (TRADES_CONSIDERED_MAX + 50)) == estimate_edge(
        [WIN] * TRADES_CONSIDERED_MAX + [LOSS] * 50
    )


def test_trade_without_result_is_a_loss_of_nothing() -> None:
    edge = estimate_edge([Decimal(0)])
    assert edge.win_rate < Decimal("0.68")
    assert edge.average_loss < Decimal("0.0095")
