"""Rows of the schema `execute` to values, and values to columns. Pure; it must never read or write."""

from collections.abc import Mapping
from typing import Any

import msgspec

from services.execute.execution_rules import ClosedBooks
from services.execute.order_state import Entry, EntryState
from services.execute.venue import OrderRow, OrderSide
from shared.ids import OrderRole
from shared.models import TradeApproved
from shared.values import CloseReason, Side

Row = Mapping[str, Any]


def entry_or_none(row: Row | None) -> Entry | None:
    """Return the entry in a row, None without one."""
    return None if row is None else entry_from(row)


def entry_from(row: Row) -> Entry:
    """Return the entry in a row."""
    return Entry(
        signal_id=row["signal_id"],
        client_id=row["client_id"],
        strategy=row["strategy"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        state=EntryState(row["state"]),
        approval=msgspec.convert(row["approval"], TradeApproved),
        claimed_at=row["claimed_at"],
        quantity=row["quantity"],
        limit_price=row["limit_price"],
        exchange_order_id=row["exchange_order_id"],
        filled_quantity=row["filled_quantity"],
        entry_price=row["entry_price"],
        first_fill_at=row["first_fill_at"],
        stop_price=row["stop_price"],
        take_profit_price=row["take_profit_price"],
        protected_at=row["protected_at"],
        close_reason=None if row["close_reason"] is None else CloseReason(row["close_reason"]),
        closed_by=row["closed_by"],
        close_detail=row["close_detail"],
        close_attempts=row["close_attempts"],
        version=row["version"],
    )


def order_from(row: Row) -> OrderRow:
    """Return the order in a row."""
    return OrderRow(
        client_id=row["client_id"],
        role=OrderRole(row["role"]),
        symbol=row["symbol"],
        side=OrderSide(row["side"]),
        order_type=row["order_type"],
        quantity=row["quantity"],
        price=row["price"],
        trigger_price=row["trigger_price"],
        status=row["status"],
        exchange_order_id=row["exchange_order_id"],
        filled_quantity=row["filled_quantity"],
    )


def fill_columns(signal_id: str, books: ClosedBooks) -> list[list[Any]]:
    """Return the fills of books as the columns of one insert."""
    fills = books.fills
    return [
        [each.symbol for each in fills],
        [each.trade_id for each in fills],
        [signal_id for _ in fills],
        [each.order_id for each in fills],
        [each.side.value for each in fills],
        [each.quantity for each in fills],
        [each.price for each in fills],
        [each.fee_usdt for each in fills],
        [each.realised_pnl_usdt for each in fills],
        [each.filled_at for each in fills],
        [each.fee_asset for each in fills],
        [each.fee_usdt if each.fee_amount is None else each.fee_amount for each in fills],
    ]
