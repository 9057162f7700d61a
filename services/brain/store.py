"""BRAIN's tables: the only SQL of the service, all of it in `queries.sql`.

It knows how values become rows and rows become answers. It must never decide, and never open a transaction
that its caller did not ask for.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from services.brain.outcomes import ClosedTrade, Outcome, PositionChange
from services.brain.ports import Overdue
from shared import outbox
from shared.database import Connection, Database, jsonb, load_queries
from shared.models import Envelope
from shared.parking import UNKNOWN_SYMBOL
from shared.retention import Kept
from shared.signal_order import AHEAD_S_MAX
from shared.values import Analysis, Origin, OutcomeKind, Signal

STORY_MESSAGES_MAX = 1_000
TRADES_CLOSED_MAX = 100
"""One exit closes at most what is open."""

_SQL = load_queries(Path(__file__).with_name("queries.sql"))


class BrainStore:
    """Signals, keys, stories, outcomes, and what is known of own trades; implements `RecordsSignals`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction."""
        return self._database.transaction()

    async def first_time(self, tx: Connection, queue: str, event_id: str) -> bool:
        """Record that a message is handled; False when it was handled before."""
        return await outbox.first_time(tx, queue, event_id)

    async def claim_key(self, tx: Connection, signal: Signal) -> bool:
        """Take the signal's dedupe key; False when another receipt holds it. Of two at once, one waits."""
        taken = await tx.fetchval(
            _SQL["claim_key"],
            signal.dedupe_key,
            signal.signal_id,
            signal.received_at,
            signal.dedupe_window_s,
        )
        return bool(taken)

    async def record_duplicate(self, tx: Connection, signal: Signal) -> None:
        """Lead the id of a repeated alert to the signal that holds its key, unless the ids are equal."""
        await tx.execute(_SQL["record_duplicate"], signal.signal_id, signal.dedupe_key, signal.received_at)

    async def record_signal(self, tx: Connection, signal: Signal, analysis: Analysis | None) -> None:
        """Record an accepted signal; one that is there already stays as it was."""
        await tx.execute(
            _SQL["record_signal"],
            signal.signal_id,
            signal.origin.value,
            signal.strategy,
            signal.symbol,
            signal.action.value,
            signal.confidence,
            signal.price,
            signal.alert_time,
            signal.received_at,
            signal,
            analysis,
        )

    async def is_superseded(self, signal: Signal, made_at: datetime) -> bool:
        """Tell whether an exit of the signal's strategy and symbol was made after `made_at`."""
        return bool(
            await self._database.fetch_value(
                _SQL["is_superseded"], signal.symbol, signal.strategy, made_at, AHEAD_S_MAX
            )
        )

    async def tell(self, tx: Connection, told: Sequence[tuple[str, Envelope]]) -> None:
        """Add messages to the stories of signals; what a story holds already stays as it was."""
        await tx.execute(
            _SQL["tell"],
            [story for story, _ in told],
            [envelope.event_id for _, envelope in told],
            [envelope.causation_id for _, envelope in told],
            [envelope.schema for _, envelope in told],
            [envelope.producer for _, envelope in told],
            [envelope.occurred_at for _, envelope in told],
            [jsonb(envelope.payload) for _, envelope in told],
        )

    async def record_outcomes(
        self, tx: Connection, decided: Sequence[tuple[Outcome, datetime]]
    ) -> list[Outcome]:
        """Record how signals ended and when; return those that had not ended before (P2)."""
        rows = await tx.fetch(
            _SQL["record_outcomes"],
            [outcome.signal_id for outcome, _ in decided],
            [outcome.kind.value for outcome, _ in decided],
            [outcome.reason for outcome, _ in decided],
            [decided_at for _, decided_at in decided],
            [outcome.only_if_recorded for outcome, _ in decided],
        )
        return [
            Outcome(signal_id=row["signal_id"], kind=OutcomeKind(row["outcome"]), reason=row["reason"])
            for row in rows
        ]

    async def move_positions(self, tx: Connection, changes: Sequence[PositionChange]) -> None:
        """Note that positions stand or are gone; one that is gone never comes back."""
        await tx.execute(
            _SQL["move_positions"],
            [each.signal_id for each in changes],
            [each.symbol for each in changes],
            [each.version for each in changes],
            [each.is_open for each in changes],
        )

    async def book_trade(self, tx: Connection, trade: ClosedTrade) -> None:
        """Book a closed trade, once."""
        await tx.execute(
            _SQL["book_trade"],
            trade.signal_id,
            trade.strategy,
            trade.symbol,
            trade.return_fraction,
            trade.net_pnl_usdt,
            trade.closed_at,
            trade.reason,
            trade.closed_by,
        )

    async def open_positions(self) -> int:
        """Return how many own positions stand."""
        return int(await self._database.fetch_value(_SQL["open_positions"]))

    async def closed_returns(self, trades_max: int) -> tuple[int, list[Decimal]]:
        """Return the number of trades ever closed and the returns of the newest, newest first."""
        rows = await self._database.fetch(_SQL["closed_returns"], trades_max)
        return (rows[0]["closed"] if rows else 0), [row["return_fraction"] for row in rows]

    async def overdue(self, recorded_after: datetime, recorded_before: datetime) -> Overdue | None:
        """Return the signals recorded in that time that have no outcome, or None when all have."""
        row = await self._database.fetch_row(_SQL["overdue"], recorded_after, recorded_before)
        return None if row is None else Overdue(row["waiting"], row["signal_id"])

    async def forget_windowed_keys(self, seen_before: datetime) -> int:
        """Delete keys whose window is long gone; return how many."""
        return int(await self._database.fetch_value(_SQL["forget_windowed_keys"], seen_before))


class BrainReads:
    """What people may ask about signals; answers are plain values, ready for JSON."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(self, rows_max: int, symbol: str | None) -> list[dict[str, object]]:
        """Return the newest signals with their scores and outcomes, newest first."""
        return [dict(row) for row in await self._database.fetch(_SQL["recent_signals"], rows_max, symbol)]

    async def signal(self, signal_id: str) -> dict[str, object] | None:
        """Return a signal with analysis, outcome and whole story; a duplicate's id gives the original's.

        None when the id is not known.
        """
        original: str | None = await self._database.fetch_value(_SQL["original_of"], signal_id)
        row = await self._database.fetch_row(_SQL["one_signal"], original or signal_id)
        if row is None:
            alone = await self._database.fetch_row(_SQL["outcome_alone"], signal_id)
            if alone is None:
                return None
            row = dict(alone) | {"signal": _unread(alone), "analysis": None}
        story = await self._database.fetch(_SQL["story"], row["signal_id"], STORY_MESSAGES_MAX)
        closed = await self._database.fetch(_SQL["trades_closed_by"], row["signal_id"], TRADES_CLOSED_MAX)
        ended = {name: row[name] for name in ("outcome", "reason", "decided_at")}
        return {
            "signal": row["signal"],
            "analysis": row["analysis"],
            "outcome": None if row["outcome"] is None else ended,
            "duplicate_of": original,
            "story": [dict(told) for told in story],
            "closed": [dict(trade) for trade in closed],
        }

    async def stats(self, since: datetime) -> dict[str, object]:
        """Return how the signals received since then ended: by outcome and reason, and by hour; and what
        became of their positions.
        """
        by_outcome = await self._database.fetch(_SQL["counts_by_outcome"], since)
        by_hour: dict[datetime, dict[str, int]] = {}
        for row in await self._database.fetch(_SQL["counts_by_hour"], since):
            by_hour.setdefault(row["hour"], {})[row["outcome"]] = row["signals"]
        positions = await self._database.fetch_row(_SQL["counts_of_positions"], since)
        assert positions is not None, "an aggregate has a row"
        return {
            "since": since,
            "signals": sum(row["signals"] for row in by_outcome),
            "duplicates": await self._database.fetch_value(_SQL["count_duplicates"], since),
            "positions": dict(positions),
            "by_outcome": [dict(row) for row in by_outcome],
            "by_hour": [
                {"hour": hour, "signals": sum(outcomes.values()), "outcomes": outcomes}
                for hour, outcomes in by_hour.items()
            ],
        }


def retention(signals_kept_days: int) -> tuple[Kept, ...]:
    """Return what BRAIN's record keeps for how long."""
    return (
        Kept("story", _SQL["prune_story"], signals_kept_days),
        Kept("signals", _SQL["prune_signals"], signals_kept_days),
        Kept("outcomes", _SQL["prune_outcomes"], signals_kept_days),
        Kept("trades", _SQL["prune_trades"], signals_kept_days),
    )


def _unread(row: Mapping[str, Any]) -> dict[str, object]:
    """Return what is known of a signal that was parked before it could be recorded."""
    return {
        "signal_id": row["signal_id"],
        "origin": Origin.ALERT,
        "strategy": UNKNOWN_SYMBOL,
        "symbol": row["symbol"] or UNKNOWN_SYMBOL,
        "action": UNKNOWN_SYMBOL,
        "received_at": row["decided_at"],
    }
