"""P1 under kill -9: whatever was answered with 200 is in the end recorded once and answered once."""

import asyncio
import signal

import httpx
import pytest

from tests.eventually import eventually
from tests.integration.brain_world import WEBHOOK, World, world

pytestmark = pytest.mark.servers

__all__ = ["world"]

SENDERS = 20
KILL_AFTER = 40


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

    async with world.process() as (process, url), httpx.AsyncClient(timeout=10) as client:
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
