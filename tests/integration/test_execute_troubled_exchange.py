"""EXECUTE against an exchange that misbehaves on the wire: stops, clocks, bans, its stream, its own acts."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.clock import utc_now
from shared.models import AlertRaised, OrderEnded, PositionClosed, PositionOpened, TradeApproved
from shared.values import CloseReason, OutcomeKind
from tests.eventually import eventually
from tests.integration.execute_world import World, paper, world
from tests.integration.test_execute_service import opened, placed_entries
from tests.unit.execute.builders import BTC, close_request, sent

pytestmark = pytest.mark.servers

__all__ = ["paper", "world"]

EVENTS_ONLY: dict[str, Any] = {"reconcile_interval_s": Decimal(60), "snapshot_interval_s": Decimal(10)}
"""So that nothing but the stream, and what hangs on a message, can be what helps."""


@pytest.fixture
async def executing(world: World) -> AsyncIterator[World]:
    """EXECUTE, its stream connected and its gap filled."""
    async with world.execute(**EVENTS_ONLY):
        approved = await world.approve()
        await opened(world, approved)
        await close(world, approved)
        yield world


async def close(world: World, approved: TradeApproved) -> PositionClosed:
    await world.publisher.send(sent(close_request(f"exit {approved.signal_id}", at=utc_now())))
    return await world.hears(approved.signal_id, PositionClosed)


@pytest.mark.parametrize("code", [-4045, -4014])
async def test_stop_that_is_refused_until_the_budget_is_used_up_flattens(executing: World, code: int) -> None:
    """P4, and told as what it was."""
    executing.exchange.admin(
        "POST faults", kind="refused", operation="place_algo", role="-s", code=code, msg="no", times=1000
    )
    approved = await executing.approve()
    closed = await executing.hears(approved.signal_id, PositionClosed, 20)
    assert closed.reason is CloseReason.UNPROTECTED
    [ended] = executing.told(approved.signal_id, OrderEnded)
    assert (ended.outcome, ended.reason) == (OutcomeKind.FAILED, "closed:unprotected")
    assert (closed.closed_at - approved.signal_received_at).total_seconds() < 12
    assert (executing.held(), executing.standing()) == (Decimal(0), set())


async def test_stop_that_comes_within_the_budget_is_kept(executing: World) -> None:
    executing.exchange.admin(
        "POST faults", kind="service_unavailable", operation="place_algo", role="-s", times=4
    )
    approved = await executing.approve()
    await opened(executing, approved)
    assert len(executing.standing()) == 2


@pytest.mark.parametrize("skew_ms", [-3_000, 3_000])
async def test_exchange_whose_clock_jumps_costs_one_entry_at_most_and_no_exit(
    executing: World, skew_ms: int
) -> None:
    standing = await executing.approve()
    position = (await opened(executing, standing)).position
    old_enough = position.opened_at + timedelta(seconds=4)  # its end must not seem to come before it
    await eventually(lambda: utc_now() > old_enough)
    executing.exchange.admin("POST faults", kind="clock_skew", skew_ms=skew_ms, for_ms=60_000)
    assert (await close(executing, standing)).reason is CloseReason.EXIT_SIGNAL
    second = await executing.approve()
    await opened(executing, second)
    await close(executing, second)
    executing.exchange.admin("DELETE faults")
    third = await executing.approve()
    await eventually(lambda: _ends(executing, third))
    for ended in executing.told(third.signal_id, OrderEnded):
        assert (ended.outcome, ended.reason) == (OutcomeKind.FAILED, "clock_skew")
        assert await placed_entries(executing, third) == 0
    for _ in executing.told(third.signal_id, PositionOpened):
        await close(executing, third)
    await opened(executing, await executing.approve())


async def test_ban_holds_an_exit_for_as_long_as_it_lasts(executing: World) -> None:
    approved = await executing.approve()
    await opened(executing, approved)
    executing.exchange.admin("POST faults", kind="banned", retry_after_s=3, times=1)
    began = utc_now()
    closed = await close(executing, approved)
    assert 3 <= (closed.closed_at - began).total_seconds() < 10


@pytest.mark.parametrize("kind", ["listen_key_expired", "stream_drop"])
async def test_stop_that_fires_after_the_stream_was_lost_is_told_by_the_new_one(
    executing: World, kind: str
) -> None:
    approved = await executing.approve()
    await opened(executing, approved)
    executing.exchange.admin("POST faults", kind=kind)
    executing.exchange.price("48900")  # at once: into the gap
    closed = await executing.hears(approved.signal_id, PositionClosed)
    assert closed.reason is CloseReason.STOP_LOSS


async def test_events_told_twice_and_late_close_once(executing: World) -> None:
    approved = await executing.approve()
    await opened(executing, approved)
    executing.exchange.admin("POST faults", kind="stream_duplicate", times=20)
    executing.exchange.admin(
        "POST faults", kind="stream_late", operation="ALGO_UPDATE", delay_ms=300, times=20
    )
    executing.exchange.price("48900")
    await executing.hears(approved.signal_id, PositionClosed)
    await eventually(executing.is_settled)
    assert len(executing.told(approved.signal_id, PositionClosed)) == 1


async def test_stop_cancelled_by_hand_is_put_back_at_once(executing: World) -> None:
    approved = await executing.approve()
    await opened(executing, approved)
    [stop_id] = [each for each in executing.standing() if each.endswith("-s")]
    executing.exchange.admin("POST hand/cancel", client_id=stop_id)
    await executing.hears(approved.signal_id, AlertRaised)
    assert stop_id in executing.standing()


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("liquidate", CloseReason.LIQUIDATION),
        ("adl", CloseReason.ADL),
        ("settle", CloseReason.SETTLEMENT),
        ("close", CloseReason.EXTERNAL),
    ],
)
async def test_what_others_close_is_told_by_its_name(executing: World, act: str, reason: CloseReason) -> None:
    approved = await executing.approve()
    await opened(executing, approved)
    executing.exchange.admin(f"POST hand/{act}", symbol=BTC)
    closed = await executing.hears(approved.signal_id, PositionClosed)
    assert closed.reason is reason
    assert executing.standing() == set()


def _ends(world: World, approved: TradeApproved) -> list[object]:
    return [*world.told(approved.signal_id, PositionOpened), *world.told(approved.signal_id, OrderEnded)]
