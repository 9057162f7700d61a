"""Closing on the twins: exits always work, wait for nothing, touch only what was there before (P2, P9)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from infrastructure.paper_exchange.commands import PlaceAlgo
from infrastructure.paper_exchange.values import AlgoType
from infrastructure.paper_exchange.values import Side as OrderSide
from services.execute.order_state import EntryState
from shared.errors import ExchangeUnavailable
from shared.models import (
    AlertRaised,
    CloseIgnored,
    CloseRequested,
    Message,
    OrderEnded,
    PositionClosed,
    PositionOpened,
    TradeApproved,
)
from shared.values import CloseReason, Severity, Side, TradingState
from tests.twins.execution import Process, World, until
from tests.twins.venue import Fault, lost_answer, refused, unavailable
from tests.unit.execute.builders import BTC, approval, close_request, sent, state_changed

M = TypeVar("M", bound=Message)


async def entered(world: World, *names: str, symbol: str = BTC) -> TradeApproved:
    approved = approval(*names, at=world.clock(), symbol=symbol)
    await world.process().flow.on_execution(sent(approved))
    assert isinstance(world.told(approved.signal_id)[-1], PositionOpened)
    return approved


def last(world: World, story: str, kind: type[M]) -> M:
    message = world.told(story)[-1]
    assert isinstance(message, kind), message
    return message


async def close(world: World, name: str = "exit", **changes: object) -> str:
    request = close_request(name, at=world.clock(), **changes)
    await world.process().flow.on_control(sent(request))
    return request.signal_id


async def test_exit_closes_cancels_both_orders_and_closes_the_books() -> None:
    world = World()
    approved = await entered(world)
    before = world.venue.core.exchange.ledger.wallet_balance()
    world.venue.price("50500")
    exit_id = await close(world)
    closed = last(world, approved.signal_id, PositionClosed)
    assert (closed.reason, closed.closed_by) == (CloseReason.EXIT_SIGNAL, exit_id)
    assert world.held() == 0
    assert not world.standing()
    assert world.told(exit_id) == []
    after = world.venue.core.exchange.ledger.wallet_balance()
    entry_fee = closed.position.entry_price * closed.position.quantity * Decimal("0.0005")
    assert closed.net_pnl_usdt == after - before - entry_fee


async def test_halted_trading_lets_exits_through() -> None:
    world = World()
    approved = await entered(world)
    await world.process().flow.on_control(sent(state_changed(TradingState.HALTED, 9)))
    await close(world)
    last(world, approved.signal_id, PositionClosed)


async def test_exit_older_than_the_position_touches_nothing() -> None:
    world = World()
    approved = await entered(world)
    request = close_request(at=approved.signal_received_at - timedelta(microseconds=1))
    await world.process().flow.on_control(sent(request))
    assert last(world, request.signal_id, CloseIgnored).reason == "no_position"
    assert world.is_protected(approved.signal_id)


async def test_exit_of_nothing_is_told() -> None:
    world = World()
    assert last(world, await close(world), CloseIgnored).reason == "no_position"


async def test_redelivered_exit_is_told_once() -> None:
    world = World()
    approved = await entered(world)
    request = close_request(at=world.clock())
    for _ in range(3):
        await world.process().flow.on_control(sent(request))
    assert len(world.venue.sent("POST order")) == 2
    assert world.told(request.signal_id) == []
    last(world, approved.signal_id, PositionClosed)


async def test_close_all_closes_every_symbol_and_says_so_once() -> None:
    world = World()
    first, second = await entered(world, "one"), await entered(world, "two", symbol="ETHUSDT")
    request_id = await close(world, symbol=None, reason=CloseReason.OPERATOR)
    for approved in (first, second):
        assert last(world, approved.signal_id, PositionClosed).closed_by == request_id
    assert world.held(BTC) == world.held("ETHUSDT") == 0


async def test_one_symbol_that_resists_does_not_keep_the_others_open() -> None:
    world = World()
    first, second = await entered(world, "one"), await entered(world, "two", symbol="ETHUSDT")
    world.venue.fail("POST order", unavailable())
    request = close_request(at=world.clock(), symbol=None)
    with pytest.raises(ExchangeUnavailable):
        await world.process().flow.on_control(sent(request))
    states = {world.store.entries[each.signal_id].state for each in (first, second)}
    assert states == {EntryState.CLOSED, EntryState.CLOSING}
    await world.process().flow.on_control(sent(request))
    assert world.held(BTC) == world.held("ETHUSDT") == 0


async def test_close_all_does_not_wait_for_another_symbols_lost_entry() -> None:
    """P9: BTC is looked up for seconds; ETH must be flat at once."""
    world = World()
    eth = await entered(world, "eth", symbol="ETHUSDT")
    btc = approval("btc", at=world.clock())
    world.venue.fail("POST order", lost_answer(executed=False))
    opening = asyncio.create_task(world.process().flow.on_execution(sent(btc)))
    await until(lambda: world.venue.sent("GET order"))
    flat_at = None
    closing = asyncio.create_task(
        world.process().flow.on_control(sent(close_request(at=world.clock(), symbol=None)))
    )
    started = world.clock()
    while not closing.done():
        await asyncio.sleep(0)
        if flat_at is None and world.held("ETHUSDT") == 0:
            flat_at = world.clock()
    await asyncio.gather(opening, closing)
    assert flat_at is not None
    assert flat_at - started < timedelta(seconds=2)
    last(world, eth.signal_id, PositionClosed)


async def test_exit_does_not_wait_while_protection_is_being_retried() -> None:
    """P9: in one process, an entry that fights for its stop must not hold the symbol against its own exit."""
    world = World()
    process = world.process()
    approved = approval(at=world.clock())
    world.venue.fail("POST algoOrder", *[refused(-4045)] * 200)
    opening = asyncio.create_task(process.flow.on_execution(sent(approved)))
    await until(world.held)
    asked_at = world.clock()
    await process.flow.on_control(sent(close_request(at=asked_at)))
    assert world.held() == 0
    assert world.clock() - asked_at < timedelta(seconds=3)
    await opening
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.reason is CloseReason.EXIT_SIGNAL
    assert world.standing() == set()


async def test_exit_waits_for_an_entry_in_flight_and_then_closes_it() -> None:
    world = World()
    process = world.process()
    approved = approval(at=world.clock())
    world.venue.fail("POST order", lost_answer(executed=True))
    world.venue.fail("GET order", *[refused(-2013)] * 4)
    request = close_request(at=world.clock() + timedelta(seconds=1))
    await asyncio.gather(process.flow.on_execution(sent(approved)), _after_claim(world, process, request))
    assert last(world, approved.signal_id, PositionClosed).closed_by == request.signal_id
    assert world.held() == 0
    assert not world.standing()


async def _after_claim(world: World, process: Process, request: CloseRequested) -> None:
    await until(lambda: world.venue.sent("POST order"))
    await process.flow.on_control(sent(request))


# --- two exits, or an exit and a stop: everybody who asked is told (P2) ---


async def test_second_exit_while_closing_is_told_that_it_is_being_closed() -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("POST order", unavailable())
    first = close_request("first", at=world.clock())
    with pytest.raises(ExchangeUnavailable):
        await world.process().flow.on_control(sent(first))
    second = await close(world, "second")
    assert last(world, second, CloseIgnored).reason == "already_closing"
    assert last(world, approved.signal_id, PositionClosed).closed_by == first.signal_id
    await world.process().flow.on_control(sent(first))
    assert world.told(first.signal_id) == []


async def test_exit_that_comes_after_the_stop_fired_is_told() -> None:
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    exit_id = await close(world)
    closed = last(world, approved.signal_id, PositionClosed)
    assert (closed.reason, closed.closed_by) == (CloseReason.STOP_LOSS, None)
    assert last(world, exit_id, CloseIgnored).reason == "closed_by:stop_loss"


async def test_redelivered_exit_that_had_closed_before_it_was_told_is_not_ignored() -> None:
    """Killed between the close and the inbox row: the second delivery finds nothing left, and knows why."""
    world = World()
    approved = await entered(world)
    request = close_request(at=world.clock())
    await world.process().exits.close(
        world.store.entries[approved.signal_id], request.reason, request.signal_id
    )
    await world.process().flow.on_control(sent(request))
    assert world.told(request.signal_id) == []
    assert last(world, approved.signal_id, PositionClosed).closed_by == request.signal_id


# --- closing orders that go wrong ---


@pytest.mark.parametrize("executed", [True, False])
async def test_lost_answer_to_a_closing_order(executed: bool) -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("POST order", lost_answer(executed=executed))
    await close(world)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL
    assert world.held() == 0


async def test_refused_closing_order_is_followed_by_another() -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("POST order", refused(-4131), refused(-4131))
    await close(world)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL
    closing = [each for each in world.store.orders.values() if each.role == "c"]
    assert [each.status for each in closing] == ["REFUSED", "REFUSED", "FILLED"]


async def test_close_that_keeps_being_refused_is_told_and_never_given_up() -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("POST order", *[refused(-4131)] * 4)
    exit_id = await close(world)
    alarm = last(world, approved.signal_id, AlertRaised)
    assert (alarm.severity, alarm.kind) == (Severity.CRITICAL, "position_not_closed")
    assert world.is_protected(approved.signal_id), "the stop goes only when the position is gone"
    assert world.told(exit_id) == []
    await world.process().flow.reconcile()
    assert last(world, approved.signal_id, PositionClosed).closed_by == exit_id


async def test_position_that_is_gone_when_the_close_arrives_is_settled() -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("POST order", Fault(error=refused(-2022).error, executed=True))
    await close(world)
    last(world, approved.signal_id, PositionClosed)


async def test_books_wait_for_fills_that_are_not_visible_yet() -> None:
    world = World()
    approved = await entered(world)
    hidden = world.venue.core.exchange.state.trades
    world.venue.price("48900")
    kept = {symbol: list(rows) for symbol, rows in hidden.items()}
    for rows in hidden.values():
        rows.clear()
    process = world.process()
    await process.flow.on_order_event(BTC)
    assert world.store.entries[approved.signal_id].state is EntryState.PROTECTED
    for symbol, rows in kept.items():
        hidden[symbol].extend(rows)
    await process.flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS


async def test_position_that_is_not_visible_yet_is_closed_all_the_same() -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("GET v3/positionRisk", Fault(answer=[]))
    await close(world)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL
    assert world.held() == 0


async def test_wrong_clock_delays_a_close_by_one_try() -> None:
    """-1021: surely not executed; the clock is measured at once and the close is sent again."""
    world = World()
    approved = await entered(world)
    process = world.process()
    world.venue.options["timeDifference"] = 30_000  # our clock was half a minute ahead and has been put right
    await process.flow.on_control(sent(close_request(at=world.clock())))
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXIT_SIGNAL
    closing = [each for each in world.store.orders.values() if each.role == "c"]
    assert [each.status for each in closing] == ["REFUSED", "FILLED"]


async def test_closer_that_was_frozen_cannot_close_the_next_position_of_the_symbol() -> None:
    """P9: between its turn and its order another replica closed, and a new entry was made."""
    world = World()
    first = await entered(world, "first")
    second = approval("second", at=world.clock() + timedelta(seconds=20))
    request = close_request(at=world.clock())

    async def meanwhile() -> None:
        world.clock.advance(10)
        await world.process().exits.finish(world.store.entries[first.signal_id])
        world.clock.advance(20)
        await world.process().flow.on_execution(sent(second))

    frozen = world.process()
    frozen.exits._store = _Frozen(world.store, meanwhile)
    await frozen.flow.on_control(sent(request))
    assert last(world, first.signal_id, PositionClosed).closed_by == request.signal_id
    assert world.held() == Decimal("0.1")
    assert world.is_protected(second.signal_id)


# --- what ended it ---


@pytest.mark.parametrize(
    ("price", "reason"), [("48900", CloseReason.STOP_LOSS), ("51100", CloseReason.TAKE_PROFIT)]
)
async def test_fired_order_closes_the_books_and_its_twin_goes(price: str, reason: CloseReason) -> None:
    world = World()
    approved = await entered(world)
    world.venue.price(price)
    assert len(world.standing()) == 1
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is reason
    assert world.standing() == set()


async def test_manual_close_is_recorded_as_external() -> None:
    world = World()
    approved = await entered(world)
    world.by_hand("sell", "0.1")
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.EXTERNAL
    assert world.standing() == set()


async def test_liquidation_is_recorded_as_such_with_its_fee() -> None:
    world = World()
    before = world.venue.core.exchange.ledger.wallet_balance()
    approved = await entered(world)
    for client_id in tuple(world.standing()):
        await world.exchange.cancel_algo(client_id)
    world.venue.price("47000")
    assert world.held() == 0
    await world.process().flow.on_order_event(BTC)
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.reason is CloseReason.LIQUIDATION
    assert closed.net_pnl_usdt == world.venue.core.exchange.ledger.wallet_balance() - before


@pytest.mark.parametrize(
    ("client_id", "reason"),
    [
        ("autoclose-1706702400000000000", CloseReason.LIQUIDATION),
        ("adl_autoclose", CloseReason.ADL),
        ("settlement_autoclose-1706702400", CloseReason.SETTLEMENT),
        ("autoclosed-by-hand", CloseReason.EXTERNAL),
    ],
)
async def test_what_the_exchange_closes_itself_is_told_by_its_name(
    client_id: str, reason: CloseReason
) -> None:
    world = World()
    approved = await entered(world)
    world.by_hand("sell", "0.1", client_id)
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is reason
    assert world.standing() == set()


async def test_position_reduced_by_hand_and_then_stopped_out_has_both_in_its_books() -> None:
    world = World()
    before = world.venue.core.exchange.ledger.wallet_balance()
    approved = await entered(world)
    world.by_hand("sell", "0.04")
    await world.process().flow.on_order_event(BTC)
    assert world.is_protected(approved.signal_id), "what is left stays protected"
    world.venue.price("48900")
    await world.process().flow.on_order_event(BTC)
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.reason is CloseReason.STOP_LOSS
    assert closed.net_pnl_usdt == world.venue.core.exchange.ledger.wallet_balance() - before


async def test_position_turned_round_by_hand_is_closed_in_our_books_and_its_orders_go() -> None:
    """What stands now is somebody else's: reported, neither protected nor closed by us."""
    world = World()
    approved = await entered(world)
    world.by_hand("sell", "0.25")
    process = world.process()
    for _ in range(3):
        await process.flow.reconcile()
        world.clock.advance(15)
    closed = next(each for each in world.told(approved.signal_id) if isinstance(each, PositionClosed))
    assert (closed.reason, closed.position.quantity) == (CloseReason.EXTERNAL, Decimal("0.1"))
    assert world.standing() == set()
    assert world.held() == Decimal("-0.15")
    staged = [each.payload for each in world.outbox.staged.values()]
    assert [each.kind for each in staged if isinstance(each, AlertRaised)] == ["report_external"]


async def test_gap_in_the_stream_is_filled_by_a_look_at_every_symbol_of_ours() -> None:
    world = World()
    first, second = await entered(world, "one"), await entered(world, "two", symbol="ETHUSDT")
    world.venue.price("48900")
    world.venue.price("48900", "ETHUSDT")
    world.venue.fail("GET v3/positionRisk", unavailable())  # one that cannot be looked at keeps no other one
    await world.process().flow.on_gap()
    states = {world.store.entries[each.signal_id].state for each in (first, second)}
    assert states == {EntryState.CLOSED, EntryState.PROTECTED}
    await world.process().flow.on_gap()
    for approved in (first, second):
        assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS


async def test_event_told_twice_and_out_of_order_closes_once() -> None:
    """They say when to look, not what happened."""
    world = World()
    approved = await entered(world)
    process = world.process()
    await process.flow.on_order_event(BTC)  # of the entry, late
    world.venue.price("48900")
    await asyncio.gather(*(process.flow.on_order_event(BTC) for _ in range(3)))
    await process.flow.on_order_event(BTC)
    closes = [each for each in world.told(approved.signal_id) if isinstance(each, PositionClosed)]
    assert len(closes) == 1


async def test_twin_that_fires_while_it_is_being_cancelled_is_waited_for() -> None:
    """-4117: it is triggering right now. The books stay open until it is gone, one way or the other."""
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.venue.fail("DELETE algoOrder", refused(-4117))
    with pytest.raises(ExchangeUnavailable):
        await world.process().flow.on_order_event(BTC)
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS
    assert world.standing() == set()


async def test_twin_that_is_gone_before_it_is_cancelled_is_fine() -> None:
    """-2011: it expired with the position, or somebody was quicker."""
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.venue.fail("DELETE algoOrder", Fault(error=refused(-2011).error, executed=True))
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS


async def test_twin_that_cannot_be_cancelled_keeps_the_symbol_taken() -> None:
    """Left standing it would close the next position: the books stay open until it is gone."""
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.venue.fail("DELETE algoOrder", unavailable())
    with pytest.raises(ExchangeUnavailable):
        await world.process().flow.on_order_event(BTC)
    assert world.store.entries[approved.signal_id].state is EntryState.PROTECTED
    await world.process().flow.on_order_event(BTC)
    last(world, approved.signal_id, PositionClosed)
    assert world.standing() == set()


async def test_twin_that_is_invisible_is_cancelled_blindly() -> None:
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.venue.fail("GET algoOrder", refused(-2013), refused(-2013))
    await world.process().flow.on_order_event(BTC)
    last(world, approved.signal_id, PositionClosed)
    assert world.standing() == set()


async def test_exit_between_fill_and_protection_leaves_no_stray_stop() -> None:
    world = World()
    approved = approval(at=world.clock())
    process = world.process()
    opening = asyncio.create_task(process.flow.on_execution(sent(approved)))
    await until(world.held)
    await process.flow.on_control(sent(close_request(at=world.clock())))
    await opening
    await world.process().flow.reconcile()
    assert world.held() == 0
    assert not world.standing()
    ends = [each for each in world.told(approved.signal_id) if isinstance(each, OrderEnded | PositionOpened)]
    assert len(ends) == 1


async def test_whole_position_is_closed_when_somebody_added_to_it() -> None:
    """One-way mode nets positions, and stop and target close all of it: so does an exit."""
    world = World()
    approved = await entered(world)
    world.by_hand("buy", "0.05")
    await close(world)
    assert world.held() == 0
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.position.quantity == Decimal("0.1")


async def test_foreign_stop_is_never_touched() -> None:
    world = World()
    await entered(world)
    foreign = PlaceAlgo(
        BTC,
        OrderSide.SELL,
        AlgoType.STOP_MARKET,
        Decimal(45_000),
        Decimal("0.05"),
        reduce_only=True,
        client_algo_id="mine-by-hand",
    )
    world.venue.core.execute(foreign)
    await close(world)
    await world.process().flow.reconcile()
    assert "mine-by-hand" in world.standing()


async def test_short_position_books_its_profit() -> None:
    world = World()
    approved = approval(at=world.clock(), side=Side.SHORT)
    await world.process().flow.on_execution(sent(approved))
    world.venue.price("49500")
    await close(world)
    assert last(world, approved.signal_id, PositionClosed).net_pnl_usdt > 0


class _Frozen:
    """The record, for a process that is frozen as soon as it has its turn to close."""

    def __init__(self, inner: Any, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def next_close_attempt(self, signal_id: str) -> int | None:
        attempt: int | None = await self._inner.next_close_attempt(signal_id)
        await self._meanwhile()
        return attempt


async def test_older_copy_of_an_entry_does_not_hide_who_closed_it() -> None:
    """A ban or a lost answer between closing and settling gave reconciliation time to read it before."""
    world = World()
    approved = await entered(world)
    read_before = world.store.entries[approved.signal_id]
    world.venue.fail("GET userTrades", unavailable())
    with pytest.raises(ExchangeUnavailable):
        await close(world)
    assert world.held() == 0
    assert await world.process().exits.settle(read_before)
    closed = last(world, approved.signal_id, PositionClosed)
    assert closed.reason is CloseReason.EXIT_SIGNAL
    assert await world.process().exits.settle(read_before), "settled before: nothing is told twice"
    assert len([e for e in world.told(approved.signal_id) if isinstance(e, PositionClosed)]) == 1


async def test_position_that_is_older_than_a_week_closes_its_books() -> None:
    """The exchange gives a week of fills at a time; its entry's are further back."""
    world = World()
    approved = await entered(world)
    world.clock.advance(20 * 24 * 3_600)
    world.venue.price("48900")
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS
    asked = world.venue.sent("GET userTrades")
    assert len(asked) == 3
    assert all(int(each["endTime"]) - int(each["startTime"]) < 7 * 24 * 3_600_000 for each in asked[:-1])
    assert "endTime" not in asked[-1]


async def test_what_the_exchange_charges_a_stranger_afterwards_is_not_ours() -> None:
    world = World()
    before = world.venue.core.exchange.ledger.wallet_balance()
    approved = await entered(world)
    world.venue.price("48900")
    earned = world.venue.core.exchange.ledger.wallet_balance() - before
    world.clock.advance(60)
    world.by_hand("buy", "0.1")
    world.venue.price("40000")  # liquidated, with a fee of its own
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).net_pnl_usdt == earned
