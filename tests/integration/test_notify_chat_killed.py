"""Two processes of NOTIFY listen to one bot; the one that does is killed: nothing is lost, nothing twice."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.probes import is_port_free
from shared.database import Database
from shared.settings import ENV_FILES_VARIABLE
from tests.eventually import eventually
from tests.integration.brain_world import PORTS, START_TIMEOUT_S, is_ready
from tests.integration.notify_world import notify_database
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import Servers

pytestmark = pytest.mark.servers

VIEWER = 7
TAKE_OVER_S = 20.0
MEMORY_MAX_MIB = 110


@asynccontextmanager
async def notify(
    servers: Servers, chat: TelegramStandIn, instance: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    port = next(number for number in PORTS if is_port_free(number))
    settings = {
        "PHOENIX_TELEGRAM_BOT_TOKEN": "95:x",
        "PHOENIX_TELEGRAM_CHAT_ID": "-100",
        "PHOENIX_TELEGRAM_BASE_URL": chat.url,
        "PHOENIX_TELEGRAM_VIEWERS": str(VIEWER),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.notify", "--port", str(port), "--instance", str(instance)),
        cwd=REPOSITORY,
        env=os.environ | {ENV_FILES_VARIABLE: servers.env_file} | settings,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        await eventually(lambda: is_ready(url), START_TIMEOUT_S, what="the process is ready")
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with notify_database(servers) as database:
        for table in ("inbox", "leases"):
            await database.execute(f"DELETE FROM {table}")
        yield database


async def test_when_the_listener_is_killed_the_other_answers_what_was_typed_in_between_once(
    servers: Servers, database: Database
) -> None:
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(TelegramStandIn())
        first = await stack.enter_async_context(notify(servers, chat, 0))
        chat.people.type(VIEWER, "/version")
        await chat.people.sees("Phoenix 95")
        await stack.enter_async_context(notify(servers, chat, 1))

        first.send_signal(signal.SIGKILL)
        await first.wait()
        for command in ("/signals 999", "/help", "/health"):
            chat.people.type(VIEWER, command)

        def answered() -> list[int]:
            return [chat.people.counted(text) for text in ("You are 7", "Not all parts are well", "(1–")]

        await eventually(lambda: all(answered()), TAKE_OVER_S, what="the other replica answers")
        await eventually(lambda: chat.people.unconfirmed == 0)
        assert answered() == [1, 1, 1]
        holders = await database.fetch("SELECT holder FROM leases WHERE name = 'telegram_poller'")
        assert [row["holder"].partition("@")[0] for row in holders] == ["notify-1"]


async def test_listening_fits_into_the_memory_of_a_service(servers: Servers, database: Database) -> None:
    async with TelegramStandIn() as chat, notify(servers, chat, 0) as process:
        for command in ("/status", "/positions", "/help", "/why", "/health"):
            chat.people.type(VIEWER, command)
        await eventually(lambda: len(chat.people.shown) >= 5)

        used_mib = resident_mib(process.pid)
    print(f"NOTIFY uses {used_mib:.0f} MiB")
    assert used_mib <= MEMORY_MAX_MIB


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
