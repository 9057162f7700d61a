"""Signals, facts and a market for BRAIN's tests: every value has a default; a test names what it is about."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.brain.alerts import Receipt
from services.brain.evidence import Evidence
from services.brain.flow import BrainFlow, Rules
from services.brain.memory import MemoryOutbox, MemoryRecords
from services.brain.signal_analyzer import Minimums
from shared import codec, ids
from shared.clock import ManualClock
from shared.errors import RedisUnavailable
from shared.market import Bar, Tick
from shared.models import (
    CloseIgnored,
    Envelope,
    Message,
    OrderEnded,
    PositionClosed,
    PositionOpened,
    SignalReceived,
    TradeRejected,
)
from shared.values import Action, CloseReason, OutcomeKind, Position, Side, Signal

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SECRET = "a-webhook-secret-of-tests"
API_KEY = "an-operator-key-of-tests"
RULES = Rules(scorer="phoenix95", minimums=Minimums(), entry_age_max=timedelta(seconds=30))


def receipt(**changes: object) -> Receipt:
    given: dict[str, object] = {
        "received_at": NOON,
        "instance": "brain-0",
        "known_symbols": frozenset({"BTCUSDT", "ETHUSDT"}),
        "confidence_default": Decimal("0.8"),
        "dedupe_window_s": 60,
        "secrets": (SECRET, API_KEY),
    }
    return Receipt(**(given | changes))  # type: ignore[arg-type]


def signal(name: str = "one", **changes: object) -> Signal:
    given: dict[str, object] = {
        "signal_id": ids.signal_id(name),
        "dedupe_key": name,
        "strategy": "ema_cross",
        "symbol": "BTCUSDT",
        "action": Action.LONG,
        "confidence": Decimal("0.8"),
        "price": Decimal(50000),
        "rsi": Decimal(45),
        "macd": Decimal("0.5"),
        "received_at": NOON,
        "alert_text": "{}",
    }
    return Signal(**(given | changes))  # type: ignore[arg-type]


def received(made: Signal, receipt_mark: str = "first") -> Envelope:
    return codec.envelop(
        SignalReceived(signal=made),
        correlation_id=made.signal_id,
        causation_id=None,
        occurred_at=made.received_at,
        producer="brain",
        discriminator=(receipt_mark,),
    )


def fact(payload: Message, story: str, producer: str = "execute", occurred_at: datetime = NOON) -> Envelope:
    return codec.envelop(
        payload,
        correlation_id=story,
        causation_id=None,
        occurred_at=occurred_at,
        producer=producer,
    )


def position(signal_id: str, version: int = 1, **changes: object) -> Position:
    given: dict[str, object] = {
        "signal_id": signal_id,
        "strategy": "ema_cross",
        "symbol": "BTCUSDT",
        "side": Side.LONG,
        "quantity": Decimal("0.2"),
        "entry_price": Decimal(50000),
        "leverage": 20,
        "margin_usdt": Decimal(500),
        "risk_usdt": Decimal(210),
        "stop_price": Decimal(49000),
        "take_profit_price": Decimal(51000),
        "opened_at": NOON,
        "version": version,
    }
    return Position(**(given | changes))  # type: ignore[arg-type]


def rejected(signal_id: str, reason: str = "gate:final_confidence") -> TradeRejected:
    return TradeRejected(
        signal_id=signal_id,
        symbol="BTCUSDT",
        side=Side.LONG,
        outcome=OutcomeKind.REJECTED,
        reason=reason,
        checks=(),
    )


def order_ended(signal_id: str, outcome: OutcomeKind = OutcomeKind.EXPIRED) -> OrderEnded:
    return OrderEnded(
        signal_id=signal_id, symbol="BTCUSDT", client_id="p95x-1-e", outcome=outcome, reason="slippage"
    )


def opened(signal_id: str, version: int = 1) -> PositionOpened:
    return PositionOpened(signal_id=signal_id, position=position(signal_id, version))


def closed(
    signal_id: str,
    reason: CloseReason = CloseReason.TAKE_PROFIT,
    closed_by: str | None = None,
    version: int = 2,
    **changes: object,
) -> PositionClosed:
    given: dict[str, object] = {
        "signal_id": signal_id,
        "position": position(signal_id, version),
        "reason": reason,
        "closed_by": closed_by,
        "exit_price": Decimal(51000),
        "pnl_usdt": Decimal(200),
        "fees_usdt": Decimal(8),
        "funding_usdt": Decimal(-2),
        "closed_at": NOON + timedelta(hours=1),
    }
    return PositionClosed(**(given | changes))  # type: ignore[arg-type]


def close_ignored(signal_id: str) -> CloseIgnored:
    return CloseIgnored(signal_id=signal_id, symbol="BTCUSDT", reason="no position")


def evidence(**changes: object) -> Evidence:
    given: dict[str, object] = {
        "confidence": Decimal("0.8"),
        "price": Decimal(50000),
        "rsi": Decimal(45),
        "macd": Decimal("0.5"),
        "quote_volume_24h_usdt": Decimal(1_000_000),
        "open_positions": 0,
        "win_rate": Decimal("0.68"),
        "closed_trades": 0,
    }
    return Evidence(**(given | changes))  # type: ignore[arg-type]


def tick(symbol: str = "BTCUSDT", last: str = "50000", volume: str = "1000000") -> Tick:
    price = Decimal(last)
    return Tick(
        symbol=symbol,
        bid=price,
        ask=price,
        last=price,
        mark=price,
        quote_volume_24h_usdt=Decimal(volume),
        exchange_time=NOON,
        received_at=NOON,
    )


def bars(closes: list[str]) -> tuple[Bar, ...]:
    return tuple(
        Bar(
            opened_at=NOON + timedelta(minutes=number),
            open=Decimal(close),
            high=Decimal(close),
            low=Decimal(close),
            close=Decimal(close),
            volume=Decimal(1),
        )
        for number, close in enumerate(closes)
    )


@dataclass
class Market:
    """A market that shows what the test put there, or does not answer."""

    ticks: dict[str, Tick] = field(default_factory=dict)
    history: dict[str, tuple[Bar, ...]] = field(default_factory=dict)
    away: bool = False

    async def latest(self, symbol: str) -> Tick | None:
        if self.away:
            raise RedisUnavailable("away")
        return self.ticks.get(symbol)

    async def bars(self, symbol: str) -> tuple[Bar, ...]:
        if self.away:
            raise RedisUnavailable("away")
        return self.history.get(symbol, ())


class Brain:
    """A whole BRAIN in memory: the real flow on the store's twin, with what it sent."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.records = MemoryRecords(self.clock)
        self.market = Market(ticks={"BTCUSDT": tick()})
        self.sent: list[Envelope] = []
        self.outbox = MemoryOutbox(self._send)
        self.flow = BrainFlow(self.records, self.market, self.outbox, RULES, self.clock)

    async def _send(self, envelope: Envelope) -> None:
        self.sent.append(envelope)

    def answers(self) -> list[Message]:
        return [envelope.payload for envelope in self.sent]
