"""What BRAIN's flow needs from the world, named for the need. Nothing here knows PostgreSQL, RabbitMQ or
Redis.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from services.brain.outcomes import ClosedTrade, Outcome, PositionChange
from services.brain.rate_windows import Ask
from shared.market import Bar, Tick
from shared.models import Envelope
from shared.values import Analysis, Signal

Transaction = Any
"""A handle of the store that is open; what it is, only the store knows."""


@dataclass(frozen=True)
class Overdue:
    """How many accepted signals wait for an outcome beyond their time, and the one that waits longest."""

    count: int
    oldest_signal_id: str


class RecordsSignals(Protocol):
    """Keeps signals, their keys, stories and outcomes. Writes of one transaction stand or fall together."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction: committed when the block ends, rolled back when it raises."""
        ...

    async def first_time(self, tx: Transaction, queue: str, event_id: str) -> bool:
        """Record that a message is handled; False when it was handled before."""
        ...

    async def claim_key(self, tx: Transaction, signal: Signal) -> bool:
        """Take the signal's dedupe key; False when another receipt holds it."""
        ...

    async def record_duplicate(self, tx: Transaction, signal: Signal) -> None:
        """Lead the id of a repeated alert to the signal that holds its key, unless the ids are equal."""
        ...

    async def record_signal(self, tx: Transaction, signal: Signal, analysis: Analysis | None) -> None:
        """Record an accepted signal; one that is there already stays as it was."""
        ...

    async def tell(self, tx: Transaction, told: Sequence[tuple[str, Envelope]]) -> None:
        """Add messages to the stories of signals; what a story holds already stays as it was."""
        ...

    async def record_outcomes(
        self, tx: Transaction, decided: Sequence[tuple[Outcome, datetime]]
    ) -> list[Outcome]:
        """Record how signals ended and when; return those that had not ended before (P2)."""
        ...

    async def move_positions(self, tx: Transaction, changes: Sequence[PositionChange]) -> None:
        """Note that positions stand or are gone; one that is gone never comes back."""
        ...

    async def book_trade(self, tx: Transaction, trade: ClosedTrade) -> None:
        """Book a closed trade, once."""
        ...

    async def is_superseded(self, signal: Signal, made_at: datetime) -> bool:
        """Tell whether an exit of the signal's strategy and symbol was made after `made_at`, by the time in
        its alert; one that names none supersedes nothing.
        """
        ...

    async def open_positions(self) -> int:
        """Return how many own positions stand."""
        ...

    async def closed_returns(self, trades_max: int) -> tuple[int, list[Decimal]]:
        """Return the number of trades ever closed and the returns of the newest, newest first."""
        ...

    async def overdue(self, recorded_after: datetime, recorded_before: datetime) -> Overdue | None:
        """Return the signals recorded in that time that have no outcome, or None when all have."""
        ...

    async def forget_windowed_keys(self, seen_before: datetime) -> int:
        """Delete keys whose window is long gone; return how many."""
        ...


class SeesMarket(Protocol):
    """Knows the newest prices. Raises `DependencyDown` when it cannot be asked."""

    async def latest(self, symbol: str) -> Tick | None:
        """Return the newest tick, or None."""
        ...

    async def bars(self, symbol: str) -> Sequence[Bar]:
        """Return the last closed one-minute bars, oldest first."""
        ...


class OwesMessages(Protocol):
    """Commits messages with the state that implies them, and sends them after."""

    async def stage(self, connection: Transaction, envelopes: Sequence[Envelope]) -> None:
        """Write the messages in the caller's transaction."""
        ...

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Send committed messages; what fails is sent later without the caller."""
        ...


class KnowsSymbols(Protocol):
    """Lists what can be traded."""

    async def symbols(self) -> frozenset[str]:
        """Return the symbols; empty when nobody knows yet."""
        ...


class AcceptsSignals(Protocol):
    """Makes a signal durable (P1)."""

    async def accept(self, signal: Signal) -> None:
        """Return when the broker has confirmed the signal; raise `BrokerUnavailable` when it has not."""
        ...


class CountsTogether(Protocol):
    """Counts requests for all replicas."""

    async def judge(self, asks: Sequence[Ask]) -> Sequence[float]:
        """Return for each question 0 when a place was taken, else for how many seconds there is none."""
        ...
