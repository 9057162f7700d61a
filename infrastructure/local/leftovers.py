"""Finds and ends processes of a system whose supervisor is gone.

A process is known by what it is, never by a number or a time alone: numbers are used again, clocks are set.
Ours carry a mark in their environment; servers that overwrite theirs (nginx, Redis, PostgreSQL) run a
server's program in a directory of this home. Nothing else is ever signalled, whatever a pid file says.
"""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from infrastructure.local.launch import read_note, started_at
from infrastructure.local.layout import SUPERVISED_MARK, Layout
from infrastructure.local.plan import Program, stop_waves
from infrastructure.local.ports import Ports

KILL_TIMEOUT_S = 5.0
OVERWRITING = frozenset({"nginx", "postgres", "redis-server", "redis-check-rdb"})
"""Programs that write their title over their environment; Redis is one file under several names."""

DELETED = " (deleted)"
"""What the kernel adds to the program's name after a package was upgraded under a running process."""


def live_process(pid_file: Path) -> psutil.Process | None:
    """Return the process whose number a pid file holds, if there is one and it began when the file says."""
    note = read_note(pid_file)
    if note is None or (note.began is not None and started_at(note.pid) != note.began):
        return None
    try:
        process = psutil.Process(note.pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


@dataclass(frozen=True)
class Owned:
    """What makes a process one of this home: its mark, or a server's program in one of `directories`."""

    home: str
    directories: frozenset[str]

    @classmethod
    def of(cls, layout: Layout) -> "Owned":
        """Return how the processes of a home are known."""
        directories = (layout.nginx, layout.redis, layout.postgres)
        return cls(os.path.realpath(layout.home), frozenset(map(os.path.realpath, directories)))

    def includes(self, process: psutil.Process) -> bool:
        """Tell whether a process is ours."""
        try:
            mark = process.environ().get(SUPERVISED_MARK)
            if mark is not None:
                return os.path.realpath(mark) == self.home
            program = os.path.basename(process.exe().removesuffix(DELETED))
            return program in OVERWRITING and os.path.realpath(process.cwd()) in self.directories
        except (psutil.Error, OSError):
            return False


def our_process(layout: Layout, pid_file: Path) -> psutil.Process | None:
    """Return the process that a pid file names, if it lives and is one of this home."""
    process = live_process(pid_file)
    return process if process is not None and Owned.of(layout).includes(process) else None


def supervisor_process(layout: Layout) -> psutil.Process | None:
    """Return the supervisor of a home if it lives, deaf or not."""
    return our_process(layout, layout.supervisor_pid)


def stop_leftovers(layout: Layout, table: Iterable[Program], ports: Ports, session: int | None) -> list[str]:
    """End what is left of a system, in order; return what was found (names, or numbers of nameless ones)."""
    by_name = {program.name: program for program in table}
    owned = Owned.of(layout)
    ended: list[str] = []
    for wave in stop_waves(by_name.values()):
        alive = {name: our_process(layout, layout.pid_file_of(name)) for name in wave}
        found = {name: process for name, process in alive.items() if process is not None}
        for name, process in found.items():
            _signal(process, signal.Signals[f"SIG{by_name[name].stop_signal}"])
        patience_s = max((by_name[name].stop_timeout_s for name in found), default=0.0)
        _wait_or_kill(list(found.values()), patience_s)
        ended += found
    nameless = {process.pid: process for process in session_members(session, owned)}
    nameless |= {process.pid: process for process in owned_listeners(owned, ports).values()}
    for process in nameless.values():
        _signal(process, signal.SIGTERM)
    _wait_or_kill(list(nameless.values()), KILL_TIMEOUT_S)
    return ended + [f"process {pid}" for pid in nameless]


def forget_dead(layout: Layout, table: Iterable[Program]) -> None:
    """Remove pid files whose process is not there, before anything starts: PostgreSQL would believe its own,
    and the launcher the number of a program's earlier incarnation.
    """
    for program in table:
        pid_file = layout.pid_file_of(program.name)
        is_kept = program.writes_own_pid_file and is_in_use(layout.postgres)
        if our_process(layout, pid_file) is None and not is_kept:
            pid_file.unlink(missing_ok=True)


def is_in_use(data: Path) -> bool:
    """Tell whether any process works in PostgreSQL's data: its pid file is then not ours to remove."""
    directory = os.path.realpath(data)
    return any(_works_in(process, directory) for process in psutil.process_iter())


def _works_in(process: psutil.Process, directory: str) -> bool:
    try:
        return os.path.realpath(process.cwd()) == directory
    except (psutil.Error, OSError):
        return False


def recorded_session(session_file: Path) -> int | None:
    """Return the number of the session of a system's supervisors, dead or alive."""
    note = read_note(session_file)
    return None if note is None else note.pid


def session_members(session: int | None, owned: Owned) -> list[psutil.Process]:
    """Return our processes in a supervisor's session; its number may be somebody else's by now."""
    if session is None:
        return []
    return [
        process
        for process in psutil.process_iter()
        if _session_of(process) == session and owned.includes(process)
    ]


def _session_of(process: psutil.Process) -> int | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getsid(process.pid)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None


def owned_listeners(owned: Owned, ports: Ports) -> dict[int, psutil.Process]:
    """Return our processes that listen on our ports, by port."""
    return {port: process for port, process in listeners(ports.all()).items() if owned.includes(process)}


def listeners(ports: Iterable[int]) -> dict[int, psutil.Process]:
    """Return the visible processes that listen on any of `ports`, by port."""
    wanted = set(ports)
    found: dict[int, psutil.Process] = {}
    for connection in psutil.net_connections("tcp"):
        port = connection.laddr.port if connection.laddr else None
        if connection.status == psutil.CONN_LISTEN and port in wanted and connection.pid:
            try:
                found[port] = psutil.Process(connection.pid)
            except psutil.NoSuchProcess:
                continue
    return found


def holders(ports: Iterable[int]) -> str:
    """Return the ports with who listens there, for a person."""
    ports = list(ports)
    found = listeners(ports)
    return ", ".join(
        f"{port} ({found[port].name()}, pid {found[port].pid})" if port in found else str(port)
        for port in ports
    )


def stop_process(process: psutil.Process, *, patience_s: float, how: signal.Signals = signal.SIGTERM) -> None:
    """End a process politely, and by force when it is still there after `patience_s`."""
    _signal(process, how)
    _wait_or_kill([process], patience_s)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    """Signal exactly this process: psutil compares its start first, and through the handle the signal cannot
    reach another one that gets its number meanwhile.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if process.is_running():
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _wait_or_kill(processes: list[psutil.Process], patience_s: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=patience_s)
    for process in alive:
        _kill_group(process)
    psutil.wait_procs(alive, timeout=KILL_TIMEOUT_S)


def _kill_group(process: psutil.Process) -> None:
    """Kill a process with the group it leads, as supervisord would."""
    try:
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, psutil.NoSuchProcess):
        return
