"""The values that messages are made of: sides, states, scores, checks, sizes, positions.

Frozen, keyword-only, unknown fields refused; `Decimal` travels as a JSON string, times are UTC-aware.
This module must never import a service, an adapter or a clock.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from shared.money import ONE, ZERO

UtcTime = Annotated[datetime, msgspec.Meta(tz=True)]
"""A point in time with its zone; naive times are refused at the border."""


UNKNOWN_STRATEGY = "unknown"
"""Of a position that was taken over from the exchange."""
FOREIGN_STRATEGY = "foreign"
"""Of a position that we only closed, because somebody asked for it: its result is none of ours."""


class Side(StrEnum):
    """Direction of a position."""

    LONG = "long"
    SHORT = "short"

    @property
    def opposite(self) -> "Side":
        """The other direction."""
        return Side.SHORT if self is Side.LONG else Side.LONG

    @property
    def sign(self) -> Decimal:
        """+1 for long, −1 for short."""
        return ONE if self is Side.LONG else -ONE


class Action(StrEnum):
    """What a signal asks for, after normalisation."""

    LONG = "long"
    SHORT = "short"
    EXIT = "exit"


class Origin(StrEnum):
    """Who asked."""

    ALERT = "alert"
    MANUAL = "manual"


class TradingState(StrEnum):
    """ACTIVE trades; REDUCING and HALTED refuse entries and let every exit through (P9)."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class OutcomeKind(StrEnum):
    """How an accepted signal ended (P2)."""

    OPENED = "opened"
    CLOSED = "closed"
    NO_OP = "no_op"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"


class RiskLevel(StrEnum):
    """How dangerous the market of a signal looks (DESIGN 6.2)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class CheckResult(StrEnum):
    """What one check of RISK said."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    RESIZE = "resize"
    REFUSE = "refuse"


class CloseReason(StrEnum):
    """Why a position ended."""

    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    EXIT_SIGNAL = "exit_signal"
    OPPOSITE_SIGNAL = "opposite_signal"
    OPERATOR = "operator"
    UNPROTECTED = "unprotected"
    LIQUIDATION = "liquidation"
    ADL = "adl"  # the exchange took it to settle a bankrupt counterparty (auto-deleveraging)
    SETTLEMENT = "settlement"  # the exchange settled the contract: it is being delisted
    EXTERNAL = "external"


class Severity(StrEnum):
    """How loudly a notification is told."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every value inside a message."""


class Signal(Value, frozen=True, kw_only=True):
    """One normalised alert. Prices in USDT per base unit; `alert_text` is the body as sent, secrets
    removed. `dropped` says which fields of an exit were not usable and why: it was carried out without them.
    """

    signal_id: str
    dedupe_key: str
    dedupe_window_s: int | None = None  # None: the key is unique for ever
    origin: Origin = Origin.ALERT
    strategy: str
    symbol: str
    action: Action
    confidence: Decimal
    price: Decimal | None = None
    rsi: Decimal | None = None
    macd: Decimal | None = None
    bar_volume: Decimal | None = None
    alert_time: UtcTime | None = None
    received_at: UtcTime
    alert_text: str
    dropped: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET  # not on the wire unless something was


class Factor(Value, frozen=True, kw_only=True):
    """One number of a score: what went in, what came out, which rule row applied."""

    name: str
    input: str
    value: Decimal
    rule: str


class Gate(Value, frozen=True, kw_only=True):
    """One threshold of 6.2: passed when `value` ≥ `minimum`."""

    name: str
    value: Decimal
    minimum: Decimal

    @property
    def passed(self) -> bool:
        """Whether the value reaches the minimum."""
        return self.value >= self.minimum


class EdgeEstimate(Value, frozen=True, kw_only=True):
    """What our own closed trades say about the odds (6.3): shrunk towards the prior by sample size.

    Rates are fractions of 1, wins and losses fractions of the entry price (losses positive).
    """

    closed_trades: int
    effective_trades: Decimal
    win_rate: Decimal
    win_rate_low: Decimal
    win_rate_high: Decimal
    average_win: Decimal
    average_loss: Decimal


class Analysis(Value, frozen=True, kw_only=True):
    """The score of a signal with everything it was made of (DESIGN 6.1, 6.2)."""

    scorer: str
    price: Decimal
    rsi: Decimal
    macd: Decimal
    quote_volume_24h_usdt: Decimal
    open_positions: int
    defaulted: tuple[str, ...] = ()
    factors: tuple[Factor, ...]
    technical: Decimal
    phoenix: Decimal
    market: Decimal
    phoenix95_score: Decimal
    final_confidence: Decimal
    risk_level: RiskLevel
    gates: tuple[Gate, ...]


class Check(Value, frozen=True, kw_only=True):
    """What one row of RISK's table said: stage 1–3, the measured value against its limit, in words and
    numbers.
    """

    stage: int
    name: str
    result: CheckResult
    measured: str
    limit: str
    reason: str = ""


class Sizing(Value, frozen=True, kw_only=True):
    """How large the position is, and why. Amounts in USDT, quantity in base units, distances as fractions
    of price.
    """

    kelly_fraction: Decimal
    margin_fraction: Decimal
    probe: bool
    leverage: int
    quantity: Decimal
    reference_price: Decimal
    notional_usdt: Decimal
    margin_usdt: Decimal
    risk_usdt: Decimal
    stop_distance: Decimal
    take_profit_distance: Decimal
    liquidation_price: Decimal


class Position(Value, frozen=True, kw_only=True):
    """The full state of one position of ours; `version` grows with every change, so late facts are
    recognised.
    """

    signal_id: str
    strategy: str
    symbol: str
    side: Side
    quantity: Decimal
    entry_price: Decimal
    leverage: int
    margin_usdt: Decimal
    risk_usdt: Decimal
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    opened_at: UtcTime
    version: int


def liquidation_danger(
    side: Side, entry_price: Decimal, mark_price: Decimal, liquidation_price: Decimal
) -> Decimal | None:
    """Return the used-up share of the way from entry to liquidation: 0 at the entry or better, 1 at the end.

    None when there is no such way: the exchange names no liquidation price (0), or one beyond the entry.
    """
    way = (entry_price - liquidation_price) * side.sign
    if liquidation_price <= ZERO or way <= ZERO:
        return None
    return max((entry_price - mark_price) * side.sign / way, ZERO)


class SnapshotPosition(Value, frozen=True, kw_only=True):
    """One position as the exchange reports it; `signal_id` is None when it is not ours."""

    signal_id: str | None
    symbol: str
    side: Side
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal
    liquidation_price: Decimal
    leverage: int
    is_isolated: bool = True
    margin_usdt: Decimal
    unrealised_pnl_usdt: Decimal
    stop_price: Decimal | None
