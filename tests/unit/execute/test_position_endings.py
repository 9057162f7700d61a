"""What ended a position, on the twins: stop, target, a hand, the exchange; recorded as what it was."""

import asyncio
from decimal import Decimal

import pytest

from infrastructure.paper_exchange.commands import PlaceAlgo
from infrastructure.paper_exchange.values import AlgoType
from infrastructure.paper_exchange.values import Side as OrderSide
from services.execute.order_state import EntryState
from shared.errors import ExchangeUnavailable
from shared.models import (
    AlertRaised,
    OrderEnded,
    PositionClosed,
    PositionOpened,
)
from shared.values import CloseReason, Side
from tests.twins.execution import World, until
from tests.twins.venue import Fault, refused, unavailable
from tests.unit.execute.builders import BTC, approval, close_request, sent
from tests.unit.execute.exits import close, entered, last


@pytest.mark.parametrize(
    ("price", "reason"), [("48900", CloseReason.STOP_LOSS), ("51100", CloseReason.TAKE_PROFIT)]
)
async def test_fired_order_closes_the_books_and_its_twin_goes(price: str, reason: CloseReason) -> None:
    world = World()
    approved = await entered(world)
    world.venue.price(price)
    assert len(world.standing()) == 1
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is reason
    assert world.standing() == set()


async def test_manual_close_is_recorded_as_external() -> None:
    world = World()
    approved = await entered(world)
    world.by_hand("sell", "0.1")
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXTERNAL
    assert world.standing() == set()


async def test_liquidation_is_recorded_as_such_with_its_fee() -> None:
    world = World()
    before = world.venue.core.exchange.ledger.wallet_balance()
    approved = await entered(world)
    for client_id in tuple(world.standing()):
        await world.exchange.cancel_algo(client_id)
    world.venue.price("47000")
    assert world.held() == 0
    await world.process().flow.on_order_event(BTC)
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.reason is CloseReason.LIQUIDATION
    assert closed.net_pnl_usdt == world.venue.core.exchange.ledger.wallet_balance() - before


@pytest.mark.parametrize(
    ("client_id", "reason"),
    [
        ("autoclose-1706702400000000000", CloseReason.LIQUIDATION),
        ("adl_autoclose", CloseReason.ADL),
        ("settlement_autoclose-1706702400", CloseReason.SETTLEMENT),
        ("autoclosed-by-hand", CloseReason.EXTERNAL),
    ],
)
async def test_what_the_exchange_closes_itself_is_told_by_its_name(
    client_id: str, reason: CloseReason
) -> None:
    world = World()
    approved = await entered(world)
    world.by_hand("sell", "0.1", client_id)
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is reason
    assert world.standing() == set()


async def test_position_reduced_by_hand_and_then_stopped_out_has_both_in_its_books() -> None:
    world = World()
    before = world.venue.core.exchange.ledger.wallet_balance()
    approved = await entered(world)
    world.by_hand("sell", "0.04")
    await world.process().flow.on_order_event(BTC)
    assert world.is_protected(approved.signal_id), "what is left stays protected"
    world.venue.price("48900")
    await world.process().flow.on_order_event(BTC)
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.reason is CloseReason.STOP_LOSS
    assert closed.net_pnl_usdt == world.venue.core.exchange.ledger.wallet_balance() - before


async def test_position_turned_round_by_hand_is_closed_in_our_books_and_its_orders_go() -> None:
    """What stands now is somebody else's: reported, neither protected nor closed by us."""
    world = World()
    approved = await entered(world)
    world.by_hand("sell", "0.25")
    process = world.process()
    for _ in range(3):
        await process.flow.reconcile()
        world.clock.advance(15)
    closed = next(each for each in world.told(approved.signal_id) if isinstance(each, PositionClosed))
    assert (closed.reason, closed.position.quantity) == (CloseReason.EXTERNAL, Decimal("0.1"))
    assert world.standing() == set()
    assert world.held() == Decimal("-0.15")
    staged = [each.payload for each in world.outbox.staged.values()]
    assert [each.kind for each in staged if isinstance(each, AlertRaised)] == ["report_external"]


async def test_gap_in_the_stream_is_filled_by_a_look_at_every_symbol_of_ours() -> None:
    world = World()
    first, second = await entered(world, "one"), await entered(world, "two", symbol="ETHUSDT")
    world.venue.price("48900")
    world.venue.price("48900", "ETHUSDT")
    world.venue.fail("GET v3/positionRisk", unavailable())  # one that cannot be looked at keeps no other one
    await world.process().flow.on_gap()
    states = {world.store.entries[each.signal_id].state for each in (first, second)}
    assert states == {EntryState.CLOSED, EntryState.PROTECTED}
    await world.process().flow.on_gap()
    for approved in (first, second):
        assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS


async def test_event_told_twice_and_out_of_order_closes_once() -> None:
    """They say when to look, not what happened."""
    world = World()
    approved = await entered(world)
    process = world.process()
    await process.flow.on_order_event(BTC)  # of the entry, late
    world.venue.price("48900")
    await asyncio.gather(*(process.flow.on_order_event(BTC) for _ in range(3)))
    await process.flow.on_order_event(BTC)
    closes = [each for each in world.told(approved.signal_id) if isinstance(each, PositionClosed)]
    assert len(closes) == 1


async def test_twin_that_fires_while_it_is_being_cancelled_is_waited_for() -> None:
    """-4117: it is triggering right now. The books stay open until it is gone, one way or the other."""
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.venue.fail("DELETE algoOrder", refused(-4117))
    with pytest.raises(ExchangeUnavailable):
        await world.process().flow.on_order_event(BTC)
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS
    assert world.standing() == set()


async def test_twin_that_is_gone_before_it_is_cancelled_is_fine() -> None:
    """-2011: it expired with the position, or somebody was quicker."""
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.venue.fail("DELETE algoOrder", Fault(error=refused(-2011).error, executed=True))
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS


async def test_twin_that_cannot_be_cancelled_keeps_the_symbol_taken() -> None:
    """Left standing it would close the next position: the books stay open until it is gone."""
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.venue.fail("DELETE algoOrder", unavailable())
    with pytest.raises(ExchangeUnavailable):
        await world.process().flow.on_order_event(BTC)
    assert world.store.entries[approved.signal_id].state is EntryState.PROTECTED
    await world.process().flow.on_order_event(BTC)
    last(world, approved.signal_id, PositionClosed)
    assert world.standing() == set()


async def test_twin_that_is_invisible_is_cancelled_blindly() -> None:
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.venue.fail("GET algoOrder", refused(-2013), refused(-2013))
    await world.process().flow.on_order_event(BTC)
    last(world, approved.signal_id, PositionClosed)
    assert world.standing() == set()


async def test_exit_between_fill_and_protection_leaves_no_stray_stop() -> None:
    world = World()
    approved = approval(at=world.clock())
    process = world.process()
    opening = asyncio.create_task(process.flow.on_execution(sent(approved)))
    await until(world.held)
    await process.flow.on_control(sent(close_request(at=world.clock())))
    await opening
    await world.process().flow.reconcile()
    assert world.held() == 0
    assert not world.standing()
    ends = [each for each in world.told(approved.signal_id) if isinstance(each, OrderEnded | PositionOpened)]
    assert len(ends) == 1


async def test_what_somebody_added_to_the_position_is_not_ours_to_close() -> None:
    """One-way mode nets positions: an exit sells what our own fills hold, the rest is its owner's."""
    world = World()
    approved = await entered(world)
    world.by_hand("buy", "0.05")
    await close(world)
    assert world.held() == Decimal("0.05")
    assert world.standing() == set(), "ours would close all of it"
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.position.quantity == Decimal("0.1")


async def test_foreign_stop_is_never_touched() -> None:
    world = World()
    await entered(world)
    foreign = PlaceAlgo(
        BTC,
        OrderSide.SELL,
        AlgoType.STOP_MARKET,
        Decimal(45_000),
        Decimal("0.05"),
        reduce_only=True,
        client_algo_id="mine-by-hand",
    )
    world.venue.core.execute(foreign)
    await close(world)
    await world.process().flow.reconcile()
    assert "mine-by-hand" in world.standing()


async def test_short_position_books_its_profit() -> None:
    world = World()
    approved = approval(at=world.clock(), side=Side.SHORT)
    await world.process().flow.on_execution(sent(approved))
    world.venue.price("49500")
    await close(world)
    assert last(world, approved.signal_id, PositionClosed).net_pnl_usdt > 0


async def test_older_copy_of_an_entry_does_not_hide_who_closed_it() -> None:
    """A ban or a lost answer between closing and settling gave reconciliation time to read it before."""
    world = World()
    approved = await entered(world)
    read_before = world.store.entries[approved.signal_id]
    world.venue.fail("GET userTrades", unavailable())
    world.venue.fail("DELETE algoOrder", unavailable())
    with pytest.raises(ExchangeUnavailable):
        await close(world)
    assert world.held() == 0
    assert await world.process().exits.settle(read_before)
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.reason is CloseReason.EXIT_SIGNAL
    assert await world.process().exits.settle(read_before), "settled before: nothing is told twice"
    assert len([e for e in world.told(approved.signal_id) if isinstance(e, PositionClosed)]) == 1


async def test_position_that_is_older_than_a_week_closes_its_books() -> None:
    """The exchange gives a week of fills at a time; its entry's are further back."""
    world = World()
    approved = await entered(world)
    world.clock.advance(20 * 24 * 3_600)
    world.venue.price("48900")
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS
    asked = world.venue.sent("GET userTrades")
    assert len(asked) % 3 == 0
    assert all(int(each["endTime"]) - int(each["startTime"]) < 7 * 24 * 3_600_000 for each in asked)


async def test_what_the_exchange_charges_a_stranger_afterwards_is_not_ours() -> None:
    world = World()
    before = world.venue.core.exchange.ledger.wallet_balance()
    approved = await entered(world)
    world.venue.price("48900")
    earned = world.venue.core.exchange.ledger.wallet_balance() - before
    world.clock.advance(60)
    world.by_hand("buy", "0.1")
    world.venue.price("40000")  # liquidated, with a fee of its own
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).net_pnl_usdt == earned
