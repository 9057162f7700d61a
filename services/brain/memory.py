"""BRAIN's records and outbox in memory, for replay, simulation and tests (P11); the real store's twin.

One contract suite runs on both. It keeps the store's promises (first sight, one outcome, all or nothing) and
nothing else: it must never be used where a restart matters.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from services.brain.outcomes import ClosedTrade, Outcome, PositionChange
from services.brain.ports import Overdue
from shared import signal_order
from shared.clock import Clock
from shared.models import Envelope
from shared.values import Action, Analysis, Signal

K = TypeVar("K")
V = TypeVar("V")


class Journal:
    """What a transaction in memory has written, so that it can be taken back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Write one row."""
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def take_back(self) -> None:
        """Undo every write, newest first."""
        while self._undo:
            self._undo.pop()()


class MemoryRecords:
    """Signals, keys, stories and outcomes in dictionaries; implements `RecordsSignals`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self.handled: dict[tuple[str, str], bool] = {}
        self.keys: dict[str, Signal] = {}
        self.duplicates: dict[str, str] = {}
        self.signals: dict[str, tuple[Signal, Analysis | None, datetime]] = {}
        self.stories: dict[tuple[str, str], Envelope] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.positions: dict[str, PositionChange] = {}
        self.trades: dict[str, ClosedTrade] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Journal]:
        """Run one block at a time; what it wrote is taken back when it raises."""
        async with self._one_at_a_time:
            journal = Journal()
            try:
                yield journal
            except BaseException:
                journal.take_back()
                raise

    async def first_time(self, tx: Journal, queue: str, event_id: str) -> bool:
        """Record that a message is handled; False when it was handled before."""
        return _put_new(tx, self.handled, (queue, event_id), True)

    async def claim_key(self, tx: Journal, signal: Signal) -> bool:
        """Take the signal's dedupe key; False when another receipt holds it."""
        holder = self.keys.get(signal.dedupe_key)
        if holder is not None:
            window_s = holder.dedupe_window_s
            if window_s is None or signal.received_at < holder.received_at + timedelta(seconds=window_s):
                return False
        tx.put(self.keys, signal.dedupe_key, signal)
        return True

    async def record_duplicate(self, tx: Journal, signal: Signal) -> None:
        """Lead the id of a repeated alert to the signal that holds its key, unless the ids are equal."""
        holder = self.keys[signal.dedupe_key]
        if holder.signal_id != signal.signal_id:
            _put_new(tx, self.duplicates, signal.signal_id, holder.signal_id)

    async def record_signal(self, tx: Journal, signal: Signal, analysis: Analysis | None) -> None:
        """Record an accepted signal; one that is there already stays as it was."""
        _put_new(tx, self.signals, signal.signal_id, (signal, analysis, self._clock()))

    async def is_superseded(self, signal: Signal, made_at: datetime) -> bool:
        """Tell whether an exit of the signal's strategy and symbol was made after `made_at`."""
        return any(
            (stamp := signal_order.made_at(exit_)) is not None and stamp > made_at
            for exit_, _, _ in self.signals.values()
            if exit_.action is Action.EXIT
            and (exit_.symbol, exit_.strategy) == (signal.symbol, signal.strategy)
        )

    async def tell(self, tx: Journal, told: Sequence[tuple[str, Envelope]]) -> None:
        """Add messages to the stories of signals; what a story holds already stays as it was."""
        for story, envelope in told:
            _put_new(tx, self.stories, (story, envelope.event_id), envelope)

    async def record_outcomes(
        self, tx: Journal, decided: Sequence[tuple[Outcome, datetime]]
    ) -> list[Outcome]:
        """Record how signals ended; return those that had not ended before (P2)."""
        return [
            replace(outcome, only_if_recorded=False)
            for outcome, _ in decided
            if (outcome.signal_id in self.signals or not outcome.only_if_recorded)
            and _put_new(tx, self.outcomes, outcome.signal_id, outcome)
        ]

    async def move_positions(self, tx: Journal, changes: Sequence[PositionChange]) -> None:
        """Note that positions stand or are gone; one that is gone never comes back."""
        for change in changes:
            held = self.positions.get(change.signal_id, change)
            merged = PositionChange(
                signal_id=change.signal_id,
                symbol=held.symbol,
                version=max(held.version, change.version),
                is_open=held.is_open and change.is_open,
            )
            tx.put(self.positions, change.signal_id, merged)

    async def book_trade(self, tx: Journal, trade: ClosedTrade) -> None:
        """Book a closed trade, once."""
        _put_new(tx, self.trades, trade.signal_id, trade)

    async def open_positions(self) -> int:
        """Return how many own positions stand."""
        return sum(position.is_open for position in self.positions.values())

    async def closed_returns(self, trades_max: int) -> tuple[int, list[Decimal]]:
        """Return the number of trades ever closed and the returns of the newest, newest first."""
        trades = sorted(self.trades.values(), key=lambda trade: trade.signal_id)
        trades.sort(key=lambda trade: trade.closed_at, reverse=True)
        return len(trades), [trade.return_fraction for trade in trades[:trades_max]]

    async def overdue(self, recorded_after: datetime, recorded_before: datetime) -> Overdue | None:
        """Return the signals recorded in that time that have no outcome, or None when all have."""
        waiting = sorted(
            (recorded_at, signal_id)
            for signal_id, (_, _, recorded_at) in self.signals.items()
            if signal_id not in self.outcomes and recorded_after < recorded_at <= recorded_before
        )
        return Overdue(len(waiting), waiting[0][1]) if waiting else None

    async def forget_windowed_keys(self, seen_before: datetime) -> int:
        """Delete keys whose window is long gone; return how many."""
        old = [
            key
            for key, holder in self.keys.items()
            if holder.dedupe_window_s is not None and holder.received_at < seen_before
        ]
        for key in old:
            del self.keys[key]
        return len(old)


class MemoryOutbox:
    """Messages owed, kept in memory and handed to `send` after the commit; implements `OwesMessages`."""

    def __init__(self, send: Callable[[Envelope], Awaitable[None]]) -> None:
        self._send = send
        self.staged: dict[str, Envelope] = {}

    async def stage(self, connection: Journal, envelopes: Sequence[Envelope]) -> None:
        """Write the messages in the caller's transaction. An id that is there already stays as it was."""
        for envelope in envelopes:
            _put_new(connection, self.staged, envelope.event_id, envelope)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Send committed messages in order."""
        for envelope in envelopes:
            await self._send(self.staged[envelope.event_id])


def _put_new(tx: Journal, table: dict[K, V], key: K, value: V) -> bool:
    if key in table:
        return False
    tx.put(table, key, value)
    return True
