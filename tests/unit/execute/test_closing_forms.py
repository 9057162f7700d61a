"""A close always ends: a form that the exchange refuses is changed, never repeated, and said in its words."""

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from services.execute import closing_forms
from services.execute.closing_forms import Refusal, is_of_form, next_tick
from services.execute.error_classes import RULE_CODES, ErrorKind, VenueFailure, VenueRefused, classify
from services.execute.order_state import EntryState
from shared.market import Instrument
from shared.models import AlertRaised, OrderRefused, PositionClosed, TradeApproved
from shared.values import CloseReason, Side
from tests.twins.execution import World
from tests.twins.venue import Fault, refused
from tests.unit.execute.builders import BTC
from tests.unit.execute.exits import close, entered, last

RULES = Instrument(
    symbol="ADAUSDT",
    tick_size=Decimal("0.0001"),
    step_size=Decimal(1),
    quantity_min=Decimal(1),
    quantity_max=Decimal(300_000),
    notional_min_usdt=Decimal(5),
    taker_fee_rate=Decimal("0.0005"),
    brackets=(),
)
REFUSED = Fault(error=refused(-1111).error)


def orders_must_fit(world: World, step: str) -> None:
    """Let the exchange refuse what does not fit a step that its list does not name."""
    true = world.venue._endpoints["post/fapiv1order"]

    def handler(params: Any) -> Any:
        if Decimal(params["quantity"]) % Decimal(step):
            assert REFUSED.error is not None
            raise REFUSED.error
        return true.handler(params)

    world.venue._endpoints["post/fapiv1order"] = dataclasses.replace(true, handler=handler)


def closing_quantities(world: World) -> list[str]:
    return [each["quantity"] for each in world.venue.sent("POST order") if each.get("reduceOnly")]


async def go_on(world: World, times: int = 1) -> None:
    process = world.process()
    for _ in range(times):
        world.clock.advance(15)
        await process.flow.reconcile()


def refusals(world: World, approved: TradeApproved) -> list[OrderRefused]:
    return [each for each in world.told(approved.signal_id) if isinstance(each, OrderRefused)]


async def test_quantity_that_fits_no_longer_is_floored_and_the_rest_closed_without_one() -> None:
    world = World()
    approved = await entered(world)
    world.by_hand("sell", "0.003")  # 0.097 are left
    orders_must_fit(world, "0.01")
    exit_id = await close(world)
    assert closing_quantities(world) == ["0.097", "0.09", "0.007"]
    assert world.held() == Decimal("0.007")
    [whole] = [each for each in world.venue.sent("POST algoOrder") if each["clientAlgoId"][-2:] == "c4"]
    assert (whole["closePosition"], whole["type"]) == ("true", "TAKE_PROFIT_MARKET")
    [refusal] = refusals(world, approved)
    assert (refusal.role, refusal.code, refusal.text) == ("close", -1111, "refused by the test")
    alarm = last(world, approved.signal_id, AlertRaised)
    assert "a conditional order closes the whole position" in alarm.text
    stop_id = next(each for each in world.standing() if each.endswith("-s"))
    assert stop_id, "it stays protected until it is closed"

    world.venue.price("50050")
    await world.process().flow.on_order_event(BTC)
    assert world.held() == 0
    assert world.standing() == set()
    closed = last(world, approved.signal_id, PositionClosed)
    assert (closed.reason, closed.closed_by, closed.missing) == (CloseReason.EXIT_SIGNAL, exit_id, "")


async def test_close_whose_every_quantity_is_refused_is_closed_by_the_exchange_itself() -> None:
    world = World()
    approved = await entered(world)
    orders_must_fit(world, "7")
    await close(world)
    sent = closing_quantities(world)
    assert len(sent) == len(set(sent)), "nothing is repeated unchanged"
    world.venue.price("50050")
    await go_on(world)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL


async def test_order_for_the_whole_position_follows_the_price_until_it_fires() -> None:
    world = World()
    process = world.process()
    approved = await entered(world)
    orders_must_fit(world, "7")
    await close(world)
    for price in ("49900", "49800", "49700"):
        world.venue.price(price)
        world.clock.advance(61)
        await process.flow.reconcile()
        assert len([each for each in world.standing() if "-c" in each]) == 1
    world.venue.price("49710")
    await process.flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL
    assert world.standing() == set()


async def test_order_for_the_whole_position_is_not_moved_away_from_the_price() -> None:
    """Re-placed ahead of every rise, it would never fire."""
    world = World()
    process = world.process()
    approved = await entered(world)
    orders_must_fit(world, "7")
    await close(world)
    for price in ("49990", "49990.1", "49990.1"):
        world.venue.price(price)
        world.clock.advance(61)
        await process.flow.reconcile()
    placed = [each for each in world.venue.sent("POST algoOrder") if "-c" in each["clientAlgoId"]]
    assert [each["triggerPrice"] for each in placed] == ["50000.1", "49990.1"]
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL


async def test_order_for_the_whole_position_is_no_orphan() -> None:
    world = World()
    await entered(world)
    orders_must_fit(world, "7")
    await close(world)
    before = {each for each in world.standing() if "-c" in each}
    process = world.process()
    process.exits._rests.update(
        {each: (world.clock().replace(year=2030), 60) for each in world.store.entries}
    )
    await process.flow.reconcile()
    assert {each for each in world.standing() if "-c" in each} == before != set()


async def test_quantity_above_the_most_of_a_market_order_goes_in_parts() -> None:
    world = World()
    approved = await entered(world)
    true = world.venue._endpoints["post/fapiv1order"]

    def at_most(params: Any) -> Any:
        if Decimal(params["quantity"]) > Decimal("0.03"):
            raise_(-4005)
        return true.handler(params)

    world.venue._endpoints["post/fapiv1order"] = dataclasses.replace(true, handler=at_most)
    await close(world)
    assert world.held() == 0
    assert last(world, approved.signal_id, PositionClosed).missing == ""
    assert closing_quantities(world)[:3] == ["0.1", "0.05", "0.025"]


def raise_(code: int) -> None:
    error = refused(code).error
    assert error is not None
    raise error


async def test_closing_a_whole_position_spares_what_a_stranger_holds_of_it() -> None:
    world = World()
    approved = await entered(world)
    world.by_hand("buy", "0.5")
    orders_must_fit(world, "7")
    await close(world)
    assert [each for each in world.standing() if "-c" in each] == []
    assert world.held() == Decimal("0.6")
    assert world.store.entries[approved.signal_id].state is EntryState.CLOSING


async def test_what_resists_rests_and_is_reported_with_code_and_text() -> None:
    world = World()
    process = world.process()
    approved = await entered(world)
    world.venue.fail("POST order", *[refused(-4400, text="Quantitative rules violated.")] * 2_000)
    world.venue.fail("POST algoOrder", *[refused(-4400, text="Quantitative rules violated.")] * 2_000)
    await close(world)
    alarm = last(world, approved.signal_id, AlertRaised)
    assert "-4400" in alarm.text
    assert "Quantitative rules violated." in alarm.text
    before = len(world.venue.sent("POST order"))
    for _ in range(600):
        world.clock.advance(1)
        for each in await process.rescue.stalled():
            await process.rescue.take_up(each)
    assert len(world.venue.sent("POST order")) - before < 60, "ten minutes of a close that is always refused"
    world.venue.heal()
    await go_on(world, 5)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL


async def test_new_request_does_not_wait_for_the_rest() -> None:
    world = World()
    approved = await entered(world)
    process = world.process()
    world.venue.fail("POST order", *[refused(-2010)] * 3)
    entry = world.store.entries[approved.signal_id]
    await process.exits.close(entry, CloseReason.EXIT_SIGNAL, "first")
    assert world.held() > 0
    await process.exits.close(entry, CloseReason.EXIT_SIGNAL, "second")
    assert world.held() == 0


async def test_position_that_cannot_be_read_is_closed_all_the_same() -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("GET v3/positionRisk", *[refused(-1102)] * 50)
    await close(world)
    assert world.held() == 0
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL


# --- the table of forms ---


@pytest.mark.parametrize("code", [*RULE_CODES, -1100, -1102, -1106, -1111, -1130])
def test_codes_of_form(code: int) -> None:
    failure = VenueFailure(status=400, code=code, text="no")
    assert is_of_form(VenueRefused(classify(failure), failure))


@pytest.mark.parametrize("code", [-2010, -2019, -2022, -2023, -4131, -4400])
def test_codes_of_the_moment(code: int) -> None:
    failure = VenueFailure(status=400, code=code, text="no")
    assert not is_of_form(VenueRefused(ErrorKind.REFUSED, failure))


def test_forms_end_and_none_comes_twice() -> None:
    for code in (-1111, -4005):
        refused_so_far: dict[Decimal, Refusal] = {}
        while (found := closing_forms.quantity(Decimal(9_376), RULES, refused_so_far)) is not None:
            assert found not in refused_so_far
            assert 0 < found <= 9_376
            refused_so_far[found] = Refusal(code=code)
            assert len(refused_so_far) < 20
    assert closing_forms.quantity(Decimal(6), None, {Decimal(6): Refusal(code=-1111)}) is None


@pytest.mark.parametrize(
    ("side", "mark", "expected"),
    [(Side.LONG, "0.50005", "0.5002"), (Side.SHORT, "0.50005", "0.4999"), (Side.LONG, "0.5", "0.5001")],
)
def test_next_tick_is_ahead_of_the_price(side: Side, mark: str, expected: str) -> None:
    assert next_tick(Decimal(mark), side, RULES.tick_size) == Decimal(expected)
