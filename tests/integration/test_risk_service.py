"""RISK as a whole: consumers, HTTP, start, stop and kill -9, on real servers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.probes import is_port_free
from shared.clock import utc_now
from shared.errors import OperatorNeeded
from shared.models import TradeApproved, TradeRejected, TradingStateChanged
from shared.settings import ENV_FILES_VARIABLE
from shared.values import TradingState
from tests.eventually import eventually
from tests.integration.risk_world import SYMBOLS, World, proposed, told, world
from tests.unit.risk.builders import snapshot

pytestmark = pytest.mark.servers

__all__ = ["world"]

A, B = SYMBOLS[0], SYMBOLS[1]
PORTS = range(32_400, 32_800)
PROPOSALS = 120


async def _account_known(world: World, client: httpx.AsyncClient) -> None:
    made = snapshot(taken_at=utc_now())
    await world.publisher.send(told(made))

    async def known() -> bool:
        equity = (await client.get("/status")).json()["equity_usdt"]
        return equity is not None and Decimal(equity) == 10_000

    await eventually(known, what="the snapshot is in the book")


async def test_proposal_on_the_queue_becomes_an_approval_and_shows_in_the_status(world: World) -> None:
    await world.quote(A)
    async with world.service() as client:
        assert (await client.get("/ready")).json()["ready"]
        await _account_known(world, client)
        envelope, message = proposed(A)
        await world.publisher.send(envelope)
        await eventually(lambda: world.said(TradeApproved))
        status = (await client.get("/status")).json()
        (held,) = status["reservations"]
        assert (held["signal_id"], held["state"], held["symbol"]) == (message.signal.signal_id, "held", A)
        assert (status["state"], status["profile"], status["trading_epoch"]) == ("ACTIVE", "mission", 1)
        used = {each["name"]: each["used"] for each in status["limits"]}
        assert (used["positions_max"], used["entries_per_minute_max"]) == ("1", "1")
        assert "phoenix_decisions_total" in (await client.get("/metrics")).text


async def test_check_tells_the_decision_and_leaves_no_trace(world: World) -> None:
    await world.quote(A)
    async with world.service() as client:
        await _account_known(world, client)
        for _ in range(2):
            answer = (await client.post("/check", json={"symbol": A, "action": "buy"})).json()
            assert (answer["approved"], answer["reason"]) == (True, "approved")
            assert answer["sizing"]["leverage"] == 20
            assert len(answer["checks"]) == 25
        old = {"symbol": A, "action": "sell", "alert_time": (utc_now() - timedelta(seconds=31)).isoformat()}
        assert (await client.post("/check", json=old)).json()["outcome"] == "expired"
        assert (await client.post("/check", json={"symbol": A, "action": "hold"})).status_code == 422
    assert not await world.rows("SELECT FROM decisions")
    assert not await world.rows("SELECT FROM reservations")


async def test_update_is_guarded_audited_and_outlives_the_process(world: World) -> None:
    async with world.service() as client:
        refused = await client.post("/update", json={"reason": "x"}, headers={"X-API-Key": "wrong"})
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        for body in (
            {"reason": "nothing"},
            {"limits": {"positions_max": 0}, "reason": "out of range"},
            {"limits": {"no_such_limit": 1}, "state": "HALTED", "reason": "unknown"},
        ):
            assert (await client.post("/update", json=body)).status_code == 422
        assert (await client.get("/status")).json()["state"] == "ACTIVE"
        done = await client.post(
            "/update", json={"state": "HALTED", "limits": {"positions_max": 3}, "reason": "news"}
        )
        assert (done.json()["state"], done.json()["trading_epoch"]) == ("HALTED", 2)
    await eventually(lambda: world.said(TradingStateChanged))
    assert world.said(TradingStateChanged)[0].state is TradingState.HALTED
    async with world.service(instance=1) as client:
        status = (await client.get("/status")).json()
        limits = {each["name"]: each["limit"] for each in status["limits"]}
        assert (status["state"], limits["positions_max"]) == ("HALTED", "3")
    ((actor, act, detail),) = await world.rows(
        "SELECT actor, act, detail FROM audit_log ORDER BY id DESC LIMIT 1"
    )
    assert (actor, act, detail["reason"]) == ("operator", "update", "news")


async def test_an_operators_act_elsewhere_is_put_on_record(world: World) -> None:
    act = {
        "act": "dlq purge",
        "detail": {"queue": "trade_execution.dead", "ids": ["evt-1"]},
        "reason": "test",
    }
    async with world.service() as client:
        assert (await client.post("/audit", json=act, headers={"X-API-Key": "wrong"})).status_code == 401
        for unusable in ({"act": "x"}, {"reason": ""}, {"detail": {"ids": ["x" * 9_000]}}):
            assert (await client.post("/audit", json=act | unusable)).status_code == 422
        assert (await client.post("/audit", json=act)).status_code == 201
    rows = await world.rows("SELECT actor, act, detail FROM audit_log ORDER BY id DESC LIMIT 1")
    ((actor, recorded, detail),) = rows
    assert (actor, recorded) == ("operator", "dlq purge")
    assert detail == {"queue": "trade_execution.dead", "ids": ["evt-1"], "reason": "test"}


async def test_unusable_limits_in_the_settings_refuse_the_start(world: World) -> None:
    with pytest.raises(OperatorNeeded, match="positions_max"):
        async with world.service(risk_limits={"positions_max": 0}):
            pass


async def test_unusable_limit_in_the_database_refuses_the_start(world: World) -> None:
    await world.database.execute(
        "INSERT INTO configuration (name, value, changed_by) VALUES ('positions_max', '-1', 'hand')"
    )
    with pytest.raises(OperatorNeeded, match=r"risk\.configuration"):
        async with world.service():
            pass


@asynccontextmanager
async def _process(world: World, instance: int) -> AsyncIterator[asyncio.subprocess.Process]:
    port = next(number for number in PORTS if is_port_free(number))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.risk",
        "--port",
        str(port),
        "--instance",
        str(instance),
        cwd=REPOSITORY,
        env=os.environ | {ENV_FILES_VARIABLE: world.servers.env_file},
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def test_kill_in_the_middle_of_decisions_loses_and_doubles_nothing(world: World) -> None:
    asked = [proposed(symbol) for symbol in SYMBOLS[:PROPOSALS]]
    signal_ids = {message.signal.signal_id for _, message in asked}
    await world.quote(*SYMBOLS[:PROPOSALS])

    async def decisions() -> int:
        ((count,),) = await world.rows("SELECT count(*) FROM decisions")
        return int(count)

    def answered() -> bool:
        approved = {each.signal_id for each in world.said(TradeApproved)}
        return approved | {each.signal_id for each in world.said(TradeRejected)} == signal_ids

    async with _process(world, 0) as process:
        await world.publisher.send(told(snapshot(taken_at=utc_now())))
        for envelope, _ in asked[:20]:
            await world.publisher.send(envelope)
        await eventually(decisions, 60, what="the process decides")
        sending = asyncio.gather(*(world.publisher.send(envelope) for envelope, _ in asked[20:]))
        await eventually(lambda: _at_least(decisions, 30), 60, what="it is in the middle of them")
        process.send_signal(signal.SIGKILL)
        await sending
    async with world.service(instance=1):
        await eventually(answered, 60, what="every proposal has its answer")
    assert await decisions() == PROPOSALS
    said = {each.event_id: each for each in world.heard if each.correlation_id in signal_ids}
    assert len(said) == PROPOSALS  # repeated perhaps, but never a second answer
    ((mismatched,),) = await world.rows(
        "SELECT count(*) FROM decisions FULL JOIN reservations USING (signal_id) "
        "WHERE approved IS DISTINCT FROM (reservations.state IS NOT NULL)"
    )
    assert mismatched == 0


async def _at_least(count: Callable[[], Awaitable[int]], least: int) -> bool:
    return await count() >= least
