"""Two EXECUTE processes, one of them frozen at a named moment: the other one finishes, once (P3, P4, P6, P9).

Reconciliation is too slow here to be what helps (`SLOW`): every replica's own look has to be enough.
"""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from shared.clock import utc_now
from shared.models import OrderEnded, PositionClosed, PositionOpened, ProtectionPlaced
from shared.topology import TRADE_CONTROL, TRADE_EXECUTION
from shared.values import OutcomeKind
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.execute_world import World, paper, world
from tests.integration.test_execute_service import placed_entries
from tests.unit.execute.builders import close_request, sent

pytestmark = pytest.mark.servers

__all__ = ["paper", "world"]

SLOW = {"reconcile_interval_s": Decimal(300), "snapshot_interval_s": Decimal(10)}
FREEZE = timedelta(seconds=30)
REFUSED_LATE = r'^phoenix_exchange_errors_total\{.*operation="place_entry".*\} [1-9]'


@dataclass
class Replicas:
    """Two running processes of EXECUTE, and the moments at which one of them is to freeze."""

    moments: Path
    ports: dict[int, int]
    """HTTP port by process id."""

    def freeze_at(self, moment: str) -> None:
        """Freeze whichever process reaches this moment next."""
        (self.moments / moment).write_text("STOP", encoding="ascii")

    async def frozen(self, moment: str) -> int:
        """Wait for a process to freeze there and return its id."""
        met = await eventually(lambda: list(self.moments.glob(f"{moment}.met.*")), what=f"frozen at {moment}")
        return int(met[0].suffix.removeprefix("."))

    def thaw(self, process_id: int) -> None:
        """Let a frozen process go on."""
        os.kill(process_id, signal.SIGCONT)

    async def metrics(self, process_id: int) -> str:
        """Return what a process measured."""
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{self.ports[process_id]}/metrics", timeout=5)).text


@pytest.fixture
async def replicas(world: World, tmp_path: Path) -> AsyncIterator[Replicas]:
    """Two replicas that both consume."""
    ports: dict[int, int] = {}
    with ExitStack() as processes:
        for instance in (0, 1):
            port = _free_port()
            process = processes.enter_context(
                world.execute_process(port, instance, crash_points=tmp_path, **SLOW)
            )
            ports[process.pid] = port
        await eventually(lambda: _both_consume(world), 30, what="both replicas consume")
        yield Replicas(tmp_path, ports)


async def test_frozen_between_claim_and_send_never_sends_and_is_looked_up_by_the_other(
    world: World, replicas: Replicas
) -> None:
    """P3, P6: the exchange refuses what the process sends when it wakes 30 s later."""
    replicas.freeze_at("execute.claimed")
    approved = await world.approve()
    process_id = await replicas.frozen("execute.claimed")
    frozen_at = utc_now()
    ended = await world.hears(approved.signal_id, OrderEnded, 20)
    assert (ended.outcome, ended.reason) == (OutcomeKind.FAILED, "unknown")
    assert await placed_entries(world, approved) == 0
    await _passed(frozen_at + FREEZE)
    replicas.thaw(process_id)
    await eventually(lambda: _refused_late(replicas, process_id), 20, what="the late order is refused")
    assert await placed_entries(world, approved) == 0
    assert await world.state_of(approved.signal_id) == "failed"
    assert len(world.told(approved.signal_id, OrderEnded)) == 1
    assert world.held() == 0


@pytest.mark.parametrize(
    "moment", ["execute.entry_answered", "execute.fill_recorded", "execute.protection_placed"]
)
async def test_frozen_between_fill_and_stop_is_protected_by_the_other_in_time(
    world: World, replicas: Replicas, moment: str
) -> None:
    """P4: whichever of the two is the keeper."""
    replicas.freeze_at(moment)
    approved = await world.approve()
    process_id = await replicas.frozen(moment)
    await world.hears(approved.signal_id, PositionOpened, 10)
    [protection] = world.told(approved.signal_id, ProtectionPlaced)
    assert protection.unprotected_s < 6
    assert len(world.standing()) == 2
    replicas.thaw(process_id)
    await world.publisher.send(sent(close_request(approved.signal_id, at=utc_now())))
    await world.hears(approved.signal_id, PositionClosed)
    await eventually(world.is_settled)
    assert await placed_entries(world, approved) == 1
    assert len(world.told(approved.signal_id, PositionOpened)) == 1
    assert (world.held(), world.standing()) == (Decimal(0), set())


@pytest.mark.parametrize("moment", ["execute.closing_recorded", "execute.close_answered"])
async def test_frozen_while_closing_is_closed_by_the_other(
    world: World, replicas: Replicas, moment: str
) -> None:
    """P9: and when it wakes it touches nothing that was opened since."""
    approved = await world.approve()
    await world.hears(approved.signal_id, PositionOpened)
    replicas.freeze_at(moment)
    await world.publisher.send(sent(close_request(approved.signal_id, at=utc_now())))
    process_id = await replicas.frozen(moment)
    await world.hears(approved.signal_id, PositionClosed)
    # May be delivered to the frozen one: the broker takes it back when its heartbeats have failed to come.
    following = await world.approve(valid_until=utc_now() + timedelta(minutes=2))
    await world.hears(following.signal_id, PositionOpened, 60)
    replicas.thaw(process_id)
    await eventually(lambda: _answers(replicas, process_id), what="the thawed process answers")
    await eventually(world.is_settled)
    assert world.held() == Decimal("0.1")
    assert len(world.standing()) == 2
    assert len(world.told(approved.signal_id, PositionClosed)) == 1


async def test_frozen_with_an_intent_in_hand_it_is_redelivered_and_ends_once(
    world: World, replicas: Replicas
) -> None:
    """The broker notices the dead peer by its heartbeat; the claim decides, whoever comes first."""
    replicas.freeze_at("execute.intent_recorded")
    approved = await world.approve()
    process_id = await replicas.frozen("execute.intent_recorded")
    frozen_at = utc_now()
    await eventually(lambda: _ends(world, approved.signal_id), 60, what="an end")
    await _passed(frozen_at + FREEZE)
    replicas.thaw(process_id)
    await eventually(lambda: _answers(replicas, process_id), what="the thawed process answers")
    await eventually(world.is_settled)
    assert len(_ends(world, approved.signal_id)) == 1
    assert await placed_entries(world, approved) <= 1
    assert len(world.standing()) == (2 if world.held() else 0)


def _ends(world: World, signal_id: str) -> list[object]:
    return [*world.told(signal_id, PositionOpened), *world.told(signal_id, OrderEnded)]


async def _refused_late(replicas: Replicas, process_id: int) -> bool:
    return re.search(REFUSED_LATE, await replicas.metrics(process_id), re.MULTILINE) is not None


async def _answers(replicas: Replicas, process_id: int) -> bool:
    return "phoenix_ready" in await replicas.metrics(process_id)


async def _passed(moment: datetime) -> None:
    await eventually(lambda: utc_now() > moment, 60, what=f"{moment} has passed")


async def _both_consume(world: World) -> bool:
    broker = Broker(world.servers)
    counts = await asyncio.gather(*(broker.consumers(each.name) for each in (TRADE_EXECUTION, TRADE_CONTROL)))
    return all(count == 2 for count in counts)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
