"""BRAIN's story: what it does with each message, from the accepted alert to its recorded outcome.

Per message: load → decide → store (inbox, effect and outbox in one transaction) → publish after the commit. A
kill before the commit leaves nothing, a kill after it leaves the messages to the sweeper, a second delivery
finds the inbox. Facts that arrive together are taken in together; their order does not matter. It must never
speak SQL, HTTP or AMQP, and never decide on a trade: RISK does.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.brain import outcomes
from services.brain.evidence import gather
from services.brain.outcomes import Outcome
from services.brain.ports import OwesMessages, RecordsSignals, SeesMarket
from services.brain.signal_analyzer import Minimums, analyse
from shared import codec, crash_points, logs, metrics, topology
from shared.clock import Clock
from shared.edge import TRADES_CONSIDERED_MAX, estimate_edge
from shared.market import Bar
from shared.models import (
    AnalysisCompleted,
    CloseRequested,
    Envelope,
    Message,
    SignalEnded,
    SignalReceived,
)
from shared.signal_order import made_at
from shared.turns import Turns
from shared.values import Action, Analysis, CloseReason, EdgeEstimate, OutcomeKind, Signal

PRODUCER = "brain"
EDGE_KEPT = timedelta(seconds=120)
"""How long an estimate of the odds is used on a replica that did not itself hear of the newest closed trade.
"""

_log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the settings say about signals."""

    scorer: str
    minimums: Minimums
    entry_age_max: timedelta


@dataclass(frozen=True)
class Assessment:
    """What BRAIN thinks of an entry."""

    analysis: Analysis
    edge: EdgeEstimate


class BrainFlow:
    """Handles the messages of `signal_processing` and `brain_facts`."""

    def __init__(
        self, records: RecordsSignals, market: SeesMarket, outbox: OwesMessages, rules: Rules, clock: Clock
    ) -> None:
        self._records = records
        self._market = market
        self._outbox = outbox
        self._rules = rules
        self._clock = clock
        self._edge: tuple[EdgeEstimate, datetime] | None = None
        self._facts: Turns[Envelope, None] = Turns(self._take_facts)

    async def on_signal(self, envelope: Envelope) -> None:
        """Answer an accepted alert: close, end or analyse it, once."""
        assert isinstance(envelope.payload, SignalReceived), f"{envelope.schema} does not belong here"
        signal = envelope.payload.signal
        now = self._clock()
        answer = await self._answer(signal, now)
        out = codec.envelop(
            answer,
            correlation_id=signal.signal_id,
            causation_id=envelope.event_id,
            occurred_at=now,
            producer=PRODUCER,
        )
        async with self._records.transaction() as tx:
            if not await self._records.first_time(tx, topology.SIGNAL_PROCESSING.name, envelope.event_id):
                return
            is_new = await self._records.claim_key(tx, signal)
            if is_new:
                ended = await self._record(tx, signal, answer, (envelope, out))
            else:
                await self._records.record_duplicate(tx, signal)
        if not is_new:
            metrics.SIGNAL_DUPLICATES.inc()
            _log.info("duplicate_ignored", correlation_id=signal.signal_id, symbol=signal.symbol)
            return
        for outcome in ended:
            self._tell_end(outcome)
        _log.info("signal_answered", correlation_id=signal.signal_id, answer=answer.SCHEMA)
        crash_points.reach("brain.committed")
        await self._outbox.publish((out,))

    async def on_fact(self, envelope: Envelope) -> None:
        """Take a fact into the stories, outcomes and books it belongs to."""
        if envelope.producer != PRODUCER:  # what we told ourselves was recorded before it was sent
            await self._facts.take(envelope)

    async def _take_facts(self, envelopes: Sequence[Envelope]) -> list[None]:
        learned = outcomes.learn(envelopes)
        async with self._records.transaction() as tx:
            for signal in learned.signals:
                await self._records.record_signal(tx, signal, None)
            await self._records.tell(tx, learned.told)
            if learned.changes:
                await self._records.move_positions(tx, learned.changes)
            for trade in learned.trades:
                await self._records.book_trade(tx, trade)
            ended = await self._end(tx, learned.decided)
        if learned.trades:
            self._edge = None
        for outcome in ended:
            self._tell_end(outcome)
        return [None] * len(envelopes)

    async def assess(self, signal: Signal) -> Assessment | None:
        """Return what BRAIN thinks of an entry, without any effect; None when nobody knows a price.

        Raises:
            DependencyDown: the market or our own record cannot be read.
        """
        tick, bars, open_positions, edge = await asyncio.gather(
            self._market.latest(signal.symbol),
            self._bars(signal),
            self._records.open_positions(),
            self._odds(),
        )
        evidence = gather(signal, tick, bars, open_positions, edge)
        if evidence is None:
            return None
        return Assessment(analyse(evidence, self._rules.scorer, self._rules.minimums), edge)

    async def _answer(self, signal: Signal, now: datetime) -> Message:
        """Return the one message that follows from an accepted alert."""
        if signal.action is Action.EXIT:
            return CloseRequested(
                signal_id=signal.signal_id,
                symbol=signal.symbol,
                requested_at=signal.received_at,
                made_at=made_at(signal),
                reason=CloseReason.EXIT_SIGNAL,
                requested_by=signal.strategy,
            )
        age = now - born_at(signal)
        if age > self._rules.entry_age_max:  # before anything is loaded: a long outage must not hold up exits
            return _ended(signal, OutcomeKind.EXPIRED, f"too old: {age.total_seconds():.0f} s")
        is_superseded, assessment = await asyncio.gather(self._is_superseded(signal), self.assess(signal))
        if is_superseded:
            return _ended(signal, OutcomeKind.EXPIRED, "superseded")
        if assessment is None:
            return _ended(signal, OutcomeKind.REJECTED, "no price")
        return AnalysisCompleted(signal=signal, analysis=assessment.analysis, edge=assessment.edge)

    async def _is_superseded(self, signal: Signal) -> bool:
        """Tell whether the strategy has left since it made this alert: it came late, after a 503 for example.

        EXECUTE compares receipts when it claims an entry; those of a late alert are in the wrong order.
        """
        stamp = made_at(signal)
        return stamp is not None and await self._records.is_superseded(signal, stamp)

    async def _record(
        self, tx: object, signal: Signal, answer: Message, told: tuple[Envelope, Envelope]
    ) -> Sequence[Outcome]:
        """Record an answer and what it implies; return the outcome if it is the signal's first."""
        analysis = answer.analysis if isinstance(answer, AnalysisCompleted) else None
        await self._records.record_signal(tx, signal, analysis)
        await self._records.tell(tx, [(signal.signal_id, each) for each in told])
        outcome = outcomes.outcome_of(answer)
        ended = await self._end(tx, [(outcome, told[-1].occurred_at)] if outcome else ())
        await self._outbox.stage(tx, told[-1:])
        return ended

    async def _end(self, tx: object, decided: Sequence[tuple[Outcome, datetime]]) -> Sequence[Outcome]:
        return await self._records.record_outcomes(tx, decided) if decided else ()

    def _tell_end(self, outcome: Outcome) -> None:
        """Count an outcome once it is committed."""
        metrics.SIGNAL_OUTCOMES.labels(outcome=outcome.kind.value, reason=outcome.label).inc()
        _log.info(
            "signal_ended",
            correlation_id=outcome.signal_id,
            outcome=outcome.kind.value,
            reason=outcome.reason,
        )

    async def _bars(self, signal: Signal) -> Sequence[Bar]:
        """Return the bars when the alert leaves an indicator to us."""
        needed = signal.rsi is None or signal.macd is None
        return await self._market.bars(signal.symbol) if needed else ()

    async def _odds(self) -> EdgeEstimate:
        now = self._clock()
        if self._edge is None or now - self._edge[1] >= EDGE_KEPT:
            count, returns = await self._records.closed_returns(TRADES_CONSIDERED_MAX)
            self._edge = estimate_edge(returns, closed_trades=count), now
        return self._edge[0]


def born_at(signal: Signal) -> datetime:
    """Return when the alert was made; a time from the future makes nothing younger than its receipt."""
    return min(signal.alert_time or signal.received_at, signal.received_at)


def _ended(signal: Signal, outcome: OutcomeKind, reason: str) -> SignalEnded:
    return SignalEnded(signal_id=signal.signal_id, symbol=signal.symbol, outcome=outcome, reason=reason)
