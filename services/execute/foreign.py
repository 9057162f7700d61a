"""What stands on the account and is not ours: positions, and the orders that nobody of ours placed. Pure.

They are shown wherever positions are shown, and never touched. A position is ours when an entry of ours has
its symbol and side; an order is ours by its client id.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal

from services.execute.reconciliation import VenueView
from services.execute.venue import AlgoReport, OrderSide, VenuePosition
from shared import ids
from shared.values import Side, Value

STOPS = frozenset({"STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"})
TARGETS = frozenset({"TAKE_PROFIT", "TAKE_PROFIT_MARKET"})


class ForeignPosition(Value, frozen=True, kw_only=True):
    """A position of somebody else; its prices are the exchange's. `stop_price` is None also for a trailing
    stop that has none yet: `has_stop` says whether one stands.
    """

    symbol: str
    side: Side
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal
    liquidation_price: Decimal
    leverage: int
    margin_usdt: Decimal
    unrealised_pnl_usdt: Decimal
    has_stop: bool
    stop_price: Decimal | None
    take_profit_price: Decimal | None


class ForeignOrder(Value, frozen=True, kw_only=True):
    """An open order of somebody else; a conditional one has a trigger."""

    symbol: str
    client_id: str
    side: OrderSide
    order_type: str
    quantity: Decimal | None
    price: Decimal | None
    trigger_price: Decimal | None


def positions_of(
    positions: Sequence[VenuePosition], algos: Sequence[AlgoReport], ours: Collection[tuple[str, Side]]
) -> list[ForeignPosition]:
    """Return the positions that are not `ours` (symbol and side), each with the stop that stands for it."""
    return [_position(each, algos) for each in positions if (each.symbol, each.side) not in ours]


def orders_of(view: VenueView, installation: str) -> list[ForeignOrder]:
    """Return the open orders whose client id is not ours."""
    conditional = [
        ForeignOrder(
            symbol=each.symbol,
            client_id=each.client_id,
            side=each.side,
            order_type=each.order_type,
            quantity=None,
            price=None,
            trigger_price=each.trigger_price or None,
        )
        for each in view.algos
        if each.is_standing and not ids.is_ours(each.client_id, installation)
    ]
    ordinary = [
        ForeignOrder(
            symbol=each.symbol,
            client_id=each.client_id,
            side=each.side,
            order_type=each.order_type,
            quantity=each.quantity - each.filled_quantity,
            price=each.limit_price,
            trigger_price=None,
        )
        for each in view.orders
        if not each.is_final and not ids.is_ours(each.client_id, installation)
    ]
    return [*conditional, *ordinary]


def _position(position: VenuePosition, algos: Sequence[AlgoReport]) -> ForeignPosition:
    closing = [
        each
        for each in algos
        if each.is_standing
        and each.symbol == position.symbol
        and each.side is OrderSide.closing(position.side)
    ]
    stops = [each for each in closing if each.order_type in STOPS]
    targets = [each for each in closing if each.order_type in TARGETS]
    return ForeignPosition(
        symbol=position.symbol,
        side=position.side,
        quantity=position.quantity,
        entry_price=position.entry_price,
        mark_price=position.mark_price,
        liquidation_price=position.liquidation_price,
        leverage=position.leverage,
        margin_usdt=position.margin_usdt,
        unrealised_pnl_usdt=position.unrealised_pnl_usdt,
        has_stop=bool(stops),
        stop_price=_nearest(position, stops),
        take_profit_price=_nearest(position, targets),
    )


def _nearest(position: VenuePosition, orders: Sequence[AlgoReport]) -> Decimal | None:
    """Return the trigger that is reached first."""
    prices = [each.trigger_price for each in orders if each.trigger_price]
    return min(prices, key=lambda price: abs(price - position.mark_price)) if prices else None
