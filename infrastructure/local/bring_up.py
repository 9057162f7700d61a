"""Brings selected programs and tasks up, each when what it needs is ready, and says how it goes.

It knows the order and the patience; how a program is started, asked and looked at comes from outside.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.local.plan import Probe, Program
from infrastructure.local.supervision import UP_STATES, ProcessInfo, Supervisor, SupervisorError

POLL_S = 0.2
CRASHES_MAX = 3
"""A program that died this often before it was ready will not come up by itself."""

LOG_TAIL_LINES = 20
TASKS_AT_ONCE_MAX = 4


class StartError(Exception):
    """Something did not come up; the message is for the operator and holds the end of its log."""


@dataclass(frozen=True)
class Task:
    """Work to be done once before the programs that need it start; it runs beside everything else."""

    name: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()


@dataclass
class _Coming:
    """A program on its way: since when, and every process id seen so far."""

    program: Program
    since: float
    pids: set[int] = field(default_factory=set)


class BringUp:
    """One run of bringing things up."""

    def __init__(
        self,
        supervisor: Supervisor,
        answers: Callable[[Probe], bool],
        log_of: Callable[[str], Path],
        tell: Callable[[str], None],
    ) -> None:
        self._supervisor = supervisor
        self._answers = answers
        self._log_of = log_of
        self._tell = tell

    def run(self, programs: Iterable[Program], tasks: Iterable[Task]) -> None:
        """Start everything in order of need and return when all is ready.

        When a program does not come up, what does not need it still does, before the failure is told: while
        the exchange is away EXECUTE is not there, and alerts are taken.

        Raises:
            StartError: a program died repeatedly or was not ready in time, or a task failed.
        """
        waiting: dict[str, Program | Task] = {task.name: task for task in tasks}
        waiting |= {program.name: program for program in programs}
        families = {name: getattr(item, "family", name) for name, item in waiting.items()}
        coming: dict[str, _Coming] = {}
        working: dict[str, tuple[Future[None], float]] = {}
        failures: dict[str, str] = {}
        lost: set[str] = set()
        with ThreadPoolExecutor(TASKS_AT_ONCE_MAX) as pool:
            while waiting or coming or working:
                for name in [name for name, item in waiting.items() if lost & set(item.needs)]:
                    del waiting[name]
                    lost.add(families[name])
                unready = {families[name] for name in (*waiting, *coming, *working)}
                for name in [name for name, item in waiting.items() if _may_start(item, unready, lost)]:
                    item = waiting.pop(name)
                    if isinstance(item, Task):
                        working[name] = (pool.submit(item.run), time.monotonic())
                    else:
                        try:
                            self._supervisor.start(name)
                            coming[name] = _Coming(item, time.monotonic())
                        except SupervisorError as error:  # the others come up all the same
                            failures[name] = self._failure(name, f"cannot be started ({error})")
                self._collect_tasks(working)
                self._collect_ready(coming, failures)
                lost |= {families[name] for name in failures}
                time.sleep(POLL_S)
        if failures:
            raise StartError("\n\n".join(failures.values()))

    def _collect_tasks(self, working: dict[str, tuple[Future[None], float]]) -> None:
        for name, (future, since) in list(working.items()):
            if future.done():
                future.result()
                del working[name]
                self._tell_ready(name, since)

    def _collect_ready(self, coming: dict[str, _Coming], failures: dict[str, str]) -> None:
        processes = self._supervisor.processes()
        for name, item in list(coming.items()):
            if processes[name].state in UP_STATES and all(map(self._answers, item.program.ready)):
                del coming[name]
                self._tell_ready(name, item.since)
            elif (trouble := self._trouble(item, processes)) is not None:
                del coming[name]
                failures[name] = self._failure(name, trouble)

    def _trouble(self, item: _Coming, processes: Mapping[str, ProcessInfo]) -> str | None:
        """Return why a program is not waited for any longer, None while it is."""
        process = processes[item.program.name]
        if process.pid:
            item.pids.add(process.pid)
        if process.state == "FATAL" or len(item.pids) > CRASHES_MAX:
            return f"ends right after it starts ({process.problem or 'see its log'})"
        if time.monotonic() - item.since > item.program.ready_timeout_s:
            unanswered = [probe.url for probe in item.program.ready if not self._answers(probe)]
            return (
                f"is not ready after {item.program.ready_timeout_s:.0f} s "
                f"(no good answer: {', '.join(unanswered)})"
            )
        return None

    def _tell_ready(self, name: str, since: float) -> None:
        self._tell(f"  ✓ {name:<16} {time.monotonic() - since:5.1f} s")

    def _failure(self, name: str, reason: str) -> str:
        log = self._log_of(name)
        return f"{name} {reason}\n{log_tail(log)}\nLog: {log}"


def _may_start(item: Program | Task, unready: set[str], lost: set[str]) -> bool:
    return not (unready | lost) & set(item.needs) and not unready & set(item.follows)


def log_tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, indented; a note when there are none."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    tail = text.splitlines()[-lines:] or ["(its log is empty)"]
    return "\n".join(f"    {line}" for line in tail)
