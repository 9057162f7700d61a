"""nginx for real with two stand-ins behind each balanced port, for tests of the front door."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from aiohttp import web

from infrastructure.local.ports import SERVICES
from infrastructure.local.stack import LocalStack
from tests.servers import throwaway_stack

REPLICAS = 2
WEBHOOK = "/webhook/tradingview"


@dataclass
class StandIn:
    """A service instance that answers with what the test sets, and remembers what it was asked."""

    name: str
    status: int = 200
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[web.Request] = field(default_factory=list)
    events: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response(text="alive")
        if request.path == "/dashboard/events":
            return await self._tell_events(request)
        self.requests.append(request)
        await self.thawed.wait()
        if not self.status and request.transport is not None:  # hang up
            request.transport.close()
            return web.Response(status=500)
        return web.json_response({"answered_by": self.name}, status=self.status)

    async def _tell_events(self, request: web.Request) -> web.StreamResponse:
        """Send what is put into `events`, each at once, until the browser goes away."""
        self.requests.append(request)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        while True:
            await stream.write(f"data: {await self.events.get()}\n\n".encode())


@dataclass
class FrontDoor:
    """nginx with two stand-ins for each service."""

    stack: LocalStack
    stand_ins: dict[str, StandIn]
    client: httpx.AsyncClient

    def url(self, name: str, path: str = "") -> str:
        """Return an address behind a port by name: `nginx` is the public one."""
        return f"http://127.0.0.1:{self.stack.ports.of(name)}{path}"

    def reset(self) -> None:
        """Let every stand-in answer 200 again and forget what it was asked."""
        for stand_in in self.stand_ins.values():
            stand_in.status = 200
            stand_in.thawed.set()
            stand_in.requests.clear()

    def asked(self, service: str) -> list[str]:
        """Return which instances of a service were asked, one entry a request."""
        names = [f"{service}-{index}" for index in range(REPLICAS)]
        return [name for name in names for _ in self.stand_ins[name].requests]

    def log(self) -> str:
        """Return everything nginx logged."""
        return self.stack.layout.log_of("nginx").read_text()


@contextlib.asynccontextmanager
async def front_door(overrides: Mapping[str, str] | None = None) -> AsyncIterator[FrontDoor]:
    """Start nginx before stand-ins that answer everything."""
    async with contextlib.AsyncExitStack() as cleanup:
        stack = cleanup.enter_context(throwaway_stack())
        stand_ins = {
            f"{service}-{index}": StandIn(f"{service}-{index}")
            for service in SERVICES
            for index in range(REPLICAS)
        }
        for name, stand_in in stand_ins.items():
            service, _, index = name.partition("-")
            runner = await serve(stand_in, stack.ports.instance(service, int(index)))
            cleanup.push_async_callback(runner.cleanup)
        client = await cleanup.enter_async_context(httpx.AsyncClient(timeout=10))
        await asyncio.to_thread(stack.start, only=["nginx"], replicas=REPLICAS, overrides=overrides)
        yield FrontDoor(stack, stand_ins, client)


async def serve(stand_in: StandIn, port: int) -> web.AppRunner:
    """Run a stand-in on a loopback port."""
    stand_in.thawed.set()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", stand_in.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def self_signed(directory: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 and its key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "2", "-subj", "/CN=phoenix.test", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
