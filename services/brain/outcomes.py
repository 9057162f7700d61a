"""What a fact means for BRAIN: the outcome it decides, the trade it books, the position it moves, whose story
it is.

Pure: fact in, value or None out. Every answer depends on one fact alone, never on those before it, so that
facts may arrive in any order and any number of times (P2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import itemgetter

from shared.models import (
    BooksCompleted,
    CloseIgnored,
    Envelope,
    ManualTradeProposed,
    Message,
    OrderEnded,
    PositionClosed,
    PositionOpened,
    SignalEnded,
    TradeRejected,
)
from shared.money import ZERO, stored
from shared.values import FOREIGN_STRATEGY, CloseReason, OutcomeKind, Signal

OPENED_REASON = "protected"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a signal ended. An exit's outcome counts only when the exit was a signal: operators close as well,
    under request ids that are no signals.
    """

    signal_id: str
    kind: OutcomeKind
    reason: str
    only_if_recorded: bool = False

    @property
    def label(self) -> str:
        """The reason without its numbers, for a metric."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True, kw_only=True)
class ClosedTrade:
    """The result of one own trade; `return_fraction` of the entry price, costs included."""

    signal_id: str
    strategy: str
    symbol: str
    return_fraction: Decimal
    net_pnl_usdt: Decimal
    closed_at: datetime
    reason: str
    closed_by: str | None


@dataclass(frozen=True, kw_only=True)
class PositionChange:
    """Whether a position stands, as of its `version`."""

    signal_id: str
    symbol: str
    version: int
    is_open: bool


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What several facts say together. Rows that replicas could meet on stand in one order for all of them,
    lest two wait for each other; a story keeps the order in which its facts came.
    """

    signals: Sequence[Signal]
    told: Sequence[tuple[str, Envelope]]
    changes: Sequence[PositionChange]
    trades: Sequence[ClosedTrade]
    decided: Sequence[tuple[Outcome, datetime]]


def learn(envelopes: Sequence[Envelope]) -> Learned:
    """Return what facts that are taken in together say."""
    facts = [each.payload for each in envelopes]
    told = [(story, each) for each in envelopes for story in stories(each)]
    decided = [(outcome_of(each.payload), each.occurred_at) for each in envelopes]
    return Learned(
        signals=[fact.signal for fact in facts if isinstance(fact, ManualTradeProposed)],
        told=sorted(told, key=itemgetter(0)),
        changes=[change for fact in facts if (change := position_change(fact))],
        trades=[trade for fact in facts if (trade := closed_trade(fact))],
        decided=[(outcome, at) for outcome, at in decided if outcome],
    )


def outcome_of(fact: Message) -> Outcome | None:
    """Return the outcome that `fact` decides, or None when it decides none."""
    match fact:
        case TradeRejected() | OrderEnded() | SignalEnded():
            return Outcome(signal_id=fact.signal_id, kind=fact.outcome, reason=fact.reason)
        case PositionOpened():
            return Outcome(signal_id=fact.signal_id, kind=OutcomeKind.OPENED, reason=OPENED_REASON)
        case PositionClosed(reason=CloseReason.EXIT_SIGNAL, closed_by=str(exit_id)):
            return Outcome(
                signal_id=exit_id,
                kind=OutcomeKind.CLOSED,
                reason=CloseReason.EXIT_SIGNAL.value,
                only_if_recorded=True,
            )
        case CloseIgnored():
            return Outcome(
                signal_id=fact.signal_id, kind=OutcomeKind.NO_OP, reason=fact.reason, only_if_recorded=True
            )
    return None


def closed_trade(fact: Message) -> ClosedTrade | None:
    """Return the trade that `fact` ends; None for other facts and for a position that cost nothing.

    A trade whose books are incomplete is no evidence of any odds: it is booked when they are complete.
    """
    if not isinstance(fact, PositionClosed | BooksCompleted) or fact.position.strategy == FOREIGN_STRATEGY:
        return None
    if isinstance(fact, PositionClosed) and fact.missing:
        return None
    position = fact.position
    entered_usdt = position.entry_price * position.quantity
    if entered_usdt <= ZERO:
        return None
    return ClosedTrade(
        signal_id=fact.signal_id,
        strategy=position.strategy,
        symbol=position.symbol,
        return_fraction=stored(fact.net_pnl_usdt / entered_usdt),
        net_pnl_usdt=stored(fact.net_pnl_usdt),
        closed_at=fact.closed_at,
        reason=fact.reason.value,
        closed_by=fact.closed_by,
    )


def position_change(fact: Message) -> PositionChange | None:
    """Return what `fact` says about a position standing or not."""
    match fact:
        case PositionOpened() | PositionClosed():
            return PositionChange(
                signal_id=fact.signal_id,
                symbol=fact.position.symbol,
                version=fact.position.version,
                is_open=isinstance(fact, PositionOpened),
            )
    return None


def stories(envelope: Envelope) -> tuple[str, ...]:
    """Return the ids of the signals whose story `envelope` belongs to."""
    fact = envelope.payload
    closer = fact.closed_by if isinstance(fact, PositionClosed | BooksCompleted) else None
    if closer is not None and closer != envelope.correlation_id:
        return envelope.correlation_id, closer
    return (envelope.correlation_id,)
