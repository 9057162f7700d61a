"""A service's life as its supervisor sees it: a real process, started, asked, told to stop."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from shared.lifecycle import EXIT_CONFIGURATION, EXIT_DEPENDENCY, STOP_TIMEOUT_S
from shared.process_watchdog import EXIT_STUCK
from tests.eventually import eventually

REPOSITORY = Path(__file__).parent.parent.parent
START_TIMEOUT_S = 30
EXIT_MARGIN_S = 2
SECRET = "correct-horse-battery"

SETTINGS = {
    "PHOENIX_AMQP_URL": f"amqp://u:{SECRET}@127.0.0.1:1/%2Ftrading",
    "PHOENIX_REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0",
    "PHOENIX_POSTGRES_URL": "postgresql://127.0.0.1:1/phoenix",
    "PHOENIX_API_KEY": SECRET,
    "PHOENIX_SAMPLE_PASSWORD": SECRET,
}


@dataclass
class Sample:
    """One running process of tests.sample_service."""

    process: asyncio.subprocess.Process
    port: int
    logged: list[Mapping[str, object]]
    complained: list[str]

    @property
    def actions(self) -> list[str]:
        """What it told, in order; resources with their name."""
        return [
            f"{line['action']} {line['resource']}" if "resource" in line else str(line["action"])
            for line in self.logged
        ]

    async def ends(self) -> int:
        """Wait until the process has ended and return its exit code."""
        return await self.process.wait()


Starts = Callable[..., Awaitable[Sample]]


@pytest.fixture
async def starts() -> AsyncIterator[Starts]:
    """Start samples; what still runs at the end is killed."""
    running: list[asyncio.subprocess.Process] = []
    readers: list[asyncio.Task[None]] = []

    async def start(*, port: int | None = None, **settings: str) -> Sample:
        wanted = SETTINGS | {f"PHOENIX_{name.upper()}": value for name, value in settings.items()}
        chosen = port or _free_port()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.sample_service", "--port", str(chosen)),
            cwd=REPOSITORY,
            env={name: value for name, value in (os.environ | wanted).items() if value},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running.append(process)
        sample = Sample(process, chosen, [], [])
        readers.extend(
            (asyncio.create_task(_read_log(sample)), asyncio.create_task(_read_complaints(sample)))
        )
        return sample

    yield start
    for process in running:
        if process.returncode is None:
            process.kill()
        await process.wait()
    await asyncio.gather(*readers)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def test_a_request_in_hand_is_finished_and_everything_is_closed_in_order(
    starts: Starts, http: httpx.AsyncClient
) -> None:
    sample = await starts()
    await _is_up(sample)
    asking = asyncio.create_task(http.get(f"http://127.0.0.1:{sample.port}/slow"))
    await eventually(lambda: "request_taken" in sample.actions)
    sample.process.send_signal(signal.SIGTERM)
    assert (await asking).json() == "done"
    assert await sample.ends() == 0
    await eventually(lambda: "service_stopped" in sample.actions)
    assert sample.actions == [
        "opened first",
        "opened second",
        "service_started",
        "request_taken",
        "service_stopping",
        "drained",
        "loop_ended",
        "closed second",
        "closed first",
        "service_stopped",
    ]
    assert sample.logged[-1]["clean"] is True
    assert sample.complained == []


async def test_a_log_line_is_json_with_its_origin(starts: Starts) -> None:
    sample = await starts(log_level="INFO")
    await _is_up(sample)
    line = sample.logged[0]
    assert {line[key] for key in ("service", "instance", "level")} == {"sample", 0, "info"}
    assert str(line["timestamp"]).endswith("Z")


async def test_readiness_says_what_is_wrong_and_health_does_not_care(
    starts: Starts, http: httpx.AsyncClient
) -> None:
    sample = await starts()
    await _is_up(sample)
    base = f"http://127.0.0.1:{sample.port}"
    assert (await http.get(f"{base}/ready")).json() == {
        "ready": True,
        "mode": "paper",
        "dependencies": {"first": "ok", "second": "ok", "loops": "ok"},
        "degraded": {},
    }
    await http.post(f"{base}/break")
    answer = await http.get(f"{base}/ready")
    assert answer.status_code == 503
    assert answer.json()["dependencies"] == {
        "first": "ok",
        "second": "rabbitmq is not usable: broken by the test",
        "loops": "ok",
    }
    assert (await http.get(f"{base}/health")).status_code == 200
    assert 'phoenix_ready{dependency="second"} 0.0' in (await http.get(f"{base}/metrics")).text


async def test_a_loop_that_swallows_its_cancellation_is_cancelled_again(starts: Starts) -> None:
    sample = await starts(trouble="deaf loop")
    await _is_up(sample)
    sample.process.send_signal(signal.SIGTERM)
    assert await sample.ends() == 0
    await eventually(lambda: "service_stopped" in sample.actions)
    assert sample.actions.index("cancellation_swallowed") < sample.actions.index("closed second")


async def test_a_stop_does_not_wait_for_ever(starts: Starts) -> None:
    """The limit is shortened for the test; the real one must leave the supervisor no reason to kill."""
    assert STOP_TIMEOUT_S <= 10
    sample = await starts(trouble="hanging drain", stop_timeout_s="0.5")
    await _is_up(sample)
    sample.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(0.5 + EXIT_MARGIN_S):
        assert await sample.ends() == 0
    await eventually(lambda: "service_stopped" in sample.actions)
    assert [line["clean"] for line in sample.logged if line["action"] == "service_stopped"] == [False]


async def test_a_service_that_waits_for_a_server_at_start_can_be_stopped(starts: Starts) -> None:
    sample = await starts(trouble="hangs at start")
    await eventually(lambda: "opened second" in sample.actions, START_TIMEOUT_S)
    sample.process.send_signal(signal.SIGTERM)
    assert await sample.ends() == 0
    await eventually(lambda: sample.actions[-2:] == ["closed second", "closed first"])


@pytest.mark.parametrize(
    ("trouble", "code", "action", "reason"),
    [
        ("dependency down", EXIT_DEPENDENCY, "start_failed", "postgresql is not usable: connection refused"),
        ("operator needed", EXIT_CONFIGURATION, "start_refused", "make one that may not"),
    ],
)
async def test_a_start_that_cannot_be_says_why_and_whether_trying_again_helps(
    starts: Starts, trouble: str, code: int, action: str, reason: str
) -> None:
    sample = await starts(trouble=trouble)
    assert await sample.ends() == code
    await eventually(lambda: action in sample.actions)
    told = next(line for line in sample.logged if line["action"] == action)
    assert reason in str(told["error"])
    assert sample.actions[-1] == "closed first"


async def test_a_start_that_hangs_ends_and_says_where(starts: Starts) -> None:
    sample = await starts(trouble="hangs at start", start_timeout_s="1")
    assert await sample.ends() == EXIT_STUCK
    await eventually(lambda: "process_stuck" in sample.actions)
    assert "the start took longer than 1 s" in str(sample.logged)
    await eventually(lambda: any("most recent call first" in line for line in sample.complained))


async def test_a_start_that_gave_up_ends_whatever_a_library_leaves_behind(starts: Starts) -> None:
    sample = await starts(trouble="undying task")
    async with asyncio.timeout(START_TIMEOUT_S):
        assert await sample.ends() == EXIT_STUCK
    assert sample.actions.count("start_failed") == 1


async def test_a_ban_at_the_start_is_waited_out_alive_and_not_ready(
    starts: Starts, http: httpx.AsyncClient
) -> None:
    sample = await starts(trouble="banned")
    await _is_up(sample)
    answer = await http.get(f"http://127.0.0.1:{sample.port}/ready")
    assert (answer.status_code, answer.json()["dependencies"]) == (
        503,
        {"start": "exchange is not usable: stop calling"},
    )
    await eventually(lambda: "service_started" in sample.actions)
    assert (await http.get(f"http://127.0.0.1:{sample.port}/ready")).status_code == 200
    assert sample.actions.count("start_waits") == 2


async def test_a_loop_that_ended_is_missed(starts: Starts, http: httpx.AsyncClient) -> None:
    sample = await starts()
    await _is_up(sample)
    await http.post(f"http://127.0.0.1:{sample.port}/lose")
    answer = await http.get(f"http://127.0.0.1:{sample.port}/ready")
    assert (answer.status_code, answer.json()["dependencies"]["loops"]) == (503, "lost: loop")


async def test_an_event_loop_that_stands_ends_the_process(starts: Starts, http: httpx.AsyncClient) -> None:
    sample = await starts(loop_blocked_s="2")
    await _is_up(sample)
    with suppress(httpx.TransportError):
        await http.post(f"http://127.0.0.1:{sample.port}/block", timeout=30)
    assert await sample.ends() == EXIT_STUCK
    await eventually(lambda: any("in block" in line for line in sample.complained))


async def test_a_reader_of_the_log_that_is_gone_or_has_stopped_does_not_matter(
    starts: Starts, http: httpx.AsyncClient
) -> None:
    sample = await starts()
    await _is_up(sample)
    assert sample.process.stdout is not None
    sample.process.stdout._transport.close()  # type: ignore[attr-defined]
    assert (await http.get(f"http://127.0.0.1:{sample.port}/slow")).json() == "done"

    async def counted() -> bool:
        told = (await http.get(f"http://127.0.0.1:{sample.port}/metrics")).text
        return "phoenix_log_lines_lost_total 1.0" in told

    await eventually(counted)


async def test_a_port_that_is_taken_ends_the_process_with_a_reason(starts: Starts) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        sample = await starts(port=taken.getsockname()[1])
        assert await sample.ends() not in (0, EXIT_CONFIGURATION), "another try may find the port free"
    await eventually(lambda: any("address already in use" in str(line) for line in sample.logged))


async def test_every_unusable_setting_is_named_and_no_secret_shown(starts: Starts) -> None:
    sample = await starts(
        redis_url="", mode="dream", installation="UPPER", sample_password="short12", stop_timeout_s="-1"
    )
    assert await sample.ends() == EXIT_CONFIGURATION
    await eventually(lambda: len(sample.complained) >= 6)
    told = "\n".join(sample.complained)
    for name in ("REDIS_URL", "MODE", "INSTALLATION", "SAMPLE_PASSWORD", "STOP_TIMEOUT_S"):
        assert f"PHOENIX_{name}: " in told
    assert "Traceback" not in told
    assert "short12" not in told
    assert SECRET not in told


async def test_a_setting_that_is_no_json_is_named_too(starts: Starts) -> None:
    sample = await starts(sample_list="1, 2")
    assert await sample.ends() == EXIT_CONFIGURATION
    await eventually(lambda: sample.complained)
    assert "sample_list" in "\n".join(sample.complained).lower()
    assert "Traceback" not in "\n".join(sample.complained)


async def _is_up(sample: Sample) -> None:
    async with httpx.AsyncClient() as client:

        async def look() -> bool:
            assert sample.process.returncode is None, f"it ended: {sample.logged} {sample.complained}"
            try:
                return (await client.get(f"http://127.0.0.1:{sample.port}/health")).is_success
            except httpx.TransportError:
                return False

        await eventually(look, START_TIMEOUT_S)


async def _read_log(sample: Sample) -> None:
    assert sample.process.stdout is not None
    async for line in sample.process.stdout:
        if line.strip():
            sample.logged.append(json.loads(line))


async def _read_complaints(sample: Sample) -> None:
    assert sample.process.stderr is not None
    async for line in sample.process.stderr:
        sample.complained.append(line.decode().rstrip())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
