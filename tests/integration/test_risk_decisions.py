"""RISK's decisions on real servers: limits under concurrency, redelivery, crashes, halts, healing."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest

from services.risk.announcements import JUST_BEFORE
from services.risk.operator_change import OperatorChange
from services.risk.profiles import PROFILES, Limits, Profile
from shared.clock import utc_now
from shared.errors import DatabaseUnavailable, MessageFault
from shared.models import (
    AlertRaised,
    AnalysisCompleted,
    CloseRequested,
    Envelope,
    OrderEnded,
    PositionClosed,
    PositionOpened,
    TradeApproved,
    TradeRejected,
    TradingStateChanged,
)
from shared.outbox import Outbox
from shared.topology import RISK_ASSESSMENT
from shared.values import Action, CloseReason, OutcomeKind, Side, TradingState
from tests.eventually import eventually
from tests.integration.risk_world import SYMBOLS, Replica, World, proposed, told, world
from tests.unit.risk.builders import NO_EDGE, D, position, shown

pytestmark = pytest.mark.servers

__all__ = ["world"]

A, B = SYMBOLS[0], SYMBOLS[1]
MISSION = PROFILES[Profile.MISSION]
WIDE = msgspec.structs.replace(
    MISSION,
    positions_max=1_000,
    portfolio_risk_max=D(1_000),
    entries_per_day_max=0,
    entries_per_minute_max=0,
    signal_age_max_s=D(600),
    market_data_age_max_s=D(60),
    account_data_age_max_s=D(60),
)
REPLICAS = 4
PROPOSALS = len(SYMBOLS)
ROUNDS = int(os.environ.get("RISK_BOUNDARY_ROUNDS", "2"))
"""How often in a row the boundary must hold; before a release: RISK_BOUNDARY_ROUNDS=50 pytest -k boundary"""
ROUND_S_MAX = 60
TOLD_TIMEOUT_S = 90


def limits(**changes: object) -> Limits:
    return msgspec.structs.replace(WIDE, **changes)


async def decided(world: World) -> Counter[str]:
    return Counter(row["reason"] for row in await world.rows("SELECT reason FROM decisions"))


# --- P5: limits under concurrency ---


@pytest.mark.timeout(400 + ROUNDS * ROUND_S_MAX)
@pytest.mark.parametrize(
    ("boundary", "approved", "reason"),
    [
        (limits(positions_max=7), 7, "positions_max"),
        (limits(entries_per_minute_max=13), 13, "entries_per_minute_max"),
        (limits(entries_per_day_max=11), 11, "entries_per_day_max"),
        (limits(portfolio_risk_max=D("0.10")), 5, "portfolio_risk_max"),
        # 2 % at the stop binds 4.76 % of the account: 21 of them, and nothing of the size of a probe is left.
        (limits(), 21, "free_balance"),
    ],
)
async def test_replicas_deciding_at_the_boundary_approve_exactly_what_it_allows_every_time(
    world: World, boundary: Limits, approved: int, reason: str
) -> None:
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(world.replica(boundary)) for _ in range(REPLICAS)]
        await stack.enter_async_context(_swept(replicas[0]))
        in_hand = [asyncio.Semaphore(RISK_ASSESSMENT.prefetch) for _ in replicas]  # as its consumer has
        asked: set[str] = set()

        async def propose(number: int, symbol: str) -> None:
            async with in_hand[number % REPLICAS]:
                work = proposed(symbol)
                asked.add(work[1].signal.signal_id)
                await eventually(lambda: _is_taken(replicas[number % REPLICAS], *work), ROUND_S_MAX)

        for _ in range(ROUNDS):
            await world.forget()
            asked.clear()
            await world.quote(*SYMBOLS)
            await world.report(replicas[0])
            await asyncio.gather(*(propose(number, symbol) for number, symbol in enumerate(SYMBOLS)))
            await _boundary_was_held(world, boundary, approved, reason)
            await _is_told(world, asked, approved)


@asynccontextmanager
async def _swept(replica: Replica) -> AsyncIterator[None]:
    """Send again what a slow broker did not confirm in time, as every instance does."""
    sweeping = asyncio.create_task(replica.outbox.sweep())
    yield
    sweeping.cancel()
    await asyncio.wait([sweeping])


async def _is_taken(replica: Replica, envelope: Envelope, message: AnalysisCompleted) -> bool:
    """Hand a proposal over once more, as the consumer does, when the database has been too slow."""
    try:
        await replica.flow.on_analysis(envelope, message)
    except DatabaseUnavailable:
        return False
    return True


async def _boundary_was_held(world: World, boundary: Limits, approved: int, reason: str) -> None:
    assert await decided(world) == {"approved": approved, reason: PROPOSALS - approved}
    ((count, risk, margin),) = await world.rows(
        "SELECT count(*), sum(risk_usdt), sum(margin_usdt + notional_usdt * 0.0005) FROM reservations"
    )
    assert count == approved
    assert risk <= boundary.portfolio_risk_max * 10_000
    assert margin <= 10_000


async def _is_told(world: World, asked: set[str], approved: int) -> None:
    """Wait until every decision was said, each as what it is."""

    def said(kind: type[TradeApproved] | type[TradeRejected]) -> int:
        return sum(each.signal_id in asked for each in world.said(kind))

    await eventually(
        lambda: (said(TradeApproved), said(TradeRejected)) == (approved, PROPOSALS - approved), TOLD_TIMEOUT_S
    )


async def test_one_symbol_is_entered_once_however_many_ask_at_once(world: World) -> None:
    await world.quote(A)
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(world.replica(WIDE)) for _ in range(REPLICAS)]
        await world.report(replicas[0])
        await asyncio.gather(*(replicas[n % REPLICAS].flow.on_analysis(*proposed(A)) for n in range(40)))
    assert await decided(world) == {"approved": 1, "symbol_busy": 39}


# --- P3: one decision per signal ---


async def test_redelivery_to_another_replica_gives_no_second_decision(world: World) -> None:
    await world.quote(A)
    envelope, message = proposed(A)
    async with world.replica() as one, world.replica() as other:
        await world.report(one)
        await asyncio.gather(*(each.flow.on_analysis(envelope, message) for each in (one, other, one, other)))
        # The same signal under another event id: its first decision stands as well.
        await other.flow.on_analysis(told(message), message)
    assert await decided(world) == {"approved": 1}
    await eventually(lambda: world.said(TradeApproved))
    assert len({each.event_id for each in world.heard}) == 1


async def test_approval_says_what_execute_needs(world: World) -> None:
    await world.quote(A)
    envelope, message = proposed(A)
    async with world.replica() as replica:
        await world.report(replica)
        await replica.flow.on_analysis(envelope, message)
    await eventually(lambda: world.said(TradeApproved))
    (approval,) = world.said(TradeApproved)
    assert (approval.symbol, approval.side, approval.trading_epoch) == (A, Side.LONG, 1)
    assert approval.signal_received_at == message.signal.received_at
    assert 29 < (approval.valid_until - utc_now()).total_seconds() <= 30
    assert approval.sizing.reference_price == D(100)
    assert world.heard[0].correlation_id == message.signal.signal_id
    assert world.heard[0].causation_id == envelope.event_id
    assert len(approval.checks) == 25


async def test_exit_on_the_proposals_queue_is_the_messages_fault(world: World) -> None:
    envelope, message = proposed(A)
    leaving = msgspec.structs.replace(
        message, signal=msgspec.structs.replace(message.signal, action=Action.EXIT)
    )
    async with world.replica() as replica:
        with pytest.raises(MessageFault):
            await replica.flow.on_analysis(envelope, leaving)


# --- crashes ---


class Killed(Exception):
    """The process ends here."""


class KilledBeforePublishing(Outbox):
    """The process dies between the commit and the publish."""

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        raise Killed


class KilledBeforeCommit(Outbox):
    """The process dies before the commit."""

    async def stage(self, connection: object, envelopes: Sequence[Envelope]) -> None:
        raise Killed


async def test_what_a_crash_left_unsent_the_sweeper_of_another_replica_sends(world: World) -> None:
    await world.quote(A)
    envelope, message = proposed(A)
    async with world.replica(outbox=KilledBeforePublishing) as dying, world.replica() as other:
        await world.report(other)
        with pytest.raises(Killed):
            await dying.flow.on_analysis(envelope, message)
        async with _swept(other):
            await eventually(lambda: world.said(TradeApproved))
            await other.flow.on_analysis(envelope, message)  # the broker delivers it again: nothing new
    assert await decided(world) == {"approved": 1}
    assert len({each.event_id for each in world.heard}) == 1


async def test_crash_before_the_commit_leaves_nothing_and_the_redelivery_decides(world: World) -> None:
    await world.quote(A)
    envelope, message = proposed(A)
    async with world.replica(outbox=KilledBeforeCommit) as dying, world.replica() as other:
        await world.report(other)
        with pytest.raises(Killed):
            await dying.flow.on_analysis(envelope, message)
        assert await decided(world) == {}
        assert not await world.rows("SELECT FROM reservations")
        await other.flow.on_analysis(envelope, message)
    assert await decided(world) == {"approved": 1}


# --- the book ---


async def approved_in(world: World, replica: Replica, symbol: str) -> AnalysisCompleted:
    await world.quote(symbol)
    envelope, message = proposed(symbol)
    await replica.flow.on_analysis(envelope, message)
    return message


async def state_of(world: World, signal_id: str) -> tuple[str, str | None]:
    ((state, because),) = await world.rows(
        "SELECT state::text, released_because FROM reservations WHERE signal_id = $1", signal_id
    )
    return state, because


async def test_a_reservation_lives_by_facts(world: World) -> None:
    async with world.replica() as replica:
        await world.report(replica)
        message = await approved_in(world, replica, A)
        signal_id = message.signal.signal_id
        stands = position(signal_id, symbol=A, opened_at=utc_now())
        opened = PositionOpened(signal_id=signal_id, position=stands)
        envelope = told(opened)
        await replica.flow.on_position_opened(envelope, opened)
        assert await state_of(world, signal_id) == ("open", None)
        closed = PositionClosed(
            signal_id=signal_id,
            position=stands,
            reason=CloseReason.TAKE_PROFIT,
            closed_by=None,
            exit_price=D(2_041),
            pnl_usdt=D(8),
            fees_usdt=D("0.4"),
            funding_usdt=D(0),
            closed_at=utc_now(),
        )
        await replica.flow.on_position_closed(told(closed), closed)
        await replica.flow.on_position_opened(envelope, opened)  # once more, late
        late = PositionOpened(signal_id=signal_id, position=msgspec.structs.replace(stands, version=9))
        await replica.flow.on_position_opened(told(late), late)
        assert await state_of(world, signal_id) == ("released", "take_profit")
        assert (await approved_in(world, replica, A)).signal.symbol == A
    assert await decided(world) == {"approved": 2}


async def test_ended_order_frees_the_symbol(world: World) -> None:
    async with world.replica() as replica:
        await world.report(replica)
        message = await approved_in(world, replica, A)
        ended = OrderEnded(
            signal_id=message.signal.signal_id,
            symbol=A,
            client_id="p95test-x-e",
            outcome=OutcomeKind.EXPIRED,
            reason="slippage",
        )
        await replica.flow.on_order_ended(told(ended), ended)
        assert await state_of(world, message.signal.signal_id) == ("released", "expired: slippage")
        await approved_in(world, replica, A)
    assert await decided(world) == {"approved": 2}


async def test_snapshot_heals_lost_facts_both_ways(world: World) -> None:
    async with world.replica() as replica:
        await world.report(replica)
        lost_open = (await approved_in(world, replica, A)).signal.signal_id
        await world.report(replica, shown(lost_open, symbol=A), shown(None, symbol=B, stop_price=None))
        assert await state_of(world, lost_open) == ("open", None)
        assert await state_of(world, f"external:{B}") == ("open", None)
        await approved_in(world, replica, B)  # a stranger's position stands there
        await world.report(replica)
        assert await state_of(world, lost_open) == ("released", "snapshot")
        assert await state_of(world, f"external:{B}") == ("released", "snapshot")
        await approved_in(world, replica, B)
    assert await decided(world) == {"approved": 2, "symbol_busy": 1}


async def test_approval_that_was_never_executed_is_free_again_once_it_cannot_be_any_more(
    world: World,
) -> None:
    """EXECUTE was dead for a minute: no fact, no snapshot; then one that shows nothing."""
    async with world.replica(WIDE) as replica:
        await world.report(replica)
        signal_id = (await approved_in(world, replica, A)).signal.signal_id
        await world.let_pass(43)  # valid for 30 s, and for 14 s more it might appear
        await world.report(replica)
        assert await state_of(world, signal_id) == ("held", None)
        await world.let_pass(16)
        await world.report(replica)
        assert await state_of(world, signal_id) == ("released", "never_seen")
        ended = OrderEnded(
            signal_id=signal_id,
            symbol=A,
            client_id="p95test-x-e",
            outcome=OutcomeKind.EXPIRED,
            reason="approval_expired",
        )
        for _ in range(2):  # EXECUTE is back and says what became of it, late and twice
            await replica.flow.on_order_ended(told(ended), ended)
        assert await state_of(world, signal_id) == ("released", "expired: approval_expired")
        await approved_in(world, replica, A)
    assert await decided(world) == {"approved": 2}


async def test_without_any_account_snapshot_nothing_is_approved(world: World) -> None:
    async with world.replica() as replica:
        await approved_in(world, replica, A)
    assert await decided(world) == {"account_data_stale": 1}


async def test_old_account_data_approves_nothing(world: World) -> None:
    async with world.replica() as replica:
        await world.report(replica, age_s=11)
        await approved_in(world, replica, A)
        await world.report(replica)
        await approved_in(world, replica, A)
    assert await decided(world) == {"account_data_stale": 1, "approved": 1}


# --- the operator, the opposite, the probe ---


async def test_halt_raises_the_epoch_refuses_entries_and_is_announced(world: World) -> None:
    async with world.replica() as one, world.replica() as other:
        await world.report(one)
        await one.flow.change(OperatorChange(state=TradingState.HALTED, reason="test"), "operator")
        await approved_in(world, other, A)
        await other.flow.change(OperatorChange(state=TradingState.ACTIVE, reason="test"), "operator")
        await approved_in(world, one, B)
    assert await decided(world) == {"trading_halted": 1, "approved": 1}
    await eventually(lambda: len(world.said(TradingStateChanged)) == 2)
    halted, active = world.said(TradingStateChanged)
    assert (halted.state, halted.trading_epoch) == (TradingState.HALTED, 2)
    assert (active.state, active.trading_epoch) == (TradingState.ACTIVE, 3)
    await eventually(lambda: world.said(TradeApproved))
    assert world.said(TradeApproved)[0].trading_epoch == 3


async def test_changed_limit_holds_on_every_replica_from_the_next_decision_on(world: World) -> None:
    async with world.replica() as one, world.replica() as other:
        await world.report(one)
        await one.flow.change(OperatorChange(limits={"positions_max": "1"}, reason="test"), "operator")
        await approved_in(world, other, A)
        await approved_in(world, other, B)
        await other.flow.change(
            OperatorChange(limits={"entries_per_minute_max": 2}, reason="test"), "operator"
        )
        await one.flow.change(OperatorChange(limits={"positions_max": 5}, reason="test"), "operator")
        await approved_in(world, one, SYMBOLS[2])
        await approved_in(world, one, SYMBOLS[3])
    assert await decided(world) == {"approved": 2, "positions_max": 1, "entries_per_minute_max": 1}


async def test_signal_against_the_position_asks_for_its_close(world: World) -> None:
    async with world.replica() as replica:
        await world.report(replica)
        standing = (await approved_in(world, replica, A)).signal.signal_id
        opened = PositionOpened(
            signal_id=standing, position=position(standing, symbol=A, opened_at=utc_now())
        )
        await replica.flow.on_position_opened(told(opened), opened)
        envelope, against = proposed(A, Side.SHORT)
        await replica.flow.on_analysis(envelope, against)
        await replica.flow.on_analysis(*proposed(A, Side.LONG))
    assert await decided(world) == {"approved": 1, "closing_opposite": 1, "already_open": 1}
    await eventually(lambda: world.said(CloseRequested))
    (close,) = world.said(CloseRequested)
    assert (close.symbol, close.reason) == (A, CloseReason.OPPOSITE_SIGNAL)
    assert close.requested_at == against.signal.received_at - JUST_BEFORE
    await eventually(lambda: len(world.said(TradeRejected)) == 2)
    assert {each.outcome for each in world.said(TradeRejected)} == {OutcomeKind.NO_OP}


async def test_probes_are_told_to_the_operator_and_end_after_two(world: World) -> None:
    await world.quote(*SYMBOLS[:3])
    async with world.replica() as replica:
        await world.report(replica)
        for symbol in SYMBOLS[:3]:
            await replica.flow.on_analysis(*proposed(symbol, edge=NO_EDGE))
    assert await decided(world) == {"approved": 2, "no_edge_probes_used": 1}
    await eventually(lambda: len(world.said(AlertRaised)) == 2)
    assert {each.kind for each in world.said(AlertRaised)} == {"no_edge_probe"}


async def test_silent_feed_refuses_instead_of_waiting(world: World) -> None:
    async with world.replica() as replica:
        await world.report(replica)
        await replica.flow.on_analysis(*proposed(SYMBOLS[9]))
        await replica.flow.on_analysis(*proposed("NOSUCHUSDT"))
    assert await decided(world) == {"market_data_stale": 1, "symbol_unknown": 1}
