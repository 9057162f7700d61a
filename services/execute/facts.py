"""The facts EXECUTE tells, as pure functions of an entry: same input, same event id, so a re-told fact is
recognised.

Pure: it builds messages, it never sends one.
"""

from datetime import datetime
from decimal import Decimal

from services.execute import execution_rules
from services.execute.error_classes import VenueRefused
from services.execute.execution_rules import ClosedBooks
from services.execute.order_state import Entry
from services.execute.takeover import signal_of
from services.execute.venue import OrderReport, ProtectiveOrder
from shared import ids
from shared.codec import envelop
from shared.ids import OrderRole
from shared.models import (
    AlertRaised,
    BooksCompleted,
    CloseIgnored,
    CloseRequested,
    Envelope,
    ManualTradeProposed,
    Message,
    OrderEnded,
    OrderFilled,
    OrderPlaced,
    OrderRefused,
    PositionClosed,
    PositionOpened,
    ProtectionPlaced,
    TradeApproved,
)
from shared.values import CloseReason, OutcomeKind, Severity

PRODUCER = "execute"

_ROLE_NAMES = {
    OrderRole.STOP_LOSS: "stop_loss",
    OrderRole.TAKE_PROFIT: "take_profit",
    OrderRole.CLOSE: "close",
}
_REQUESTED = frozenset({CloseReason.EXIT_SIGNAL, CloseReason.OPERATOR})
"""Closes that were asked for by a request of their own; the others are asked for by the position's story."""


def _told(
    payload: Message,
    signal_id: str,
    caused_by: type[Message],
    now: datetime,
    discriminator: tuple[str, ...] = (),
) -> Envelope:
    return envelop(
        payload,
        correlation_id=signal_id,
        causation_id=ids.event_id(caused_by.SCHEMA, signal_id),
        occurred_at=now,
        producer=PRODUCER,
        discriminator=discriminator,
    )


def entered(entry: Entry, report: OrderReport, price: Decimal, now: datetime) -> list[Envelope]:
    """The entry was accepted and filled."""
    assert entry.claimed_at is not None
    reference = entry.approval.sizing.reference_price
    placed = OrderPlaced(
        signal_id=entry.signal_id,
        symbol=entry.symbol,
        side=entry.side,
        client_id=entry.client_id,
        exchange_order_id=report.order_id,
        order_type="MARKET" if entry.limit_price is None else "LIMIT IOC",
        quantity=entry.quantity,
        limit_price=entry.limit_price,
        claimed_at=entry.claimed_at,
        accepted_at=report.updated_at,
    )
    filled = OrderFilled(
        signal_id=entry.signal_id,
        symbol=entry.symbol,
        side=entry.side,
        client_id=entry.client_id,
        exchange_order_id=report.order_id,
        quantity=entry.quantity,
        filled_quantity=report.filled_quantity,
        average_price=price,
        slippage=execution_rules.slippage(reference, price, entry.side),
        filled_at=report.updated_at,
    )
    return [
        _told(placed, entry.signal_id, TradeApproved, min(entry.claimed_at, now)),  # sent before it filled
        _told(filled, entry.signal_id, OrderPlaced, now),
    ]


def ended(entry: Entry, *, failed: bool, reason: str, detail: str, now: datetime) -> list[Envelope]:
    """The entry ended without a position."""
    payload = OrderEnded(
        signal_id=entry.signal_id,
        symbol=entry.symbol,
        client_id=entry.client_id,
        outcome=OutcomeKind.FAILED if failed else OutcomeKind.EXPIRED,
        reason=reason,
        detail=detail,
    )
    return [_told(payload, entry.signal_id, TradeApproved, now)]


def opened(entry: Entry, stop: ProtectiveOrder, target: ProtectiveOrder, now: datetime) -> list[Envelope]:
    """The position stands and is protected."""
    assert entry.first_fill_at is not None
    assert entry.protected_at is not None
    unprotected_s = max(0.0, (entry.protected_at - entry.first_fill_at).total_seconds())
    protection = ProtectionPlaced(
        signal_id=entry.signal_id,
        symbol=entry.symbol,
        stop_client_id=stop.client_id,
        stop_price=stop.trigger_price,
        take_profit_client_id=target.client_id,
        take_profit_price=target.trigger_price,
        unprotected_s=Decimal(str(round(unprotected_s, 6))),
    )
    position = PositionOpened(signal_id=entry.signal_id, position=entry.position())
    return [
        _told(protection, entry.signal_id, OrderFilled, min(entry.protected_at, now)),
        _told(position, entry.signal_id, ProtectionPlaced, now),
    ]


def closed(
    entry: Entry, reason: CloseReason, books: ClosedBooks, funding_usdt: Decimal, now: datetime
) -> list[Envelope]:
    """The position is closed and its books with it; everybody who waits for an end of it is told (P2).

    A position that never stood protected was never told as opened: its entry failed. A request whose close
    came after the stop, the target or somebody else had nothing to do any more.
    """
    payload = PositionClosed(
        signal_id=entry.signal_id,
        position=entry.position(),
        reason=reason,
        closed_by=entry.closed_by if reason is entry.close_reason else None,
        exit_price=books.exit_price,
        pnl_usdt=books.pnl_usdt,
        fees_usdt=books.fees_usdt,
        funding_usdt=funding_usdt,
        closed_at=books.closed_at,
        detail=entry.close_detail,
        missing="; ".join(books.missing),
    )
    told = [_told(payload, entry.signal_id, PositionOpened, now)]
    if entry.protected_at is None:
        detail = "the position was closed before its stop was on the exchange"
        if entry.close_detail:
            detail = f"{detail}: {entry.close_detail}"
        told = [*ended(entry, failed=True, reason=f"closed:{reason}", detail=detail, now=now), *told]
    if entry.close_reason in _REQUESTED and reason is not entry.close_reason and entry.closed_by is not None:
        told += close_ignored(entry.closed_by, entry.symbol, f"closed_by:{reason}", now)
    return told


def books_completed(entry: Entry, books: ClosedBooks, now: datetime) -> Envelope:
    """The books of a position that had closed with incomplete ones are complete."""
    assert books.exit_price is not None, "complete books have an exit"
    payload = BooksCompleted(
        signal_id=entry.signal_id,
        position=entry.position(),
        reason=books.reason,
        closed_by=entry.closed_by if books.reason is entry.close_reason else None,
        exit_price=books.exit_price,
        pnl_usdt=books.pnl_usdt,
        fees_usdt=books.fees_usdt,
        funding_usdt=books.funding_usdt,
        closed_at=books.closed_at,
    )
    return _told(payload, entry.signal_id, PositionClosed, now)


def refused(
    entry: Entry, role: OrderRole, client_id: str, refusal: VenueRefused, next_step: str, now: datetime
) -> Envelope:
    """The exchange refused an order that protects or closes; the same refusal again is the same fact."""
    payload = OrderRefused(
        signal_id=entry.signal_id,
        symbol=entry.symbol,
        client_id=client_id,
        role=_ROLE_NAMES[role],
        code=refusal.code,
        text=refusal.detail,
        next_step=next_step,
    )
    return _told(payload, entry.signal_id, OrderFilled, now, (role.value, str(refusal.code)))


def taken_over(entry: Entry, now: datetime) -> list[Envelope]:
    """A position of ours that our books did not know is in them: it gets a story, and counts."""
    signal = envelop(
        ManualTradeProposed(signal=signal_of(entry)),
        correlation_id=entry.signal_id,
        causation_id=None,
        occurred_at=now,
        producer=PRODUCER,
    )
    position = PositionOpened(signal_id=entry.signal_id, position=entry.position())
    return [signal, _told(position, entry.signal_id, ManualTradeProposed, now)]


def close_ignored(request_id: str, symbol: str | None, reason: str, now: datetime) -> list[Envelope]:
    """A close request found nothing that it may touch."""
    payload = CloseIgnored(signal_id=request_id, symbol=symbol, reason=reason)
    return [_told(payload, request_id, CloseRequested, now)]


def alert(
    kind: str, text: str, severity: Severity, subject: str, now: datetime, symbol: str | None = None
) -> Envelope:
    """Something an operator should know; told once per kind, subject and minute."""
    return envelop(
        AlertRaised(severity=severity, kind=kind, text=text, symbol=symbol),
        correlation_id=subject,
        causation_id=None,
        occurred_at=now,
        producer=PRODUCER,
        discriminator=(kind, now.strftime("%Y-%m-%dT%H:%M")),
    )
