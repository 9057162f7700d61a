"""What is meant to run runs, whatever dies: supervisord or a program; what was stopped stays so."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from infrastructure.local import guardian as module
from infrastructure.local import log_files
from infrastructure.local.guardian import (
    MENDING_PAUSE_S_MIN,
    PROGRAM_DEAF_S_MAX,
    PROGRAM_START_S_MAX,
    QUEUES_DEAD_S_MAX,
    SUPERVISOR_DEAF_S_MAX,
    Guardian,
)
from infrastructure.local.layout import SUPERVISED_MARK, Layout
from infrastructure.local.plan import Probe, ProbeKind
from infrastructure.local.supervision import ProcessInfo, Supervisor, SupervisorError

PROBE = Probe(ProbeKind.HTTP, 1, "/health")


@dataclass
class Supervisord:
    """One that is in memory."""

    alive: bool = True
    states: dict[str, ProcessInfo] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    def is_alive(self) -> bool:
        return self.alive

    def processes(self) -> dict[str, ProcessInfo]:
        return self.states

    def start_again(self, name: str) -> None:
        self.started.append(name)

    def knows(self, state: str, pid: int | None = None) -> None:
        self.states["risk-0"] = ProcessInfo(name="risk-0", state=state, pid=pid, uptime_s=1, problem="")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "run").mkdir()
    layout = Layout(tmp_path, tmp_path / "postgres")
    layout.starts_file_of("risk-0").touch()
    return layout


@pytest.fixture
def sleeper(layout: Layout) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process of this home: nobody else is ever ended."""
    environment = {SUPERVISED_MARK: str(layout.home)}
    command = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # before, its environment may not be there to read
        yield process
        process.kill()


@dataclass
class World:
    layout: Layout
    supervisord: Supervisord = field(default_factory=Supervisord)
    launched: int = 0
    answers: bool = True
    dead_queues: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.guardian = Guardian(
            self.layout,
            cast(Supervisor, self.supervisord),
            launch=self._launch,
            alive={"risk-0": PROBE},
            answers=lambda _probe: self.answers,
            dead_queues=lambda: self.dead_queues,
            tell=lambda _line: None,
        )

    def _launch(self) -> None:
        self.launched += 1
        self.supervisord.alive = True


@pytest.fixture
def world(layout: Layout) -> World:
    return World(layout)


def test_a_supervisord_that_is_gone_is_replaced_at_the_first_look(world: World) -> None:
    world.supervisord.alive = False
    world.guardian.look(0.0)
    assert world.launched == 1


def test_a_supervisord_that_is_deaf_is_replaced_after_a_while(
    world: World, sleeper: subprocess.Popen[bytes]
) -> None:
    world.supervisord.alive = False
    world.layout.supervisor_pid.write_text(f"{sleeper.pid}\n")
    world.guardian.look(0.0)
    world.guardian.look(SUPERVISOR_DEAF_S_MAX - 1)
    assert (world.launched, sleeper.poll()) == (0, None)
    world.guardian.look(SUPERVISOR_DEAF_S_MAX + 1)
    assert world.launched == 1
    assert sleeper.wait(5) is not None


@pytest.mark.parametrize("state", ["STOPPED", "EXITED", "FATAL"])
def test_what_is_meant_to_run_and_does_not_is_started_again_for_ever(world: World, state: str) -> None:
    world.supervisord.knows(state)
    for second in range(4):
        world.guardian.look(float(second))
    assert world.supervisord.started == ["risk-0"] * 3, "one look may fall into a restart"


def test_what_was_stopped_on_purpose_stays_so(world: World, layout: Layout) -> None:
    world.supervisord.knows("STOPPED")
    layout.starts_file_of("risk-0").unlink()
    for second in range(4):
        world.guardian.look(float(second))
    assert world.supervisord.started == []


def test_nothing_is_done_while_a_start_or_stop_is_under_way(world: World, layout: Layout) -> None:
    world.supervisord.knows("STOPPED")
    with (layout.run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world.guardian.look(0.0)
        world.guardian.look(1.0)
        world.supervisord.alive = False
        world.guardian.look(2.0)
    assert (world.supervisord.started, world.launched) == ([], 0)


@pytest.mark.parametrize("state", ["RUNNING", "ORPHANED"])
def test_what_runs_and_answers_no_more_is_ended(
    world: World, sleeper: subprocess.Popen[bytes], state: str
) -> None:
    world.supervisord.knows(state, sleeper.pid)
    world.guardian.look(0.0)
    world.answers = False
    world.guardian.look(PROGRAM_DEAF_S_MAX - 1)
    assert sleeper.poll() is None
    world.guardian.look(PROGRAM_DEAF_S_MAX + 1)
    assert sleeper.wait(5) == -signal.SIGKILL


def test_what_starts_has_longer_to_answer(world: World, sleeper: subprocess.Popen[bytes]) -> None:
    world.answers = False
    world.supervisord.knows("RUNNING", os.getpid())
    world.guardian.look(0.0)
    world.supervisord.knows("RUNNING", sleeper.pid)
    world.guardian.look(PROGRAM_START_S_MAX)
    world.guardian.look(2 * PROGRAM_START_S_MAX - 1)
    assert sleeper.poll() is None, "a new process has all of its time"
    world.guardian.look(2 * PROGRAM_START_S_MAX + 1)
    assert sleeper.wait(5) == -signal.SIGKILL


def test_a_broker_whose_queues_stay_down_is_restarted_and_not_again_and_again(
    world: World, sleeper: subprocess.Popen[bytes]
) -> None:
    world.supervisord.states["rabbitmq"] = ProcessInfo(
        name="rabbitmq", state="RUNNING", pid=sleeper.pid, uptime_s=1, problem=""
    )
    world.dead_queues = ("trade_control",)
    world.guardian.look(0.0)
    world.guardian.look(QUEUES_DEAD_S_MAX - 1)
    assert sleeper.poll() is None
    world.guardian.look(QUEUES_DEAD_S_MAX)
    assert sleeper.wait(5) == -signal.SIGTERM
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as second:
        world.supervisord.states["rabbitmq"] = ProcessInfo(
            name="rabbitmq", state="RUNNING", pid=second.pid, uptime_s=1, problem=""
        )
        world.guardian.look(QUEUES_DEAD_S_MAX + 1)
        world.guardian.look(MENDING_PAUSE_S_MIN)
        assert second.poll() is None
        world.guardian.look(QUEUES_DEAD_S_MAX + MENDING_PAUSE_S_MIN)
        assert second.wait(5) == -signal.SIGTERM


def test_what_cannot_be_started_keeps_no_other_from_it(layout: Layout) -> None:
    class Broken(Supervisord):
        def start_again(self, name: str) -> None:
            if name == "brain-0":
                raise SupervisorError("brain-0: spawn error")
            super().start_again(name)

    supervisord = Broken()
    for name in ("brain-0", "risk-0"):
        layout.starts_file_of(name).touch()
        supervisord.states[name] = ProcessInfo(name=name, state="FATAL", pid=None, uptime_s=0, problem="")
    lines: list[str] = []
    guardian = Guardian(
        layout,
        cast("Supervisor", supervisord),
        launch=lambda: None,
        alive={},
        answers=lambda _: True,
        dead_queues=lambda: (),
        tell=lines.append,
    )
    for now in (0.0, 1.0):
        guardian.look(now)
    assert supervisord.started == ["risk-0"]
    assert "brain-0: spawn error" in lines


def test_logs_are_bounded_and_a_reused_number_is_no_lifeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def look(self, now: float) -> None:
            raise SupervisorError("supervisord did not start")

    begins = iter([100, 100, 200])  # then the number belongs to somebody else
    bounded: list[Path] = []
    monkeypatch.setattr(module, "guardian_of", lambda *_: Failing())
    monkeypatch.setattr(module, "started_at", lambda _: next(begins))
    monkeypatch.setattr(module, "LOOK_INTERVAL_S", 0.0)
    monkeypatch.setattr(log_files, "bound", bounded.append)
    assert module.main(["--home", str(tmp_path), "--port-base", "8000", "--while", "1"]) == 0
    assert bounded == [tmp_path / "logs"]
