"""Positions on the exchange that our books do not know: whose they are, and what our books get. Pure.

After a restore of an older dump the books lack what was opened since. A position is ours when a conditional
order stands for it that bears our id: nobody else can have placed it. The signal cannot be had from an id, so
the entry gets one of its own, from which the same ids follow.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from services.execute.order_state import Entry, EntryState
from services.execute.venue import AlgoReport, OrderReport, OrderSide, VenuePosition
from shared import ids
from shared.models import CloseRequested, TradeApproved
from shared.money import ONE, ZERO, stored
from shared.values import (
    FOREIGN_STRATEGY,
    UNKNOWN_STRATEGY,
    Action,
    CloseReason,
    Origin,
    Signal,
    Sizing,
)

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""When a position was opened whose entry the exchange does not know any more: every close may touch it."""


def ours_for(
    position: VenuePosition, algos: Sequence[AlgoReport], installation: str
) -> tuple[AlgoReport, ...]:
    """Return the conditional orders of ours that stand for a position: of one signal, the stop first."""
    closing = OrderSide.closing(position.side)
    ours = [
        each
        for each in algos
        if each.is_standing
        and (each.symbol, each.side) == (position.symbol, closing)
        and ids.digest_of(each.client_id, installation) is not None
    ]
    ours.sort(key=lambda each: not each.client_id.endswith(ids.OrderRole.STOP_LOSS.value))
    return tuple(each for each in ours if ids.stem(each.client_id) == ids.stem(ours[0].client_id))


def entry_id_of(protection: AlgoReport) -> str:
    """Return the client id of the entry order that a conditional order of ours belongs to."""
    return f"{ids.stem(protection.client_id)}-{ids.OrderRole.ENTRY.value}"


def taken_over_id_of(protection: AlgoReport) -> str:
    """Return the client id that its entry gets when it is taken over."""
    return f"{ids.stem(protection.client_id)}-a"


def taken_over(
    position: VenuePosition,
    ours: Sequence[AlgoReport],
    order: OrderReport | None,
    installation: str,
    now: datetime,
) -> Entry:
    """Return the entry of a position that `ours` protect; `order` is its entry order, while it is known."""
    digest = ids.digest_of(ours[0].client_id, installation)
    assert digest is not None, "only orders of ours are passed"
    triggers = {each.client_id.rpartition("-")[2]: each.trigger_price for each in ours}
    stop = triggers.get(ids.OrderRole.STOP_LOSS.value)
    target = triggers.get(ids.OrderRole.TAKE_PROFIT.value)
    is_known = order is not None and order.filled_quantity > ZERO
    return _entry(
        position,
        ids.adopted_signal_id(digest),
        UNKNOWN_STRATEGY,
        client_id=taken_over_id_of(ours[0]),
        order=order if is_known else None,
        stop=stop,
        target=target,
        opened_at=order.updated_at if order is not None and is_known else LONG_AGO,
        now=now,
    )


def foreign_closing(
    position: VenuePosition, request: CloseRequested, installation: str, now: datetime
) -> Entry:
    """Return the entry by which a position that is not ours is closed because somebody confirmed it."""
    signal_id = f"foreign-{request.signal_id}-{position.symbol}"
    entry = _entry(
        position,
        signal_id,
        FOREIGN_STRATEGY,
        client_id=ids.client_order_id(installation, signal_id, ids.OrderRole.ENTRY),
        order=None,
        stop=None,
        target=None,
        opened_at=LONG_AGO,
        now=now,
    )
    return msgspec.structs.replace(
        entry, state=EntryState.CLOSING, close_reason=CloseReason.OPERATOR, closed_by=request.signal_id
    )


def signal_of(entry: Entry) -> Signal:
    """Return the signal that stands in for the one nobody knows, so that the position has a story."""
    return Signal(
        signal_id=entry.signal_id,
        dedupe_key=entry.signal_id,
        origin=Origin.MANUAL,
        strategy=entry.strategy,
        symbol=entry.symbol,
        action=Action(entry.side.value),
        confidence=ZERO,
        price=entry.entry_price,
        received_at=entry.protected_at or entry.approval.signal_received_at,
        alert_text="taken over from the exchange: a stop of ours stood, our books did not know the position",
    )


def _entry(
    position: VenuePosition,
    signal_id: str,
    strategy: str,
    *,
    client_id: str,
    order: OrderReport | None,
    stop: Decimal | None,
    target: Decimal | None,
    opened_at: datetime,
    now: datetime,
) -> Entry:
    quantity = position.quantity if order is None else order.filled_quantity
    price = position.entry_price if order is None else order.average_price or position.entry_price
    approval = TradeApproved(
        signal_id=signal_id,
        strategy=strategy,
        symbol=position.symbol,
        side=position.side,
        sizing=_sizing(position, quantity, price, stop, target),
        trading_epoch=0,
        valid_until=opened_at,
        signal_received_at=opened_at,
        checks=(),
    )
    return Entry(
        signal_id=signal_id,
        client_id=client_id,
        strategy=strategy,
        symbol=position.symbol,
        side=position.side,
        state=EntryState.PROTECTED,
        approval=approval,
        claimed_at=now,
        quantity=quantity,
        limit_price=None,
        exchange_order_id=None if order is None else order.order_id,
        filled_quantity=quantity,
        entry_price=price,
        first_fill_at=now if order is None else order.updated_at,
        stop_price=stop,
        take_profit_price=target,
        protected_at=now,
        close_reason=None,
        close_detail="",
        closed_by=None,
        close_attempts=0,
        version=1,
    )


def _sizing(
    position: VenuePosition, quantity: Decimal, price: Decimal, stop: Decimal | None, target: Decimal | None
) -> Sizing:
    """What the exchange shows, as RISK would have put it; a side that is not known is as far as the other."""
    nearest = stop or target or position.mark_price
    far = target or stop or position.mark_price
    notional, margin = price * quantity, position.margin_usdt
    at_stop = position.side.sign * (price - (stop or nearest)) * quantity
    return Sizing(
        kelly_fraction=ZERO,
        margin_fraction=ZERO,
        probe=False,
        leverage=position.leverage,
        quantity=quantity,
        reference_price=price,
        notional_usdt=stored(notional),
        margin_usdt=stored(margin),
        risk_usdt=stored(max(at_stop, ZERO)),
        stop_distance=stored(abs(ONE - nearest / price)),
        take_profit_distance=stored(abs(far / price - ONE)),
        liquidation_price=position.liquidation_price,
    )
