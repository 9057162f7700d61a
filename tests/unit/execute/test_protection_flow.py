"""Protecting on the twins: the stop stands within its budget, or the position is closed (P4)."""

import dataclasses
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.execute.order_state import EntryState
from shared.errors import RedisUnavailable
from shared.ids import OrderRole
from shared.models import (
    OrderEnded,
    OrderFilled,
    OrderRefused,
    PositionClosed,
    PositionOpened,
    ProtectionPlaced,
    TradeApproved,
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
    sizing,
)
from tests.unit.execute.entries import ENTERED, enter, kinds, state_of

ALGO = "post/fapiv1algoorder"


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
    *_, protection, opened = world.told(approved.signal_id)
    assert isinstance(protection, ProtectionPlaced)
    assert isinstance(opened, PositionOpened)
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


# --- the exchange's words (P10), and a target that is not worth a position ---


def refuse_role(world: World, role: str, code: int, text: str) -> None:
    """Refuse every stop (`-s`) or target (`-t`) from now on."""
    true = world.venue._endpoints[ALGO]

    def handler(params: Any) -> Any:
        if params["clientAlgoId"].endswith(role):
            raise_(code, text)
        return true.handler(params)

    world.venue._endpoints[ALGO] = dataclasses.replace(true, handler=handler)


def raise_(code: int, text: str = "no") -> None:
    error = refused(code, text=text).error
    assert error is not None
    raise error


def refusals(world: World, approved: TradeApproved) -> list[OrderRefused]:
    return [each for each in world.told(approved.signal_id) if isinstance(each, OrderRefused)]


@pytest.mark.parametrize("code", [-4130, -4045, -4014, -1111, -2010])
async def test_refused_stop_is_told_with_code_and_text_wherever_its_end_is(code: int) -> None:
    world, approved = World(), approval()
    refuse_role(world, "-s", code, "An open stop is existing.")
    await enter(world, approved)
    assert world.held() == 0
    [refusal] = [each for each in refusals(world, approved) if each.role == "stop_loss"]
    assert (refusal.code, refusal.text) == (code, "An open stop is existing.")
    *_, failed, closed = world.told(approved.signal_id)
    assert isinstance(failed, OrderEnded)
    assert isinstance(closed, PositionClosed)
    for words in (failed.detail, closed.detail):
        assert str(code) in words
        assert "An open stop is existing." in words


@pytest.mark.parametrize("code", [-4130, -4045, -4014, -1111, -2010, -1102])
async def test_refused_target_does_not_flatten_a_position_whose_stop_is_open(code: int) -> None:
    world, approved = World(), approval()
    true = dict(world.venue._endpoints)
    refuse_role(world, "-t", code, "no target today")
    await enter(world, approved)
    assert state_of(world, approved) is EntryState.PROTECTED
    assert [each[-2:] for each in world.standing()] == ["-s"]
    [refusal] = refusals(world, approved)
    assert (refusal.role, refusal.code, refusal.next_step) == ("take_profit", code, "target_later")
    process = world.process()
    for _ in range(20):
        world.clock.advance(15)
        await process.flow.reconcile()
    assert world.held() == Decimal("0.1")
    targets = [each for each in world.venue.sent("POST algoOrder") if each["clientAlgoId"][-2:] == "-t"]
    assert 3 < len(targets) < 20
    world.venue._endpoints = true
    world.clock.advance(300)
    await process.flow.reconcile()
    assert world.is_protected(approved.signal_id), "it is put there when the exchange takes it"


async def test_target_whose_price_is_reached_already_takes_the_profit() -> None:
    world, approved = World(), approval()
    await enter(world, approved)
    world.cancel_by_hand(OrderRole.TAKE_PROFIT, approved)
    refuse_role(world, "-t", -2021, "Order would immediately trigger.")
    await world.process().flow.reconcile()
    closed = next(each for each in world.told(approved.signal_id) if isinstance(each, PositionClosed))
    assert closed.reason is CloseReason.TAKE_PROFIT


async def test_stop_beside_a_strangers_stop_names_its_quantity() -> None:
    """-4130: one order that closes the whole position may be open on each side, and this one is not ours."""
    world, approved = World(), approval()
    world.venue.fail("POST algoOrder", *[refused(-4130)] * 2)
    await enter(world, approved)
    assert state_of(world, approved) is EntryState.PROTECTED
    stop = [each for each in world.venue.sent("POST algoOrder") if each["clientAlgoId"][-2:] == "-s"][-1]
    assert (stop["quantity"], stop["reduceOnly"], stop.get("closePosition")) == ("0.1", "true", None)
    assert world.clock() - NOON < timedelta(seconds=1)


async def test_stop_off_the_tick_is_tried_again_with_new_rules() -> None:
    world, approved = World(), approval()
    await world.market.instrument(BTC)
    true = world.market.known[BTC]
    world.market.known[BTC] = msgspec.structs.replace(true, tick_size=Decimal("0.07"))
    await world.process(market_order=True).flow.on_execution(sent(approved))
    assert state_of(world, approved) is EntryState.PROTECTED
    assert world.market.known[BTC] == true, "the rules were read again"
    assert world.clock() - NOON < timedelta(seconds=1)


async def test_stop_whose_tick_the_list_does_not_name_is_found_within_the_budget() -> None:
    world, approved = World(), approval()
    true = world.venue._endpoints[ALGO]

    def handler(params: Any) -> Any:
        if Decimal(params["triggerPrice"]) % 10:
            raise_(-4014)
        return true.handler(params)

    world.venue._endpoints[ALGO] = dataclasses.replace(true, handler=handler)
    world.venue.price("50003.3")
    await enter(world, approval(sizing=sizing(reference_price=Decimal("50003.3"))))
    assert state_of(world, approved) is EntryState.PROTECTED


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
