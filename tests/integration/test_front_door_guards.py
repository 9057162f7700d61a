"""nginx for real, before stand-in services: whom it believes, how much it takes, how slowly, and TLS."""

import asyncio
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from infrastructure.nginx_lb.settings import TRADINGVIEW
from tests.eventually import eventually
from tests.integration.front_door_world import WEBHOOK, FrontDoor, front_door, self_signed

PROXY = "127.0.0.9"
"""The one address whose word on the client counts."""
FRIEND = "127.0.0.2"
STRANGER = "127.0.0.3"
CONNECTIONS_MAX = 16
BURST = 10
LOGINS = 5
SLOW_CLIENT_S_MAX = 12.0
"""Header 5 s, body 3 s between two pieces, and the patience of a busy machine."""


@pytest.fixture(scope="module")
async def guarded() -> AsyncIterator[FrontDoor]:
    with tempfile.TemporaryDirectory(prefix="phoenix95-door-") as name:
        async with front_door(guards(Path(name))) as door:
            yield door


def guards(folder: Path) -> dict[str, str]:
    """Write certificate and challenge into a folder and return the settings."""
    folder.chmod(0o755)  # nginx's workers run as somebody else
    certificate, key = self_signed(folder)
    challenge = folder / ".well-known" / "acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("proof")
    return {
        "PHOENIX_WEBHOOK_ALLOWED_NETWORKS": f"tradingview, {FRIEND}",
        "PHOENIX_NGINX_TRUSTED_PROXIES": PROXY,
        "PHOENIX_NGINX_CONNECTIONS_PER_ADDRESS": str(CONNECTIONS_MAX),
        "PHOENIX_RATE_LIMIT_PER_MINUTE": "1",  # so that nginx lets through 1 a second, and 10 at once
        "PHOENIX_DASHBOARD_LOGINS_PER_MINUTE": str(LOGINS),
        "PHOENIX_TLS_CERTIFICATE": str(certificate),
        "PHOENIX_TLS_KEY": str(key),
        "PHOENIX_TLS_ACME_DIR": str(folder),
        "PHOENIX_TLS_DASHBOARD": "yes",
    }


@pytest.fixture
def door(guarded: FrontDoor) -> Iterator[FrontDoor]:
    guarded.reset()
    yield guarded
    guarded.reset()


@asynccontextmanager
async def calling_from(address: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client whose connections come from one of this machine's own addresses."""
    transport = httpx.AsyncHTTPTransport(local_address=address, verify=settings.get("verify", True))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, timeout=10) as client:
        yield client


async def post(
    door: FrontDoor, source: str, said_client: str | None = None, path: str = WEBHOOK
) -> httpx.Response:
    """Send an alert from an address, as if for another when one is named."""
    headers = {} if said_client is None else {"X-Forwarded-For": said_client}
    async with calling_from(source) as client:
        return await client.post(door.url("nginx", path), json={}, headers=headers)


def is_problem(answer: httpx.Response, status: int) -> bool:
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/problem+json"
        and answer.json()["status"] == status
    )


async def test_an_address_that_is_not_allowed_is_told_so_and_brain_never_hears_of_it(door: FrontDoor) -> None:
    answer = await post(door, STRANGER)
    assert is_problem(answer, 403)
    assert STRANGER in answer.json()["detail"]
    assert "PHOENIX_WEBHOOK_ALLOWED_NETWORKS" in answer.json()["detail"]
    assert not door.asked("brain")


async def test_an_own_network_can_be_allowed(door: FrontDoor) -> None:
    assert (await post(door, FRIEND)).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP"])
async def test_a_stranger_who_says_he_is_tradingview_is_not_believed(door: FrontDoor, header: str) -> None:
    async with calling_from(STRANGER) as client:
        answer = await client.post(door.url("nginx", WEBHOOK), json={}, headers={header: TRADINGVIEW[0]})
    assert is_problem(answer, 403)


@pytest.mark.parametrize("client", TRADINGVIEW)
async def test_through_a_trusted_proxy_the_real_client_counts(door: FrontDoor, client: str) -> None:
    assert (await post(door, PROXY, client)).status_code == 200
    [name] = door.asked("brain")
    assert door.stand_ins[name].requests[0].headers.getall("X-Real-IP") == [client]


async def test_what_a_stranger_claims_towards_a_trusted_proxy_is_not_believed(door: FrontDoor) -> None:
    """A proxy adds whom it sees behind what it was sent: only the last one it vouches for."""
    answer = await post(door, PROXY, f"{TRADINGVIEW[0]}, 203.0.113.7")
    assert is_problem(answer, 403)
    assert "203.0.113.7" in answer.json()["detail"]


async def test_a_proxy_that_names_nobody_is_a_client_like_any_other(door: FrontDoor) -> None:
    assert is_problem(await post(door, PROXY), 403)
    assert is_problem(await post(door, PROXY, "not-an-address"), 403)


async def test_only_a_trusted_proxy_says_that_tls_ended_there(door: FrontDoor) -> None:
    for source, client in ((FRIEND, None), (PROXY, TRADINGVIEW[1])):
        headers = {"X-Forwarded-Proto": "https"} | ({"X-Forwarded-For": client} if client else {})
        async with calling_from(source) as http:
            assert (await http.post(door.url("nginx", WEBHOOK), json={}, headers=headers)).status_code == 200
    seen = [
        request.headers["X-Forwarded-Proto"] for each in door.stand_ins.values() for request in each.requests
    ]
    assert sorted(seen) == ["http", "https"]


async def test_health_is_for_everybody(door: FrontDoor) -> None:
    async with calling_from(STRANGER) as client:
        assert (await client.get(door.url("nginx", "/health"))).text == "alive"


async def test_a_flood_from_one_address_is_refused_and_hinders_no_other(door: FrontDoor) -> None:
    flood = [await post(door, PROXY, "203.0.113.50") for _ in range(BURST + 10)]
    refused = [answer for answer in flood if answer.status_code == 429]
    assert refused
    assert all(is_problem(answer, 429) and answer.headers["retry-after"] == "1" for answer in refused)
    assert {answer.status_code for answer in flood[: BURST + 1]} == {403}, "within the burst it is heard"
    assert (await post(door, FRIEND)).status_code == 200


async def test_the_addresses_of_one_ipv6_customer_are_one_sender(door: FrontDoor) -> None:
    same = [(await post(door, PROXY, f"2001:db8:1:2::{n:x}")).status_code for n in range(BURST + 10)]
    assert 429 in same
    assert (await post(door, PROXY, "2001:db8:1:3::1")).status_code == 403, "the next customer is heard"


async def test_too_much_at_a_time_is_answered_so_that_tradingview_sends_it_again(door: FrontDoor) -> None:
    """Nothing but a 5xx is sent again: who has too many alerts in work at once must not lose one."""
    door.stand_ins["brain-0"].thawed.clear()
    door.stand_ins["brain-1"].thawed.clear()
    async with calling_from(FRIEND) as client:
        alerts = [
            asyncio.create_task(client.post(door.url("nginx", WEBHOOK), json={}))
            for _ in range(CONNECTIONS_MAX + 4)
        ]
        done, _ = await asyncio.wait(alerts, return_when=asyncio.FIRST_COMPLETED)
        first = next(iter(done)).result()
        assert is_problem(first, 503) or is_problem(first, 429)
        door.stand_ins["brain-0"].thawed.set()
        door.stand_ins["brain-1"].thawed.set()
        answers = await asyncio.gather(*alerts)
    assert {answer.status_code for answer in answers} <= {200, 503, 429}


async def test_logging_in_is_tried_only_so_often_from_one_address(door: FrontDoor) -> None:
    login = door.url("notify", "/dashboard/login")
    async with calling_from(STRANGER) as client:
        tried = [await client.post(login, data={"password": "guess"}) for _ in range(LOGINS + 1)]
        assert [answer.status_code for answer in tried] == [200] * LOGINS + [429]
        assert is_problem(tried[-1], 429)
        assert tried[-1].headers["retry-after"] == "60"
        assert (await client.get(login)).status_code == 200, "the form itself is always shown"
    async with calling_from(FRIEND) as client:
        assert (await client.post(login, data={"password": "guess"})).status_code == 200


@pytest.mark.parametrize(
    "begin",
    [
        b"POST /webhook/tradingview HTTP/1.1\r\nHost: phoenix\r\n",
        b"POST /webhook/tradingview HTTP/1.1\r\nHost: phoenix\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["header", "body"],
)
async def test_a_client_that_never_finishes_is_hung_up_on_and_hinders_nobody(
    door: FrontDoor, begin: bytes
) -> None:
    port = door.stack.ports.of("nginx")
    slow = [await asyncio.open_connection("127.0.0.1", port, local_addr=(FRIEND, 0)) for _ in range(8)]
    started = time.monotonic()
    for _, writer in slow:
        writer.write(begin)
    assert (await post(door, PROXY, TRADINGVIEW[2])).status_code == 200
    for reader, writer in slow:
        with suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), SLOW_CLIENT_S_MAX)
        writer.close()
    assert time.monotonic() - started < SLOW_CLIENT_S_MAX


# --- TLS ---


def tls_url(door: FrontDoor, path: str) -> str:
    return f"https://127.0.0.1:{door.stack.ports.of('nginx_tls')}{path}"


@pytest.fixture
async def tls_client(door: FrontDoor) -> AsyncIterator[httpx.AsyncClient]:
    certificate = door.stack.settings()["PHOENIX_TLS_CERTIFICATE"]
    async with calling_from(FRIEND, verify=ssl.create_default_context(cafile=certificate)) as client:
        yield client


async def test_an_alert_over_tls_reaches_brain_and_the_answer_insists_on_tls(
    door: FrontDoor, tls_client: httpx.AsyncClient
) -> None:
    answer = await tls_client.post(tls_url(door, WEBHOOK), json={})
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["server"] == "nginx"
    [name] = door.asked("brain")
    assert door.stand_ins[name].requests[0].headers["X-Forwarded-Proto"] == "https"


async def test_the_allow_list_holds_over_tls_too(door: FrontDoor) -> None:
    certificate = door.stack.settings()["PHOENIX_TLS_CERTIFICATE"]
    async with calling_from(STRANGER, verify=ssl.create_default_context(cafile=certificate)) as client:
        answer = await client.post(tls_url(door, WEBHOOK), json={})
    assert is_problem(answer, 403)
    assert "strict-transport-security" in answer.headers


async def test_over_tls_there_is_the_dashboard_and_nothing_else_of_the_services(
    door: FrontDoor, tls_client: httpx.AsyncClient
) -> None:
    assert (await tls_client.get(tls_url(door, "/dashboard"))).json()["answered_by"].startswith("notify")
    for path in ("/signals", "/metrics", "/notifications", "/docs"):
        assert is_problem(await tls_client.get(tls_url(door, path)), 404)


async def test_old_protocols_are_refused(door: FrontDoor) -> None:
    context = ssl.create_default_context(cafile=door.stack.settings()["PHOENIX_TLS_CERTIFICATE"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert await protocol_of(door, context) == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert await protocol_of(door, context) == "TLSv1.2"
    conf = (door.stack.layout.nginx / "tls.conf").read_text()
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in conf


async def protocol_of(door: FrontDoor, context: ssl.SSLContext) -> str | None:
    port = door.stack.ports.of("nginx_tls")
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    version: str | None = writer.get_extra_info("ssl_object").version()
    writer.close()
    return version


async def test_plain_http_is_sent_on_to_tls_with_its_method_except_for_certificates(door: FrontDoor) -> None:
    base = f"http://127.0.0.1:{door.stack.ports.of('nginx_redirect')}"
    moved = await door.client.post(f"{base}/dashboard/login?a=1", json={})
    assert moved.status_code == 308
    assert moved.headers["location"] == tls_url(door, "/dashboard/login?a=1")
    assert (await door.client.get(f"{base}/.well-known/acme-challenge/token")).text == "proof"
    assert (await door.client.get(f"{base}/.well-known/acme-challenge/../../key.pem")).status_code in {
        308,
        400,
    }


async def test_an_alert_without_tls_is_refused_and_its_secret_not_sent_back(door: FrontDoor) -> None:
    base = f"http://127.0.0.1:{door.stack.ports.of('nginx_redirect')}"
    answer = await door.client.post(f"{base}{WEBHOOK}/a-secret-in-a-path", json={})
    assert is_problem(answer, 403)
    assert "a-secret" not in f"{answer.headers} {answer.text}"
    assert not door.asked("brain")


# --- streams ---


async def test_each_event_of_a_stream_arrives_at_once_and_a_lost_stream_is_led_to_another_instance(
    door: FrontDoor,
) -> None:
    events = door.url("notify", "/dashboard/events")
    async with door.client.stream("GET", events) as stream:
        lines = stream.aiter_lines()
        [name] = door.asked("notify")
        for word in ("first", "second"):
            door.stand_ins[name].events.put_nowait(word)
            assert await asyncio.wait_for(anext(lines), 5) == f"data: {word}"
            assert await anext(lines) == ""
    door.stand_ins[name].status = 503
    async with door.client.stream("GET", events) as again:
        assert again.headers["content-type"] == "text/event-stream"
    assert await eventually(lambda: len(door.asked("notify")) == 2)
