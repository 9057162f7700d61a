"""Prices and sizes of our orders, and the closing of the books. Pure: values in, values out."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

import msgspec

from services.execute.order_state import Entry
from services.execute.venue import OrderSide, VenueTrade, total_quantity
from shared.market import Instrument
from shared.money import ONE, ZERO, Rounding, floor_to_step, round_to_tick, stored
from shared.values import CloseReason, Side, Value

EXCHANGES_OWN = {
    "autoclose-": CloseReason.LIQUIDATION,
    "adl_autoclose": CloseReason.ADL,
    "settlement_autoclose-": CloseReason.SETTLEMENT,
}
"""How the client ids of orders begin that the exchange itself sends."""


def limit_price(best: Decimal, side: Side, tolerance: Decimal, tick: Decimal) -> Decimal:
    """Return the IOC limit: the best price plus `tolerance` (fraction), rounded so that it never pays
    more.
    """
    if side is Side.LONG:
        return max(best, round_to_tick(best * (ONE + tolerance), tick, Rounding.DOWN))
    return min(best, round_to_tick(best * (ONE - tolerance), tick, Rounding.UP))


def fitted_quantity(quantity: Decimal, price: Decimal, instrument: Instrument) -> Decimal | None:
    """Return the largest quantity up to `quantity` that the symbol's rules allow; None when there is none."""
    fitted = floor_to_step(min(quantity, instrument.quantity_max), instrument.step_size)
    is_enough = fitted >= instrument.quantity_min and fitted * price >= instrument.notional_min_usdt
    return fitted if fitted > ZERO and is_enough else None


def stop_price(entry: Decimal, side: Side, distance: Decimal, tick: Decimal) -> Decimal:
    """Return the stop `distance` (fraction) beyond the entry, rounded towards it: the loss stays in the
    plan.
    """
    raw = entry * (ONE - side.sign * distance)
    return round_to_tick(raw, tick, Rounding.UP if side is Side.LONG else Rounding.DOWN)


def take_profit_price(entry: Decimal, side: Side, distance: Decimal, tick: Decimal) -> Decimal:
    """Return the target `distance` (fraction) ahead of the entry, rounded towards it: it is reached
    sooner.
    """
    raw = entry * (ONE + side.sign * distance)
    return round_to_tick(raw, tick, Rounding.DOWN if side is Side.LONG else Rounding.UP)


def slippage(reference: Decimal, fill: Decimal, side: Side) -> Decimal:
    """Return how much worse the fill is than the reference price, as a fraction; negative when better."""
    return side.sign * (fill - reference) / reference


def has_drifted(reference: Decimal, best: Decimal, drift_max: Decimal) -> bool:
    """Tell whether the price moved more than `drift_max` (fraction) since the decision, either way (P8)."""
    return abs(best - reference) / reference > drift_max


MISSING_FILLS = "fills that are not visible yet"


class ClosedBooks(Value, frozen=True, kw_only=True):
    """The result of a closed position, from the exchange's own fills."""

    exit_price: Decimal | None  # None, like the order's id, while no fill of the exit is known
    pnl_usdt: Decimal
    fees_usdt: Decimal
    closed_at: datetime
    exit_order_id: str | None
    fills: tuple[VenueTrade, ...]
    missing: tuple[str, ...] = ()  # what is not known yet; the amounts lack it
    reason: CloseReason = CloseReason.EXTERNAL
    funding_usdt: Decimal = ZERO


def close_books(entry: Entry, trades: Collection[VenueTrade]) -> ClosedBooks | None:
    """Return the books of a position that is flat, or None while its fills are not all visible yet."""
    if not trades:
        return None
    books = known_books(entry, trades, max(each.filled_at for each in trades))
    return None if MISSING_FILLS in books.missing else books


def known_books(entry: Entry, trades: Collection[VenueTrade], gone_at: datetime) -> ClosedBooks:
    """Return the books of a position that was seen to be gone at `gone_at`, as far as its fills are visible.

    Fills belong to the position by the entry's order id, then by being on the closing side afterwards,
    until the quantity is used up: whatever trades later, or beyond it, belongs to somebody else. Afterwards
    is told by the trades' numbers, which grow with every trade of a symbol; clocks are set now and then.
    """
    entering = tuple(each for each in trades if each.order_id == entry.exchange_order_id)
    exiting = _exiting(entry, trades, entering)
    quantity = total_quantity(exiting)
    turnover = sum((each.price * each.quantity for each in exiting), ZERO)
    entered = entry.filled_quantity if entry.exchange_order_id is None else total_quantity(entering)
    is_whole = entered >= entry.filled_quantity and quantity >= entry.filled_quantity
    fills = (*entering, *exiting)
    return ClosedBooks(
        exit_price=stored(turnover / quantity) if exiting else None,
        pnl_usdt=sum((each.realised_pnl_usdt for each in exiting), ZERO),
        fees_usdt=sum((each.fee_usdt for each in fills), ZERO),
        closed_at=exiting[-1].filled_at if is_whole else gone_at,
        exit_order_id=exiting[-1].order_id if exiting else None,
        fills=fills,
        missing=(() if is_whole else (MISSING_FILLS,)) + _unvalued(fills),
    )


def _unvalued(fills: tuple[VenueTrade, ...]) -> tuple[str, ...]:
    assets = sorted({each.fee_asset for each in fills if not each.is_fee_valued})
    return tuple(f"the value of fees paid in {asset}" for asset in assets)


def _exiting(
    entry: Entry, trades: Collection[VenueTrade], entering: tuple[VenueTrade, ...]
) -> tuple[VenueTrade, ...]:
    closing_side = OrderSide.closing(entry.side)
    if entry.exchange_order_id is None:  # found on the exchange: what entered it is not known any more
        trades = [each for each in trades if entry.first_fill_at and each.filled_at >= entry.first_fill_at]
    elif not entering:
        return ()  # nothing says yet which fills came after the entry
    entered_with = min((_number(each) for each in entering), default=-1)
    exiting: list[VenueTrade] = []
    open_quantity = entry.filled_quantity
    held = ZERO  # ours, and what strangers added to it since
    for each in sorted(trades, key=_number):
        if (number := _number(each)) < entered_with:
            continue
        if each.side is closing_side and open_quantity > ZERO and number > entered_with:
            exiting.append(_our_part(each, open_quantity, held))
            open_quantity -= exiting[-1].quantity
        held += -each.quantity if each.side is closing_side else each.quantity
    return tuple(exiting)


def _number(fill: VenueTrade) -> int:
    return int(fill.trade_id)


def _our_part(fill: VenueTrade, open_quantity: Decimal, held: Decimal) -> VenueTrade:
    """Return the part of a closing fill that closed our `open_quantity` of the `held` position.

    The fee is for the whole fill. The realised profit is for what the fill closed: less than the fill when it
    turned the position round, more than ours when a stranger had added to the position; the exchange knows
    one average entry price for both, so each has its share by quantity.
    """
    if fill.quantity <= open_quantity:
        return fill
    closed = max(open_quantity, min(fill.quantity, held))
    return msgspec.structs.replace(
        fill,
        quantity=open_quantity,
        fee_usdt=stored(fill.fee_usdt * open_quantity / fill.quantity),
        fee_amount=None
        if fill.fee_amount is None
        else stored(fill.fee_amount * open_quantity / fill.quantity),
        realised_pnl_usdt=stored(fill.realised_pnl_usdt * open_quantity / closed),
    )


def close_reason(
    entry: Entry,
    exit_order_id: str,
    exit_client_id: str | None,
    stop_order_id: str | None,
    take_profit_order_id: str | None,
    our_closing_ids: Collection[str] = (),
) -> CloseReason:
    """Return why the position ended, by which order closed it."""
    if exit_order_id == stop_order_id:
        return CloseReason.STOP_LOSS
    if exit_order_id == take_profit_order_id:
        return CloseReason.TAKE_PROFIT
    if exit_order_id in our_closing_ids and entry.close_reason:
        return entry.close_reason
    for prefix, reason in EXCHANGES_OWN.items():
        if exit_client_id is not None and exit_client_id.startswith(prefix):
            return reason
    if exit_client_id is not None and exit_client_id.startswith(entry.client_id[:-1]) and entry.close_reason:
        return entry.close_reason
    return CloseReason.EXTERNAL


def presumed_reason(entry: Entry, stop_order_id: str | None, take_profit_order_id: str | None) -> CloseReason:
    """Return why a position ended of whose exit no fill is known: what fired, else what we set out to do."""
    if entry.close_reason is not None:
        return entry.close_reason
    if stop_order_id is not None:
        return CloseReason.STOP_LOSS
    return CloseReason.EXTERNAL if take_profit_order_id is None else CloseReason.TAKE_PROFIT
