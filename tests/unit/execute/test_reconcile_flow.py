"""The exchange as the truth, on the twins: what differs is healed, told once, not overdone (P4, P6, P7)."""

import asyncio
from decimal import Decimal

from services.execute.order_state import EntryState
from services.execute.reconciliation import CorrectionKind, protection_ids
from shared.ids import OrderRole
from shared.models import AlertRaised, PositionClosed, PositionOpened, TradeApproved
from shared.values import CloseReason
from tests.twins.execution import Process, World, until
from tests.twins.venue import Fault, refused, unavailable
from tests.unit.execute.builders import BTC, INSTALLATION, approval, close_request, sent


async def entered(world: World, name: str = "one", symbol: str = BTC) -> TradeApproved:
    approved = approval(name, at=world.clock(), symbol=symbol)
    await world.process().flow.on_execution(sent(approved))
    assert isinstance(world.told(approved.signal_id)[-1], PositionOpened)
    return approved


def alerts(world: World) -> list[AlertRaised]:
    return [each.payload for each in world.outbox.staged.values() if isinstance(each.payload, AlertRaised)]


def closed(world: World, approved: TradeApproved) -> PositionClosed:
    [fact] = [each for each in world.told(approved.signal_id) if isinstance(each, PositionClosed)]
    return fact


async def kinds(process: Process) -> list[CorrectionKind]:
    return [each.kind for each in await process.flow.reconcile()]


async def test_nothing_differs_nothing_is_done() -> None:
    world = World()
    await entered(world)
    assert await kinds(world.process()) == []
    assert alerts(world) == []


async def test_stop_cancelled_by_hand_is_restored_and_told_once() -> None:
    world = World()
    approved = await entered(world)
    world.cancel_by_hand(OrderRole.STOP_LOSS, approved)
    process = world.process()
    assert await kinds(process) == [CorrectionKind.RESTORE_PROTECTION]
    assert world.is_protected(approved.signal_id)
    assert await kinds(process) == []
    [told] = alerts(world)
    assert (told.kind, told.symbol) == ("restore_protection", BTC)


async def test_stop_cancelled_by_hand_is_restored_as_soon_as_the_stream_tells() -> None:
    """P4: fifteen seconds until the next reconciliation are more than the budget."""
    world = World()
    approved = await entered(world)
    world.cancel_by_hand(OrderRole.STOP_LOSS, approved)
    process = world.process()
    await process.flow.on_order_event(BTC)
    assert world.is_protected(approved.signal_id)
    assert [each.kind for each in alerts(world)] == ["restore_protection"]
    sent_before = len(world.venue.sent("POST algoOrder"))
    await process.flow.on_order_event(BTC)
    assert len(world.venue.sent("POST algoOrder")) == sent_before


async def test_stop_that_is_firing_is_not_put_back() -> None:
    """Its order is on its way: another stop would be past the price and close for the wrong reason."""
    world = World()
    approved = await entered(world)
    stop_id, _ = protection_ids(world.store.entries[approved.signal_id], INSTALLATION)
    firing = {"algoStatus": "TRIGGERED", "actualOrderId": "4711", "algoId": 1, "symbol": BTC, "side": "SELL"}
    answer = firing | {"clientAlgoId": stop_id, "triggerPrice": "49000"}
    world.venue.fail("GET algoOrder", Fault(answer=answer))
    before = len(world.venue.sent("POST algoOrder"))
    await world.process().flow.on_order_event(BTC)
    assert len(world.venue.sent("POST algoOrder")) == before


async def test_stop_that_the_view_does_not_show_yet_raises_no_alarm() -> None:
    world = World()
    approved = await entered(world)
    standing = world.venue.core.exchange.state.open_algos
    hidden = dict(standing)
    reading = asyncio.create_task(world.process().flow.reconcile())
    standing.clear()
    await until(lambda: world.venue.sent("GET openOrders"))
    standing.update(hidden)
    assert [each.kind for each in await reading] == [CorrectionKind.RESTORE_PROTECTION]
    assert alerts(world) == []
    assert world.is_protected(approved.signal_id)
    assert len(world.standing()) == 2


async def test_stop_that_cannot_be_restored_flattens_within_the_budget() -> None:
    """P4: a position whose stop was lost is as naked as one that never had one."""
    world = World()
    approved = await entered(world)
    world.cancel_by_hand(OrderRole.STOP_LOSS, approved)
    world.venue.fail("POST algoOrder", *[refused(-4045)] * 500)
    before = world.clock()
    await world.process().flow.reconcile()
    assert world.held() == 0
    assert (world.clock() - before).total_seconds() < 12
    assert closed(world, approved).reason is CloseReason.UNPROTECTED


async def test_stop_past_the_price_is_not_restored_but_closed() -> None:
    world = World()
    approved = await entered(world)
    world.cancel_by_hand(OrderRole.STOP_LOSS, approved)
    world.venue.price("48500")
    await world.process().flow.reconcile()
    assert world.held() == 0
    assert closed(world, approved).reason is CloseReason.UNPROTECTED


async def test_restore_while_the_exchange_is_away_goes_on_at_the_next_look() -> None:
    world = World()
    approved = await entered(world)
    world.cancel_by_hand(OrderRole.STOP_LOSS, approved)
    world.venue.fail("POST algoOrder", *[unavailable()] * 6)
    process = world.process()
    await process.flow.reconcile()
    assert world.is_protected(approved.signal_id)


async def test_symbol_that_resists_does_not_keep_the_others_from_being_healed() -> None:
    world = World()
    btc, eth = await entered(world, "btc"), await entered(world, "eth", "ETHUSDT")
    for approved in (btc, eth):
        world.cancel_by_hand(OrderRole.STOP_LOSS, approved)
    world.market.known.pop(BTC)  # what it takes to place BTC's stop cannot be had
    await world.process().flow.reconcile()
    assert world.is_protected(eth.signal_id)
    assert not world.is_protected(btc.signal_id)


async def test_manual_position_is_reported_at_the_second_look_and_never_touched() -> None:
    world = World()
    world.by_hand("buy", "0.2")
    process = world.process()
    assert await kinds(process) == [CorrectionKind.REPORT_EXTERNAL]
    assert alerts(world) == []
    for _ in range(3):
        world.clock.advance(60)
        await process.flow.reconcile()
    [told] = alerts(world)
    assert told.kind == "report_external"
    assert "neither protects nor closes" in told.text
    assert world.held() == Decimal("0.2")


async def test_alarm_that_was_over_is_raised_again() -> None:
    world = World()
    process = world.process()
    for _ in range(2):
        world.by_hand("buy", "0.2")
        for _ in range(2):
            world.clock.advance(60)
            await process.flow.reconcile()
        world.by_hand("sell", "0.2")
        world.clock.advance(60)
        await process.flow.reconcile()
    assert len(alerts(world)) == 2


async def test_position_that_closes_between_the_two_reads_is_no_external_one() -> None:
    world = World()
    approved = await entered(world)
    process = world.process()
    reading = asyncio.create_task(process.flow.reconcile())
    await until(lambda: world.venue.sent("GET openOrders"))
    await world.process().flow.on_control(sent(close_request(at=world.clock())))
    await reading
    assert closed(world, approved).reason is CloseReason.EXIT_SIGNAL
    await process.flow.reconcile()
    assert alerts(world) == []


async def test_quantity_changed_by_hand_is_reported() -> None:
    world = World()
    approved = await entered(world)
    world.by_hand("sell", "0.04")
    process = world.process()
    for _ in range(2):
        await process.flow.reconcile()
    [told] = alerts(world)
    assert told.kind == "report_quantity"
    assert world.is_protected(approved.signal_id)


async def test_stray_stop_of_ours_is_swept_and_told() -> None:
    world = World()
    approved = await entered(world)
    await world.process().flow.on_control(sent(close_request(at=world.clock())))
    await _stray(world, approved, "0.1")
    process = world.process()
    assert await kinds(process) == [CorrectionKind.CANCEL_ALGO]
    assert world.standing() == set()
    [told] = alerts(world)
    assert told.kind == "cancel_algo"


async def test_stop_of_ours_over_a_position_that_our_books_do_not_know_is_left_standing() -> None:
    """A lost database must not strip live positions of their stops."""
    world = World()
    await entered(world)
    world.store.entries.clear()
    process = world.process()
    for _ in range(3):
        await process.flow.reconcile()
    assert len(world.standing()) == 2
    assert [each.kind for each in alerts(world)] == ["take_over"]


async def test_margin_setups_of_others_are_left_alone() -> None:
    world = World()
    await entered(world)
    await world.exchange.set_leverage("ETHUSDT", 3)
    await world.process().flow.reconcile()
    assert set(await world.store.margin_setups()) == {BTC}


async def test_intent_that_nobody_took_up_expires_at_the_next_look() -> None:
    world = World()
    approved = approval(at=world.clock())
    await world.store.record_intent("queue", "event", approved, "p95test-x-e")
    world.clock.advance(31)
    await world.process().flow.reconcile()
    assert world.store.entries[approved.signal_id].state is EntryState.EXPIRED


async def test_reconciliation_during_an_entry_leaves_it_alone() -> None:
    world = World()
    approved = approval(at=world.clock())
    process, keeper = world.process(), world.process()
    opening = asyncio.create_task(process.flow.on_execution(sent(approved)))
    while not opening.done():
        await keeper.flow.reconcile()
    await opening
    assert world.is_protected(approved.signal_id)
    assert world.entry_orders(approved) == ["FILLED"]
    assert alerts(world) == []


async def test_two_replicas_with_the_same_approval_send_one_order() -> None:
    world = World()
    approved = approval(at=world.clock())
    await asyncio.gather(*(world.process().flow.on_execution(sent(approved)) for _ in range(4)))
    assert len(world.venue.sent("POST order")) == 1
    assert world.is_protected(approved.signal_id)


async def _stray(world: World, approved: TradeApproved, quantity: str) -> None:
    world.by_hand("buy", quantity)
    entry = world.store.entries[approved.signal_id]
    process = world.process()
    assert entry.entry_price is not None
    await process.protection.place(entry, entry.entry_price)
    world.cancel_by_hand(OrderRole.TAKE_PROFIT, approved)
    world.by_hand("sell", quantity)


async def test_what_is_only_compared_does_not_end_a_reconciliation_nor_a_start() -> None:
    """A start that ends for it is repeated for ever, and nobody looks after what is open."""
    world = World()
    approved = await entered(world)
    world.cancel_by_hand(OrderRole.STOP_LOSS, approved)
    world.venue.fail("GET symbolConfig", *[refused(-1102)] * 10)
    assert await kinds(world.process()) == [CorrectionKind.RESTORE_PROTECTION]
    assert world.is_protected(approved.signal_id)
