"""P1 under kill -9: whatever was answered with 200 is in the end recorded once and answered once."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.stack import is_port_free
from shared.settings import ENV_FILES_VARIABLE
from tests.eventually import eventually
from tests.integration.brain_world import WEBHOOK, World, world

pytestmark = pytest.mark.servers

__all__ = ["world"]

PORTS = range(32_000, 32_400)
SENDERS = 20
KILL_AFTER = 40


@asynccontextmanager
async def process_of_its_own(world: World) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port = next(number for number in PORTS if is_port_free(number))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.brain",
        "--port",
        str(port),
        cwd=REPOSITORY,
        env=os.environ | {ENV_FILES_VARIABLE: world.servers.env_file},
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def test_kill_in_the_middle_of_alerts_loses_and_doubles_nothing(world: World) -> None:
    accepted: list[str] = []

    async def send_until_cut_off(client: httpx.AsyncClient, url: str) -> None:
        while True:
            try:
                answer = await client.post(url + WEBHOOK, json=world.alert())
            except httpx.TransportError:
                return  # cut off by the kill: no 200, so nothing was promised
            if answer.status_code == 200:
                accepted.append(answer.json()["signal_id"])

    async with process_of_its_own(world) as (process, url), httpx.AsyncClient(timeout=10) as client:
        await eventually(lambda: _answers(client, url), 30, what="the process answers")
        sending = [asyncio.create_task(send_until_cut_off(client, url)) for _ in range(SENDERS)]
        await eventually(lambda: len(accepted) >= KILL_AFTER, what="enough accepted to lose some")
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*sending)
    async with world.brain(instance=1):
        await eventually(lambda: all(world.about(each) for each in accepted), 30, what="all answered")
        await eventually(world.is_settled, 30)
        events = [envelope.event_id for envelope in world.heard if envelope.correlation_id in set(accepted)]
        assert len(set(events)) == len(accepted)  # the sweeper may repeat a message, never make a second one
        recorded = await world.database.fetch("SELECT signal_id FROM signals")
        assert {row["signal_id"] for row in recorded} >= set(accepted)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url + "/ready")).status_code == 200
    except httpx.TransportError:
        return False
