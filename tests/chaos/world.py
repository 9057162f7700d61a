"""A whole system with a network that can break: every link to a server goes through a proxy of ours.

It starts, reaches and destroys; what breaks when is `faults`' business, what is sent `workload`'s.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from infrastructure.drill.reading import Sources
from infrastructure.local.layout import make_layout
from infrastructure.local.preparation import prepare_settings
from infrastructure.local.stack import LocalStack
from infrastructure.local.supervision import SupervisorError
from tests.chaos.disks import Disk, disks
from tests.chaos.workload import Addresses
from tests.proxy import Proxy, proxy_to
from tests.servers import throwaway_stack

LINKS: Mapping[str, tuple[str, str]] = {
    "amqp": ("amqp", "PHOENIX_AMQP_URL"),
    "postgres": ("postgres", "PHOENIX_POSTGRES_URL"),
    "redis": ("redis", "PHOENIX_REDIS_URL"),
    "exchange": ("paper_exchange", "PHOENIX_EXCHANGE_BASE_URL"),
}
"""Each link: the port it leads to, and the setting that leads through it."""

POSITIONS_MAX = 8
SETTINGS: Mapping[str, str] = {
    "PHOENIX_RISK_PROFILE": "bench",  # many small trades: not one of them may meet a limit of the day
    "PHOENIX_SCORE_MIN": "0",
    "PHOENIX_FINAL_CONFIDENCE_MIN": "0",
    "PHOENIX_PAPER_WALLET_USDT": "1000000",
    "PHOENIX_PAPER_WEIGHT_LIMIT_1M": "1000000",
    "PHOENIX_PAPER_ORDER_LIMIT_10S": "100000",
    "PHOENIX_PAPER_ORDER_LIMIT_1M": "100000",
}
HTTP_TIMEOUT_S = 10.0


@dataclass
class World:
    """A running system, its links, and the doors to it."""

    stack: LocalStack
    settings: Mapping[str, str]
    links: Mapping[str, Proxy]
    crash_points: Path
    replicas: int
    http: httpx.AsyncClient
    disks: Mapping[str, Disk] = field(default_factory=dict)
    clock_steps: Path | None = None
    _frozen: set[str] = field(default_factory=set)

    @property
    def exchange_url(self) -> str:
        """The exchange's own address, past its link."""
        return f"http://127.0.0.1:{self.stack.ports.of('paper_exchange')}"

    @property
    def addresses(self) -> Addresses:
        """Where the workload goes."""
        return Addresses(
            webhook=f"{self.settings['PHOENIX_PUBLIC_URL']}/webhook/tradingview",
            execute=self.settings["PHOENIX_EXECUTE_URL"],
            risk=self.settings["PHOENIX_RISK_URL"],
            exchange=self.exchange_url,
            webhook_secret=self.settings["PHOENIX_WEBHOOK_SECRET"],
            api_key=self.settings["PHOENIX_API_KEY"],
        )

    @property
    def sources(self) -> Sources:
        """Where the truth is read, past every link."""
        return Sources(
            postgres_url=self.settings["PHOENIX_POSTGRES_URL"],
            admin_password=self.settings["PHOENIX_ADMIN_DB_PASSWORD"],
            amqp_url=self.settings["PHOENIX_AMQP_URL"],
            exchange_url=self.exchange_url,
            installation=self.settings["PHOENIX_INSTALLATION"],
        )

    async def admin(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Use the exchange's side door."""
        answer = await self.http.request(method, f"{self.exchange_url}/admin/{path}", json=body)
        assert answer.is_success, f"{method} /admin/{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def signal(self, program: str, number: signal.Signals) -> bool:
        """Send a signal to a program; False when it is not running just now."""
        try:
            await asyncio.to_thread(self.stack.kill_program, program, number)
        except (SupervisorError, ProcessLookupError):
            return False
        return True

    def kill_supervisor(self) -> None:
        """End the process supervisor with SIGKILL: nobody watches its programs from now on."""
        pid = int(self.stack.layout.supervisor_pid.read_text(encoding="ascii"))
        os.kill(pid, signal.SIGKILL)

    async def freeze(self, program: str, seconds: float) -> bool:
        """Stop a program for a while and let it go on."""
        if program in self._frozen or not await self.signal(program, signal.SIGSTOP):
            return False
        self._frozen.add(program)
        try:
            await asyncio.sleep(seconds)
        finally:
            await self.signal(program, signal.SIGCONT)
            self._frozen.discard(program)
        return True

    async def restart(self, program: str) -> None:
        """Stop a program in good order and start it again."""
        await asyncio.to_thread(self.stack.restart_program, program)

    async def heal(self) -> None:
        """Take back everything that still disturbs; what is dead is being started by the supervisor."""
        for link in self.links.values():
            link.heal()
        for disk in self.disks.values():
            disk.free()
        for clock in self.clock_steps.iterdir() if self.clock_steps else ():
            clock.unlink(missing_ok=True)
        with suppress(httpx.HTTPError):  # an exchange that is just being started has no faults
            await self.admin("DELETE", "faults")
        for armed in self.crash_points.iterdir():
            if ".met." not in armed.name:
                armed.unlink(missing_ok=True)


@asynccontextmanager
async def chaos_world(replicas: int) -> AsyncIterator[World]:
    """Start a system whose services reach every server through a proxy; destroy it afterwards."""
    async with AsyncExitStack() as resources:
        stack = resources.enter_context(throwaway_stack())
        points = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="phoenix95-points-")))
        layout = make_layout(stack.layout.home)
        own_disks = resources.enter_context(disks(layout))
        resources.callback(stack.destroy)  # nothing may run on a disk that is taken away
        settings = prepare_settings(layout, stack.ports)
        links = {
            name: await resources.enter_async_context(proxy_to(stack.ports.of(server)))
            for name, (server, _) in LINKS.items()
        }
        steps = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="phoenix95-clocks-")))
        overrides = dict(SETTINGS) | {
            "PHOENIX_CRASH_POINTS": str(points),
            "PHOENIX_CLOCK_STEPS": str(steps),
        }
        for name, (server, key) in LINKS.items():
            port = f":{stack.ports.of(server)}"
            assert port in settings[key], f"{key} does not name the port of {server}"
            overrides[key] = settings[key].replace(port, f":{links[name].port}")
        await asyncio.to_thread(stack.start, replicas=replicas, overrides=overrides)
        http = await resources.enter_async_context(httpx.AsyncClient(timeout=HTTP_TIMEOUT_S))
        world = World(stack, settings, links, points, replicas, http, own_disks, steps)
        limits = {"limits": {"positions_max": POSITIONS_MAX}, "reason": "chaos"}
        answer = await http.post(
            world.addresses.risk + "/update", json=limits, headers={"X-API-Key": settings["PHOENIX_API_KEY"]}
        )
        answer.raise_for_status()
        yield world
