"""A connection to a broker that does not answer is given up, for good."""

import asyncio

import pytest

from shared import rabbitmq_connection
from shared.errors import BrokerUnavailable
from shared.supervision import within


async def _say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def test_a_connection_that_never_came_up_is_not_left_trying_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its attempts swallow their cancellation, and the end of the event loop would wait for them."""
    monkeypatch.setattr(rabbitmq_connection, "within", lambda _seconds, work: within(0.2, work))
    frozen = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
    port = frozen.sockets[0].getsockname()[1]
    with pytest.raises(BrokerUnavailable):
        await rabbitmq_connection.connect(f"amqp://u:p@127.0.0.1:{port}/", "sample")
    assert [task for task in asyncio.all_tasks() if "connection_factory" in repr(task)] == []
    frozen.close()
