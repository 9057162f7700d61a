"""From a margin to an order: leverage by bracket, notional, quantity, risk at the stop, liquidation price.

A `Draft` is a size in the making. The checks only ever lower it; leverage is not chosen but follows from the
ladder of what the symbol allows at a notional. Everything rounds against ourselves: quantity down, margin and
risk up. It must never know the book or the account.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from services.risk.profiles import Limits
from shared.market import Bracket, Instrument
from shared.money import ONE, STORED_PLACES, ZERO, floor_to_step
from shared.values import Side, Sizing, Value

NOTIONAL_MIN_HEADROOM = Decimal("1.01")
"""The price may move against the exchange's minimum notional between the decision and the order."""


class Rung(Value, frozen=True, kw_only=True):
    """Up to this notional this leverage may be used."""

    notional_max_usdt: Decimal
    leverage: int


Ladder = tuple[Rung, ...]
"""Rungs by rising notional; the leverage never rises along it."""


class Draft(Value, frozen=True, kw_only=True):
    """A size in the making; `notional_usdt` is not yet rounded to the exchange's step."""

    kelly_fraction: Decimal = ZERO
    is_probe: bool = False
    closes_opposite: bool = False
    margin_max_usdt: Decimal = ZERO
    notional_usdt: Decimal = ZERO
    ladder: Ladder = ()

    @property
    def leverage(self) -> int:
        """The most leverage the ladder allows at this notional."""
        return leverage_at(self.ladder, self.notional_usdt)

    @property
    def margin_usdt(self) -> Decimal:
        """The margin this notional binds."""
        return up(self.notional_usdt / self.leverage)


def up(amount: Decimal) -> Decimal:
    """Return `amount` rounded up to what the database keeps: for what we owe, bind or may lose."""
    return amount.quantize(STORED_PLACES, rounding=ROUND_CEILING)


def down(amount: Decimal) -> Decimal:
    """Return `amount` rounded down to what the database keeps: for what we may use."""
    return amount.quantize(STORED_PLACES, rounding=ROUND_FLOOR)


def risk_rate(limits: Limits, instrument: Instrument) -> Decimal:
    """Return the loss at the stop as a fraction of the notional: the distance plus taker fees both ways."""
    return limits.stop_distance + 2 * instrument.taker_fee_rate


def ladder_of(brackets: Sequence[Bracket], leverage_max: int, notional_usdt: Decimal) -> Ladder:
    """Return what the exchange's brackets allow up to a notional, under our own maximum.

    A size is only ever lowered, so the rungs above the one that holds `notional_usdt` are never reached.
    """
    rungs: list[Rung] = []
    for bracket in brackets:
        leverage = min(leverage_max, bracket.leverage_max)
        rungs.append(Rung(notional_max_usdt=bracket.notional_cap_usdt, leverage=leverage))
        if bracket.notional_cap_usdt >= notional_usdt:
            break
    return tuple(rungs)


def lowered(ladder: Ladder, brackets: Sequence[Bracket], side: Side, limits: Limits) -> Ladder:
    """Return the ladder with each leverage lowered until liquidation stands beyond the stop by the buffer.

    Each rung is judged at its largest notional, where the maintenance share is highest: a rung that is safe
    there is safe everywhere. Rungs that no leverage makes safe are left out.
    """
    rungs = (
        Rung(
            notional_max_usdt=rung.notional_max_usdt,
            leverage=min(rung.leverage, safe_leverage(rung.notional_max_usdt, brackets, side, limits)),
        )
        for rung in ladder
    )
    return tuple(rung for rung in rungs if rung.leverage >= 1)


def safe_leverage(notional_usdt: Decimal, brackets: Sequence[Bracket], side: Side, limits: Limits) -> int:
    """Return the highest leverage at which a fall to the required distance is not yet a liquidation; 0 if
    none.

    The required distance is stop / (1 − buffer). Not liquidated there means: margin ≥ loss + maintenance
    margin.
    """
    distance = limits.stop_distance / (ONE - limits.liquidation_buffer)
    notional_there = notional_usdt * (ONE - side.sign * distance)
    needed = notional_usdt * distance + maintenance(notional_there, brackets)
    return int(notional_usdt / needed) if needed > ZERO else 0


def maintenance(notional_usdt: Decimal, brackets: Sequence[Bracket]) -> Decimal:
    """Return the maintenance margin of a position worth `notional_usdt` at the mark price.

    The brackets' amounts make the margin continuous and convex, so the right bracket is the one asking most.
    """
    return max(
        (each.maintenance_rate * notional_usdt - each.maintenance_amount_usdt for each in brackets),
        default=ZERO,
    )


def liquidation_price(
    side: Side, quantity: Decimal, entry_price: Decimal, margin_usdt: Decimal, brackets: Sequence[Bracket]
) -> Decimal:
    """Return the mark price at which an isolated position is liquidated; 0 when a long never is.

    Per bracket: (margin + amount − side·q·entry) / (q·rate − side·q). The one reached first counts, which is
    the bracket that holds q · price.
    """
    assert quantity > ZERO, "a position has a quantity"
    sign = side.sign
    prices = [
        (margin_usdt + each.maintenance_amount_usdt - sign * quantity * entry_price)
        / (quantity * each.maintenance_rate - sign * quantity)
        for each in brackets
    ]
    return max([*prices, ZERO]) if side is Side.LONG else min(prices)


def is_beyond_stop(side: Side, entry_price: Decimal, liquidation: Decimal, limits: Limits) -> bool:
    """Tell whether the stop stands before the liquidation price with the buffer kept free."""
    distance = side.sign * (entry_price - liquidation) / entry_price
    return limits.stop_distance <= distance * (ONE - limits.liquidation_buffer)


def leverage_at(ladder: Ladder, notional_usdt: Decimal) -> int:
    """Return the leverage of the first rung that holds the notional; the notional must fit the ladder."""
    for rung in ladder:
        if notional_usdt <= rung.notional_max_usdt:
            return rung.leverage
    raise AssertionError("the notional was not fitted to the ladder")


def fit(ladder: Ladder, notional_usdt: Decimal, affordable: Callable[[int], Decimal]) -> Decimal:
    """Return the largest notional up to `notional_usdt` that some rung holds and its leverage makes
    affordable.

    `affordable` gives the largest notional for a leverage. Taking the best rung, rather than the first that
    fits, keeps the size from shrinking when the account grows across a bracket's edge.
    """
    return max(
        (min(notional_usdt, rung.notional_max_usdt, affordable(rung.leverage)) for rung in ladder),
        default=ZERO,
    )


def quantity_of(notional_usdt: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Return the quantity that the notional buys, rounded down to the step and the exchange's maximum."""
    quantity = floor_to_step(max(notional_usdt, ZERO) / price, instrument.step_size)
    return min(quantity, floor_to_step(instrument.quantity_max, instrument.step_size))


def is_tradable(quantity: Decimal, price: Decimal, instrument: Instrument) -> bool:
    """Tell whether the exchange accepts an order of this quantity at about this price."""
    least = instrument.notional_min_usdt * NOTIONAL_MIN_HEADROOM
    return quantity > ZERO and quantity >= instrument.quantity_min and quantity * price >= least


def sizing_of(
    draft: Draft, *, side: Side, price: Decimal, equity_usdt: Decimal, instrument: Instrument, limits: Limits
) -> Sizing:
    """Return the draft as an order's size; `margin_fraction` is the share of equity it finally binds."""
    quantity = quantity_of(draft.notional_usdt, price, instrument)
    notional = quantity * price
    leverage = leverage_at(draft.ladder, notional)
    margin = up(notional / leverage)
    return Sizing(
        kelly_fraction=down(draft.kelly_fraction),
        margin_fraction=up(margin / equity_usdt),
        probe=draft.is_probe,
        leverage=leverage,
        quantity=quantity,
        reference_price=price,
        notional_usdt=up(notional),
        margin_usdt=margin,
        risk_usdt=up(notional * risk_rate(limits, instrument)),
        stop_distance=limits.stop_distance,
        take_profit_distance=limits.take_profit_distance,
        liquidation_price=down(liquidation_price(side, quantity, price, margin, instrument.brackets)),
    )
