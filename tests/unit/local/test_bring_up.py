"""Nothing starts before what it needs is ready, and what does not come up is named with its log."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from infrastructure.local.bring_up import CRASHES_MAX, BringUp, StartError, Task
from infrastructure.local.plan import Probe, ProbeKind, Program
from infrastructure.local.supervision import ProcessInfo, Supervisor, SupervisorError

PORTS = {"server": 1, "service": 2, "door": 3, "chat": 4}


def program(name: str, *needs: str) -> Program:
    port = PORTS[name]
    return Program(
        name=name,
        family=name,
        command=(name,),
        needs=needs,
        ports=(port,),
        ready=(Probe(ProbeKind.TCP, port),),
        ready_timeout_s=0.5,
    )


class InstantSupervisor:
    """Starts programs at once, in memory, and remembers the order; a crashing one always has a new pid."""

    def __init__(self, crashing: str = "") -> None:
        self.started: list[str] = []
        self._crashing = crashing
        self.looks = 0

    def start(self, name: str) -> None:
        self.started.append(name)

    def processes(self) -> dict[str, ProcessInfo]:
        self.looks += 1
        return {name: self._process(name) for name in self.started}

    def _process(self, name: str) -> ProcessInfo:
        crashing = name == self._crashing
        return ProcessInfo(
            name=name,
            state="BACKOFF" if crashing else "RUNNING",
            pid=self.looks if crashing else 1000,
            uptime_s=0,
            problem="",
        )


def bring_up(supervisor: InstantSupervisor, tmp_path: Path, *, deaf: int = 0) -> BringUp:
    return BringUp(
        cast(Supervisor, supervisor),
        answers=lambda probe: probe.port != deaf,
        log_of=lambda name: tmp_path / f"{name}.log",
        tell=lambda _line: None,
    )


def test_programs_start_in_order_of_need_whatever_the_order_of_the_table(tmp_path: Path) -> None:
    supervisor = InstantSupervisor()
    table = [program("door", "service"), program("service", "server"), program("server")]
    bring_up(supervisor, tmp_path).run(table, [])
    assert supervisor.started == ["server", "service", "door"]


def test_a_task_runs_after_what_it_needs_and_before_what_needs_it(tmp_path: Path) -> None:
    supervisor = InstantSupervisor()
    seen: list[list[str]] = []
    task = Task("migrations", lambda: seen.append(list(supervisor.started)), needs=("server",))
    bring_up(supervisor, tmp_path).run([program("service", "migrations"), program("server")], [task])
    assert seen == [["server"]]
    assert supervisor.started == ["server", "service"]


def test_a_need_that_was_not_selected_is_taken_as_met(tmp_path: Path) -> None:
    supervisor = InstantSupervisor()
    bring_up(supervisor, tmp_path).run([program("service", "server")], [])
    assert supervisor.started == ["service"]


def test_a_program_that_never_answers_is_named_with_the_address_and_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    (tmp_path / "server.log").write_text("".join(f"line {n}\n" for n in range(100)))
    with pytest.raises(StartError) as failure:
        bring_up(InstantSupervisor(), tmp_path, deaf=PORTS["server"]).run([program("server")], [])
    message = str(failure.value)
    assert "server is not ready after 0 s" in message or "server is not ready after 1 s" in message
    assert "tcp://127.0.0.1:1" in message
    assert "line 99" in message
    assert "line 1\n" not in message
    assert str(tmp_path / "server.log") in message


def test_a_program_that_keeps_crashing_is_given_up_long_before_its_time_is_over(tmp_path: Path) -> None:
    patient = replace(program("server"), ready_timeout_s=60.0)
    supervisor = InstantSupervisor(crashing="server")
    with pytest.raises(StartError, match="server ends right after it starts"):
        bring_up(supervisor, tmp_path).run([patient], [])
    assert supervisor.looks == CRASHES_MAX + 1


def test_what_does_not_need_a_failed_program_comes_up_and_what_does_is_left_out(tmp_path: Path) -> None:
    supervisor = InstantSupervisor(crashing="service")
    table = [program("door", "server"), program("service"), program("server"), program("chat", "service")]
    after_chat = replace(program("door", "chat"), name="after_chat", family="after_chat")
    watcher = replace(program("door"), name="watcher", family="watcher", follows=("service", "chat"))
    with pytest.raises(StartError, match="service ends right after it starts"):
        bring_up(supervisor, tmp_path).run([watcher, *table, after_chat], [])
    assert sorted(supervisor.started[:-1]) == ["door", "server", "service"]
    assert supervisor.started[-1] == "watcher", "it follows, whether they came up or not"


def test_a_failing_task_stops_the_start(tmp_path: Path) -> None:
    def fail() -> None:
        raise StartError("the database could not be prepared")

    with pytest.raises(StartError, match="database"):
        bring_up(InstantSupervisor(), tmp_path).run(
            [program("service", "migrations")], [Task("migrations", fail)]
        )


def test_what_cannot_even_be_started_keeps_only_those_who_need_it_from_starting(tmp_path: Path) -> None:
    class Refusing(InstantSupervisor):
        def start(self, name: str) -> None:
            if name == "service":
                raise SupervisorError("service: spawn error")
            super().start(name)

    supervisor = Refusing()
    table = [program("service"), program("door", "service"), program("chat")]
    with pytest.raises(StartError, match=r"service cannot be started \(service: spawn error\)"):
        bring_up(supervisor, tmp_path).run(table, [])
    assert supervisor.started == ["chat"]
