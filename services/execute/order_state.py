"""The life of an entry as a transition table, and what to do with one that is found in a given state.

Every step can be re-entered after a crash, by this process or another replica, because the step is chosen
from the stored state alone. Pure: it decides, `entry_flow` and `exit_flow` do.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from shared.models import CloseRequested, TradeApproved
from shared.signal_order import Moment
from shared.values import CloseReason, Position, Side, TradingState, Value


class EntryState(StrEnum):
    """Mirrors the database type `execute.entry_state`."""

    INTENT = "intent"
    SENDING = "sending"
    FILLED = "filled"
    PROTECTED = "protected"
    CLOSING = "closing"
    CLOSED = "closed"
    EXPIRED = "expired"
    FAILED = "failed"


TRANSITIONS: dict[EntryState, frozenset[EntryState]] = {
    EntryState.INTENT: frozenset({EntryState.SENDING, EntryState.EXPIRED}),
    EntryState.SENDING: frozenset({EntryState.FILLED, EntryState.EXPIRED, EntryState.FAILED}),
    EntryState.FILLED: frozenset({EntryState.PROTECTED, EntryState.CLOSING, EntryState.CLOSED}),
    EntryState.PROTECTED: frozenset({EntryState.CLOSING, EntryState.CLOSED}),
    EntryState.CLOSING: frozenset({EntryState.CLOSED}),
    EntryState.CLOSED: frozenset(),
    EntryState.EXPIRED: frozenset(),
    EntryState.FAILED: frozenset({EntryState.FILLED}),
}

HAS_POSITION = frozenset({EntryState.FILLED, EntryState.PROTECTED, EntryState.CLOSING})
MAY_HAVE_POSITION = HAS_POSITION | {EntryState.SENDING}
"""With a sent order a position may stand that is not recorded yet: the symbol is taken, the position ours."""
FINAL = frozenset({EntryState.CLOSED, EntryState.EXPIRED, EntryState.FAILED})
"""Nothing more is done. Only one thing still leads out: an order given up as unknown that filled after all is
adopted, failed → filled (P6).
"""

LOST_REASON = "unknown"
"""Why an entry ended whose order could not be found; what makes it eligible for adoption."""


class Step(StrEnum):
    """What is to be done next."""

    EXPIRE = "expire"
    ENTER = "enter"
    LOOK_UP = "look_up"
    PROTECT = "protect"
    FLATTEN = "flatten"
    CLOSE = "close"
    REST = "rest"


class Control(Value, frozen=True, kw_only=True):
    """The newest trading state that RISK announced."""

    state: TradingState
    trading_epoch: int


class Entry(Value, frozen=True, kw_only=True):
    """One approved entry and what became of it. Prices in USDT, quantities in base units."""

    signal_id: str
    client_id: str
    strategy: str
    symbol: str
    side: Side
    state: EntryState
    approval: TradeApproved
    claimed_at: datetime | None
    quantity: Decimal
    limit_price: Decimal | None
    exchange_order_id: str | None
    filled_quantity: Decimal
    entry_price: Decimal | None
    first_fill_at: datetime | None
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    protected_at: datetime | None
    close_reason: CloseReason | None
    closed_by: str | None
    close_detail: str
    close_attempts: int
    version: int

    @property
    def moment(self) -> Moment:
        """When its signal came, for comparing it with exits."""
        return Moment(
            strategy=self.strategy,
            received_at=self.approval.signal_received_at,
            made_at=self.approval.signal_made_at,
        )

    def position(self) -> Position:
        """Return the position of an entry that has one."""
        assert self.entry_price is not None, "a position has an entry price"
        assert self.first_fill_at is not None, "a position has a first fill"
        sizing = self.approval.sizing
        share = self.filled_quantity / sizing.quantity
        return Position(
            signal_id=self.signal_id,
            strategy=self.strategy,
            symbol=self.symbol,
            side=self.side,
            quantity=self.filled_quantity,
            entry_price=self.entry_price,
            leverage=sizing.leverage,
            margin_usdt=sizing.margin_usdt * share,
            risk_usdt=sizing.risk_usdt * share,
            stop_price=self.stop_price,
            take_profit_price=self.take_profit_price,
            opened_at=self.first_fill_at,
            version=self.version,
        )


def moment_of_exit(request: CloseRequested) -> Moment:
    """Return when an exit came, for comparing it with entries."""
    return Moment(strategy=request.requested_by, received_at=request.requested_at, made_at=request.made_at)


def why_void(approval: TradeApproved, control: Control, now: datetime) -> str | None:
    """Return why an approval may not be acted on any more, or None while it holds."""
    if now > approval.valid_until:
        return "approval_expired"
    if control.state is not TradingState.ACTIVE:
        return "trading_halted"
    if approval.trading_epoch < control.trading_epoch:
        return "trading_epoch_passed"
    return None


def next_step(
    entry: Entry, control: Control, now: datetime, protection_timeout_s: Decimal, clock_ahead: timedelta
) -> Step:
    """Return what to do with an entry that is found in its state.

    `clock_ahead` is how far `now` is ahead of the exchange's clock, which stamps the fills.
    """
    match entry.state:
        case EntryState.INTENT:
            return Step.ENTER if why_void(entry.approval, control, now) is None else Step.EXPIRE
        case EntryState.SENDING:
            return Step.LOOK_UP
        case EntryState.FILLED:
            assert entry.first_fill_at is not None
            unprotected_s = Decimal(str((now - clock_ahead - entry.first_fill_at).total_seconds()))
            return Step.PROTECT if unprotected_s <= protection_timeout_s else Step.FLATTEN
        case EntryState.CLOSING:
            return Step.CLOSE
        case _:
            return Step.REST
