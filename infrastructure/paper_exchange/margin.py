"""Margin arithmetic: netting of fills, unrealised profit, maintenance margin, liquidation price, order cost.

Knows formulas. Must never touch state, clocks or wires; every function maps values to values.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from infrastructure.paper_exchange.symbols import Bracket, bracket_for
from infrastructure.paper_exchange.values import MONEY_STEP, ZERO, Side

LIQUIDATION_ITERATIONS_MAX = 20


class Netting(NamedTuple):
    """What a fill does to a one-way position."""

    amount: Decimal
    entry_price: Decimal
    closed: Decimal
    opened: Decimal
    realized_pnl: Decimal


def net(amount: Decimal, entry: Decimal, side: Side, price: Decimal, quantity: Decimal) -> Netting:
    """Apply a fill: the opposite side closes first, the rest opens or adds at a weighted entry price."""
    signed = side.sign * quantity
    closed = min(quantity, abs(amount)) if amount * signed < 0 else ZERO
    opened = quantity - closed
    direction = 1 if amount > 0 else -1
    realized = (price - entry) * closed * direction if closed else ZERO
    after = amount + signed
    if not opened:
        entry_after = entry if after else ZERO
    elif closed or not amount:
        entry_after = price
    else:
        entry_after = (entry * abs(amount) + price * quantity) / abs(after)
    return Netting(after, _price(entry_after), closed, opened, realized.quantize(MONEY_STEP))


def unrealized_pnl(amount: Decimal, entry: Decimal, mark: Decimal) -> Decimal:
    """Profit (USDT) if the position were closed at the mark price."""
    return ((mark - entry) * amount).quantize(MONEY_STEP)


def maintenance_margin(amount: Decimal, mark: Decimal, brackets: Sequence[Bracket]) -> Decimal:
    """Margin (USDT) below which the position is liquidated."""
    notional = abs(amount) * mark
    bracket = bracket_for(brackets, notional)
    return (notional * bracket.maint_ratio - bracket.cum).quantize(MONEY_STEP)


def initial_margin(notional: Decimal, leverage: int) -> Decimal:
    """Margin (USDT) that a notional binds at a leverage."""
    return (abs(notional) / leverage).quantize(MONEY_STEP)


def liquidation_price(
    amount: Decimal, entry: Decimal, wallet: Decimal, brackets: Sequence[Bracket], others: Decimal = ZERO
) -> Decimal:
    """Mark price at which the margin equals the maintenance margin; 0 when no positive price does.

    `wallet` is the isolated wallet, or the cross wallet with `others` = unrealised profit less maintenance
    margin of the account's other cross positions. The bracket must be the one that holds the notional at that
    very price, hence the loop.
    """
    quantity, side = abs(amount), 1 if amount > 0 else -1
    bracket = bracket_for(brackets, quantity * entry)
    price = ZERO
    for _ in range(LIQUIDATION_ITERATIONS_MAX):
        divisor = quantity * bracket.maint_ratio - side * quantity
        price = (wallet + others + bracket.cum - side * quantity * entry) / divisor
        if price <= 0:
            return ZERO
        found = bracket_for(brackets, quantity * price)
        if found is bracket:
            break
        bracket = found
    return _price(price)


def order_cost(side: Side, price: Decimal, quantity: Decimal, mark: Decimal, leverage: int) -> Decimal:
    """Margin (USDT) an exposure-increasing order needs: initial margin plus the loss it opens with."""
    opening_loss = quantity * abs(min(ZERO, side.sign * (mark - price)))
    return initial_margin(price * quantity, leverage) + opening_loss


def exposure_increase(amount: Decimal, side: Side, quantity: Decimal) -> Decimal:
    """The part of an order that does more than close the position `amount`."""
    if amount * side.sign >= 0:
        return quantity
    return max(ZERO, quantity - abs(amount))


def break_even_price(amount: Decimal, entry: Decimal, open_fees: Decimal) -> Decimal:
    """Entry price moved by the fees paid for opening; 0 when flat."""
    return _price(entry + open_fees / amount) if amount else ZERO


def funding_payment(amount: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """Wallet change (USDT) at a funding time: longs pay a positive rate, shorts receive it."""
    return (-amount * mark * rate).quantize(MONEY_STEP)


def _price(value: Decimal) -> Decimal:
    return value.quantize(MONEY_STEP)
