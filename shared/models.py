"""The vocabulary: every message between the services. The public API of Phoenix.

Commands are imperative, facts past tense. Golden samples in `tests/contract/golden` guard every schema
version: a change that alters a sample needs a new version. The values inside the messages are in
`shared.values`. This module must never import a service, an adapter or a clock.
"""

from decimal import Decimal
from typing import ClassVar

from shared.money import ZERO
from shared.values import (
    Analysis,
    Check,
    CloseReason,
    EdgeEstimate,
    OutcomeKind,
    Position,
    Severity,
    Side,
    Signal,
    Sizing,
    SnapshotPosition,
    TradingState,
    UtcTime,
    Value,
)


class Message(Value, frozen=True, kw_only=True):
    """Base of every message; `SCHEMA` names it and its version on the wire."""

    SCHEMA: ClassVar[str]


class SignalReceived(Message, frozen=True, kw_only=True):
    """The webhook accepted an alert; durable from here on (P1)."""

    SCHEMA: ClassVar[str] = "signal.received.v1"
    signal: Signal


class AnalysisCompleted(Message, frozen=True, kw_only=True):
    """BRAIN has scored an entry; RISK decides. A manual proposal carries no analysis (there was nothing to
    score).
    """

    SCHEMA: ClassVar[str] = "analysis.completed.v1"
    signal: Signal
    analysis: Analysis | None
    edge: EdgeEstimate | None


class ManualTradeProposed(Message, frozen=True, kw_only=True):
    """An operator proposed an entry by hand; RISK gets it as `AnalysisCompleted`, BRAIN keeps its story."""

    SCHEMA: ClassVar[str] = "signal.manual.v1"
    signal: Signal


class SignalEnded(Message, frozen=True, kw_only=True):
    """BRAIN ended a signal by itself, before RISK saw it (expired on the way, nothing to do)."""

    SCHEMA: ClassVar[str] = "signal.ended.v1"
    signal_id: str
    symbol: str
    outcome: OutcomeKind
    reason: str


class TradeApproved(Message, frozen=True, kw_only=True):
    """RISK reserved the risk: EXECUTE may open this position until `valid_until` and under this
    `trading_epoch`.
    """

    SCHEMA: ClassVar[str] = "trade.approved.v1"
    signal_id: str
    strategy: str
    symbol: str
    side: Side
    sizing: Sizing
    trading_epoch: int
    valid_until: UtcTime
    signal_received_at: UtcTime
    signal_made_at: UtcTime | None = None  # the alert's own stamp: see `shared.signal_order`
    closes_opposite: bool = False  # what stands in the symbol goes first
    liquidation_buffer: Decimal = ZERO  # share of the way to liquidation that must lie beyond the stop
    checks: tuple[Check, ...]


class TradeRejected(Message, frozen=True, kw_only=True):
    """RISK said no; `outcome` is rejected, expired or no_op and `reason` names the check that ended it."""

    SCHEMA: ClassVar[str] = "trade.rejected.v1"
    signal_id: str
    symbol: str
    side: Side
    outcome: OutcomeKind
    reason: str
    checks: tuple[Check, ...]


class CloseRequested(Message, frozen=True, kw_only=True):
    """Close the position of `symbol` (all of them when None) whose signal came before this request (P9).

    `made_at` is the stamp of an exit alert, None for everybody else: see `shared.signal_order`.
    """

    SCHEMA: ClassVar[str] = "trade.close.v1"
    signal_id: str
    symbol: str | None
    requested_at: UtcTime
    made_at: UtcTime | None = None
    reason: CloseReason
    requested_by: str
    is_foreign: bool = False  # also what is not ours, of this symbol: somebody confirmed it by name


class TradingStateChanged(Message, frozen=True, kw_only=True):
    """RISK's state changed; approvals of an older `trading_epoch` are void."""

    SCHEMA: ClassVar[str] = "trading.state.v1"
    state: TradingState
    trading_epoch: int
    changed_at: UtcTime
    changed_by: str
    reason: str


class OrderPlaced(Message, frozen=True, kw_only=True):
    """The entry order was accepted by the exchange."""

    SCHEMA: ClassVar[str] = "order.placed.v1"
    signal_id: str
    symbol: str
    side: Side
    client_id: str
    exchange_order_id: str
    order_type: str
    quantity: Decimal
    limit_price: Decimal | None
    claimed_at: UtcTime
    accepted_at: UtcTime


class OrderFilled(Message, frozen=True, kw_only=True):
    """The entry order filled, wholly or in part (`filled_quantity` ≤ `quantity`)."""

    SCHEMA: ClassVar[str] = "order.filled.v1"
    signal_id: str
    symbol: str
    side: Side
    client_id: str
    exchange_order_id: str
    quantity: Decimal
    filled_quantity: Decimal
    average_price: Decimal
    slippage: Decimal  # fraction of the reference price, positive when worse for us
    filled_at: UtcTime


class OrderEnded(Message, frozen=True, kw_only=True):
    """An approved entry ended without a position: expired, or failed."""

    SCHEMA: ClassVar[str] = "order.ended.v1"
    signal_id: str
    symbol: str
    client_id: str
    outcome: OutcomeKind
    reason: str
    detail: str = ""


class ProtectionPlaced(Message, frozen=True, kw_only=True):
    """Stop-loss and take-profit stand on the exchange; `unprotected_s` runs from first fill to the
    confirmed stop.
    """

    SCHEMA: ClassVar[str] = "protection.placed.v1"
    signal_id: str
    symbol: str
    stop_client_id: str
    stop_price: Decimal
    take_profit_client_id: str
    take_profit_price: Decimal
    unprotected_s: Decimal


class PositionOpened(Message, frozen=True, kw_only=True):
    """A position stands and is protected."""

    SCHEMA: ClassVar[str] = "position.opened.v1"
    signal_id: str
    position: Position


class PositionClosed(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A position ended. `pnl_usdt` is realised profit before costs; net = pnl − fees + funding (paid is
    negative).
    """

    SCHEMA: ClassVar[str] = "position.closed.v1"
    signal_id: str
    position: Position
    reason: CloseReason
    closed_by: str | None  # the exit signal or request that asked for it
    exit_price: Decimal | None  # None while no fill of the exit is known
    pnl_usdt: Decimal
    fees_usdt: Decimal
    funding_usdt: Decimal
    closed_at: UtcTime
    detail: str = ""  # why it was closed, in the exchange's words where it refused something
    missing: str = ""  # what the books lack and why; the amounts are what is known so far. Empty: complete

    @property
    def net_pnl_usdt(self) -> Decimal:
        """What the account gained or lost."""
        return self.pnl_usdt - self.fees_usdt + self.funding_usdt


class BooksCompleted(Message, frozen=True, kw_only=True):
    """The books of a position that closed with incomplete ones (`PositionClosed.missing`), now complete."""

    SCHEMA: ClassVar[str] = "position.books.v1"
    signal_id: str
    position: Position
    reason: CloseReason
    closed_by: str | None
    exit_price: Decimal
    pnl_usdt: Decimal
    fees_usdt: Decimal
    funding_usdt: Decimal
    closed_at: UtcTime

    @property
    def net_pnl_usdt(self) -> Decimal:
        """What the account gained or lost."""
        return self.pnl_usdt - self.fees_usdt + self.funding_usdt


class OrderRefused(Message, frozen=True, kw_only=True):
    """The exchange refused an order that protects or closes; stated once per order role and code.

    `next_step` is a stable name of what EXECUTE does about it.
    """

    SCHEMA: ClassVar[str] = "order.refused.v1"
    signal_id: str
    symbol: str
    client_id: str
    role: str
    code: int
    text: str
    next_step: str


class CloseIgnored(Message, frozen=True, kw_only=True):
    """A close request found nothing that it may touch."""

    SCHEMA: ClassVar[str] = "position.close_ignored.v1"
    signal_id: str
    symbol: str | None
    reason: str


class AccountSnapshot(Message, frozen=True, kw_only=True):
    """The account as the exchange reports it at `taken_at` (database clock); it replaces RISK's book.

    `net_transfers_usdt` sums what the owner paid in and took out, as far as `equity_usdt` contains it; None
    while the exchange's history of the account could not be read yet. `unexplained_usdt` is what the wallet
    changed by and that history does not explain yet.
    """

    SCHEMA: ClassVar[str] = "account.snapshot.v1"
    taken_at: UtcTime
    wallet_usdt: Decimal
    equity_usdt: Decimal
    available_usdt: Decimal
    positions: tuple[SnapshotPosition, ...]
    net_transfers_usdt: Decimal | None = None
    unexplained_usdt: Decimal = ZERO


class AlertRaised(Message, frozen=True, kw_only=True):
    """Something an operator should know. `kind` is a stable name, `text` says what happened and what to
    do.
    """

    SCHEMA: ClassVar[str] = "alert.raised.v1"
    severity: Severity
    kind: str
    text: str
    symbol: str | None = None


class Envelope(Value, frozen=True, kw_only=True):
    """What every message travels in. `correlation_id` is the signal id (P10); `causation_id` the message
    before.
    """

    schema: str
    event_id: str
    correlation_id: str
    causation_id: str | None
    occurred_at: UtcTime
    producer: str
    payload: Message


MESSAGES: tuple[type[Message], ...] = (
    SignalReceived,
    AnalysisCompleted,
    SignalEnded,
    TradeApproved,
    TradeRejected,
    CloseRequested,
    TradingStateChanged,
    OrderPlaced,
    OrderFilled,
    OrderEnded,
    ProtectionPlaced,
    PositionOpened,
    PositionClosed,
    BooksCompleted,
    OrderRefused,
    CloseIgnored,
    AccountSnapshot,
    AlertRaised,
    ManualTradeProposed,
)
