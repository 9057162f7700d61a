"""The load keeps its schedule whatever the service does, and times each answer from when it was due."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import pairwise

import pytest

from tests.bench import open_load
from tests.bench.http_wire import NO_ANSWER, parse_answer, request_bytes
from tests.bench.open_load import Job, OpenLoad

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
STALL_S = 0.3
INTERVAL_S = 0.02

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def test_every_request_gets_its_own_answer() -> None:
    async with _server(_answer_all) as port:
        found = await OpenLoad(_job(port, 20)).run()
    assert [each.status for each in found.answers] == [HTTPStatus.OK] * 20
    assert {each.body for each in found.answers} == {"{}"}


async def test_requests_leave_on_schedule_while_the_service_stalls_and_the_stall_is_in_their_latency() -> (
    None
):
    """A closed loop would send one request, wait, and call the other nine fast."""
    stalled = asyncio.Event()

    async def stall_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        await stalled.wait()
        writer.write(ANSWER)
        await _answer_all(reader, writer)

    async with _server(stall_once) as port:
        load = asyncio.create_task(OpenLoad(_job(port, 10)).run())
        asyncio.get_running_loop().call_later(STALL_S, stalled.set)
        found = await load
    latencies_s = [each.latency_us / 1e6 for each in found.answers]
    assert latencies_s[0] > STALL_S / 2
    # Each later request was due one interval later and waited for the same moment: shorter, but not short.
    assert latencies_s[0] > latencies_s[-1]
    assert latencies_s[5] > STALL_S / 2 - 5 * INTERVAL_S


async def test_waiting_for_a_free_connection_is_part_of_the_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_load, "CONNECTIONS_FIRST", 1)
    monkeypatch.setattr(open_load, "CONNECTIONS_MAX", 1)
    released = asyncio.Event()

    async def stall_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        await released.wait()
        writer.write(ANSWER)
        await _answer_all(reader, writer)

    async with _server(stall_once) as port:
        load = asyncio.create_task(OpenLoad(_job(port, 5)).run())
        asyncio.get_running_loop().call_later(STALL_S, released.set)
        found = await load
    waited_s = [each.latency_us / 1e6 for each in found.answers]
    assert waited_s[1] > STALL_S / 2 - INTERVAL_S, "it was due while the only connection was taken"


async def test_due_times_are_a_fixed_interval_apart() -> None:
    async with _server(_answer_all) as port:
        found = await OpenLoad(_job(port, 10)).run()
    due_us = [each.due_us for each in found.answers]
    gaps_us = [later - earlier for earlier, later in pairwise(due_us)]
    assert all(abs(gap - INTERVAL_S * 1e6) <= 1 for gap in gaps_us)


async def test_a_service_that_is_away_is_counted_and_does_not_end_the_load() -> None:
    async with _server(_answer_all) as port:
        pass  # nobody listens there any more
    found = await OpenLoad(_job(port, 5)).run()
    assert [each.status for each in found.answers] == [NO_ANSWER] * 5


async def test_a_connection_closed_without_an_answer_is_counted() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.close()

    async with _server(hang_up) as port:
        found = await OpenLoad(_job(port, 5)).run()
    assert [each.status for each in found.answers] == [NO_ANSWER] * 5


def test_a_load_without_bound_is_refused() -> None:
    with pytest.raises(AssertionError, match="bounded"):
        OpenLoad(Job(port=1, path="/", rate=1, bodies=[]))


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_an_answer_in_pieces_is_not_taken_for_a_whole_one(cut: int) -> None:
    assert parse_answer(ANSWER[:cut]) is None
    assert parse_answer(ANSWER) == (200, b"{}")


def test_a_request_announces_its_length_in_bytes() -> None:
    wire = request_bytes("127.0.0.1:1", "/p", "ü".encode())
    assert b"Content-Length: 2\r\n" in wire
    assert wire.startswith(b"POST /p HTTP/1.1\r\n")


def _job(port: int, requests: int) -> Job:
    return Job(port=port, path="/", rate=1 / INTERVAL_S, bodies=["{}"] * requests)


async def _answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        try:
            await reader.readuntil(b"{}")
        except asyncio.IncompleteReadError:
            break
        writer.write(ANSWER)
    writer.close()


@asynccontextmanager
async def _server(serve: Serve) -> AsyncIterator[int]:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])
