"""What a frozen process let fall is taken up: in time for P4, without a second order (P3), never twice."""

import asyncio
from datetime import timedelta

import pytest

from services.execute.order_state import EntryState
from services.execute.rescue import AT_ONCE_MAX, CLOSING_S, IN_DOUBT_S
from shared.errors import DatabaseUnavailable
from shared.models import OrderEnded, PositionClosed, PositionOpened, ProtectionPlaced
from tests.twins.execution import Process, World, until
from tests.twins.fuse import Fuse, Killed
from tests.twins.venue import lost_answer, refused
from tests.unit.execute.builders import approval, close_request, entry, sent

ONE = approval("one")


async def rescue(world: World, process: Process | None = None) -> list[str]:
    """Look once, as another process, and take up what is found."""
    rescuer = (process or world.process()).rescue
    found = await rescuer.stalled()
    await asyncio.gather(*(rescuer.take_up(each) for each in found))
    return [each.signal_id for each in found]


async def frozen_in(world: World, moment: str) -> None:
    """Let a process enter and fall silent for ever right after a moment."""
    probe = World().process()
    await probe.flow.on_execution(sent(ONE))
    process = world.process(Fuse(probe.fuse.moments.index(moment) + 1))
    with pytest.raises(Killed):
        await process.flow.on_execution(sent(ONE))


@pytest.mark.parametrize("moment", ["after exchange.place_entry", "after store.record_fill"])
async def test_position_of_a_frozen_process_is_protected_by_another_within_the_budget(moment: str) -> None:
    world = World()
    await frozen_in(world, moment)
    for client_id in tuple(world.standing()):
        await world.exchange.cancel_algo(client_id)  # as if it had been frozen before placing them
    world.clock.advance(IN_DOUBT_S + 1)
    assert await rescue(world) == [ONE.signal_id]
    assert world.is_protected(ONE.signal_id)
    [protection] = [each for each in world.told(ONE.signal_id) if isinstance(each, ProtectionPlaced)]
    assert protection.unprotected_s < 4
    assert world.entry_orders(ONE) == ["FILLED"]


async def test_entry_that_was_claimed_and_never_sent_is_looked_up_and_ends_as_unknown() -> None:
    world = World()
    await frozen_in(world, "after store.claim")
    world.clock.advance(IN_DOUBT_S + 1)
    await rescue(world)
    [ended] = world.told(ONE.signal_id)
    assert isinstance(ended, OrderEnded)
    assert ended.reason == "unknown"
    assert world.venue.sent("POST order") == []


async def test_position_whose_closer_was_frozen_is_closed_by_another() -> None:
    world = World()
    await world.process().flow.on_execution(sent(ONE))
    stands = world.store.entries[ONE.signal_id]
    async with world.store.transaction() as tx:
        await world.store.record_closing(tx, stands, close_request().reason, "sig-exit")
    world.clock.advance(CLOSING_S + 1)
    await rescue(world)
    closed = world.told(ONE.signal_id)[-1]
    assert isinstance(closed, PositionClosed)
    assert closed.closed_by == "sig-exit"
    assert world.held() == 0
    assert world.standing() == set()


async def test_fresh_entries_are_left_to_who_has_them() -> None:
    world = World()
    await frozen_in(world, "after store.claim")
    world.clock.advance(IN_DOUBT_S - 1)
    assert await rescue(world) == []


async def test_entry_in_the_own_hand_is_left_alone_however_long_it_takes() -> None:
    world = World()
    process = world.process()
    world.venue.fail("POST algoOrder", *[refused(-4045)] * 60)
    entering = asyncio.create_task(process.flow.on_execution(sent(ONE)))
    await until(lambda: world.clock() - ONE.signal_received_at > timedelta(seconds=5))
    assert await rescue(world, process) == []
    await entering


async def test_two_rescuers_and_the_thawed_owner_make_one_protected_position() -> None:
    world = World()
    world.venue.fail("POST order", lost_answer(executed=True))
    world.venue.fail("GET order", *[refused(-2013)] * 12)
    owner = asyncio.create_task(world.process().flow.on_execution(sent(ONE)))
    await until(lambda: world.clock() - ONE.signal_received_at > timedelta(seconds=3))
    await asyncio.gather(rescue(world), rescue(world), owner)
    assert world.is_protected(ONE.signal_id)
    assert len(world.standing()) == 2
    assert world.entry_orders(ONE) == ["FILLED"]
    opened = [each for each in world.told(ONE.signal_id) if isinstance(each, PositionOpened)]
    assert len(opened) == 1


async def test_rescue_that_fails_is_tried_again_at_a_later_look() -> None:
    world = World()
    await frozen_in(world, "after exchange.place_entry")
    world.clock.advance(IN_DOUBT_S + 1)
    process = world.process()
    world.venue.fail("GET order", refused(-1102))
    assert await rescue(world, process) == [ONE.signal_id]
    assert world.store.entries[ONE.signal_id].state is EntryState.SENDING
    assert await rescue(world, process) == [], "not at once: what fails for ever is not to be hammered"
    world.clock.advance(1)
    assert await rescue(world, process) == [ONE.signal_id]
    assert world.is_protected(ONE.signal_id)


async def test_database_that_is_away_is_asked_again_at_the_next_look() -> None:
    world = World()
    process = world.process()
    await frozen_in(world, "after exchange.place_entry")
    world.clock.advance(IN_DOUBT_S + 1)
    working = process.rescue._store
    process.rescue._store = _Away()  # type: ignore[assignment]
    assert await rescue(world, process) == []
    process.rescue._store = working
    assert await rescue(world, process) == [ONE.signal_id]


async def test_unprotected_positions_come_first_and_not_all_at_once() -> None:
    world = World()
    for number in range(AT_ONCE_MAX * 2):
        state = EntryState.FILLED if number % 2 else EntryState.SENDING
        made = entry(state, f"signal {number}")
        world.store.entries[made.signal_id] = made
    found = await world.process().rescue.stalled()
    assert [each.state for each in found] == [EntryState.FILLED] * AT_ONCE_MAX


class _Away:
    async def stalled(self, *_: object) -> None:
        raise DatabaseUnavailable("away")
