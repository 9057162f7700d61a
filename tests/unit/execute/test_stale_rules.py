"""F10: an entry refused for a rule that has changed is tried once more by the rule that holds now (P3)."""

from decimal import Decimal

import msgspec
import pytest

from services.execute.error_classes import RULE_CODES
from services.execute.order_state import EntryState
from services.execute.venue import BestPrices
from shared.models import OrderEnded, OrderPlaced
from shared.values import OutcomeKind
from tests.twins.execution import World
from tests.twins.venue import Fault, lost_answer, refused, unavailable
from tests.unit.execute.builders import BTC, approval, sizing
from tests.unit.execute.entries import ENTERED, ended, enter, kinds, state_of


async def remembering(**old: object) -> World:
    """A world whose copy of the rules is older than the exchange's."""
    world = World()
    known = await world.market.instrument(BTC)
    assert known is not None
    world.market.known[BTC] = msgspec.structs.replace(known, **old)
    return world


@pytest.mark.parametrize("code", RULE_CODES)
async def test_a_refusal_for_old_rules_is_followed_by_one_more_order_of_the_same_id(code: int) -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", refused(code))
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED
    first, second = world.venue.sent("POST order")
    assert first["newClientOrderId"] == second["newClientOrderId"]
    assert first["timestamp"] == second["timestamp"]
    assert world.entry_orders(approved) == ["FILLED"]


@pytest.mark.parametrize("code", RULE_CODES)
async def test_a_second_refusal_is_the_last(code: int) -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", *[refused(code, text="the exchange's words")] * 100)
    await enter(world, approved)
    [fact] = world.told(approved.signal_id)
    assert isinstance(fact, OrderEnded)
    assert (fact.outcome, fact.reason) == (OutcomeKind.FAILED, "exchange_refused")
    assert f"{code}" in fact.detail
    assert "the exchange's words" in fact.detail
    assert len(world.venue.sent("POST order")) == 2


async def test_other_refusals_are_final_at_once() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", refused(-2019))
    await enter(world, approved)
    assert len(world.venue.sent("POST order")) == 1


async def test_a_coarser_step_makes_the_quantity_smaller_and_never_larger() -> None:
    world = await remembering(step_size=Decimal("0.0001"))
    approved = approval(sizing=sizing(quantity=Decimal("0.1009")))
    await enter(world, approved)
    assert world.held() == Decimal("0.1")
    placed = world.told(approved.signal_id)[0]
    assert isinstance(placed, OrderPlaced)
    assert placed.quantity == Decimal("0.1")
    assert world.is_protected(approved.signal_id)


async def test_a_coarser_tick_makes_another_limit() -> None:
    world, approved = await remembering(tick_size=Decimal("0.001")), approval()
    world.market.prices[BTC] = BestPrices(bid=Decimal("49999.9"), ask=Decimal("50000.13"))
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED
    first, second = world.venue.sent("POST order")
    assert Decimal(first["price"]) != Decimal(second["price"])


async def test_what_is_too_small_for_the_new_rules_is_not_sent_again() -> None:
    world = await remembering(step_size=Decimal("0.0001"), quantity_min=Decimal("0.0001"))
    approved = approval(sizing=sizing(quantity=Decimal("0.0009")))
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.FAILED, "exchange_refused")
    assert len(world.venue.sent("POST order")) == 1


async def test_an_order_that_was_carried_out_after_all_is_not_sent_again() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", Fault(error=refused(-1111).error, executed=True))
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED
    assert len(world.venue.sent("POST order")) == 1


async def test_rules_that_took_too_long_to_read_leave_the_exchange_to_refuse_the_second_order() -> None:
    """The claim's time stamp bounds both."""
    world, approved = World(), approval()
    world.venue.fail("POST order", refused(-4014))
    world.venue.just_before("GET order", lambda: world.clock.advance(3))
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.FAILED, "clock_skew")
    assert world.held() == 0


async def test_an_exchange_that_does_not_answer_the_look_gets_no_second_order() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", refused(-4014))
    world.venue.fail("GET order", unavailable())
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.FAILED, "exchange_refused")
    assert len(world.venue.sent("POST order")) == 1


async def test_the_lost_answer_of_the_second_order_is_looked_up() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", refused(-4014), lost_answer(executed=True))
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED
    assert len(world.venue.sent("POST order")) == 2


async def test_leverage_that_the_position_is_too_large_for_is_read_again_first() -> None:
    """-2027: somebody set another leverage than we believe."""
    world, approved = World(), approval()
    world.venue.just_before("POST order", lambda: world.venue.stands_at(125))
    world.venue.fail("POST order", refused(-2027))
    await enter(world, approved)
    assert state_of(world, approved) is EntryState.PROTECTED
    [held] = await world.exchange.positions(BTC)
    assert held.leverage == 20


async def test_protection_after_a_renewal_uses_the_renewed_tick() -> None:
    world, approved = await remembering(tick_size=Decimal("0.001")), approval()
    world.market.prices[BTC] = BestPrices(bid=Decimal("49999.9"), ask=Decimal("50000.13"))
    await enter(world, approved)
    stop, target = world.venue.sent("POST algoOrder")
    for price in (stop["triggerPrice"], target["triggerPrice"]):
        assert Decimal(price) % Decimal("0.1") == 0
