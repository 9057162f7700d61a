"""What nginx itself answers is a problem document, whatever was sent, and shows no part of an address."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from infrastructure.local.ports import SERVICES
from tests.eventually import eventually
from tests.integration.front_door_world import FrontDoor, front_door

TOKEN = "a-webhook-secret-in-a-path"
ANSWER_TIMEOUT_S = 10
PATH = f"/webhook/tradingview/{TOKEN}"


@pytest.fixture(scope="module")
async def shared_door() -> AsyncIterator[FrontDoor]:
    async with front_door() as opened:
        yield opened


@pytest.fixture
def door(shared_door: FrontDoor) -> FrontDoor:
    shared_door.reset()
    return shared_door


async def answer_of(door: FrontDoor, port: str, request: bytes) -> tuple[int, dict[str, str], str]:
    """Send bytes as they are and return status, headers and body of what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.stack.ports.of(port))
    try:
        writer.write(request)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status_line, *lines = head.strip().split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            length = int(headers.get("content-length", 0))
            body = b"" if request.startswith(b"HEAD") else await reader.readexactly(length)
        return int(status_line.split()[1]), headers, body.decode()
    finally:
        writer.close()


def asked(line: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join((line, *headers, "", body)).encode()


HOST = "Host: 127.0.0.1"
ODD: dict[str, tuple[bytes, int]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "no version": (asked(f"POST {PATH} nonsense", HOST), 400),
    "two lengths": (
        asked(f"POST {PATH} HTTP/1.1", HOST, "Content-Length: 1", "Content-Length: 2", body="{}"),
        400,
    ),
    "length no number": (asked(f"POST {PATH} HTTP/1.1", HOST, "Content-Length: two", body="{}"), 400),
    "length negative": (asked(f"POST {PATH} HTTP/1.1", HOST, "Content-Length: -2", body="{}"), 400),
    "length and chunks": (
        asked(
            f"POST {PATH} HTTP/1.1", HOST, "Content-Length: 2", "Transfer-Encoding: chunked", body="0\r\n\r\n"
        ),
        400,
    ),
    "chunk no number": (
        asked(f"POST {PATH} HTTP/1.1", HOST, "Transfer-Encoding: chunked", body="zz\r\n{}\r\n"),
        400,
    ),
    "unknown coding": (asked(f"POST {PATH} HTTP/1.1", HOST, "Transfer-Encoding: gzip", body="{}"), 501),
    "no host": (asked(f"POST {PATH} HTTP/1.1", "Content-Length: 2", body="{}"), 400),
    "two hosts": (asked(f"POST {PATH} HTTP/1.1", HOST, "Host: b", "Content-Length: 2", body="{}"), 400),
    "version 3": (asked(f"POST {PATH} HTTP/3.0", HOST), 505),
    "method in small letters": (asked(f"post {PATH} HTTP/1.1", HOST), 400),
    "TRACE": (asked(f"TRACE {PATH} HTTP/1.1", HOST), 405),
    "CONNECT": (asked(f"CONNECT {PATH} HTTP/1.1", HOST), 405),
    "address too long": (asked(f"POST {PATH}/{'x' * 20_000} HTTP/1.1", HOST), 414),
    "header too long": (asked(f"POST {PATH} HTTP/1.1", HOST, f"X-Long: {'x' * 40_000}"), 431),
    "NUL in the address": (asked(f"POST {PATH}%00 HTTP/1.1", HOST), 400),
    "above the root": (asked(f"POST /../{TOKEN} HTTP/1.1", HOST), 400),
}


@pytest.mark.parametrize("port", ["nginx", "brain", "notify"])
@pytest.mark.parametrize("case", ODD)
async def test_what_nginx_cannot_pass_on_is_a_problem(door: FrontDoor, port: str, case: str) -> None:
    request, expected = ODD[case]
    status, headers, body = await answer_of(door, port, request)
    assert (status, headers.get("content-type")) == (expected, "application/problem+json")
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert ("allow" in headers) == (status == 405)
    assert TOKEN not in f"{headers} {body}"


@pytest.mark.parametrize("port", ["nginx", "brain"])
@pytest.mark.parametrize(
    "request_",
    [
        asked(f"POST {PATH} HTTP/1.0", "Content-Length: 2", body="{}"),
        asked(f"POST {PATH} HTTP/1.1", HOST, "Transfer-Encoding: chunked", body="2\r\n{}\r\n0\r\n\r\n"),
        asked(f"POST /{PATH} HTTP/1.1", HOST, "Content-Length: 2", body="{}"),
        asked(f"POST {PATH}/ HTTP/1.1", HOST, "Content-Length: 2", body="{}"),
        asked(f"POST http://127.0.0.1{PATH} HTTP/1.1", HOST, "Content-Length: 2", body="{}"),
        asked("POST /webhook/tradingview/%61%2Fb HTTP/1.1", HOST, "Content-Length: 2", body="{}"),
        asked(f"POST /webhook?secret={TOKEN} HTTP/1.1", HOST, "Content-Length: 2", body="{}"),
        asked(f"POST /webhook/?secret={TOKEN} HTTP/1.1", HOST, "Content-Length: 2", body="{}"),
    ],
)
async def test_every_spelling_of_an_alert_reaches_the_service_and_none_is_redirected(
    door: FrontDoor, port: str, request_: bytes
) -> None:
    status, headers, _ = await answer_of(door, port, request_)
    assert status == 200
    assert "location" not in headers
    assert len(door.asked("brain")) == 1


@pytest.mark.parametrize("port", SERVICES)
async def test_a_service_that_is_away_is_a_problem(door: FrontDoor, port: str) -> None:
    for stand_in in door.stand_ins.values():
        stand_in.status = 0  # it hangs up
    status, headers, body = await answer_of(door, port, asked("GET /status HTTP/1.1", HOST))
    assert (status, headers.get("content-type")) == (502, "application/problem+json")
    assert "may be done or not" in json.loads(body)["detail"]


async def test_a_path_that_is_not_public_is_a_problem(door: FrontDoor) -> None:
    status, headers, body = await answer_of(door, "nginx", asked(f"GET /{TOKEN} HTTP/1.1", HOST))
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert TOKEN not in body


async def test_no_log_shows_a_part_of_an_odd_address(door: FrontDoor) -> None:
    before = door.log().count(" 505 ")
    for request, _ in ODD.values():
        await answer_of(door, "risk", request)
    await answer_of(door, "risk", ODD["version 3"][0])
    await eventually(lambda: door.log().count(" 505 ") >= before + 2, what="nginx has logged it")
    assert TOKEN not in door.log()
