"""Opening on the twins: an approval gives one protected position, or one told end (P3, P4, P6, P8)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from infrastructure.paper_exchange.commands import SetWallet
from services.execute.order_state import EntryState
from services.execute.venue import BestPrices, MarginSetup
from shared.errors import ExchangeUnavailable
from shared.models import (
    AlertRaised,
    OrderEnded,
    OrderFilled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    ProtectionPlaced,
)
from shared.values import CloseReason, OutcomeKind, Side, TradingState
from tests.twins.execution import World
from tests.twins.venue import Fault, lost_answer, refused, unavailable
from tests.unit.execute.builders import (
    BTC,
    NOON,
    approval,
    close_request,
    entry,
    sent,
    sizing,
    state_changed,
)
from tests.unit.execute.entries import ENTERED, ended, enter, kinds, state_of


async def test_approval_becomes_one_protected_position() -> None:
    world, approved = World(), approval()
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED
    assert world.entry_orders(approved) == ["FILLED"]
    assert (world.held(), world.is_protected(approved.signal_id)) == (Decimal("0.1"), True)


async def test_facts_say_what_the_exchange_did() -> None:
    world, approved = World(), approval()
    await enter(world, approved)
    placed, filled, protection, opened = world.told(approved.signal_id)
    assert isinstance(placed, OrderPlaced)
    assert isinstance(filled, OrderFilled)
    assert isinstance(protection, ProtectionPlaced)
    assert isinstance(opened, PositionOpened)
    assert placed.order_type == "LIMIT IOC"
    assert filled.average_price == Decimal("50000.2")
    assert filled.slippage == Decimal("0.000004")
    assert (protection.stop_price, protection.take_profit_price) == (Decimal("49000.2"), Decimal("51000.2"))
    assert opened.position.quantity == Decimal("0.1")
    assert opened.position.stop_price == protection.stop_price


async def test_short_is_protected_the_other_way_round() -> None:
    world, approved = World(), approval(side=Side.SHORT)
    await enter(world, approved)
    position = world.told(approved.signal_id)[-1]
    assert isinstance(position, PositionOpened)
    assert position.position.stop_price is not None
    assert position.position.take_profit_price is not None
    assert position.position.stop_price > Decimal(50_000) > position.position.take_profit_price
    assert world.held() == Decimal("-0.1")


async def test_redelivered_approval_is_not_entered_again() -> None:
    world, approved = World(), approval()
    for _ in range(3):
        await enter(world, approved)
    assert world.entry_orders(approved) == ["FILLED"]
    assert kinds(world.told(approved.signal_id)) == ENTERED


async def test_margin_is_set_up_once_per_symbol() -> None:
    world = World()
    await enter(world, approval("one"))
    await world.process().flow.on_control(sent(close_request(at=world.clock())))
    await enter(world, approval("two", at=world.clock()))
    assert len(world.venue.sent("POST marginType")) == 1  # 20x is what the exchange begins with
    assert world.venue.sent("POST leverage") == []


async def test_margin_changed_by_hand_is_set_up_again() -> None:
    world = World()
    await enter(world, approval("one"))
    await world.process().flow.on_control(sent(close_request(at=world.clock())))
    await world.exchange.set_leverage(BTC, 125)
    await world.process().flow.reconcile()
    await enter(world, approval("two", at=world.clock()))
    assert (await world.exchange.margin_setups())[BTC].leverage == 20


# --- refusals before anything is sent ---


async def test_late_approval_expires() -> None:
    world, approved = World(), approval()
    world.clock.advance(31)
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.EXPIRED, "approval_expired")
    assert world.venue.sent("POST order") == []


@pytest.mark.parametrize(
    ("state", "epoch", "reason"),
    [
        (TradingState.HALTED, 2, "trading_halted"),
        (TradingState.REDUCING, 2, "trading_halted"),
        (TradingState.ACTIVE, 2, "trading_epoch_passed"),
    ],
)
async def test_halt_voids_approvals_on_their_way(state: TradingState, epoch: int, reason: str) -> None:
    world, approved = World(), approval()
    flow = world.process().flow
    await flow.on_control(sent(state_changed(state, epoch)))
    await flow.on_execution(sent(approved))
    assert ended(world, approved) == (OutcomeKind.EXPIRED, reason)
    assert world.venue.sent("POST order") == []


async def test_resumed_trading_enters_again() -> None:
    world, approved = World(), approval(trading_epoch=2)
    flow = world.process().flow
    await flow.on_control(sent(state_changed(TradingState.HALTED, 2)))
    await flow.on_control(sent(state_changed(TradingState.ACTIVE, 2, NOON + timedelta(seconds=1))))
    await flow.on_execution(sent(approved))
    assert kinds(world.told(approved.signal_id)) == ENTERED


@pytest.mark.parametrize("price", ["49749", "50251"])
async def test_price_that_ran_away_expires_the_entry(price: str) -> None:
    world, approved = World(), approval()
    world.venue.price(price)
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.EXPIRED, "price_moved")


async def test_unknown_symbol_expires() -> None:
    world, approved = World(), approval(symbol="NOSUCHUSDT")
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.EXPIRED, "symbol_unknown")


async def test_second_position_of_a_symbol_is_not_entered() -> None:
    world, second = World(), approval("two")
    await enter(world, approval("one"))
    await enter(world, second)
    assert ended(world, second) == (OutcomeKind.EXPIRED, "symbol_busy")
    assert world.held() == Decimal("0.1")


async def test_exit_that_overtook_its_entry_supersedes_it() -> None:
    """P8: they come on two queues; the exit finds nothing, and the entry must not be opened after it."""
    world, approved = World(), approval()
    flow = world.process().flow
    await flow.on_control(sent(close_request(at=NOON)))
    await flow.on_execution(sent(approved))
    assert ended(world, approved) == (OutcomeKind.EXPIRED, "superseded")
    assert world.venue.sent("POST order") == []


async def test_entry_after_an_exit_is_entered() -> None:
    world, approved = World(), approval()
    flow = world.process().flow
    await flow.on_control(sent(close_request(at=NOON - timedelta(microseconds=1))))
    await flow.on_execution(sent(approved))
    assert kinds(world.told(approved.signal_id)) == ENTERED


async def test_refused_leverage_expires_the_entry() -> None:
    world, approved = World(), approval()
    world.venue.stands_at(10)
    world.venue.fail("POST leverage", refused(-4028))
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.EXPIRED, "margin_setup_refused")
    assert await world.store.margin_setup(BTC) is None


async def test_stale_prices_are_asked_from_the_exchange_and_fresh_ones_are_not() -> None:
    world = World()
    await enter(world, approval("one"))
    assert len(world.venue.sent("GET ticker/bookTicker")) == 1
    await world.process().flow.on_control(sent(close_request(at=world.clock())))
    world.market.prices[BTC] = BestPrices(bid=Decimal("49999.9"), ask=Decimal("50000.1"))
    await enter(world, approval("two", at=world.clock()))
    assert len(world.venue.sent("GET ticker/bookTicker")) == 1


async def test_nothing_is_claimed_while_the_breaker_is_open() -> None:
    world, approved = World(), approval()
    world.market.prices[BTC] = BestPrices(bid=Decimal("49999.9"), ask=Decimal("50000.1"))
    await world.market.instrument(BTC)
    await world.store.record_margin_setup(BTC, MarginSetup(is_isolated=True, leverage=20))
    world.venue.fail("GET ping", *[unavailable()] * 5)
    process = world.process()
    for _ in range(5):
        with pytest.raises(ExchangeUnavailable):
            await process.flow._exchange._inner.ping()  # type: ignore[attr-defined]
    with pytest.raises(ExchangeUnavailable, match="breaker"):
        await process.flow.on_execution(sent(approved))
    assert state_of(world, approved) is EntryState.INTENT


# --- the order ---


async def test_limit_that_nobody_meets_expires_as_slippage() -> None:
    world, approved = World(), approval()
    world.market.prices[BTC] = BestPrices(bid=Decimal("49900"), ask=Decimal("49901"))
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.EXPIRED, "slippage")
    assert world.entry_orders(approved) == ["EXPIRED"]
    assert world.standing() == set()


async def test_partial_fill_is_protected_by_what_was_filled() -> None:
    world = World()
    approved = approval(sizing=sizing(quantity=Decimal(40), notional_usdt=Decimal(2_000_000)))
    world.venue.core.execute(SetWallet(Decimal(1_000_000)))
    world.market.prices[BTC] = BestPrices(bid=Decimal("49999"), ask=Decimal("50000"))
    await world.process(slippage_tolerance=Decimal("0.0001")).flow.on_execution(sent(approved))
    opened = world.told(approved.signal_id)[-1]
    assert isinstance(opened, PositionOpened)
    assert Decimal(0) < opened.position.quantity < Decimal(40)
    assert opened.position.quantity == world.held()
    share = opened.position.quantity / Decimal(40)
    assert opened.position.margin_usdt == approved.sizing.margin_usdt * share
    assert world.is_protected(approved.signal_id)


async def test_market_entry_has_no_limit() -> None:
    world, approved = World(), approval()
    await world.process(market_order=True).flow.on_execution(sent(approved))
    [order] = world.venue.sent("POST order")
    assert order["type"] == "MARKET"
    assert "price" not in order


@pytest.mark.parametrize("executed", [True, False])
async def test_lost_answer_is_looked_up_and_never_sent_again(executed: bool) -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", lost_answer(executed=executed))
    await enter(world, approved)
    assert len(world.venue.sent("POST order")) == 1
    if executed:
        assert kinds(world.told(approved.signal_id)) == ENTERED
        assert world.is_protected(approved.signal_id)
    else:
        assert ended(world, approved) == (OutcomeKind.FAILED, "unknown")
        assert world.held() == 0


async def test_order_that_is_only_acknowledged_is_looked_up() -> None:
    """Accepted is not unfilled: ended as slippage, it would fill and stand naked."""
    world, approved = World(), approval()
    world.venue.only_acknowledges = True
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED


async def test_order_that_stays_invisible_for_a_while_is_found() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", lost_answer(executed=True))
    world.venue.fail("GET order", *[refused(-2013)] * 12)
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED


async def test_look_up_goes_on_for_the_whole_window_and_looks_often_enough_after_a_restart() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", lost_answer(executed=False))
    await enter(world, approved)
    assert world.clock() - NOON >= timedelta(seconds=12)
    late = approval("late", at=world.clock(), symbol="ETHUSDT")
    world.store.entries[late.signal_id] = entry(
        EntryState.SENDING, approval=late, claimed_at=world.clock() - timedelta(hours=1)
    )
    world.venue.requests.clear()
    await world.process().entries.advance(late.signal_id)
    assert len(world.venue.sent("GET order")) == 5


async def test_surely_unexecuted_order_fails_at_once() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", unavailable())
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.FAILED, "exchange_unavailable")
    assert len(world.venue.sent("POST order")) == 1


async def test_entry_that_meets_a_wrong_clock_fails_and_the_next_one_does_not() -> None:
    """P3: a claimed entry is never sent again, not even when it surely was not executed."""
    world, approved = World(), approval()
    process = world.process()
    world.venue.options["timeDifference"] = 30_000
    await process.flow.on_execution(sent(approved))
    [fact] = world.told(approved.signal_id)
    assert isinstance(fact, OrderEnded)
    assert (fact.outcome, fact.reason) == (OutcomeKind.FAILED, "clock_skew")
    assert "NTP" in fact.detail
    assert len(world.venue.sent("POST order")) == 1
    second = approval("second", at=world.clock())
    await process.flow.on_execution(sent(second))
    assert kinds(world.told(second.signal_id)) == ENTERED


async def test_refused_order_fails_with_the_exchanges_words() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", refused(-2019, text="Margin is insufficient."))
    await enter(world, approved)
    [fact] = world.told(approved.signal_id)
    assert isinstance(fact, OrderEnded)
    assert (fact.outcome, fact.reason) == (OutcomeKind.FAILED, "exchange_refused")
    assert "Margin is insufficient." in fact.detail


async def test_duplicate_client_id_means_ours_is_there() -> None:
    world, approved = World(), approval()
    world.venue.fail("POST order", Fault(error=refused(-4116).error, executed=True))
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED


async def test_answer_without_average_price_is_completed_from_the_fills() -> None:
    world, approved = World(omit_average=True), approval()
    await enter(world, approved)
    filled = world.told(approved.signal_id)[1]
    assert isinstance(filled, OrderFilled)
    assert filled.average_price == Decimal("50000.2")


# --- on_opposite = reverse ---


async def test_reversal_closes_what_stands_the_other_way_first() -> None:
    world, long = World(), approval("long")
    await enter(world, long)
    short = approval("short", at=world.clock(), side=Side.SHORT, closes_opposite=True)
    await enter(world, short)
    closed = world.told(long.signal_id)[-1]
    assert isinstance(closed, PositionClosed)
    assert (closed.reason, closed.closed_by) == (CloseReason.OPPOSITE_SIGNAL, short.signal_id)
    assert kinds(world.told(short.signal_id)) == ENTERED
    assert world.held() == Decimal("-0.1")


async def test_reversal_gives_up_when_the_other_side_cannot_be_closed_and_does_not_hammer() -> None:
    world, long = World(), approval("long")
    await enter(world, long)
    short = approval("short", at=world.clock(), side=Side.SHORT, closes_opposite=True)
    world.venue.fail("POST order", *[refused(-4131)] * 1_000)
    await enter(world, short)
    assert ended(world, short) == (OutcomeKind.EXPIRED, "opposite_not_closed")
    assert world.held() == Decimal("0.1")
    assert [each for each in world.standing() if each.endswith("-s")], "its stop stays"
    assert len(world.venue.sent("POST order")) < 60


async def test_reversal_waits_for_an_opposite_entry_in_flight() -> None:
    world, short = World(), approval("short", side=Side.SHORT, closes_opposite=True)
    other = approval("other")
    world.store.entries[other.signal_id] = entry(EntryState.SENDING, "other", approval=other)
    before = world.clock()
    await enter(world, short)
    assert ended(world, short) == (OutcomeKind.EXPIRED, "opposite_not_closed")
    assert world.clock() - before < timedelta(seconds=12)


# --- given up as unknown ---


async def test_order_that_fills_after_it_was_given_up_is_adopted_and_protected() -> None:
    """P6: no position without an owner."""
    world, approved = World(), approval()
    world.venue.fail("POST order", lost_answer(executed=True))
    world.venue.fail("GET order", *[refused(-2013)] * 200)
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.FAILED, "unknown")
    assert world.held() == Decimal("0.1")
    assert world.standing() == set()
    world.venue.heal()
    await world.process().flow.reconcile()
    assert state_of(world, approved) is EntryState.PROTECTED
    assert world.is_protected(approved.signal_id)
    assert kinds(world.told(approved.signal_id)) == [OrderEnded, *ENTERED, AlertRaised]
