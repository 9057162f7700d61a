"""What a test does to the broker behind the client's back: look into queues, delete them, cut connections."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from infrastructure.local.plan import rabbitmq_environment
from shared import topology
from tests.servers import Servers

RABBITMQCTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
RABBITMQCTL_TIMEOUT_S = 30
RETRY_DELAY_MS = 150
"""The delay of a test's own retry queues; one test waits for the real one."""


@dataclass(frozen=True)
class Broker:
    """The broker of this test run."""

    servers: Servers

    async def make_queue(
        self,
        *,
        retry_delay_ms: int = RETRY_DELAY_MS,
        prefetch: int = 10,
        arguments: Mapping[str, object] | None = None,
    ) -> topology.Queue:
        """Declare a queue of its own for one test, with its retry and dead-letter queue, as ours are.

        `arguments` are added to the main queue's or replace them. The queues go with the broker.
        """
        queue = topology.Queue(
            name=f"test_{uuid4().hex[:8]}", exchange=topology.EVENTS.name, routing_keys=(), prefetch=prefetch
        )
        declared: dict[str, dict[str, Any]] = {
            queue.name: topology.main_arguments(queue) | dict(arguments or {}),
            queue.retry: topology.retry_arguments(queue) | {"x-message-ttl": retry_delay_ms},
            queue.dead: topology.dead_arguments(),
        }
        async with self.channel() as channel:
            for name, each in declared.items():
                await channel.declare_queue(name, durable=True, arguments=each)
        return queue

    async def purge(self, name: str) -> None:
        """Throw away what waits in a queue."""
        async with self.channel() as channel:
            await (await channel.get_queue(name, ensure=False)).purge()

    async def count(self, name: str) -> int:
        """Return how many messages of a queue wait for a consumer."""
        async with self.channel() as channel:
            queue = await channel.declare_queue(name, passive=True)
            return queue.declaration_result.message_count or 0

    async def consumers(self, name: str) -> int:
        """Return how many consumers a queue has."""
        async with self.channel() as channel:
            queue = await channel.declare_queue(name, passive=True)
            return queue.declaration_result.consumer_count or 0

    async def take(self, name: str) -> AbstractIncomingMessage | None:
        """Take the oldest message out of a queue; None when it is empty."""
        async with self.channel() as channel:
            queue = await channel.declare_queue(name, passive=True)
            return await queue.get(no_ack=True, fail=False)

    async def close_connections(self) -> None:
        """Let the broker close every client's connection."""
        await self.ctl("close_all_connections", "--vhost", topology.VIRTUAL_HOST, "test")

    async def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this broker and return what it said."""
        return await asyncio.to_thread(self._ctl, arguments)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        """Open a plain channel on a connection of its own."""
        async with await aio_pika.connect(self.servers.amqp_url) as connection:
            yield await connection.channel()

    def _ctl(self, arguments: tuple[str, ...]) -> str:
        layout, ports = self.servers.stack.layout, self.servers.stack.ports
        done = subprocess.run(
            [RABBITMQCTL, "--quiet", *arguments],
            env=os.environ | rabbitmq_environment(layout, ports),
            check=True,
            capture_output=True,
            text=True,
            timeout=RABBITMQCTL_TIMEOUT_S,
        )
        return done.stdout
