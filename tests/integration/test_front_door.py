"""nginx for real, before stand-in services: what it lets through, retries, answers itself and never logs."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import psutil
import pytest

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.leftovers import listeners, live_process
from infrastructure.local.ports import SERVICES
from infrastructure.local.stack import LocalStack
from services.brain.message_publisher import CONFIRM_TIMEOUT_S
from services.brain.rate_limit import ANSWER_TIMEOUT_S
from tests.eventually import eventually
from tests.integration.front_door_world import FrontDoor, StandIn, front_door, serve
from tests.servers import throwaway_stack

LOG_TIMEOUT_S = 5.0
BODY_LIMIT_BYTES = 64 * 1024
TRADINGVIEW_PATIENCE_S = 3.0
TOKEN = "a-token-nobody-may-read-in-a-log"


@pytest.fixture(scope="module")
async def running_door() -> AsyncIterator[FrontDoor]:
    async with front_door() as door:
        yield door


@pytest.fixture
def door(running_door: FrontDoor) -> Iterator[FrontDoor]:
    running_door.reset()
    yield running_door
    running_door.reset()


async def test_an_alert_on_the_public_port_reaches_brain_with_the_true_client_address(
    door: FrontDoor,
) -> None:
    forged = {"X-Forwarded-For": "52.89.214.238", "X-Real-IP": "52.89.214.238"}
    answer = await door.client.post(door.url("nginx", "/webhook/tradingview"), json={}, headers=forged)
    assert answer.status_code == 200
    [name] = door.asked("brain")
    assert door.stand_ins[name].requests[0].headers["X-Forwarded-For"] == "127.0.0.1"
    assert door.stand_ins[name].requests[0].headers.getall("X-Real-IP") == ["127.0.0.1"]


@pytest.mark.parametrize("path", ["/", "/signals", "/analyze", "/metrics", "/docs", "/webhooks/tradingview"])
async def test_the_public_port_knows_nothing_but_the_webhook_and_health(door: FrontDoor, path: str) -> None:
    answer = await door.client.get(door.url("nginx", path))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert not door.asked("brain")


async def test_health_is_public(door: FrontDoor) -> None:
    assert (await door.client.get(door.url("nginx", "/health"))).text == "alive"


@pytest.mark.parametrize("service", SERVICES)
async def test_requests_are_spread_over_the_instances_of_a_service(door: FrontDoor, service: str) -> None:
    for _ in range(4):
        await door.client.get(door.url(service, "/status"))
    assert set(door.asked(service)) == {f"{service}-0", f"{service}-1"}


async def test_an_alert_refused_by_one_instance_is_taken_by_the_other(door: FrontDoor) -> None:
    door.stand_ins["brain-0"].status = 503
    answers = [await door.client.post(door.url("nginx", "/webhook/tradingview"), json={}) for _ in range(4)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["answered_by"] for answer in answers} == {"brain-1"}


async def test_an_order_is_never_sent_to_a_second_instance(door: FrontDoor) -> None:
    for name in ("execute-0", "execute-1"):
        door.stand_ins[name].status = 503
    answer = await door.client.post(door.url("execute", "/trade"), json={})
    assert answer.status_code == 503
    assert len(door.asked("execute")) == 1


async def test_alerts_are_asked_for_again_at_once_after_all_instances_failed_for_a_moment(
    door: FrontDoor,
) -> None:
    webhook = door.url("nginx", "/webhook/tradingview")
    for name in ("brain-0", "brain-1"):
        door.stand_ins[name].status = 503
    failed = [await door.client.post(webhook, json={}) for _ in range(10)]
    assert {answer.status_code for answer in failed} == {503}
    for name in ("brain-0", "brain-1"):
        door.stand_ins[name].status = 200
    assert (await door.client.post(webhook, json={})).status_code == 200


async def test_the_sender_hears_in_time_even_when_no_instance_answers(door: FrontDoor) -> None:
    """TradingView hangs up after 3 s, and what it hung up on it does not send again."""
    for name in ("brain-0", "brain-1"):
        door.stand_ins[name].thawed.clear()
    started = time.monotonic()
    answer = await door.client.post(door.url("nginx", "/webhook/tradingview"), json={})
    assert time.monotonic() - started < TRADINGVIEW_PATIENCE_S
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


async def test_an_alert_that_a_frozen_instance_does_not_answer_is_taken_by_another_in_time(
    door: FrontDoor,
) -> None:
    door.stand_ins["brain-0"].thawed.clear()
    started = time.monotonic()
    answers = [await door.client.post(door.url("nginx", "/webhook/tradingview"), json={}) for _ in range(2)]
    assert time.monotonic() - started < 2 * TRADINGVIEW_PATIENCE_S
    assert {answer.json()["answered_by"] for answer in answers} == {"brain-1"}


async def test_an_instance_gives_up_on_the_broker_before_the_front_door_gives_up_on_it() -> None:
    """Otherwise its 503, which says why, is never seen, and the next instance is asked for nothing."""
    conf = (REPOSITORY / "infrastructure" / "nginx_lb" / "alert.conf").read_text()
    read_timeouts_s = {int(found) / 1_000 for found in re.findall(r"proxy_read_timeout (\d+)ms;", conf)}
    connect_timeouts_s = {int(found) / 1_000 for found in re.findall(r"proxy_connect_timeout (\d+)ms;", conf)}
    last_asked_s = {int(found) / 1_000 for found in re.findall(r"next_upstream_timeout (\d+)ms;", conf)}
    assert read_timeouts_s
    assert min(read_timeouts_s) > CONFIRM_TIMEOUT_S + ANSWER_TIMEOUT_S
    longest_s = max(last_asked_s) + max(connect_timeouts_s) + max(read_timeouts_s)
    assert longest_s < TRADINGVIEW_PATIENCE_S


@pytest.mark.parametrize("port", ["nginx", "brain"])
async def test_of_an_alert_that_is_too_long_the_service_sees_the_head_and_refuses_it(
    door: FrontDoor, port: str
) -> None:
    """It knows whether the secret was right, and tells the trader."""
    for stand_in in door.stand_ins.values():
        stand_in.status = 413
    for size in (BODY_LIMIT_BYTES + 1, 3_000_000):
        answer = await door.client.post(
            door.url(port, f"/webhook/tradingview/{TOKEN}"), content=b"x" * size, headers={"X-API-Key": "k"}
        )
        assert answer.status_code == 413
    seen = [request for name in ("brain-0", "brain-1") for request in door.stand_ins[name].requests]
    assert len(seen) == 2
    for request in seen:
        assert (request.method, request.path) == ("POST", f"/webhook/tradingview/{TOKEN}")
        assert request.headers["X-Body-Too-Large"] == "1"
        assert request.headers["X-API-Key"] == "k"
        assert request.headers["X-Real-IP"] == "127.0.0.1"
        assert not request.can_read_body


@pytest.mark.parametrize("port", ["nginx", "risk"])
async def test_what_is_too_long_for_another_address_stays_here(door: FrontDoor, port: str) -> None:
    answer = await door.client.post(door.url(port, "/check"), content=b"x" * 3_000_000)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert not door.asked("brain")


@pytest.mark.parametrize("port", ["nginx", *SERVICES])
async def test_another_protocol_cannot_be_asked_for(door: FrontDoor, port: str) -> None:
    """An instance that is asked to upgrade would take the body for the next request of somebody else."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = await door.client.post(door.url(port, "/webhook/tradingview"), content=b"{}", headers=headers)
    assert answer.status_code == 200
    asked = door.asked("brain" if port == "nginx" else port)
    assert len(asked) == 1
    (request,) = door.stand_ins[asked[0]].requests
    assert "Upgrade" not in request.headers
    assert "upgrade" not in request.headers.get("Connection", "").lower()


@pytest.mark.parametrize("port", ["nginx", "brain"])
async def test_a_token_in_the_path_or_query_is_never_logged(door: FrontDoor, port: str) -> None:
    paths = [
        f"/webhook/tradingview/{TOKEN}",
        f"/webhook/tradingview?token={TOKEN}",
        f"/webhook//tradingview/{TOKEN}",
    ]
    for path in paths:
        assert (await door.client.post(door.url(port, path), json={})).status_code == 200
    for name in ("brain-0", "brain-1"):
        door.stand_ins[name].status = 413
    too_long = await door.client.post(door.url(port, paths[0]), content=b"x" * (BODY_LIMIT_BYTES + 1))
    assert too_long.status_code == 413
    logged = f"{door.stack.ports.of(port)} POST /webhook/tradingview/*** 413 "
    await eventually(lambda: logged in door.log(), LOG_TIMEOUT_S)
    assert TOKEN not in door.log()


@pytest.mark.parametrize("port", ["nginx", "brain", "risk"])
async def test_a_mistyped_webhook_address_is_not_logged_either(door: FrontDoor, port: str) -> None:
    before = door.log().count("(unknown)")
    await door.client.post(door.url(port, f"/webhook/tradingviw/{TOKEN}"), json={})
    await eventually(lambda: door.log().count("(unknown)") > before)
    assert TOKEN not in door.log()


@pytest.fixture
async def lonely_stack() -> AsyncIterator[LocalStack]:
    """nginx whose instances answered once and are gone."""
    with throwaway_stack() as stack:
        runners = [await serve(StandIn(name), stack.ports.instance(name, 0)) for name in SERVICES]
        await asyncio.to_thread(stack.start, only=["nginx"])
        for runner in runners:
            await runner.cleanup()
        yield stack


async def test_without_any_instance_the_sender_is_told_to_come_back(lonely_stack: LocalStack) -> None:
    async with httpx.AsyncClient() as client:
        webhook = f"http://127.0.0.1:{lonely_stack.ports.of('nginx')}/webhook/tradingview/{TOKEN}"
        answer = await client.post(webhook, json={})
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5"
    lonely_stack.stop()
    assert TOKEN not in lonely_stack.layout.log_of("nginx").read_text()


async def test_stop_finds_the_workers_of_a_killed_nginx_of_a_killed_supervisor(
    lonely_stack: LocalStack,
) -> None:
    pid_files = [lonely_stack.layout.supervisor_pid, lonely_stack.layout.pid_file_of("nginx")]
    supervisor, master = (psutil.Process(int(each.read_text())) for each in pid_files)
    workers = master.children()
    supervisor.kill()
    master.kill()
    await eventually(lambda: not any(map(live_process, pid_files)))  # a signal is not a death yet
    assert lonely_stack.stop() == [f"process {worker.pid}" for worker in workers]
    assert not listeners(lonely_stack.ports.all())


async def test_a_killed_nginx_is_replaced_together_with_its_workers(door: FrontDoor) -> None:
    master = psutil.Process(door.stack.kill_program("nginx", signal.SIGSTOP))
    workers = master.children()
    assert workers
    door.stack.kill_program("nginx", signal.SIGKILL)
    await eventually(lambda: not any(worker.is_running() for worker in workers))
    await asyncio.to_thread(door.stack.await_program, "nginx")
    assert (await door.client.get(door.url("nginx", "/health"))).text == "alive"
