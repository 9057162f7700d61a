"""Closing on the twins: exits always work, wait for nothing, touch only what was there before (P2, P9)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.execute.order_state import EntryState
from shared.errors import ExchangeUnavailable
from shared.models import (
    AlertRaised,
    BooksCompleted,
    CloseIgnored,
    CloseRequested,
    PositionClosed,
)
from shared.values import CloseReason, Severity, TradingState
from tests.twins.execution import Process, World, until
from tests.twins.venue import Fault, lost_answer, refused, unavailable
from tests.unit.execute.builders import BTC, approval, close_request, sent, state_changed
from tests.unit.execute.exits import close, entered, last


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
    assert [each[-2:] for each in sorted(world.standing())] == ["c4", "-s"], "the stop stays to the end"
    assert world.told(exit_id) == []
    await world.process().flow.reconcile()
    assert last(world, approved.signal_id, PositionClosed).closed_by == exit_id


async def test_position_that_is_gone_when_the_close_arrives_is_settled() -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("POST order", Fault(error=refused(-2022).error, executed=True))
    await close(world)
    last(world, approved.signal_id, PositionClosed)


async def test_books_follow_when_fills_are_visible_and_the_symbol_does_not_wait_for_them() -> None:
    world = World()
    approved = await entered(world)
    hidden = world.venue.core.exchange.state.trades
    world.venue.price("48900")
    kept = {symbol: list(rows) for symbol, rows in hidden.items()}
    for rows in hidden.values():
        rows.clear()
    process = world.process()
    await process.flow.on_order_event(BTC)
    closed = last(world, approved.signal_id, PositionClosed)
    assert (closed.reason, closed.exit_price) == (CloseReason.STOP_LOSS, None)
    assert closed.missing
    assert world.standing() == set()
    for symbol, rows in kept.items():
        hidden[symbol].extend(rows)
    world.clock.advance(10)
    assert await process.books.try_next() == "complete"
    completed = last(world, approved.signal_id, BooksCompleted)
    assert (completed.reason, completed.closed_at < closed.closed_at) == (CloseReason.STOP_LOSS, True)


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


async def test_a_clock_that_is_set_back_does_not_make_a_close_rest_longer() -> None:
    world = World()
    await entered(world, "one")
    process = world.process()
    world.venue.fail("POST order", *[refused(-2019)] * 3)
    world.venue.fail("POST algoOrder", refused(-4131))
    await process.flow.on_control(sent(close_request(at=world.clock())))
    assert world.held() > 0
    await process.flow.reconcile()
    assert world.held() > 0, "it rests"
    world.clock._now -= timedelta(hours=1)  # the database's, after a step of NTP or a failover
    await process.flow.reconcile()
    assert world.held() == 0
