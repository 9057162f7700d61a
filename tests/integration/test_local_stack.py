"""The local stack for real: its servers are usable and private, and it survives kills, of itself too."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
import redis.asyncio as redis

from infrastructure.local.bring_up import StartError
from infrastructure.local.leftovers import listeners, live_process
from infrastructure.local.stack import LocalStack
from tests.eventually import eventually
from tests.servers import RunningSystem, Servers, throwaway_stack

ORPHAN_STOP_TIMEOUT_S = 30
SUPERVISOR_BACK_S = 10
RESTART_TIMEOUT_S = 5


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    """A stack of its own, stopped; these tests start Redis only, which takes a second."""
    with throwaway_stack() as stack:
        yield stack


def processes_of(stack: LocalStack) -> dict[str, int]:
    """Return the process ids of the programs that run."""
    return {program.name: program.pid for program in stack.status() if program.pid is not None}


def kill_supervisor(stack: LocalStack, *, guardian_too: bool = True) -> None:
    """Kill supervisord as a crash would, and the guardian, which would start another one."""
    supervisor, guardian = live_process(stack.layout.supervisor_pid), live_process(stack.layout.guardian_pid)
    assert supervisor is not None
    assert guardian is not None
    for process in (supervisor, guardian) if guardian_too else (supervisor,):
        process.kill()
        process.wait(timeout=RESTART_TIMEOUT_S)


@pytest.mark.servers
async def test_each_server_takes_the_credentials_of_the_settings_file(servers: Servers) -> None:
    connection = await asyncpg.connect(servers.postgres_dsn())
    assert await connection.fetchval("SELECT current_database()") == "phoenix"
    await connection.close()
    async with redis.from_url(servers.redis_url) as client:
        assert await client.ping()
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{servers.management_url}/api/queues/%2Ftrading")
    assert "signal_processing" in {queue["name"] for queue in answer.json()}


@pytest.mark.servers
async def test_a_wrong_password_is_refused_everywhere(servers: Servers) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(servers.postgres_url, user="phoenix_admin", password="wrong")
    async with redis.from_url(servers.redis_url.replace("redis://:", "redis://:wrong")) as client:
        with pytest.raises(redis.AuthenticationError):
            await client.ping()
    async with httpx.AsyncClient() as http:
        answer = await http.get(servers.management_url.replace("@", "wrong@") + "/api/overview")
    assert answer.status_code == 401


@pytest.mark.servers
def test_everything_listens_on_loopback_only(servers: Servers) -> None:
    ours = {process.pid for process in listeners(servers.stack.ports.all()).values()}
    listening = [c for c in psutil.net_connections("tcp") if c.pid in ours and c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 6, "AMQP, its management, Erlang distribution, epmd, Redis, PostgreSQL"
    assert {c.laddr.ip for c in listening if c.laddr} <= {"127.0.0.1", "::1"}


@pytest.mark.servers
def test_no_secret_stands_in_a_command_line_or_in_the_supervisor_configuration(servers: Servers) -> None:
    secrets = [
        value for key, value in servers.settings.items() if key.endswith(("PASSWORD", "SECRET", "KEY"))
    ]
    assert len(secrets) >= 10
    shown = servers.stack.layout.supervisor_conf.read_text()
    for pid in processes_of(servers.stack).values():
        shown += " ".join(psutil.Process(pid).cmdline())
    assert not [secret for secret in secrets if secret in shown]


def test_second_start_leaves_running_programs_alone(stack: LocalStack) -> None:
    stack.start(only=["redis"])
    before = processes_of(stack)
    stack.start(only=["redis"])
    assert processes_of(stack) == before


def test_stop_names_what_it_stopped_and_leaves_no_process(stack: LocalStack) -> None:
    stack.start(only=["redis"])
    supervisor = psutil.Process(int(stack.layout.supervisor_pid.read_text()))
    processes = [supervisor, *supervisor.children(recursive=True)]
    assert stack.stop() == ["redis"]
    assert not any(process.is_running() for process in processes)
    assert stack.stop() == []


def test_a_killed_program_is_restarted(stack: LocalStack) -> None:
    stack.start(only=["redis"])
    killed = psutil.Process(processes_of(stack)["redis"])
    assert stack.kill_program("redis") == killed.pid
    killed.wait(timeout=RESTART_TIMEOUT_S)
    stack.await_program("redis")
    assert processes_of(stack)["redis"] != killed.pid


def test_stop_after_a_killed_supervisor_leaves_nothing_running(stack: LocalStack) -> None:
    stack.start(only=["redis", "epmd"])
    orphans = [psutil.Process(pid) for pid in processes_of(stack).values()]
    kill_supervisor(stack)
    assert all(orphan.is_running() for orphan in orphans)
    assert set(stack.stop()) == {"redis", "epmd"}
    _, alive = psutil.wait_procs(orphans, timeout=ORPHAN_STOP_TIMEOUT_S)
    assert not alive
    assert not listeners(stack.ports.all())


def test_start_after_a_killed_supervisor_replaces_the_orphans(stack: LocalStack) -> None:
    stack.start(only=["redis"])
    orphan = psutil.Process(processes_of(stack)["redis"])
    kill_supervisor(stack)
    stack.start(only=["redis"])
    assert processes_of(stack)["redis"] != orphan.pid
    assert not orphan.is_running()


async def test_a_killed_supervisor_is_replaced_and_what_it_ran_goes_on_and_is_still_watched(
    stack: LocalStack,
) -> None:
    stack.start(only=["redis"])
    before = psutil.Process(processes_of(stack)["redis"])
    kill_supervisor(stack, guardian_too=False)

    def states() -> dict[str, str]:
        return {each.name: each.state for each in stack.status() if each.pid is not None}

    def is_replaced() -> bool:
        return live_process(stack.layout.supervisor_pid) is not None and states() == {"redis": "ORPHANED"}

    await eventually(is_replaced, SUPERVISOR_BACK_S)
    assert before.is_running()
    stack.start(only=["redis"])
    assert before.is_running(), "a start leaves alone what runs"
    before.kill()
    await eventually(lambda: states() == {"redis": "RUNNING"}, SUPERVISOR_BACK_S)
    stack.await_program("redis")


async def test_a_killed_guardian_is_started_again_and_stop_ends_both(stack: LocalStack) -> None:
    stack.start(only=["epmd"])
    guardian = live_process(stack.layout.guardian_pid)
    assert guardian is not None
    guardian.kill()

    def another() -> psutil.Process | None:
        found = live_process(stack.layout.guardian_pid)
        return found if found is not None and found.pid != guardian.pid else None

    second = await eventually(another, SUPERVISOR_BACK_S)
    assert second is not None
    assert stack.stop() == ["epmd"]
    assert not second.is_running()


async def test_a_log_on_a_full_disk_or_a_frozen_supervisor_holds_up_nothing(stack: LocalStack) -> None:
    """No output of a program goes through supervisord."""
    stack.start(only=["redis"])
    pid = processes_of(stack)["redis"]
    log = stack.layout.log_of("redis")
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)] == [
        "/dev/null",
        str(log),
        str(log),
    ]


def test_a_taken_port_is_named_before_anything_starts(stack: LocalStack) -> None:
    port = stack.ports.of("redis")
    taken = rf"ports are taken: {port} \(.*pid \d+\)"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StartError, match=taken):
        stack.start(only=["redis"])
    assert live_process(stack.layout.supervisor_pid) is None, "a start that failed leaves its supervisor"


def test_a_program_that_keeps_ending_is_reported_with_the_end_of_its_log(stack: LocalStack) -> None:
    stack.layout.home.joinpath("redis").mkdir()
    stack.layout.redis.joinpath("appendonlydir").write_text("in the way of the directory of this name")
    with pytest.raises(
        StartError, match=r"(?s)redis ends right after it starts.*appendonlydir.*Log: .*redis\.log"
    ):
        stack.start(only=["redis"])


def test_settings_for_one_run_are_forgotten_by_the_next(stack: LocalStack) -> None:
    stack.start(only=["redis"], overrides={"PHOENIX_MODE": "demo"})
    assert stack.settings()["PHOENIX_MODE"] == "demo"
    stack.start(only=["redis"])
    assert stack.settings()["PHOENIX_MODE"] == "paper"


def test_the_system_of_a_killed_test_run_ends_with_it() -> None:
    program = (
        "import signal\n"
        "from tests.servers import throwaway_stack\n"
        "with throwaway_stack() as stack:\n"
        "    stack.start(only=['redis'])\n"
        "    print(stack.layout.home, flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        home = Path(run.stdout.readline().strip())
        supervisor = psutil.Process(int((home / "run" / "supervisord.pid").read_text()))
        children = supervisor.children()
        run.kill()
    _, alive = psutil.wait_procs([supervisor, *children], timeout=ORPHAN_STOP_TIMEOUT_S)
    assert not alive
    shutil.rmtree(home)


@pytest.mark.system
async def test_the_whole_system_takes_an_alert_through_the_front_door(running_system: RunningSystem) -> None:
    alert = {
        "secret": running_system.webhook_secret,
        "symbol": "BINANCE:BTCUSDT.P",
        "action": "buy",
        "strategy": "first_alert",
        "timenow": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{running_system.public_url}/webhook/tradingview", json=alert)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "accepted"


@pytest.mark.system
def test_every_program_of_the_whole_system_is_ready_and_logs_to_its_own_file(
    running_system: RunningSystem,
) -> None:
    programs = [each for each in running_system.stack.status() if each.state != "STOPPED"]
    assert len(programs) == 11  # the monitoring stays out
    assert [program.name for program in programs if not program.ready] == []
    assert all(Path(program.log).is_file() for program in programs)
