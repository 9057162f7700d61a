"""What is at odds among the limits: computed, said in numbers, shown to the operator. Pure.

A finding never blocks anything; the limits are the operator's choice.
"""

from collections.abc import Callable
from decimal import Decimal

from services.risk.kelly_calculator import KELLY_FRACTION_MAX
from services.risk.profiles import Limits
from services.risk.verdicts import percent
from shared.money import ONE, ZERO, plain

TAKER_FEE_RATE = Decimal("0.0005")
"""The exchange's ordinary rate, for the arithmetic here."""
SAME_SIDE_POSITIONS = 5


def config_findings(limits: Limits) -> list[str]:
    """Return every finding about these limits, most dangerous first; empty when nothing is at odds."""
    return [text for rule in _RULES if (text := rule(limits)) is not None]


def _day_ends_before_the_stops(limits: Limits) -> str | None:
    count = min(SAME_SIDE_POSITIONS, limits.positions_max)
    together = min(count * limits.risk_per_trade_max, limits.portfolio_risk_max)
    if together <= limits.daily_loss_max:
        return None
    way = limits.daily_loss_max / together
    return (
        f"{count} positions on the same side lose {percent(together)} of equity at their stops: the day's "
        f"limit of −{percent(limits.daily_loss_max)} is reached {percent(way)} of the way there, so the "
        "emergency close comes before their stops do"
    )


def _drawdown_within_a_day(limits: Limits) -> str | None:
    if limits.drawdown_max > limits.daily_loss_max:
        return None
    return (
        f"drawdown_max {percent(limits.drawdown_max)} is not above daily_loss_max "
        f"{percent(limits.daily_loss_max)}: one bad day stops entries until an operator resets the baseline"
    )


def _slots_without_risk(limits: Limits) -> str | None:
    fitting = int(limits.portfolio_risk_max / limits.risk_per_trade_max)
    if fitting >= limits.positions_max:
        return None
    return (
        f"portfolio_risk_max {percent(limits.portfolio_risk_max)} has room for {fitting} positions of "
        f"{percent(limits.risk_per_trade_max)} that move together: {limits.positions_max} (positions_max) "
        "need smaller or less correlated ones"
    )


def _stop_beyond_liquidation(limits: Limits) -> str | None:
    rate_left = ONE / limits.leverage_max - limits.stop_distance / (ONE - limits.liquidation_buffer)
    if rate_left >= Decimal("0.03"):
        return None
    return (
        f"{limits.leverage_max}x keeps liquidation beyond a stop at {percent(limits.stop_distance)} only "
        f"where the maintenance rate is below about {percent(max(rate_left, ZERO))}: it is lowered elsewhere"
    )


def _kelly_sized_down(limits: Limits) -> str | None:
    most = min(limits.kelly_scale * KELLY_FRACTION_MAX, limits.position_margin_max)
    risk = most * limits.leverage_max * (limits.stop_distance + 2 * TAKER_FEE_RATE)
    if risk <= limits.risk_per_trade_max:
        return None
    return (
        f"full Kelly ({percent(most)} of equity as margin at {limits.leverage_max}x) would lose "
        f"{percent(risk)} at the stop: it is always sized down to risk_per_trade_max "
        f"{percent(limits.risk_per_trade_max)}"
    )


def _margin_limit_unreachable(limits: Limits) -> str | None:
    most = limits.kelly_scale * KELLY_FRACTION_MAX
    if most >= limits.position_margin_max:
        return None
    return (
        f"position_margin_max {percent(limits.position_margin_max)} never binds: kelly_scale "
        f"{plain(limits.kelly_scale)} asks for at most {percent(most)}"
    )


def _odds_needed(limits: Limits) -> str | None:
    fees = 2 * TAKER_FEE_RATE
    win, loss = limits.take_profit_distance - fees, limits.stop_distance + fees
    if win <= ZERO:
        target = percent(limits.take_profit_distance)
        return f"take_profit_distance {target} does not pay the fees of {percent(fees)}"
    needed = loss / (win + loss)
    if needed <= Decimal("0.5"):
        return None
    return (
        f"after fees a win is {percent(win)} and a loss {percent(loss)}: money is lost with fewer wins than "
        f"{percent(needed)}"
    )


_RULES: tuple[Callable[[Limits], str | None], ...] = (
    _day_ends_before_the_stops,
    _drawdown_within_a_day,
    _slots_without_risk,
    _stop_beyond_liquidation,
    _kelly_sized_down,
    _margin_limit_unreachable,
    _odds_needed,
)
