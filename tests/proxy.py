"""A TCP proxy in front of a server of this machine: loses answers, holds everything back, cuts, delays.

It is the network between our processes: whatever it does, the server and its clients are healthy themselves.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 65_536


class Proxy:
    """Passes bytes on between clients and a server on this machine."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._answers: set[asyncio.Event] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._is_cut = False
        self._delay_s = 0.0
        self.port = 0

    def lose_answers(self) -> None:
        """Keep back what the server says on the connections of now; new ones are not touched."""
        for gate in self._answers:
            gate.clear()

    def hold(self) -> None:
        """Keep back every byte in both directions; connections stay open, as behind a silent firewall."""
        self._flows.clear()

    def cut(self) -> None:
        """Close every connection, and new ones at once, until `heal`."""
        self._is_cut = True
        for client in tuple(self._clients):
            client.transport.abort()

    def delay(self, seconds: float) -> None:
        """Pass everything on late."""
        self._delay_s = seconds

    def heal(self) -> None:
        """Pass everything on again; answers that were lost stay lost."""
        self._is_cut = False
        self._delay_s = 0.0
        self._flows.set()

    async def end(self) -> None:
        """Close every connection and wait until nobody is served any more."""
        self.heal()
        serving = [task for task in self._clients.values() if task is not None]
        self.cut()
        await asyncio.gather(*serving, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side is gone."""
        if self._is_cut:
            writer.transport.abort()
            return
        answers = asyncio.Event()
        answers.set()
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._answers.add(answers)
        self._clients[writer] = asyncio.current_task()
        ways = {
            asyncio.create_task(self._pass_on(reader, server_writer)),
            asyncio.create_task(self._pass_on(server_reader, writer, answers)),
        }
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self._answers.discard(answers)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, server_writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()
        self._clients.pop(writer, None)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, gate: asyncio.Event | None = None
    ) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            await self._flows.wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            if gate is not None:
                await gate.wait()
            target.write(chunk)
            await target.drain()


@asynccontextmanager
async def proxy_to(server_port: int) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a port of this machine."""
    proxy = Proxy(server_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
