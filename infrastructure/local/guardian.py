"""`python -m infrastructure.local.guardian`: sees to it that what is meant to run does.

supervisord starts it and starts it again; when supervisord itself is gone or answers no more, it starts
another, and the programs, which outlived the old one, go on meanwhile. It starts what supervisord has given
up or does not know, ends what runs and does not answer, and keeps the log files within bounds. It must never
touch a program that was stopped on purpose, nor act while a start or stop is under way.
"""

import argparse
import contextlib
import fcntl
import functools
import http.client
import os
import signal
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from infrastructure.local import log_files
from infrastructure.local.broker_health import BrokerHealth
from infrastructure.local.launch import started_at
from infrastructure.local.layout import Layout, MissingServerError, find_binaries, find_layout
from infrastructure.local.leftovers import supervisor_process
from infrastructure.local.plan import Probe, programs
from infrastructure.local.ports import REPLICAS_MAX, Ports
from infrastructure.local.probes import http_status
from infrastructure.local.settings_file import read_env_file
from infrastructure.local.supervision import GONE_STATES, UP_STATES, ProcessInfo, Supervisor, SupervisorError

LOOK_INTERVAL_S = 1.0
SUPERVISOR_DEAF_S_MAX = 10.0
"""A supervisord that is there and does not answer is ended then; its programs do not notice."""
PROGRAM_DEAF_S_MAX = 30.0
PROGRAM_START_S_MAX = 120.0
"""For a process that has not answered yet."""
BROKER = "rabbitmq"
QUEUES_DEAD_S_MAX = 8.0
"""Longer than a queue needs to elect its leader."""
MENDING_PAUSE_S_MIN = 120.0
MENDING_PAUSE_S_MAX = 3_600.0
"""Between two restarts of a broker, doubling: what a restart does not mend needs a person."""
LOGS_INTERVAL_S = 2.0
TROUBLES = (
    OSError,
    ValueError,
    LookupError,
    SupervisorError,
    MissingServerError,
    psutil.Error,
    xmlrpc.client.Error,
    http.client.HTTPException,
)
"""What a look can meet; the next one may fare better."""


@dataclass
class _Hearing:
    """Since when a process has been silent, and whether it ever answered."""

    pid: int
    silent_since: float
    has_answered: bool = False


class Guardian:
    """One per system.

    Args:
        layout: where the system's files are.
        supervisor: speaks with supervisord.
        launch: starts another supervisord in our session.
        alive: by name of a program, what it has to answer as long as it lives.
        answers: asks.
        dead_queues: names the broker's queues that are down.
        tell: takes what was done, for the log.
    """

    def __init__(
        self,
        layout: Layout,
        supervisor: Supervisor,
        launch: Callable[[], None],
        alive: Mapping[str, Probe],
        answers: Callable[[Probe], bool],
        dead_queues: Callable[[], Sequence[str]],
        tell: Callable[[str], None],
    ) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._launch = launch
        self._alive = alive
        self._answers = answers
        self._dead_queues = dead_queues
        self._tell = tell
        self._queues_dead_since: float | None = None
        self._next_mending = 0.0
        self._mending_pause_s = MENDING_PAUSE_S_MIN
        self._deaf_since: float | None = None
        self._missing: set[str] = set()
        self._heard: dict[str, _Hearing] = {}

    def look(self, now: float) -> None:
        """Look once and do what is needed; `now` is monotonic, s."""
        if not self._supervisor.is_alive():
            self._replace_supervisor(now)
            return
        self._deaf_since = None
        processes = self._supervisor.processes()
        self._start_missing(processes)
        self._end_deaf(processes, now)
        self._mend_broker(processes, now)

    def _replace_supervisor(self, now: float) -> None:
        """Start another supervisord when the old one is gone, or was deaf for too long."""
        self._deaf_since = self._deaf_since if self._deaf_since is not None else now
        old = supervisor_process(self._layout)
        if old is not None and now - self._deaf_since < SUPERVISOR_DEAF_S_MAX:
            return
        with undisturbed(self._layout) as is_free:
            if not is_free or self._supervisor.is_alive():
                return
            if old is not None:
                old.kill()
                old.wait(SUPERVISOR_DEAF_S_MAX)
            self._tell("supervisord is gone: starting another one; its programs go on")
            self._launch()
        self._deaf_since = None

    def _start_missing(self, processes: Mapping[str, ProcessInfo]) -> None:
        """Start what is meant to run and is not, when two looks have found it so."""
        missing = {
            name
            for name, process in processes.items()
            if process.state in GONE_STATES and self._layout.starts_file_of(name).exists()
        }
        for name in sorted(missing & self._missing):
            with undisturbed(self._layout) as is_free:
                if is_free and self._layout.starts_file_of(name).exists():
                    self._tell(f"{name} is {processes[name].state} and meant to run: starting it")
                    try:
                        self._supervisor.start_again(name)
                    except SupervisorError as error:  # its own trouble: the others are started all the same
                        self._tell(str(error))
        self._missing = missing

    def _end_deaf(self, processes: Mapping[str, ProcessInfo], now: float) -> None:
        """Kill what runs and has not answered for too long; it is started again like anything that died."""
        for name, probe in self._alive.items():
            process = processes.get(name)
            if process is None or process.pid is None or process.state not in UP_STATES:
                self._heard.pop(name, None)
                continue
            heard = self._heard.get(name)
            if heard is None or heard.pid != process.pid:
                heard = self._heard[name] = _Hearing(process.pid, now)
            if self._answers(probe) or is_traced(process.pid):
                heard.silent_since, heard.has_answered = now, True
            patience_s = PROGRAM_DEAF_S_MAX if heard.has_answered else PROGRAM_START_S_MAX
            if now - heard.silent_since > patience_s:
                self._tell(f"{name} runs and has not answered {probe.url} for {patience_s:.0f} s: ending it")
                del self._heard[name]
                os.kill(process.pid, signal.SIGKILL)

    def _mend_broker(self, processes: Mapping[str, ProcessInfo], now: float) -> None:
        """Restart a broker whose queues stay down: nothing else brings them back."""
        broker = processes.get(BROKER)
        if broker is None or broker.pid is None or broker.state not in UP_STATES:
            return
        dead = self._dead_queues()
        if not dead:
            self._queues_dead_since = None
            return
        if self._queues_dead_since is None:
            self._queues_dead_since = now
        if now - self._queues_dead_since < QUEUES_DEAD_S_MAX or now < self._next_mending:
            return
        with undisturbed(self._layout) as is_free:
            if is_free:
                self._tell(f"{len(dead)} queues are down ({', '.join(dead[:3])}…): restarting the broker")
                os.kill(broker.pid, signal.SIGTERM)
                self._queues_dead_since = None
                self._next_mending = now + self._mending_pause_s
                self._mending_pause_s = min(self._mending_pause_s * 2, MENDING_PAUSE_S_MAX)


@contextlib.contextmanager
def undisturbed(layout: Layout) -> Iterator[bool]:
    """Give True and keep starts and stops out, or False while one is under way."""
    with (layout.run / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def is_traced(pid: int) -> bool:
    """Tell whether a debugger holds a process."""
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def guardian_of(home: Path, port_base: int) -> Guardian:
    """Put the guardian of one system together."""
    layout, binaries = find_layout(home), find_binaries()
    supervisor = Supervisor(layout)
    ports = Ports(port_base)
    password = read_env_file(layout.env_file).get("PHOENIX_AMQP_PASSWORD", "")
    table = programs(layout, ports, binaries, replicas=REPLICAS_MAX)
    return Guardian(
        layout,
        supervisor,
        launch=lambda: _launch(supervisor),
        alive={program.name: program.alive for program in table if program.alive is not None},
        answers=lambda probe: http_status(probe) is not None,
        dead_queues=BrokerHealth(ports.of("amqp_management"), password).dead_queues,
        tell=_tell,
    )


def _launch(supervisor: Supervisor) -> None:
    supervisor.launch(find_binaries(), same_session=True)


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n".encode())


def main(arguments: Iterable[str]) -> int:
    """Look on, for ever, or as long as the process named by `--while` lives."""
    parser = argparse.ArgumentParser(prog="python -m infrastructure.local.guardian")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port-base", type=int, required=True)
    parser.add_argument("--while", type=int, dest="lifeline", help="process id; when it is gone, so are we")
    options = parser.parse_args(list(arguments))
    guardian = guardian_of(options.home, options.port_base)
    logs = find_layout(options.home).logs
    began = None if options.lifeline is None else started_at(options.lifeline)
    next_logs = 0.0
    while options.lifeline is None or (began is not None and started_at(options.lifeline) == began):
        now = time.monotonic()
        look_after(functools.partial(guardian.look, now), _tell)
        if now >= next_logs:  # also while nothing can be started: that is when logs grow
            next_logs = now + LOGS_INTERVAL_S
            look_after(functools.partial(log_files.bound, logs), _tell)
        time.sleep(LOOK_INTERVAL_S)
    return 0


def look_after(work: Callable[[], None], tell: Callable[[str], None]) -> None:
    """Do one piece of a look; what it meets is told, and the next piece does not suffer for it."""
    try:
        work()
    except TROUBLES as error:
        tell(f"a look failed: {error!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
