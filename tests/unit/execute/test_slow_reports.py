"""What only reports, or refines what is known, is slow: no stop, no close and no snapshot waits for it."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from services.execute import account_ledger, closing_orders, margin_flow, protection_flow
from services.execute.account_ledger import AccountLedger
from services.execute.order_state import EntryState
from shared.errors import ExchangeUnavailable
from shared.models import AlertRaised, Envelope, Message, OrderRefused
from tests.twins.execution import World
from tests.twins.ledger import MemoryLedger
from tests.twins.venue import refused, unavailable
from tests.unit.execute.builders import BTC, approval, sizing
from tests.unit.execute.entries import enter, state_of
from tests.unit.execute.exits import close, entered

WAIT_S = 0.01
PATIENCE_S = 2.0


async def never(*_: object) -> None:
    await asyncio.Event().wait()


def _is_of_trouble(payload: Message) -> bool:
    if isinstance(payload, AlertRaised):
        return payload.kind in ("position_margin_differs", "stop_beyond_liquidation")
    return isinstance(payload, OrderRefused)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose broker takes no word of a refusal, and whose short waits are shorter."""
    for module in (closing_orders, protection_flow):
        monkeypatch.setattr(module, "LOOK_S", WAIT_S)
    for module in (closing_orders, protection_flow, margin_flow):
        monkeypatch.setattr(module, "PUBLISH_S", WAIT_S)
    monkeypatch.setattr(account_ledger, "HISTORY_READ_S", WAIT_S)
    found = World()
    publish = found.outbox.publish

    async def slow(envelopes: Sequence[Envelope]) -> None:
        if any(_is_of_trouble(each.payload) for each in envelopes):
            await never()
        await publish(envelopes)

    monkeypatch.setattr(found.outbox, "publish", slow)
    return found


async def test_a_refused_stop_is_tried_again_although_the_broker_is_slow(world: World) -> None:
    approved = approval()
    world.venue.fail("POST algoOrder", refused(-4131))
    async with asyncio.timeout(PATIENCE_S):
        await enter(world, approved)
    assert world.is_protected(approved.signal_id)


async def test_a_position_past_its_stop_is_closed_although_the_broker_is_slow(world: World) -> None:
    approved = approval()
    world.venue.fail("POST algoOrder", refused(-2021))
    async with asyncio.timeout(PATIENCE_S):
        await enter(world, approved)
    assert world.held() == 0


async def test_a_refused_close_is_tried_again_although_the_broker_is_slow(world: World) -> None:
    await entered(world, "one")
    world.venue.fail("POST order", refused(-2019))
    async with asyncio.timeout(PATIENCE_S):
        await close(world)
    assert world.held() == 0


async def test_a_stop_does_not_wait_for_rules_that_do_not_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.market, "renewed", never)
    approved = approval()
    world.venue.fail("POST algoOrder", refused(-4014))
    async with asyncio.timeout(PATIENCE_S):
        await enter(world, approved)
    assert world.is_protected(approved.signal_id)


async def test_a_close_does_not_wait_for_rules_that_do_not_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enter(world, approval(sizing=sizing(quantity=Decimal("0.101"))))
    monkeypatch.setattr(world.market, "renewed", never)
    world.venue.fail("POST order", refused(-1111))
    async with asyncio.timeout(PATIENCE_S):
        await close(world)
    assert world.held() == 0


async def test_a_close_whose_rules_cannot_be_read_at_all_lets_its_caller_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved = await entered(world, "one")
    monkeypatch.setattr(world.market, "instrument", never)
    monkeypatch.setattr(world.market, "renewed", never)
    world.venue.fail("POST order", refused(-1111))
    async with asyncio.timeout(PATIENCE_S):
        await close(world)
    assert state_of(world, approved) is EntryState.CLOSING, "rescue takes it further"


async def test_a_liquidation_before_the_stop_is_acted_on_although_the_broker_is_slow(world: World) -> None:
    world.venue.just_before("POST order", lambda: world.venue.stands_at(125))
    async with asyncio.timeout(PATIENCE_S):
        await enter(world, approval())
    assert world.held() == 0


async def test_a_snapshot_does_not_wait_for_a_history_that_does_not_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryLedger()
    ledger = AccountLedger(world.exchange, store, world.outbox, world.clock, lambda: 0.0)
    monkeypatch.setattr(world.exchange, "income_since", never)
    async with asyncio.timeout(PATIENCE_S):
        money = await ledger.look()
    assert money.account.wallet_usdt > 0
    assert money.net_transfers_usdt is None


async def test_a_close_that_was_surely_not_executed_is_never_looked_up(world: World) -> None:
    approved = await entered(world, "one")
    world.venue.fail("POST order", unavailable())
    with pytest.raises(ExchangeUnavailable):
        await close(world)
    [row] = await world.store.closing_orders(approved.signal_id)
    assert row.filled_quantity == 0
    await close(world)
    assert world.held(BTC) == 0
    assert row.client_id not in {each.get("origClientOrderId") for each in world.venue.sent("GET order")}
