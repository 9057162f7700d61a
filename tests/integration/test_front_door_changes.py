"""Changing a running front door: no request is lost, and what nginx refuses changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from infrastructure.local.front_door import is_leaving
from infrastructure.local.preparation import PreparationError
from tests.eventually import eventually
from tests.integration.front_door_world import REPLICAS, WEBHOOK, FrontDoor, front_door, self_signed

ALERTS_PER_S = 50
CHANGES = ("loopback", "any", "127.0.0.0/8", "loopback,10.0.0.0/8")


@pytest.fixture(scope="module")
async def running_door() -> AsyncIterator[FrontDoor]:
    async with front_door() as door:
        yield door


@pytest.fixture
def door(running_door: FrontDoor) -> Iterator[FrontDoor]:
    running_door.reset()
    yield running_door
    running_door.reset()


async def start_again(door: FrontDoor, **settings: str) -> None:
    """Run `start.sh` again with these settings."""
    await asyncio.to_thread(door.stack.start, only=["nginx"], replicas=REPLICAS, overrides=settings)


def workers(door: FrontDoor) -> set[int]:
    """Return the workers that take requests; those of an older configuration finish theirs and go."""
    master = psutil.Process(int(door.stack.layout.pid_file_of("nginx").read_text()))
    return {child.pid for child in master.children() if not is_leaving(child)}


async def alert(door: FrontDoor) -> int:
    """Send one alert on a connection of its own, as TradingView does; 0 is no answer."""
    async with httpx.AsyncClient(timeout=10) as client:
        try:
            return (await client.post(door.url("nginx", WEBHOOK), json={})).status_code
        except httpx.TransportError:
            return 0


async def send_until(over: asyncio.Event, door: FrontDoor, answers: list[asyncio.Task[int]]) -> None:
    """Send an alert whenever one is due, whether or not those before it were answered."""
    while not over.is_set():
        answers.append(asyncio.create_task(alert(door)))
        await asyncio.sleep(1 / ALERTS_PER_S)


async def test_start_again_with_other_settings_loses_no_alert(door: FrontDoor) -> None:
    """The alerts come when they are due, whatever nginx is doing."""
    answers: list[asyncio.Task[int]] = []
    changed = asyncio.Event()
    sending = asyncio.create_task(send_until(changed, door, answers))
    seen = {frozenset(workers(door))}
    for networks in CHANGES:
        await start_again(door, PHOENIX_WEBHOOK_ALLOWED_NETWORKS=networks)
        seen.add(frozenset(workers(door)))
    changed.set()
    await sending
    assert len(seen) == len(CHANGES) + 1, "each change was taken over"
    assert len(answers) > len(CHANGES)
    assert set(await asyncio.gather(*answers)) == {200}


async def test_a_request_in_work_is_answered_by_the_old_configuration(door: FrontDoor) -> None:
    for stand_in in door.stand_ins.values():
        stand_in.thawed.clear()
    asked = asyncio.create_task(door.client.get(door.url("risk", "/status")))
    await eventually(lambda: door.asked("risk"))
    await start_again(door, PHOENIX_DASHBOARD_LOGINS_PER_MINUTE="11")
    assert not asked.done()
    for stand_in in door.stand_ins.values():
        stand_in.thawed.set()
    assert (await asked).status_code == 200


async def test_the_same_settings_again_change_nothing(door: FrontDoor) -> None:
    await start_again(door)
    before = workers(door)
    await start_again(door)
    assert workers(door) == before


async def test_files_that_were_written_by_a_start_that_died_are_taken_over_by_the_next(
    door: FrontDoor,
) -> None:
    await start_again(door)
    before = workers(door)
    (door.stack.layout.nginx / "in_force").write_text("what was told before")
    await start_again(door)
    assert not workers(door) & before


@pytest.mark.parametrize("wrong", ["not a certificate", "missing"])
async def test_a_certificate_that_cannot_be_used_is_refused_and_the_door_stays_open(
    door: FrontDoor, wrong: str, tmp_path: Path
) -> None:
    _, key = self_signed(tmp_path)
    certificate = tmp_path / "other.pem"
    if wrong != "missing":
        certificate.write_text(wrong)
    before = workers(door)
    with pytest.raises(PreparationError, match=r"other\.pem"):
        await start_again(door, PHOENIX_TLS_CERTIFICATE=str(certificate), PHOENIX_TLS_KEY=str(key))
    assert workers(door) == before
    assert "PHOENIX_TLS_KEY" not in door.stack.settings(), "what was refused does not stay"
    assert await alert(door) == 200


async def test_a_port_that_somebody_else_has_is_told_and_the_door_stays_open(
    door: FrontDoor, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    with pytest.raises(PreparationError, match=rf"(?s)nginx.*{port}"):
        await start_again(
            door,
            PHOENIX_TLS_CERTIFICATE=str(certificate),
            PHOENIX_TLS_KEY=str(key),
            PHOENIX_TLS_LISTEN=f"127.0.0.1:{port}",
            PHOENIX_WEBHOOK_ALLOWED_NETWORKS="any",
        )
    assert await alert(door) == 200
    assert not (door.stack.layout.nginx / "tls.conf").exists()
    taken.close()
