"""The story of RISK: a proposal is judged against the book and reserved or refused; facts correct the book.

    analysis ──► market read ──► account locked ──► book loaded ──► decided ──► reserved, approved | refused
    position fact, account snapshot ──► account locked ──► book folded
    exit ──► remembered: an entry after it is judged as if what it closes were gone
    operator ──► state or limits changed, audited, announced

The lock on the account row is what makes limits hold over replicas (P5); proposals that wait for it together
are decided in one turn. Time is the database's, read after the lock is held: waiting for it counts into every
age, and no clock of a process decides on another one's record (decision 31).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from services.risk import announcements
from services.risk.correlation import Correlations
from services.risk.disk_space import DiskSpace
from services.risk.limits import APPROVED, Decision, decide
from services.risk.operator_change import OperatorChange, changed_account
from services.risk.ports import Decided, KeepsBook, Loaded, OwesMessages, Transaction, ViewsMarket
from services.risk.position_checks import exit_wait_s
from services.risk.position_manager import (
    EVERY_SYMBOL,
    Book,
    ReservationState,
    apply_closed,
    apply_order_ended,
    apply_position,
    apply_snapshot,
    as_of,
    is_ahead,
    reserve,
)
from services.risk.profiles import Limits, as_text, parse, with_changes
from services.risk.proposal import Market, Proposal, proposal_of
from services.risk.status import Reading
from services.risk.verdicts import Case
from shared import crash_points, logs, metrics
from shared.clock import Clock
from shared.models import (
    AccountSnapshot,
    AnalysisCompleted,
    CloseRequested,
    Envelope,
    OrderEnded,
    PositionClosed,
    PositionOpened,
)
from shared.signal_order import Moment
from shared.topology import RISK_ASSESSMENT, RISK_FACTS
from shared.turns import Turns
from shared.values import CloseReason

Fold = Callable[[Book, Limits, datetime], Book]
Sleep = Callable[[float], Awaitable[object]]

LOOK_PAUSES_S = (0.05, 0.1, 0.2)
"""Between two looks of a proposal that waits for word of an exit; the last one again and again."""
WAITING_MAX = 12
"""So many may wait at a time in one instance; the others of a prefetch go on."""

_log = logs.get(__name__)


class Asked(NamedTuple):
    """A proposal waiting for its decision, the market it was read with, and how long it has been waiting for
    word of an exit; None: it must not wait.
    """

    event_id: str
    proposal: Proposal
    market: Market
    waited_s: float | None


class Answer(NamedTuple):
    """What is to be told, and whether the proposal is decided."""

    told: list[Envelope]
    is_final: bool = True


class RiskFlow:
    """What RISK does with each message and each request."""

    def __init__(
        self,
        store: KeepsBook,
        market: ViewsMarket,
        outbox: OwesMessages,
        limits: Limits,
        clock: Clock,
        disk: Callable[[], DiskSpace | None] = lambda: None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._market = market
        self._outbox = outbox
        self._limits = limits
        self._clock = clock
        self._disk = disk
        self._sleep = sleep
        self._waiting = 0
        self._turns: Turns[Asked, Answer] = Turns(self._decide_all)
        self._symbols_held: frozenset[str] = frozenset()

    # --- proposals ---

    async def on_analysis(self, envelope: Envelope, message: AnalysisCompleted) -> None:
        """Decide on a proposal, once: reserve and approve, or refuse.

        One that a position of ours stands against is looked at again for a moment: an exit that came before
        it may be on its way here. Until it is decided its message stays unacknowledged; who dies meanwhile
        leaves it to be delivered again.
        """
        proposal = proposal_of(message)
        may_wait = self._waiting < WAITING_MAX
        waited_s, pauses_s = 0.0, iter(LOOK_PAUSES_S)
        self._waiting += may_wait
        try:
            while True:
                market = await self._view(proposal)
                asked = Asked(envelope.event_id, proposal, market, waited_s if may_wait else None)
                with metrics.DECISION_SECONDS.time():
                    answer = await self._turns.take(asked)
                await self._outbox.publish(answer.told)
                if answer.is_final:
                    return
                pause_s = next(pauses_s, LOOK_PAUSES_S[-1])
                await self._sleep(pause_s)
                waited_s += pause_s
        finally:
            self._waiting -= may_wait

    async def _decide_all(self, asked: Sequence[Asked]) -> list[Answer]:
        """Decide on proposals one after the other, each seeing what the ones before it reserved."""
        answers = {each.event_id: Answer([]) for each in asked}
        decided: list[Decided] = []
        undecided: list[str] = []
        async with self._store.transaction() as tx:
            account, now = await self._store.lock(tx)
            fresh, closings = await self._fresh(tx, asked)
            also = tuple(closings.values())
            loaded = _as_of(await self._store.load(tx, account, self._limits, now, also), now)
            for each in fresh:
                closes = closings.get(each.event_id)
                seen = loaded._replace(book=_as_if_standing(loaded.book, closes, each.proposal))
                made = self._decided(each, seen, now)
                if self._is_to_wait(each, made, seen, now):
                    undecided.append(each.event_id)
                    told = [] if closes else await self._meanwhile(tx, each, made, seen, now)
                    answers[each.event_id] = Answer(told, is_final=False)
                    continue
                decided.append(made)
                told = _announced(made, account.trading_epoch, each.event_id, now)
                answers[each.event_id] = Answer(told)
                if made.reserved is not None:
                    loaded = loaded._replace(book=reserve(loaded.book, made.reserved))
            await self._store.record(tx, decided, account.trading_epoch, now)
            await self._put_off(tx, undecided, decided, closings)
            await self._outbox.stage(tx, [each for answer in answers.values() for each in answer.told])
            crash_points.reach("risk.decided")
        crash_points.reach("risk.committed")
        for made in decided:
            _observe(made)
        return [answers[each.event_id] for each in asked]

    async def _put_off(
        self,
        tx: Transaction,
        undecided: Sequence[str],
        decided: Sequence[Decided],
        closings: Mapping[str, str],
    ) -> None:
        if undecided:
            await self._store.give_back(tx, RISK_ASSESSMENT.name, undecided)
        if closings:
            await self._store.forget_closings(tx, [each.proposal.signal.signal_id for each in decided])

    async def _meanwhile(
        self, tx: Transaction, asked: Asked, made: Decided, loaded: Loaded, now: datetime
    ) -> list[Envelope]:
        """Close at once what the signal speaks against: only its entry waits. What that was is remembered."""
        told = announcements.closing(made.proposal, made.decision, asked.event_id, now)
        if told:
            [standing] = loaded.book.of_symbol(made.proposal.symbol)
            await self._store.record_closing(tx, made.proposal.signal.signal_id, standing.signal_id)
        return told

    async def _fresh(self, tx: Transaction, asked: Sequence[Asked]) -> tuple[list[Asked], dict[str, str]]:
        """Return what is to be decided on, each signal once, whatever else was delivered (P3); and what these
        signals had closed while they were undecided, by event.
        """
        by_signal = {each.proposal.signal.signal_id: each for each in reversed(asked)}
        proposed = [(each.event_id, signal_id) for signal_id, each in by_signal.items()]
        taken = await self._store.take(tx, RISK_ASSESSMENT.name, proposed)
        fresh = [each for each in reversed(by_signal.values()) if each.event_id in taken]
        return fresh, {event_id: closes for event_id, closes in taken.items() if closes is not None}

    def _decided(self, asked: Asked, loaded: Loaded, now: datetime) -> Decided:
        decision = self._judge(asked.proposal, loaded, asked.market, now)
        reserved = (
            announcements.reservation_of(asked.proposal, decision, now) if decision.is_approved else None
        )
        return Decided(asked.proposal, decision, reserved)

    def _is_to_wait(self, asked: Asked, made: Decided, loaded: Loaded, now: datetime) -> bool:
        if asked.waited_s is None or made.reserved is not None:
            return False
        case = self._case(asked.proposal, loaded, asked.market, now)
        return asked.waited_s < exit_wait_s(case, made.decision.reason)

    async def check(self, proposal: Proposal) -> Decision:
        """Say what the decision would be; nothing is recorded and nobody is held up."""
        market = await self._view(proposal)
        loaded, now = await self._read()
        return self._judge(proposal, loaded, market, now)

    def _judge(self, proposal: Proposal, loaded: Loaded, market: Market, now: datetime) -> Decision:
        self._symbols_held = frozenset(each.symbol for each in loaded.book.live())
        return decide(self._case(proposal, loaded, market, now))

    def _case(self, proposal: Proposal, loaded: Loaded, market: Market, now: datetime) -> Case:
        limits = with_changes(self._limits, loaded.overrides)
        return Case(
            proposal=proposal,
            book=loaded.book,
            market=market,
            limits=limits,
            now=now,
            disk=self._disk(),
        )

    async def _view(self, proposal: Proposal) -> Market:
        # Before the lock, so that nobody waits for it: a symbol that joined the book since has no correlation
        # here and counts as moving with this one.
        return await self._market.view(proposal.symbol, self._symbols_held, self._clock())

    # --- facts ---

    async def on_position_opened(self, envelope: Envelope, fact: PositionOpened) -> None:
        """The reservation became a position: real price, quantity, margin and risk count from now on."""

        def fold(book: Book, _: Limits, now: datetime) -> Book:
            # It is compared with snapshots, whose times are the database's; a fill bears the exchange's, the
            # fact EXECUTE's. Heard late it counts a little longer: until the next snapshot, which knows.
            return apply_position(book, msgspec.structs.replace(fact.position, opened_at=now))

        await self._fold(envelope, (fact.signal_id,), fold)

    async def on_position_closed(self, envelope: Envelope, fact: PositionClosed) -> None:
        """The position is gone: its risk is free."""
        reason = fact.reason.value
        await self._fold(
            envelope, (fact.signal_id,), lambda book, *_: apply_closed(book, fact.position, reason)
        )

    async def on_order_ended(self, envelope: Envelope, fact: OrderEnded) -> None:
        """The entry came to nothing: its risk is free."""
        reason = f"{fact.outcome}: {fact.reason}"
        await self._fold(
            envelope, (fact.signal_id,), lambda book, *_: apply_order_ended(book, fact.signal_id, reason)
        )

    async def on_exit(self, request: CloseRequested) -> None:
        """Something is to be closed: remembered, for the entries after it. Twice is as good as once.

        Not what we asked for ourselves: a signal against the standing position is no exit before itself.
        """
        if request.reason is CloseReason.OPPOSITE_SIGNAL:
            return
        moment = Moment(
            strategy=request.requested_by, received_at=request.requested_at, made_at=request.made_at
        )
        await self._store.record_exit(request.symbol or EVERY_SYMBOL, moment)

    async def on_snapshot(self, envelope: Envelope, snapshot: AccountSnapshot) -> None:
        """The exchange's own report replaces what was told before it was taken (P7)."""
        shown = tuple(each.signal_id for each in snapshot.positions if each.signal_id is not None)

        def fold(book: Book, limits: Limits, now: datetime) -> Book:
            if is_ahead(snapshot.taken_at, now):
                ahead_s = (snapshot.taken_at - now).total_seconds()
                metrics.SNAPSHOTS_REFUSED.inc()
                _log.error("snapshot_from_the_future_refused", ahead_s=ahead_s)
                return book
            return apply_snapshot(book, snapshot, limits.stop_distance)

        await self._fold(envelope, shown, fold)

    async def _fold(self, envelope: Envelope, also: tuple[str, ...], fold: Fold) -> None:
        async with self._store.transaction() as tx:
            account, now = await self._store.lock(tx)
            if not await self._store.first_time(tx, RISK_FACTS.name, envelope.event_id):
                return
            loaded = await self._store.load(tx, account, self._limits, now, also)
            after = fold(as_of(loaded.book, now), with_changes(self._limits, loaded.overrides), now)
            if after.account != account:
                await self._store.save_account(tx, after.account)
            before = loaded.book.reservations
            changed = [each for key, each in after.reservations.items() if each != before.get(key)]
            await self._store.save_reservations(tx, changed, now)
        for each in changed:
            _log.info(
                "reservation_changed",
                correlation_id=each.signal_id,
                symbol=each.symbol,
                state=each.state.value,
                because=each.released_because,
            )

    # --- the operator ---

    async def status(self) -> Reading:
        """Return the book, the limits in force and how the held symbols move together."""
        loaded, now = await self._read()
        limits = with_changes(self._limits, loaded.overrides)
        held = frozenset(each.symbol for each in loaded.book.live())
        if not held:
            return Reading(loaded.book, limits, Correlations(), now, self._disk())
        market = await self._market.view(min(held), held, now)
        return Reading(loaded.book, limits, market.correlations, now, self._disk())

    async def change(self, change: OperatorChange, actor: str) -> None:
        """Change the trading state or limits, in one transaction with its audit record.

        Raises:
            LimitFault: a limit is unknown or out of range; nothing was changed.
        """
        overrides = {name: as_text(parse(name, value)) for name, value in change.limits.items()}
        told: list[Envelope] = []
        async with self._store.transaction() as tx:
            account, now = await self._store.lock(tx)
            after = changed_account(account, change)
            if after != account:
                await self._store.save_account(tx, after)
            await self._store.save_overrides(tx, overrides, actor)
            await self._store.audit(tx, actor, "update", change)
            if change.state is not None:
                told = announcements.state_changed(after, actor, change.reason, now)
                await self._outbox.stage(tx, told)
        _log.warning("risk_updated", actor=actor, state=after.state.value, limits=overrides)
        await self._outbox.publish(told)

    async def record_act(self, actor: str, act: str, detail: Mapping[str, object]) -> None:
        """Append to the audit log what an operator does outside of any service."""
        async with self._store.transaction() as tx:
            await self._store.audit(tx, actor, act, detail)
        _log.warning("act_recorded", actor=actor, act=act)

    async def _read(self) -> tuple[Loaded, datetime]:
        async with self._store.transaction() as tx:
            account, now = await self._store.read_account(tx)
            return _as_of(await self._store.load(tx, account, self._limits, now), now), now


def _as_of(loaded: Loaded, now: datetime) -> Loaded:
    return loaded._replace(book=as_of(loaded.book, now))


def _as_if_standing(book: Book, closes: str | None, proposal: Proposal) -> Book:
    """Return the book with the position that the signal itself had closed, unless an exit would have.

    Without an exit before it the signal only closes, and must not find the symbol flat by its own doing.
    """
    closed = None if closes is None else book.reservations.get(closes)
    if closed is None or book.is_leaving(closed, proposal.moment):
        return book
    standing = msgspec.structs.replace(closed, state=ReservationState.OPEN)
    return msgspec.structs.replace(book, reservations={**book.reservations, closed.signal_id: standing})


def _announced(made: Decided, epoch: int, cause: str, now: datetime) -> list[Envelope]:
    if made.reserved is None:
        return announcements.refusal(made.proposal, made.decision, cause, now)
    return announcements.approval(made.proposal, made.decision, made.reserved, epoch, cause, now)


def _observe(made: Decided) -> None:
    outcome, reason = made.decision.outcome, made.decision.reason
    result = APPROVED if outcome is None else outcome.value
    metrics.DECISIONS.labels(result=result, reason=reason).inc()
    _log.info(
        "proposal_decided",
        correlation_id=made.proposal.signal.signal_id,
        symbol=made.proposal.symbol,
        side=made.proposal.side.value,
        result=result,
        reason=reason,
    )
