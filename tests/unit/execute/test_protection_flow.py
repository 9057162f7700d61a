"""Protecting on the twins: the stop stands within its budget, or the position is closed (P4)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.execute.order_state import EntryState
from shared.errors import RedisUnavailable
from shared.models import (
    OrderEnded,
    OrderFilled,
    PositionClosed,
    ProtectionPlaced,
)
from shared.values import CloseReason, OutcomeKind
from tests.twins.execution import World
from tests.twins.venue import Fault, lost_answer, refused, unavailable
from tests.unit.execute.builders import (
    BTC,
    NOON,
    PRICE,
    approval,
    close_request,
    entry,
    sent,
)
from tests.unit.execute.entries import ENTERED, enter, kinds, state_of


@pytest.mark.parametrize("executed", [True, False])
async def test_lost_answer_to_a_stop_is_repeated_without_a_second_stop(executed: bool) -> None:
    world, approved = World(), approval()
    world.venue.fail("POST algoOrder", lost_answer(executed=executed))
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED
    assert len(world.standing()) == 2


@pytest.mark.parametrize("position", [0, 1])
async def test_price_beyond_stop_or_target_closes_at_once(position: int) -> None:
    world, approved = World(), approval()
    nothing = [refused(-1)] * position  # the target is placed second; a refusal of the stop alone is retried
    world.venue.fail("POST algoOrder", *nothing, refused(-2021))
    await enter(world, approved)
    assert world.held() == 0
    assert world.standing() == set()
    *_, failed, closed = world.told(approved.signal_id)
    assert isinstance(failed, OrderEnded)
    assert (failed.outcome, failed.reason) == (OutcomeKind.FAILED, "closed:unprotected")
    assert isinstance(closed, PositionClosed)
    assert closed.reason is CloseReason.UNPROTECTED
    assert world.clock() - NOON < timedelta(seconds=1)


@pytest.mark.parametrize(
    "trouble",
    [
        refused(-4045),  # too many stops
        refused(-4014),  # off its tick
        refused(-4131),  # beyond the price limits
        refused(-1008, 503),  # throttled by the system
        refused(-1000, 503),  # status unknown
        refused(-4117),  # another one is triggering
        unavailable(),
    ],
)
async def test_protection_that_is_not_to_be_had_until_the_budget_is_used_up_flattens(trouble: Fault) -> None:
    world, approved = World(), approval()
    world.venue.fail("POST algoOrder", *[trouble] * 200)
    await enter(world, approved)
    assert world.held() == 0
    assert timedelta(seconds=10) <= world.clock() - NOON < timedelta(seconds=11)
    assert state_of(world, approved) is EntryState.CLOSED
    assert isinstance(world.told(approved.signal_id)[-1], PositionClosed)


async def test_protection_that_comes_within_the_budget_is_kept() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST algoOrder", *[refused(-4045)] * 20)
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED
    protection = world.told(approved.signal_id)[2]
    assert isinstance(protection, ProtectionPlaced)
    assert Decimal(2) < protection.unprotected_s < Decimal(4)


async def test_stop_stands_although_the_database_is_away() -> None:
    """P4: the fill cannot be recorded, but the position is not naked meanwhile."""
    world, approved = World(), approval()
    process = world.process()
    process.entries._store = _NoFills(world.store)  # type: ignore[assignment]
    with pytest.raises(ConnectionError):
        await process.flow.on_execution(sent(approved))
    assert state_of(world, approved) is EntryState.SENDING
    assert len(world.standing()) == 2
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED


async def test_protected_position_found_late_is_kept_and_not_flattened() -> None:
    world, approved = World(), approval()
    process = world.process()
    process.protection._store = _NoProtection(world.store)  # type: ignore[assignment]
    with pytest.raises(ConnectionError):
        await process.flow.on_execution(sent(approved))
    assert state_of(world, approved) is EntryState.FILLED
    world.clock.advance(60)
    await enter(world, approved)
    assert state_of(world, approved) is EntryState.PROTECTED
    assert world.held() == Decimal("0.1")


async def test_budget_is_measured_on_the_exchanges_clock() -> None:
    world, approved = World(), approval()
    world.venue.options["timeDifference"] = 60_000  # ours is a minute ahead of the exchange's
    world.venue.milliseconds = lambda: int(  # type: ignore[method-assign]
        (world.clock() - timedelta(minutes=1)).timestamp() * 1000
    )
    world.venue.core.clock = world.venue.milliseconds
    world.venue.fail("POST algoOrder", refused(-4045))
    await enter(world, approved)
    assert state_of(world, approved) is EntryState.PROTECTED


async def test_rules_that_cannot_be_read_do_not_lose_the_fill() -> None:
    world, approved = World(), approval()
    process = world.process()
    await world.market.instrument(BTC)
    process.protection._market = _NoRules()  # type: ignore[assignment]
    with pytest.raises(RedisUnavailable):
        await process.flow.on_execution(sent(approved))
    assert state_of(world, approved) is EntryState.FILLED
    assert OrderFilled in kinds(world.told(approved.signal_id))


async def test_stop_placed_for_a_position_that_another_process_closed_is_withdrawn() -> None:
    world, approved = World(), approval()
    process = world.process()
    await process.flow.on_execution(sent(approved))
    stands = world.store.entries[approved.signal_id]
    await process.flow.on_control(sent(close_request(at=world.clock())))
    world.by_hand("buy", "0.1")
    stale = entry(EntryState.FILLED, approval=approved)
    await process.protection.conclude(stale, await process.protection.place(stale, PRICE))
    assert world.standing() == set()
    report = await world.exchange.find_order(BTC, stands.client_id)
    assert report is not None
    await process.entries._record_report(entry(EntryState.SENDING, approval=approved), report)
    assert world.standing() == set()
    assert kinds(world.told(approved.signal_id)) == [*ENTERED, PositionClosed]


class _Delegate:
    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


class _NoFills(_Delegate):
    async def record_fill(self, *_: object) -> None:
        raise ConnectionError


class _NoProtection(_Delegate):
    async def record_protected(self, *_: object) -> None:
        raise ConnectionError


class _NoRules:
    async def instrument(self, symbol: str) -> None:
        raise RedisUnavailable("away")
