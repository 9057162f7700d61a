"""EXECUTE on real servers and the real paper exchange: protected, closed, restored, killed (P2–P4, P6–P9)."""

import asyncio
import random
import signal
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from decimal import Decimal

import pytest
from prometheus_client import REGISTRY

from services.execute.reconciliation import protection_ids
from services.execute.venue import OrderSide
from shared.clock import utc_now
from shared.models import (
    AccountSnapshot,
    AlertRaised,
    CloseIgnored,
    Message,
    OrderEnded,
    OrderFilled,
    OrderPlaced,
    PositionClosed,
    PositionOpened,
    ProtectionPlaced,
    TradeApproved,
)
from shared.topology import TRADE_EXECUTION
from shared.values import CloseReason, OutcomeKind, TradingState
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.execute_world import World, paper, world
from tests.servers import Servers
from tests.unit.execute.builders import BTC, close_request, sent, state_changed

pytestmark = pytest.mark.servers

__all__ = ["paper", "world"]

KILL_DELAYS_S = (0.0, 0.004, 0.012, 0.03)


async def opened(world: World, approved: TradeApproved) -> PositionOpened:
    return await world.hears(approved.signal_id, PositionOpened)


def _margins_read() -> float:
    """Return how often this process has read how all symbols stand."""
    name, labels = "phoenix_exchange_request_seconds_count", {"operation": "margin_setups"}
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def placed_entries(world: World, approved: TradeApproved) -> int:
    """Return how many orders the exchange ever had under the entry's client id."""
    async with world.by_hand() as client:
        rows = await client.venue.fapiPrivateGetAllOrders({"symbol": approved.symbol, "limit": 1000})
    entry = await world.store.entry(approved.signal_id)
    assert entry is not None
    return len([row for row in rows if row["clientOrderId"] == entry.client_id])


async def test_approval_becomes_a_protected_position_and_is_told(world: World) -> None:
    async with world.execute() as client:
        approved = await world.approve()
        position = (await opened(world, approved)).position
        for kind in (OrderPlaced, OrderFilled, ProtectionPlaced):
            assert len(world.told(approved.signal_id, kind)) == 1
        assert (position.quantity, position.entry_price) == (Decimal("0.1"), Decimal("50000.2"))
        [unprotected] = world.told(approved.signal_id, ProtectionPlaced)
        assert unprotected.unprotected_s < 5
        assert len(world.standing()) == 2
        [shown] = (await client.get("/positions")).json()["positions"]
        assert (shown["signal_id"], shown["state"]) == (approved.signal_id, "protected")
        assert (shown["stop_price"], shown["leverage"]) == ("49000.20000000", 20)
        assert Decimal(shown["mark_price"]) == 50_000
        orders = (await client.get("/orders")).json()["orders"]
        assert {each["role"] for each in orders} == {"e", "s", "t"}
        ready = (await client.get("/ready")).json()
        assert ready["ready"], ready


async def test_two_replicas_and_redeliveries_send_one_entry(world: World) -> None:
    async with AsyncExitStack() as stack:
        for instance in (0, 1):
            await stack.enter_async_context(world.execute(instance))
        approved = await world.approve()
        await asyncio.gather(*(world.publisher.send(sent(approved)) for _ in range(6)))
        await opened(world, approved)
        await eventually(world.is_settled)
        assert await placed_entries(world, approved) == 1
        assert world.held() == Decimal("0.1")
        assert len(world.standing()) == 2


@pytest.mark.parametrize(
    ("price", "reason"), [("48900", CloseReason.STOP_LOSS), ("51100", CloseReason.TAKE_PROFIT)]
)
async def test_stop_or_target_closes_the_books_to_the_last_digit(
    world: World, price: str, reason: CloseReason
) -> None:
    before = world.exchange.wallet
    async with world.execute(reconcile_interval_s=Decimal(60)):  # the order's event has to be enough
        approved = await world.approve()
        await opened(world, approved)
        world.exchange.price(price)
        closed = await world.hears(approved.signal_id, PositionClosed)
        assert closed.reason is reason
        assert closed.net_pnl_usdt == world.exchange.wallet - before
        assert world.standing() == set()
        fills = await world.database.fetch(
            "SELECT * FROM fills WHERE signal_id = $1 ORDER BY filled_at", approved.signal_id
        )
        assert sum(each["fee_usdt"] for each in fills) == closed.fees_usdt
        assert sum(each["realised_pnl_usdt"] for each in fills) == closed.pnl_usdt


async def test_manual_close_is_recorded_as_external(world: World) -> None:
    async with world.execute(), world.by_hand() as hand:
        approved = await world.approve()
        await opened(world, approved)
        await hand.close_market("by-hand", BTC, OrderSide.SELL, Decimal("0.1"), utc_now())
        closed = await world.hears(approved.signal_id, PositionClosed)
        assert closed.reason is CloseReason.EXTERNAL
        assert world.standing() == set()


async def test_stop_cancelled_by_hand_is_restored_and_told(world: World) -> None:
    async with world.execute(), world.by_hand() as hand:
        approved = await world.approve()
        await opened(world, approved)
        entry = await world.store.entry(approved.signal_id)
        assert entry is not None
        stop_id, _ = protection_ids(entry, "test")
        assert await hand.cancel_algo(stop_id)
        await world.hears(approved.signal_id, AlertRaised)
        assert stop_id in world.standing()


async def test_halt_before_the_claim_expires_the_approval(world: World) -> None:
    async with world.execute():
        await world.publisher.send(sent(state_changed(TradingState.HALTED, 7, utc_now())))
        await eventually(lambda: _is_halted(world), what="the halt is recorded")
        approved = await world.approve()
        ended = await world.hears(approved.signal_id, OrderEnded)
        assert (ended.outcome, ended.reason) == (OutcomeKind.EXPIRED, "trading_halted")
        assert world.held() == 0


async def test_close_by_http_closes_what_stands_and_tells_when_nothing_does(world: World) -> None:
    async with world.execute() as client:
        approved = await world.approve()
        await opened(world, approved)
        answer = await client.post("/close", json={"symbol": BTC, "reason": "drill"})
        assert answer.status_code == 202
        closed = await world.hears(approved.signal_id, PositionClosed)
        assert (closed.reason, closed.closed_by) == (CloseReason.OPERATOR, answer.json()["request_id"])
        assert world.held() == 0
        assert world.standing() == set()
        again = (await client.post("/close", json={"symbol": None})).json()["request_id"]
        assert (await world.hears(again, CloseIgnored)).reason == "no_position"
        assert (await client.post("/close", json={}, headers={"X-API-Key": "wrong"})).status_code == 401


async def test_exit_that_overtook_its_entry_supersedes_it(world: World) -> None:
    async with world.execute():
        exit_request = close_request("overtaker", at=utc_now() + timedelta(seconds=1))
        await world.publisher.send(sent(exit_request))
        await world.hears(exit_request.signal_id, CloseIgnored)
        approved = await world.approve()
        assert (await world.hears(approved.signal_id, OrderEnded)).reason == "superseded"


async def test_manual_trade_is_proposed_to_risk(world: World, servers: Servers) -> None:
    async with world.execute() as client:
        answer = await client.post("/trade", json={"symbol": BTC, "side": "long"})
        assert answer.status_code == 202
        assert (await client.get("/prices/BTCUSDT")).status_code == 404
        await eventually(world.is_settled)
        assert world.held() == 0


async def test_snapshot_shows_the_account_as_it_is(world: World) -> None:
    async with world.execute(), world.by_hand() as hand:
        approved = await world.approve()
        await opened(world, approved)
        await hand.set_leverage("ETHUSDT", 10)
        await hand.venue.fapiPrivatePostOrder(
            {"symbol": "ETHUSDT", "side": "SELL", "type": "MARKET", "quantity": "1"}
        )
        found = await eventually(lambda: _snapshots_of(world, 2), what="a snapshot of both positions")
        snapshot = found[-1]
        ours, foreign = sorted(snapshot.positions, key=lambda each: each.symbol)
        assert (ours.signal_id, ours.leverage) == (approved.signal_id, 20)
        assert ours.stop_price == Decimal("49000.2")
        assert (foreign.signal_id, foreign.stop_price) == (None, None)
        assert foreign.quantity == 1
        state = world.exchange.admin("GET state")
        assert snapshot.wallet_usdt == Decimal(state["walletBalance"])
        assert snapshot.equity_usdt == Decimal(state["marginBalance"])


async def test_redis_away_does_not_leave_a_position_naked(world: World, servers: Servers) -> None:
    async with world.execute():
        servers.stop("redis")
        try:
            approved = await world.approve()
            await opened(world, approved)
            assert len(world.standing()) == 2
        finally:
            servers.start("redis")


async def test_order_that_the_exchange_gets_too_late_is_refused(world: World) -> None:
    """P3: the exchange hangs with our order in its socket; when it wakes, recvWindow has passed."""
    read_before = _margins_read()
    async with world.execute(reconcile_interval_s=Decimal(60), snapshot_interval_s=Decimal(10)):
        first = await world.approve()
        await opened(world, first)
        await world.publisher.send(sent(close_request("make-room", at=utc_now())))
        await world.hears(first.signal_id, PositionClosed)
        await eventually(lambda: _margins_read() > read_before, what="nothing more is to be asked")
        await world.tick()
        with world.exchange.frozen():
            second = await world.approve()
            await eventually(lambda: _is_sending(world, second), what="claimed")
            claimed = await world.store.entry(second.signal_id)
            assert claimed is not None
            assert claimed.claimed_at is not None
            late = claimed.claimed_at + timedelta(seconds=2.5)
            await eventually(lambda: utc_now() > late, what="recvWindow has passed")
        ended = await world.hears(second.signal_id, OrderEnded, 20)
        assert ended.outcome is OutcomeKind.FAILED
        assert world.held() == 0


async def test_killed_right_after_approvals_it_comes_back_and_finishes_each_once(world: World) -> None:
    """kill -9 with seeded delays: protected or ended, told once, never two orders."""
    random.seed(95)
    port = random.randrange(20_000, 32_000)
    with ExitStack() as processes:
        process = processes.enter_context(world.execute_process(port))
        await eventually(lambda: _is_consumed(world), 30, what="EXECUTE consumes")
        for delay_s in KILL_DELAYS_S:
            approved = await world.approve()
            await asyncio.sleep(delay_s)  # when death comes is what this test varies
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = processes.enter_context(world.execute_process(port))
            await _has_come_to_one_end(world, approved)


async def _has_come_to_one_end(world: World, approved: TradeApproved) -> None:
    [fact] = await eventually(lambda: _ends(world, approved), 30, what=f"an end of {approved.signal_id}")
    assert await placed_entries(world, approved) <= 1
    if isinstance(fact, PositionOpened):
        assert world.held() == Decimal("0.1")
        assert len(world.standing()) == 2
        await world.publisher.send(sent(close_request(approved.signal_id, at=utc_now())))
        await world.hears(approved.signal_id, PositionClosed)
    assert world.held() == 0
    assert world.standing() == set()
    assert len(_ends(world, approved)) == 1


async def _is_halted(world: World) -> bool:
    return (await world.store.control()).state is TradingState.HALTED


async def _is_sending(world: World, approved: TradeApproved) -> bool:
    return await world.state_of(approved.signal_id) == "sending"


def _snapshots_of(world: World, positions: int) -> list[AccountSnapshot]:
    return [each for each in world.told("account", AccountSnapshot) if len(each.positions) == positions]


def _ends(world: World, approved: TradeApproved) -> list[Message]:
    return [
        *world.told(approved.signal_id, PositionOpened),
        *world.told(approved.signal_id, OrderEnded),
    ]


async def _is_consumed(world: World) -> bool:
    return await Broker(world.servers).consumers(TRADE_EXECUTION.name) > 0
