"""Approvals, entries and requests for EXECUTE's tests: all has a default, a test names what matters."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.execute.order_state import Entry, EntryState
from services.execute.venue import OrderSide, VenueTrade
from shared import codec, ids
from shared.models import CloseRequested, Envelope, Message, TradeApproved, TradingStateChanged
from shared.values import CloseReason, Side, Sizing, TradingState

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
INSTALLATION = "test"
BTC = "BTCUSDT"
QUANTITY = Decimal("0.1")
PRICE = Decimal(50_000)


def sizing(**changes: object) -> Sizing:
    given: dict[str, object] = {
        "kelly_fraction": Decimal("0.25"),
        "margin_fraction": Decimal("0.05"),
        "probe": False,
        "leverage": 20,
        "quantity": QUANTITY,
        "reference_price": PRICE,
        "notional_usdt": QUANTITY * PRICE,
        "margin_usdt": Decimal(250),
        "risk_usdt": Decimal(105),
        "stop_distance": Decimal("0.02"),
        "take_profit_distance": Decimal("0.02"),
        "liquidation_price": Decimal(47_700),
    }
    return Sizing(**(given | changes))  # type: ignore[arg-type]


def approval(name: str = "one", *, at: datetime = NOON, **changes: object) -> TradeApproved:
    """An approval of a signal that came at `at`; `name` makes the signal's id."""
    given: dict[str, object] = {
        "signal_id": ids.signal_id(name),
        "strategy": "ema_cross",
        "symbol": BTC,
        "side": Side.LONG,
        "sizing": sizing(),
        "trading_epoch": 1,
        "valid_until": at + timedelta(seconds=30),
        "signal_received_at": at,
        "liquidation_buffer": Decimal("0.1"),
        "checks": (),
    }
    return TradeApproved(**(given | changes))  # type: ignore[arg-type]


def client_id(approved: TradeApproved) -> str:
    return ids.client_order_id(INSTALLATION, approved.signal_id, ids.OrderRole.ENTRY)


def entry(state: EntryState = EntryState.INTENT, name: str = "one", **changes: object) -> Entry:
    """An entry in a state, with all that an entry in that state has."""
    approved = changes.pop("approval", None) or approval(name)
    assert isinstance(approved, TradeApproved)
    is_sent = state not in (EntryState.INTENT, EntryState.EXPIRED)
    is_filled = state in (EntryState.FILLED, EntryState.PROTECTED, EntryState.CLOSING, EntryState.CLOSED)
    is_protected = is_filled and state is not EntryState.FILLED
    given: dict[str, object] = {
        "signal_id": approved.signal_id,
        "client_id": client_id(approved),
        "strategy": approved.strategy,
        "symbol": approved.symbol,
        "side": approved.side,
        "state": state,
        "approval": approved,
        "claimed_at": NOON if is_sent else None,
        "quantity": approved.sizing.quantity,
        "limit_price": Decimal(50_050) if is_sent else None,
        "exchange_order_id": "1000001" if is_filled else None,
        "filled_quantity": approved.sizing.quantity if is_filled else Decimal(0),
        "entry_price": PRICE if is_filled else None,
        "first_fill_at": NOON if is_filled else None,
        "stop_price": Decimal(49_000) if is_protected else None,
        "take_profit_price": Decimal(51_000) if is_protected else None,
        "protected_at": NOON + timedelta(milliseconds=4) if is_protected else None,
        "close_reason": CloseReason.EXIT_SIGNAL if state is EntryState.CLOSING else None,
        "closed_by": "sig-exit" if state is EntryState.CLOSING else None,
        "close_detail": "",
        "close_attempts": 0,
        "version": 1,
    }
    return Entry(**(given | changes))  # type: ignore[arg-type]


def trade(number: int, order_id: str, side: OrderSide, quantity: str, **changes: object) -> VenueTrade:
    """A fill, `number` milliseconds after noon."""
    given: dict[str, object] = {
        "symbol": BTC,
        "trade_id": str(number),
        "order_id": order_id,
        "side": side,
        "quantity": Decimal(quantity),
        "price": PRICE,
        "fee_usdt": Decimal("0.25"),
        "realised_pnl_usdt": Decimal(0),
        "filled_at": NOON + timedelta(milliseconds=number),
    }
    return VenueTrade(**(given | changes))  # type: ignore[arg-type]


def close_request(name: str = "exit", *, at: datetime = NOON, **changes: object) -> CloseRequested:
    given: dict[str, object] = {
        "signal_id": ids.signal_id(name),
        "symbol": BTC,
        "requested_at": at,
        "reason": CloseReason.EXIT_SIGNAL,
        "requested_by": "ema_cross",
    }
    return CloseRequested(**(given | changes))  # type: ignore[arg-type]


def state_changed(state: TradingState, epoch: int, at: datetime = NOON) -> TradingStateChanged:
    return TradingStateChanged(
        state=state, trading_epoch=epoch, changed_at=at, changed_by="operator", reason="test"
    )


def sent(payload: Message) -> Envelope:
    """The payload as its sender would send it."""
    correlation_id = str(getattr(payload, "signal_id", "trading-state"))
    discriminator = (
        (str(payload.trading_epoch), payload.state) if isinstance(payload, TradingStateChanged) else ()
    )
    return codec.envelop(
        payload,
        correlation_id=correlation_id,
        causation_id=None,
        occurred_at=NOON,
        producer="test",
        discriminator=discriminator,
    )
