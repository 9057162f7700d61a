"""One story told with every message of the vocabulary: the values behind the golden files.

Each message stands twice where it has optional parts: whole, and with them left out. After a deliberate
change of a schema that no release contains, `python -m tests.contract.samples` writes the golden files anew.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec

from shared import codec, models
from shared.models import Envelope, Message
from shared.values import (
    Action,
    Analysis,
    Check,
    CheckResult,
    CloseReason,
    EdgeEstimate,
    Factor,
    Gate,
    Origin,
    OutcomeKind,
    Position,
    RiskLevel,
    Severity,
    Side,
    Signal,
    Sizing,
    SnapshotPosition,
    TradingState,
)

GOLDEN = Path(__file__).parent / "golden"

SIGNAL_ID = "sig-4m6x2k7q5w3n"
T0 = datetime(2026, 3, 2, 14, 30, 0, 123000, tzinfo=UTC)

SIGNAL = Signal(
    signal_id=SIGNAL_ID,
    dedupe_key="alert:trend-4711",
    dedupe_window_s=60,
    origin=Origin.ALERT,
    strategy="trend",
    symbol="BTCUSDT",
    action=Action.LONG,
    confidence=Decimal("0.92"),
    price=Decimal("50123.4"),
    rsi=Decimal("45.2"),
    macd=Decimal("310.75"),
    bar_volume=Decimal("18.25"),
    alert_time=T0 - timedelta(seconds=1),
    received_at=T0,
    alert_text='{"symbol":"BTCUSDT.P","action":"buy","note":"한국어 \\" quote"}',
)
BARE_SIGNAL = Signal(
    signal_id=SIGNAL_ID,
    dedupe_key="manual:1",
    origin=Origin.MANUAL,
    strategy="manual",
    symbol="ETHUSDT",
    action=Action.EXIT,
    confidence=Decimal("0.8"),
    received_at=T0,
    alert_text="",
)
ANALYSIS = Analysis(
    scorer="phoenix95",
    price=Decimal("50123.4"),
    rsi=Decimal("45.2"),
    macd=Decimal("310.75"),
    quote_volume_24h_usdt=Decimal("812345678.90"),
    open_positions=2,
    defaulted=("volume",),
    factors=(Factor(name="rsi", input="45.2", value=Decimal("1.10"), rule="40–60"),),
    technical=Decimal("0.9614"),
    phoenix=Decimal("0.91"),
    market=Decimal("0.72"),
    phoenix95_score=Decimal("0.8873"),
    final_confidence=Decimal("1"),
    risk_level=RiskLevel.LOW,
    gates=(Gate(name="final_confidence", value=Decimal("1"), minimum=Decimal("0.85")),),
)
EDGE = EdgeEstimate(
    closed_trades=37,
    effective_trades=Decimal("28.4"),
    win_rate=Decimal("0.6531"),
    win_rate_low=Decimal("0.49"),
    win_rate_high=Decimal("0.79"),
    average_win=Decimal("0.0175"),
    average_loss=Decimal("0.0095"),
)
CHECKS = (
    Check(stage=1, name="state", result=CheckResult.PASS, measured="ACTIVE", limit="ACTIVE"),
    Check(
        stage=2,
        name="risk_at_stop",
        result=CheckResult.RESIZE,
        measured="2.4 %",
        limit="2 %",
        reason="sized down",
    ),
)
SIZING = Sizing(
    kelly_fraction=Decimal("0.25"),
    margin_fraction=Decimal("0.05"),
    probe=False,
    leverage=20,
    quantity=Decimal("0.199"),
    reference_price=Decimal("50123.4"),
    notional_usdt=Decimal("9974.5566"),
    margin_usdt=Decimal("498.72783"),
    risk_usdt=Decimal("209.46"),
    stop_distance=Decimal("0.02"),
    take_profit_distance=Decimal("0.02"),
    liquidation_price=Decimal("47817.7"),
)
POSITION = Position(
    signal_id=SIGNAL_ID,
    strategy="trend",
    symbol="BTCUSDT",
    side=Side.LONG,
    quantity=Decimal("0.199"),
    entry_price=Decimal("50125.1"),
    leverage=20,
    margin_usdt=Decimal("498.74"),
    risk_usdt=Decimal("209.47"),
    stop_price=Decimal("49122.6"),
    take_profit_price=Decimal("51127.6"),
    opened_at=T0 + timedelta(milliseconds=9),
    version=3,
)
UNPROTECTED = msgspec.structs.replace(POSITION, stop_price=None, take_profit_price=None, version=1)
SNAPSHOT_POSITION = SnapshotPosition(
    signal_id=SIGNAL_ID,
    symbol="BTCUSDT",
    side=Side.LONG,
    quantity=Decimal("0.199"),
    entry_price=Decimal("50125.1"),
    mark_price=Decimal("50130"),
    liquidation_price=Decimal("47817.7"),
    leverage=20,
    is_isolated=True,
    margin_usdt=Decimal("498.74"),
    unrealised_pnl_usdt=Decimal("0.9751"),
    stop_price=Decimal("49122.6"),
)
FOREIGN_POSITION = msgspec.structs.replace(SNAPSHOT_POSITION, signal_id=None, stop_price=None)

WHOLE: tuple[Message, ...] = (
    models.SignalReceived(signal=SIGNAL),
    models.AnalysisCompleted(signal=SIGNAL, analysis=ANALYSIS, edge=EDGE),
    models.SignalEnded(signal_id=SIGNAL_ID, symbol="BTCUSDT", outcome=OutcomeKind.EXPIRED, reason="stale"),
    models.TradeApproved(
        signal_id=SIGNAL_ID,
        strategy="trend",
        symbol="BTCUSDT",
        side=Side.LONG,
        sizing=SIZING,
        trading_epoch=7,
        valid_until=T0 + timedelta(seconds=30),
        signal_received_at=T0,
        signal_made_at=T0 - timedelta(milliseconds=400),
        closes_opposite=True,
        liquidation_buffer=Decimal("0.1"),
        checks=CHECKS,
    ),
    models.TradeRejected(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        side=Side.SHORT,
        outcome=OutcomeKind.REJECTED,
        reason="daily_loss",
        checks=CHECKS,
    ),
    models.CloseRequested(
        signal_id="sig-exit",
        symbol="BTCUSDT",
        requested_at=T0 + timedelta(minutes=5),
        made_at=T0 + timedelta(minutes=5),
        reason=CloseReason.EXIT_SIGNAL,
        requested_by="trend",
        is_foreign=True,
    ),
    models.TradingStateChanged(
        state=TradingState.HALTED,
        trading_epoch=8,
        changed_at=T0 + timedelta(minutes=6),
        changed_by="operator",
        reason="maintenance",
    ),
    models.OrderPlaced(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        side=Side.LONG,
        client_id="p95local-aaaaabbbbbcccccddddd-e",
        exchange_order_id="88123",
        order_type="LIMIT",
        quantity=Decimal("0.199"),
        limit_price=Decimal("50173.5"),
        claimed_at=T0 + timedelta(milliseconds=6),
        accepted_at=T0 + timedelta(milliseconds=8),
    ),
    models.OrderFilled(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        side=Side.LONG,
        client_id="p95local-aaaaabbbbbcccccddddd-e",
        exchange_order_id="88123",
        quantity=Decimal("0.199"),
        filled_quantity=Decimal("0.150"),
        average_price=Decimal("50125.1"),
        slippage=Decimal("0.000034"),
        filled_at=T0 + timedelta(milliseconds=9),
    ),
    models.OrderEnded(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        client_id="p95local-aaaaabbbbbcccccddddd-e",
        outcome=OutcomeKind.FAILED,
        reason="unknown",
        detail="no trace of the order 12 s after it was sent",
    ),
    models.ProtectionPlaced(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        stop_client_id="p95local-aaaaabbbbbcccccddddd-s",
        stop_price=Decimal("49122.6"),
        take_profit_client_id="p95local-aaaaabbbbbcccccddddd-t",
        take_profit_price=Decimal("51127.6"),
        unprotected_s=Decimal("0.006"),
    ),
    models.PositionOpened(signal_id=SIGNAL_ID, position=POSITION),
    models.PositionClosed(
        signal_id=SIGNAL_ID,
        position=POSITION,
        reason=CloseReason.TAKE_PROFIT,
        closed_by="sig-exit",
        exit_price=Decimal("51127.6"),
        pnl_usdt=Decimal("199.4975"),
        fees_usdt=Decimal("8.06"),
        funding_usdt=Decimal("-0.99"),
        closed_at=T0 + timedelta(hours=3),
    ),
    models.CloseIgnored(signal_id="sig-exit", symbol="BTCUSDT", reason="no_position"),
    models.AccountSnapshot(
        taken_at=T0 + timedelta(seconds=5),
        wallet_usdt=Decimal("10000"),
        equity_usdt=Decimal("10000.9751"),
        available_usdt=Decimal("9501.26"),
        positions=(SNAPSHOT_POSITION,),
        net_transfers_usdt=Decimal("-250.5"),
        unexplained_usdt=Decimal("1.25"),
    ),
    models.AlertRaised(
        severity=Severity.CRITICAL, kind="unprotected", text="No stop stands.", symbol="BTCUSDT"
    ),
    models.ManualTradeProposed(signal=SIGNAL),
    models.BooksCompleted(
        signal_id=SIGNAL_ID,
        position=POSITION,
        reason=CloseReason.STOP_LOSS,
        closed_by="sig-exit",
        exit_price=Decimal("49122.6"),
        pnl_usdt=Decimal("-201.0025"),
        fees_usdt=Decimal("7.91"),
        funding_usdt=Decimal("-0.99"),
        closed_at=T0 + timedelta(hours=3),
    ),
    models.OrderRefused(
        signal_id=SIGNAL_ID,
        symbol="BTCUSDT",
        client_id="p95local-aaaaabbbbbcccccddddd-s",
        role="stop_loss",
        code=-4130,
        text="An open stop or take profit order with GTE and closePosition in the direction is existing.",
        next_step="retried",
    ),
)
"""Every message with every optional part present."""

BARE: tuple[Message, ...] = (
    models.SignalReceived(signal=BARE_SIGNAL),
    models.ManualTradeProposed(signal=BARE_SIGNAL),
    models.AnalysisCompleted(signal=BARE_SIGNAL, analysis=None, edge=None),
    msgspec.structs.replace(WHOLE[3], signal_made_at=None),
    models.CloseRequested(
        signal_id="req-1",
        symbol=None,
        requested_at=T0,
        reason=CloseReason.OPERATOR,
        requested_by="cli",
    ),
    msgspec.structs.replace(WHOLE[7], limit_price=None),
    models.PositionOpened(signal_id=SIGNAL_ID, position=UNPROTECTED),
    msgspec.structs.replace(
        WHOLE[12],
        position=UNPROTECTED,
        reason=CloseReason.EXTERNAL,
        closed_by=None,
        exit_price=None,
        detail="exchange refused (-4045): Reach max stop order limit.",
        missing="fills: exchange refused (-1102): refused",
    ),
    models.CloseIgnored(signal_id="req-1", symbol=None, reason="no_position"),
    msgspec.structs.replace(WHOLE[14], positions=(FOREIGN_POSITION,)),
    models.AlertRaised(severity=Severity.INFO, kind="started", text="Trading started."),
    msgspec.structs.replace(WHOLE[17], position=UNPROTECTED, closed_by=None),
)
"""The messages with optional parts, without them."""


def in_envelope(payload: Message, causation_id: str | None = "evt-before") -> Envelope:
    """Return the message as a service would send it."""
    return codec.envelop(
        payload,
        correlation_id=SIGNAL_ID,
        causation_id=causation_id,
        occurred_at=T0 + timedelta(milliseconds=10),
        producer="sample",
    )


SAMPLES: dict[str, Envelope] = {f"{each.SCHEMA}.json": in_envelope(each) for each in WHOLE} | {
    f"{each.SCHEMA}.bare.json": in_envelope(each, causation_id=None) for each in BARE
}
"""Envelope by golden file name."""


def golden_text(envelope: Envelope) -> str:
    """Return what the golden file of this envelope must contain, byte for byte."""
    return msgspec.json.format(codec.encode(envelope), indent=2).decode() + "\n"


def main() -> None:
    """Write every golden file."""
    for name, envelope in SAMPLES.items():
        (GOLDEN / name).write_text(golden_text(envelope), encoding="utf-8")


if __name__ == "__main__":
    main()
