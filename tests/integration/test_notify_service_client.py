"""The other services over real HTTP: what is known, and what nobody knows, after each failed answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from services.notify import service_client
from services.notify.ports import ServiceFailure
from services.notify.service_client import ServiceClient
from shared.values import TradingState

KEY = "a-key-that-must-not-be-shown"
HANG = b""
SHORT_S = 0.3


def answer(status: str, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


class Server:
    """Answers every request with the same bytes, or with none, or drips them; keeps what it was asked."""

    def __init__(self) -> None:
        self.says: bytes = answer("200 OK")
        self.drips = False
        self.asked: list[str] = []
        self.url = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.decode())
            if self.says == HANG:
                await reader.read()
            elif self.drips:
                for each in self.says:
                    writer.write(bytes([each]))
                    await writer.drain()
                    await asyncio.sleep(0.02)
            else:
                writer.write(self.says)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.talk, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield made
    listening.close()


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[ServiceClient]:
    urls = dict.fromkeys(("brain", "risk", "execute", "notify"), url)
    async with ServiceClient(urls, SecretStr(KEY)) as client:
        yield client


async def failure_of(url: str) -> ServiceFailure:
    async with client_of(url) as client:
        with pytest.raises(ServiceFailure) as caught:
            await client.close("BTCUSDT", "telegram:42", "close from telegram")
    assert KEY not in str(caught.value)
    return caught.value


async def test_a_request_carries_the_key_and_who_asks(server: Server) -> None:
    server.says = answer("202 Accepted", b'{"request_id": "req-1"}')
    async with client_of(server.url + "/") as client:
        assert await client.close(None, "telegram:42", "why") == "req-1"

    [head] = server.asked
    assert head.startswith("POST /close HTTP/1.1")
    assert f"X-API-Key: {KEY}\r\nX-Actor: telegram:42\r\n" in head


async def test_a_state_is_set_in_one_request(server: Server) -> None:
    async with client_of(server.url) as client:
        await client.set_state(TradingState.HALTED, "dashboard:operator", "why")

    assert [head.split(" HTTP")[0] for head in server.asked] == ["POST /update"]


@pytest.mark.parametrize(
    ("says", "may_be_done", "tells"),
    [
        (answer("401 Unauthorized", b'{"detail": "key missing"}'), False, "execute: key missing"),
        (answer("422 Unprocessable Entity", b"no json"), False, "execute: HTTP 422"),
        (answer("502 Bad Gateway", b"<html>"), True, "execute: HTTP 502"),
        (answer("503 Service Unavailable", b'{"title": "away"}'), True, "execute: away"),
        (answer("200 OK", b"<html>"), True, "execute: HTTP 200"),
        (answer("202 Accepted", b"{}"), True, "without a request id"),
        (answer("302 Found"), True, "execute: HTTP 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", True, "did not answer"),
        (b"nonsense\r\n\r\n", True, "did not answer"),
    ],
)
async def test_only_a_clear_no_means_that_nothing_was_done(
    server: Server, says: bytes, may_be_done: bool, tells: str
) -> None:
    server.says = says

    failure = await failure_of(server.url)

    assert failure.may_be_done is may_be_done
    assert tells in failure.detail
    assert len(server.asked) == 1


async def test_who_cannot_be_reached_has_done_nothing() -> None:
    failure = await failure_of("http://127.0.0.1:9")

    assert not failure.may_be_done
    assert failure.detail == "execute cannot be reached"


@pytest.mark.parametrize("drips", [False, True])
async def test_a_service_that_hangs_or_drips_is_given_up_after_its_time(
    server: Server, drips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_client, "REQUEST_TIMEOUT_S", SHORT_S)
    server.says, server.drips = (answer("202 Accepted"), True) if drips else (HANG, False)
    clock: Callable[[], float] = asyncio.get_running_loop().time
    started = clock()

    failure = await failure_of(server.url)

    assert failure.may_be_done
    assert clock() - started < 10 * SHORT_S
    assert len(server.asked) == 1


async def test_readiness_of_a_service_that_is_away_is_an_answer(server: Server) -> None:
    async with client_of("http://127.0.0.1:9") as client:
        assert (await client.readiness("risk"))["ready"] is False
    server.says = answer("503 Service Unavailable", b'{"ready": false, "dependencies": {"redis": "away"}}')
    async with client_of(server.url) as client:
        assert (await client.readiness("risk"))["dependencies"] == {"redis": "away"}
    server.says = answer("200 OK", b"[]")
    async with client_of(server.url) as client:
        assert (await client.readiness("risk"))["ready"] is False
