"""Reconciliation for all states of the world: it converges, and never touches what is not ours (P7)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.paper_exchange.commands import PlaceAlgo
from infrastructure.paper_exchange.values import AlgoType
from infrastructure.paper_exchange.values import Side as OrderSide
from services.execute.order_state import FINAL, EntryState
from shared.errors import DependencyDown
from shared.ids import OrderRole
from shared.values import CloseReason
from tests.twins.execution import World
from tests.twins.venue import lost_answer, refused, unavailable
from tests.unit.execute.builders import BTC, approval, close_request, sent

FOREIGN = "by-hand-1"

Disturbance = Callable[[World], Awaitable[None]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_reconciliation_converges_and_leaves_what_is_not_ours(data: st.DataObject) -> None:
    asyncio.run(_disturb_and_heal(data.draw(st.lists(st.sampled_from(DISTURBANCES), max_size=6))))


async def _disturb_and_heal(steps: list[Disturbance]) -> None:
    world = World()
    approved = approval(at=world.clock())
    await world.process().flow.on_execution(sent(approved))
    world.venue.core.execute(_foreign_stop())
    for step in steps:
        await step(world)
    world.venue.heal()
    process = world.process()
    for _ in range(4):
        world.clock.advance(15)
        await process.flow.reconcile()
    healed = await process.flow.reconcile()
    assert [each for each in healed if not each.kind.startswith("report_")] == [], (
        "nothing is left to correct"
    )
    entry = world.store.entries[approved.signal_id]
    assert FOREIGN in world.standing()
    assert entry.state in FINAL | {EntryState.PROTECTED}
    if entry.state is EntryState.PROTECTED:
        assert world.held() > 0
        assert world.is_protected(approved.signal_id)
    else:
        assert world.standing() == {FOREIGN}
    assert len([each for each in world.venue.sent("POST order") if "reduceOnly" not in each]) == 1


async def _exit(world: World) -> None:
    request = close_request(f"exit-{world.clock()}", at=world.clock())
    with suppress(DependencyDown):  # the consumer would come again; here reconciliation has to do
        await world.process().flow.on_control(sent(request))


async def _die_while_closing(world: World) -> None:
    entry = world.store.entries[approval().signal_id]
    async with world.store.transaction() as tx:
        await world.store.record_closing(tx, entry, CloseReason.OPERATOR, None)


async def _pass_time(world: World) -> None:
    world.clock.advance(20)
    with suppress(DependencyDown):
        await world.process().flow.reconcile()


async def _stop_cancelled(world: World) -> None:
    _cancel(world, OrderRole.STOP_LOSS)


async def _target_cancelled(world: World) -> None:
    _cancel(world, OrderRole.TAKE_PROFIT)


async def _closed_by_hand(world: World) -> None:
    if world.held() > 0:
        world.by_hand("sell", str(world.held()))


async def _reduced_by_hand(world: World) -> None:
    if world.held() > Decimal("0.02"):
        world.by_hand("sell", "0.01")


async def _added_by_hand(world: World) -> None:
    if world.held() > 0:
        world.by_hand("buy", "0.01")


async def _price_at_the_stop(world: World) -> None:
    world.venue.price("48900")


async def _price_at_the_target(world: World) -> None:
    world.venue.price("51100")


async def _answers_get_lost(world: World) -> None:
    world.venue.fail("POST algoOrder", lost_answer(executed=True))
    world.venue.fail("POST order", lost_answer(executed=False))


async def _exchange_hiccups(world: World) -> None:
    world.venue.fail("DELETE algoOrder", unavailable())
    world.venue.fail("GET algoOrder", refused(-2013))


def _cancel(world: World, role: OrderRole) -> None:
    approved = approval()
    if any(each.endswith(f"-{role.value}") for each in world.standing()):
        world.cancel_by_hand(role, approved)


def _foreign_stop() -> PlaceAlgo:
    return PlaceAlgo(
        BTC,
        OrderSide.SELL,
        AlgoType.STOP_MARKET,
        Decimal(40_000),
        Decimal("0.05"),
        reduce_only=True,
        client_algo_id=FOREIGN,
    )


DISTURBANCES: tuple[Disturbance, ...] = (
    _stop_cancelled,
    _target_cancelled,
    _closed_by_hand,
    _reduced_by_hand,
    _added_by_hand,
    _price_at_the_stop,
    _price_at_the_target,
    _exit,
    _die_while_closing,
    _answers_get_lost,
    _exchange_hiccups,
    _pass_time,
)
