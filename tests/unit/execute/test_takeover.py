"""Positions that the exchange has and our books have not: of a restore, or foreign (C7, P7, P9)."""

from decimal import Decimal

import pytest

from services.brain.outcomes import closed_trade, outcome_of
from services.execute.memory import MemoryEntries
from services.execute.order_state import EntryState
from services.execute.reconciliation import CorrectionKind, protection_ids
from services.execute.venue import OrderSide, ProtectiveOrder
from shared import ids
from shared.ids import OrderRole
from shared.models import (
    AlertRaised,
    CloseIgnored,
    CloseRequested,
    ManualTradeProposed,
    Message,
    PositionClosed,
    PositionOpened,
)
from shared.values import CloseReason
from tests.twins.execution import World
from tests.twins.venue import refused
from tests.unit.execute.builders import BTC, INSTALLATION, approval, sent

ETH = "ETHUSDT"


async def restored(*symbols: str) -> World:
    """Positions were opened and protected; then an older dump without them was put back."""
    world = World()
    for symbol in symbols:
        await world.process().flow.on_execution(sent(approval(symbol, at=world.clock(), symbol=symbol)))
        assert world.held(symbol) > 0
    world.store = MemoryEntries(world.clock)
    world.outbox.staged.clear()
    world.outbox.published.clear()
    world.clock.advance(60)
    return world


def close(world: World, symbol: str | None, *, foreign: bool = False, name: str = "req-1") -> CloseRequested:
    return CloseRequested(
        signal_id=name,
        symbol=symbol,
        requested_at=world.clock(),
        reason=CloseReason.OPERATOR,
        requested_by="operator",
        is_foreign=foreign,
    )


def told(world: World, kind: type[Message]) -> list[Message]:
    return [each.payload for each in world.outbox.staged.values() if isinstance(each.payload, kind)]


def alarms(world: World) -> list[str]:
    return [each.kind for each in told(world, AlertRaised) if isinstance(each, AlertRaised)]


async def test_after_a_restore_a_position_with_our_stop_is_ours_again_and_protected_as_it_was() -> None:
    world = await restored(BTC)
    stands = world.standing()
    process = world.process()
    assert [each.kind for each in await process.flow.reconcile()] == [CorrectionKind.TAKE_OVER]
    [entry] = world.store.entries.values()
    assert (entry.state, entry.filled_quantity) == (EntryState.PROTECTED, world.held())
    assert world.is_protected(entry.signal_id), "the ids of its orders follow from its own"
    assert await process.flow.reconcile() == []
    assert world.standing() == stands
    assert alarms(world) == ["take_over"]


async def test_a_position_that_was_taken_over_has_a_story_an_outcome_and_counts() -> None:
    world = await restored(BTC)
    await world.process().flow.reconcile()
    [proposed], [opened] = told(world, ManualTradeProposed), told(world, PositionOpened)
    assert isinstance(proposed, ManualTradeProposed)
    assert isinstance(opened, PositionOpened)
    outcome = outcome_of(opened)
    assert outcome is not None
    assert outcome.signal_id == proposed.signal.signal_id == opened.position.signal_id
    assert opened.position.risk_usdt > 0


async def test_a_missing_target_of_a_position_that_was_taken_over_is_placed_again() -> None:
    world = await restored(BTC)
    world.cancel_by_hand(OrderRole.TAKE_PROFIT, approval(BTC, symbol=BTC))
    process = world.process()
    for _ in range(2):
        await process.flow.reconcile()
    [entry] = world.store.entries.values()
    assert world.is_protected(entry.signal_id)


@pytest.mark.parametrize("asked_for", [BTC, None])
async def test_closing_works_on_what_a_restore_forgot_before_any_look(
    asked_for: str | None,
) -> None:
    world = await restored(BTC, ETH)
    await world.process().flow.on_control(sent(close(world, asked_for)))
    assert world.held(BTC) == 0
    assert (world.held(ETH) == 0) is (asked_for is None)
    gone = told(world, PositionClosed)
    assert len(gone) == (1 if asked_for else 2)
    for fact in gone:
        assert isinstance(fact, PositionClosed)
        assert (fact.reason, fact.closed_by) == (CloseReason.OPERATOR, "req-1")
        assert fact.fees_usdt > 0
    assert told(world, CloseIgnored) == []


async def test_stop_that_fires_after_the_take_over_closes_the_books() -> None:
    world = await restored(BTC)
    process = world.process()
    await process.flow.reconcile()
    world.venue.price("48000")
    await process.flow.reconcile()
    [fact] = told(world, PositionClosed)
    assert isinstance(fact, PositionClosed)
    assert fact.reason is CloseReason.STOP_LOSS
    assert world.standing() == set()


async def test_a_position_whose_entry_the_exchange_has_forgotten_is_taken_over_and_closed() -> None:
    world = await restored(BTC)
    world.venue.core.exchange.state.done_orders.clear()
    process = world.process()
    await process.flow.reconcile()
    [entry] = world.store.entries.values()
    assert (entry.exchange_order_id, entry.state) == (None, EntryState.PROTECTED)
    world.clock.advance(60)
    await process.flow.on_control(sent(close(world, BTC)))
    assert world.held() == 0
    assert [each.state for each in world.store.entries.values()] == [EntryState.CLOSED]


async def test_while_the_exchange_cannot_be_asked_a_close_answers_from_the_books() -> None:
    world = await restored(BTC)
    world.venue.fail("GET v3/positionRisk", *[refused(-1102)] * 20)
    await world.process().flow.on_control(sent(close(world, BTC)))
    [ignored] = told(world, CloseIgnored)
    assert isinstance(ignored, CloseIgnored)
    assert ignored.reason == "no_position"


async def test_a_foreign_position_is_left_alone_and_said_to_be_foreign() -> None:
    world = World()
    world.by_hand("BUY", "0.2")
    await world.process().flow.on_control(sent(close(world, BTC)))
    assert world.held() == Decimal("0.2")
    [ignored] = told(world, CloseIgnored)
    assert isinstance(ignored, CloseIgnored)
    assert ignored.reason == "foreign_position"


async def test_a_foreign_position_is_closed_once_when_it_is_named_as_such_and_is_no_trade_of_ours() -> None:
    world = World()
    world.by_hand("SELL", "0.2")
    request = close(world, BTC, foreign=True)
    await world.process().flow.on_control(sent(request))
    assert world.held() == 0
    [fact] = told(world, PositionClosed)
    assert isinstance(fact, PositionClosed)
    assert (fact.closed_by, fact.reason, fact.position.quantity) == (
        "req-1",
        CloseReason.OPERATOR,
        Decimal("0.2"),
    )
    assert closed_trade(fact) is None
    world.by_hand("BUY", "0.1")
    await world.process().flow.on_control(sent(request))  # delivered again
    assert world.held() == Decimal("0.1"), "the next foreign position was not confirmed"


async def test_all_positions_never_means_foreign_ones() -> None:
    world = World()
    world.by_hand("BUY", "0.2")
    await world.process().flow.on_control(sent(close(world, None, foreign=True)))
    assert world.held() == Decimal("0.2")


async def test_an_adoption_that_cannot_be_done_is_not_announced_as_one_nor_again_and_again() -> None:
    world = World()
    approved = approval("lost", at=world.clock())
    world.venue.fail("POST order", *[refused(-1007, 408)])
    process = world.process()
    await process.flow.on_execution(sent(approved))
    assert world.store.entries[approved.signal_id].state is EntryState.FAILED
    world.by_hand("BUY", "0.2")
    for _ in range(5):
        await process.flow.reconcile()
        world.clock.advance(15)
    assert alarms(world) == ["report_external"]
    assert world.store.entries[approved.signal_id].state is EntryState.FAILED


async def test_another_installations_stop_makes_no_position_ours() -> None:
    world = await restored(BTC)
    for algo in world.venue.core.exchange.state.open_algos.values():
        algo.client_algo_id = algo.client_algo_id.replace(INSTALLATION, "other")
    assert [each.kind for each in await world.process().flow.reconcile()] == [CorrectionKind.REPORT_EXTERNAL]


def test_ids_of_a_position_that_was_taken_over_lead_back_to_its_orders() -> None:
    made = ids.client_order_id("test", "sig-1", OrderRole.STOP_LOSS)
    digest = ids.digest_of(made, "test")
    assert digest is not None
    assert ids.client_order_id("test", ids.adopted_signal_id(digest), OrderRole.STOP_LOSS) == made
    assert ids.digest_of(made, "live") is None
    assert ids.digest_of("p95test-by-hand", "test") is None
    assert ids.client_order_id("test", "adopted-", OrderRole.ENTRY) != "p95test--e", "a name is no digest"


@pytest.mark.parametrize("was_taken_over", [False, True])
async def test_a_stop_left_behind_by_a_position_that_is_over_makes_no_strangers_position_ours(
    was_taken_over: bool,
) -> None:
    """A process was killed between placing it and seeing that another one had closed the entry."""
    world = await restored(BTC) if was_taken_over else World()
    process = world.process()
    if was_taken_over:
        await process.flow.reconcile()
    else:
        await process.flow.on_execution(sent(approval(at=world.clock())))
    [entry] = world.store.entries.values()
    await process.flow.on_control(sent(close(world, BTC)))
    stop_id, _ = protection_ids(entry, INSTALLATION)
    world.by_hand("BUY", "0.2")
    await world.exchange.place_protection(
        ProtectiveOrder(
            client_id=stop_id, symbol=BTC, side=OrderSide.SELL, is_stop=True, trigger_price=Decimal(49_000)
        )
    )
    assert world.standing() == {stop_id}
    await process.flow.reconcile()
    assert [each.state for each in world.store.entries.values()] == [EntryState.CLOSED]
    assert world.standing() == set(), "it would close what is not ours"
    await process.flow.on_control(sent(close(world, BTC, name="req-2")))
    assert world.held() == Decimal("0.2")
