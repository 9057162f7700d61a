"""kill -9 at every moment: before and after each call of EXECUTE to the outside, in every story it has.

Whatever was being done, the process that comes up afterwards leaves at most one entry order, a position that
is protected or gone, no stray order of ours, and exactly one end told of each signal (P2, P3, P4, P6).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from services.execute.order_state import FINAL, EntryState
from shared.ids import OrderRole
from shared.models import (
    CloseIgnored,
    Envelope,
    OrderEnded,
    PositionClosed,
    PositionOpened,
    TradeApproved,
)
from shared.values import Side
from tests.twins.execution import Process, World
from tests.twins.fuse import Fuse, Killed
from tests.twins.venue import lost_answer, refused
from tests.unit.execute.builders import approval, client_id, close_request, sent

MOMENTS_MAX = 1_000
ALWAYS = pytest.mark.parametrize("down_s", [0.5, 60.0])


@dataclass(frozen=True)
class Story:
    """What stands before, what is done while death comes, and which messages are delivered again after it."""

    before: Callable[[World], Awaitable[None]]
    act: Callable[[World, Process], Awaitable[None]]
    messages: tuple[Envelope, ...]
    approvals: tuple[TradeApproved, ...]
    protection_timeout_s: int = 10
    refusals: int = 0
    """So many entry orders are surely refused, and followed by another one."""


ONE = approval("one")
EXIT = close_request("exit", at=ONE.signal_received_at + timedelta(seconds=5))
OPPOSITE = approval(
    "opposite",
    at=ONE.signal_received_at + timedelta(seconds=1),
    side=Side.SHORT,
    closes_opposite=True,
)


async def nothing(_: World) -> None:
    return


async def entered(world: World) -> None:
    await world.process().flow.on_execution(sent(ONE))


async def answer_will_be_lost(world: World) -> None:
    world.venue.fail("POST order", lost_answer(executed=True))


async def rules_have_changed(world: World) -> None:
    world.venue.fail("POST order", refused(-4014))


async def order_meets_other_leverage(world: World) -> None:
    world.venue.just_before("POST order", lambda: world.venue.stands_at(125))


async def stop_will_be_refused(world: World) -> None:
    world.venue.fail("POST algoOrder", refused(-2021))


async def protection_will_be_slow(world: World) -> None:
    world.venue.fail("POST algoOrder", *[refused(-4045)] * 5)


async def protection_will_never_come(world: World) -> None:
    world.venue.fail("POST algoOrder", *[refused(-4045)] * 100)


async def stopped_out(world: World) -> None:
    await entered(world)
    world.venue.price("48900")


async def stop_is_gone(world: World) -> None:
    await entered(world)
    world.cancel_by_hand(OrderRole.STOP_LOSS, ONE)


async def given_up_but_filled(world: World) -> None:
    world.venue.fail("POST order", lost_answer(executed=True))
    world.venue.fail("GET order", *[refused(-2013)] * 200)
    await entered(world)
    world.venue.heal()


async def deliver_entry(_: World, process: Process) -> None:
    await process.flow.on_execution(sent(ONE))


async def deliver_opposite(_: World, process: Process) -> None:
    await process.flow.on_execution(sent(OPPOSITE))


async def deliver_exit(_: World, process: Process) -> None:
    await process.flow.on_control(sent(EXIT))


async def reconcile(_: World, process: Process) -> None:
    await process.flow.reconcile()


async def exit_overtakes(_: World, process: Process) -> None:
    await process.flow.on_control(sent(EXIT))
    await process.flow.on_execution(sent(ONE))


STORIES = {
    "entry": Story(nothing, deliver_entry, (sent(ONE),), (ONE,)),
    "entry, answer lost": Story(answer_will_be_lost, deliver_entry, (sent(ONE),), (ONE,)),
    "entry, rules changed": Story(rules_have_changed, deliver_entry, (sent(ONE),), (ONE,), refusals=1),
    "entry, leverage changed": Story(order_meets_other_leverage, deliver_entry, (sent(ONE),), (ONE,)),
    "entry, past the stop": Story(stop_will_be_refused, deliver_entry, (sent(ONE),), (ONE,)),
    "entry, slow protection": Story(protection_will_be_slow, deliver_entry, (sent(ONE),), (ONE,)),
    "entry, no protection": Story(protection_will_never_come, deliver_entry, (sent(ONE),), (ONE,), 2),
    "exit": Story(entered, deliver_exit, (sent(ONE), sent(EXIT)), (ONE,)),
    "exit before its entry": Story(nothing, exit_overtakes, (sent(EXIT), sent(ONE)), (ONE,)),
    "stop fired": Story(stopped_out, reconcile, (sent(ONE),), (ONE,)),
    "stop cancelled by hand": Story(stop_is_gone, reconcile, (sent(ONE),), (ONE,)),
    "reversal": Story(entered, deliver_opposite, (sent(ONE), sent(OPPOSITE)), (ONE, OPPOSITE)),
    "adoption": Story(given_up_but_filled, reconcile, (sent(ONE),), (ONE,)),
}


async def die_at(story: Story, moment: int) -> tuple[World, Process]:
    world = World()
    await story.before(world)
    mortal = world.process(Fuse(moment), protection_timeout_s=Decimal(story.protection_timeout_s))
    try:
        await story.act(world, mortal)
    except Killed:
        assert mortal.fuse.has_blown
    return world, mortal


async def come_back(world: World, story: Story, down_s: float) -> None:
    """Start again as the service does: reconcile, take what is delivered again, reconcile on and on."""
    world.clock.advance(down_s)
    process = world.process()
    await process.flow.reconcile()
    for message in story.messages:
        consume = (
            process.flow.on_execution
            if isinstance(message.payload, TradeApproved)
            else process.flow.on_control
        )
        await consume(message)
    world.venue.heal()
    for _ in range(3):
        world.clock.advance(15)
        await process.flow.reconcile()
    world.outbox.sweep()


def check(world: World, story: Story) -> None:
    alive = Decimal(0)
    for approved in story.approvals:
        entry = world.store.entries.get(approved.signal_id)
        assert entry is not None
        assert len(world.entry_orders(approved)) <= 1
        assert (
            len([each for each in world.venue.sent("POST order") if _is_entry(each, approved)])
            <= 1 + story.refusals
        )
        facts = world.told(approved.signal_id)
        assert entry.state in FINAL | {EntryState.PROTECTED}, entry.state
        if entry.state is EntryState.PROTECTED:
            assert world.is_protected(approved.signal_id)
            alive += entry.filled_quantity * entry.side.sign
        ends = [each for each in facts if isinstance(each, OrderEnded | PositionOpened)]
        was_adopted = len(ends) == 2 and isinstance(ends[0], OrderEnded) and ends[0].reason == "unknown"
        assert len(ends) == 1 or was_adopted, ends
        closes = [each for each in facts if isinstance(each, PositionClosed)]
        assert len(closes) == (entry.state is EntryState.CLOSED)
    assert world.held() == alive, "what the exchange holds is what stands protected in the books"
    assert len(world.standing()) == (2 if alive else 0), "no stray order of ours"
    if any(isinstance(each.payload, type(EXIT)) for each in story.messages):
        check_exit_ended_once(world)


def check_exit_ended_once(world: World) -> None:
    """P2 for the exit: closed in its name or told that there was nothing to close; not both, not neither."""
    closed = [
        each.payload
        for each in world.outbox.staged.values()
        if isinstance(each.payload, PositionClosed) and each.payload.closed_by == EXIT.signal_id
    ]
    ignored = [each for each in world.told(EXIT.signal_id) if isinstance(each, CloseIgnored)]
    assert len(closed) + len(ignored) == 1, (closed, ignored)


def _is_entry(params: dict[str, str], approved: TradeApproved) -> bool:
    return params["newClientOrderId"] == client_id(approved)


@ALWAYS
@pytest.mark.parametrize("name", STORIES)
async def test_kill_at_every_moment(name: str, down_s: float) -> None:
    story = STORIES[name]
    for moment in range(1, MOMENTS_MAX):
        world, mortal = await die_at(story, moment)
        died_in = mortal.fuse.moments[-1]
        await come_back(world, story, down_s)
        try:
            check(world, story)
        except AssertionError as error:
            raise AssertionError(f"{name}: killed at moment {moment}, {died_in}, down {down_s} s") from error
        if not mortal.fuse.has_blown:
            assert moment > 10, "the story has too few moments to be told"
            return
    raise AssertionError("the story never ends")


async def test_nobody_dies_and_every_message_comes_twice() -> None:
    for story in STORIES.values():
        world, _ = await die_at(story, MOMENTS_MAX * 10)
        for _ in range(2):
            await come_back(world, story, 0.5)
        check(world, story)
