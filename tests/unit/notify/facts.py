"""Facts for the tests of NOTIFY: one of every schema, with numbers a reader can check by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from shared import models
from shared.codec import envelop
from shared.models import Envelope, Message
from shared.values import (
    Action,
    Check,
    CheckResult,
    CloseReason,
    OutcomeKind,
    Position,
    Severity,
    Side,
    Signal,
    Sizing,
    TradingState,
)

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
SIGNAL_ID = "sig-abcdefghijklmnopqrst"

POSITION = Position(
    signal_id=SIGNAL_ID,
    strategy="trend",
    symbol="BTCUSDT",
    side=Side.LONG,
    quantity=Decimal("0.150"),
    entry_price=Decimal("50000.00"),
    leverage=20,
    margin_usdt=Decimal("375"),
    risk_usdt=Decimal("157.5"),
    stop_price=Decimal("49000"),
    take_profit_price=Decimal("51000"),
    opened_at=NOON,
    version=1,
)
CHECKS = (
    Check(stage=1, name="state", result=CheckResult.PASS, measured="ACTIVE", limit="ACTIVE"),
    Check(
        stage=1,
        name="final_confidence",
        result=CheckResult.REFUSE,
        measured="0.848",
        limit="0.85",
        reason="final_confidence",
    ),
)
SIGNAL = Signal(
    signal_id=SIGNAL_ID,
    dedupe_key="k",
    strategy="trend",
    symbol="BTCUSDT",
    action=Action.LONG,
    confidence=Decimal("0.8"),
    received_at=NOON,
    alert_text="{}",
)
SIZING = Sizing(
    kelly_fraction=Decimal("0.25"),
    margin_fraction=Decimal("0.05"),
    probe=False,
    leverage=20,
    quantity=Decimal("0.15"),
    reference_price=Decimal("50000"),
    notional_usdt=Decimal("7500"),
    margin_usdt=Decimal("375"),
    risk_usdt=Decimal("157.5"),
    stop_distance=Decimal("0.02"),
    take_profit_distance=Decimal("0.02"),
    liquidation_price=Decimal("47750"),
)

OPENED = models.PositionOpened(signal_id=SIGNAL_ID, position=POSITION)
CLOSED = models.PositionClosed(
    signal_id=SIGNAL_ID,
    position=POSITION,
    reason=CloseReason.TAKE_PROFIT,
    closed_by=None,
    exit_price=Decimal("51000.0"),
    pnl_usdt=Decimal("150"),
    fees_usdt=Decimal("6.0312"),
    funding_usdt=Decimal("-0.8"),
    closed_at=NOON + timedelta(hours=1, minutes=12, seconds=5),
)
CLOSED_INCOMPLETE = msgspec.structs.replace(
    CLOSED, exit_price=None, missing="fills: exchange refused (-1102): no", detail="stop refused (-4130): no"
)
BOOKS_COMPLETED = models.BooksCompleted(
    signal_id=SIGNAL_ID,
    position=POSITION,
    reason=CloseReason.STOP_LOSS,
    closed_by=None,
    exit_price=Decimal("49000.0"),
    pnl_usdt=Decimal("-150"),
    fees_usdt=Decimal("6.0312"),
    funding_usdt=Decimal("-0.8"),
    closed_at=NOON + timedelta(hours=1, minutes=12, seconds=5),
)
ORDER_REFUSED = models.OrderRefused(
    signal_id=SIGNAL_ID,
    symbol="BTCUSDT",
    client_id="p95a-x-t",
    role="take_profit",
    code=-4045,
    text="Reach max stop order limit.",
    next_step="target_later",
)
ORDER_ENDED = models.OrderEnded(
    signal_id=SIGNAL_ID,
    symbol="BTCUSDT",
    client_id="p95a-x-e",
    outcome=OutcomeKind.EXPIRED,
    reason="slippage",
    detail="nothing filled within 0.1 %",
)
SIGNAL_ENDED = models.SignalEnded(
    signal_id=SIGNAL_ID, symbol="BTCUSDT", outcome=OutcomeKind.EXPIRED, reason="too_old"
)
REJECTED = models.TradeRejected(
    signal_id=SIGNAL_ID,
    symbol="BTCUSDT",
    side=Side.LONG,
    outcome=OutcomeKind.REJECTED,
    reason="final_confidence",
    checks=CHECKS,
)
CLOSE_IGNORED = models.CloseIgnored(signal_id=SIGNAL_ID, symbol="BTCUSDT", reason="no_position")
HALTED = models.TradingStateChanged(
    state=TradingState.HALTED, trading_epoch=7, changed_at=NOON, changed_by="operator", reason="lunch"
)
ALERT = models.AlertRaised(
    severity=Severity.CRITICAL,
    kind="position_without_stop",
    text="The stop is gone; it is being placed again.",
    symbol="BTCUSDT",
)
PROTECTED_LATE = models.ProtectionPlaced(
    signal_id=SIGNAL_ID,
    symbol="BTCUSDT",
    stop_client_id="p95a-x-s",
    stop_price=Decimal("49000"),
    take_profit_client_id="p95a-x-t",
    take_profit_price=Decimal("51000"),
    unprotected_s=Decimal("4.21"),
)
TOLD: tuple[Message, ...] = (
    OPENED,
    CLOSED,
    BOOKS_COMPLETED,
    ORDER_REFUSED,
    PROTECTED_LATE,
    ORDER_ENDED,
    SIGNAL_ENDED,
    REJECTED,
    CLOSE_IGNORED,
    HALTED,
    ALERT,
)

QUIET: tuple[Message, ...] = (
    models.SignalReceived(signal=SIGNAL),
    models.AnalysisCompleted(signal=SIGNAL, analysis=None, edge=None),
    models.TradeApproved(
        signal_id=SIGNAL_ID,
        strategy="trend",
        symbol="BTCUSDT",
        side=Side.LONG,
        sizing=SIZING,
        trading_epoch=1,
        valid_until=NOON + timedelta(seconds=30),
        signal_received_at=NOON,
        checks=CHECKS,
    ),
    models.CloseRequested(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        requested_at=NOON,
        reason=CloseReason.OPERATOR,
        requested_by="operator",
    ),
    models.OrderPlaced(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        side=Side.LONG,
        client_id="p95a-x-e",
        exchange_order_id="1",
        order_type="LIMIT",
        quantity=Decimal("0.15"),
        limit_price=Decimal("50050"),
        claimed_at=NOON,
        accepted_at=NOON,
    ),
    models.OrderFilled(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        side=Side.LONG,
        client_id="p95a-x-e",
        exchange_order_id="1",
        quantity=Decimal("0.15"),
        filled_quantity=Decimal("0.15"),
        average_price=Decimal("50000"),
        slippage=Decimal("0.0001"),
        filled_at=NOON,
    ),
    models.ProtectionPlaced(  # in time: only a late one is told
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        stop_client_id="p95a-x-s",
        stop_price=Decimal("49000"),
        take_profit_client_id="p95a-x-t",
        take_profit_price=Decimal("51000"),
        unprotected_s=Decimal("0.012"),
    ),
    models.AccountSnapshot(
        taken_at=NOON,
        wallet_usdt=Decimal("10000"),
        equity_usdt=Decimal("10010"),
        available_usdt=Decimal("9600"),
        positions=(),
    ),
    models.ManualTradeProposed(signal=SIGNAL),
)


def told_as(payload: Message, *discriminator: str, at: datetime = NOON) -> Envelope:
    """Return the fact in its envelope; another `discriminator` makes another fact."""
    return envelop(
        payload,
        correlation_id=SIGNAL_ID,
        causation_id=None,
        occurred_at=at,
        producer="execute",
        discriminator=discriminator,
    )
