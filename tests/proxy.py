"""A TCP proxy that can lose a server's answers: the command arrives, the caller never hears of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 65_536


class Proxy:
    """Passes bytes on between clients and a server on this machine."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._gates: set[asyncio.Event] = set()
        self.port = 0

    def lose_answers(self) -> None:
        """Keep back what the server says on the connections of now; new ones are not touched."""
        for gate in self._gates:
            gate.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side is gone."""
        gate = asyncio.Event()
        gate.set()
        self._gates.add(gate)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        ways = {
            asyncio.create_task(_pass_on(reader, server_writer)),
            asyncio.create_task(_pass_on(server_reader, writer, gate)),
        }
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, server_writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, gate: asyncio.Event | None = None
) -> None:
    while chunk := await source.read(CHUNK_BYTES):
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
