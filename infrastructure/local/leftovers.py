"""Finds and ends processes of a system whose supervisor is gone.

Processes are found by pid file (checked against the process's start, because pids are used again), by the
session of their supervisor, and by the mark in their environment; never by name, for others may run the same
programs.
"""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from infrastructure.local.layout import Layout
from infrastructure.local.plan import Program, stop_waves
from infrastructure.local.ports import Ports

PID_FILE_DELAY_S = 2.0
"""A program's pid file is written at most this long after the process began."""

KILL_TIMEOUT_S = 5.0
HOME_MARK = "PHOENIX_HOME"


def live_process(pid_file: Path) -> psutil.Process | None:
    """Return the process that wrote the pid file if it still runs."""
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="utf-8").split()[0]))
        written = pid_file.stat().st_mtime
        if process.status() == psutil.STATUS_ZOMBIE or process.create_time() > written + PID_FILE_DELAY_S:
            return None
    except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        return None
    return process


def stop_leftovers(
    layout: Layout, table: Iterable[Program], ports: Ports, session: "Session | None"
) -> list[str]:
    """End what is left of a system, in order; return what was found (names, or numbers of nameless ones)."""
    by_name = {program.name: program for program in table}
    ended: list[str] = []
    for wave in stop_waves(by_name.values()):
        alive = {name: live_process(layout.pid_file_of(name)) for name in wave}
        found = {name: process for name, process in alive.items() if process is not None}
        for name, process in found.items():
            _signal(process, signal.Signals[f"SIG{by_name[name].stop_signal}"])
        patience_s = max((by_name[name].stop_timeout_s for name in found), default=0.0)
        _wait_or_kill(list(found.values()), patience_s)
        ended += found
    nameless = session_members(session) + list(marked_listeners(layout, ports).values())
    for process in nameless:
        _signal(process, signal.SIGTERM)
    _wait_or_kill(nameless, KILL_TIMEOUT_S)
    return ended + [f"process {process.pid}" for process in nameless]


@dataclass(frozen=True)
class Session:
    """The session of a supervisor: its number is the supervisor's process id, noted at a time."""

    number: int
    noted_at: float


def recorded_session(supervisor_pid_file: Path) -> Session | None:
    """Return the session of the supervisor that wrote the file, dead or alive."""
    try:
        number = int(supervisor_pid_file.read_text(encoding="utf-8"))
        return Session(number, supervisor_pid_file.stat().st_mtime)
    except (FileNotFoundError, ValueError):
        return None


def session_members(session: Session | None) -> list[psutil.Process]:
    """Return the processes of a supervisor's session; none when its number belongs to somebody else now."""
    if session is None or _is_younger(session.number, session.noted_at):
        return []
    return [process for process in psutil.process_iter() if _session_of(process) == session.number]


def _is_younger(pid: int, noted_at: float) -> bool:
    try:
        return psutil.Process(pid).create_time() > noted_at + PID_FILE_DELAY_S
    except psutil.NoSuchProcess:
        return False


def _session_of(process: psutil.Process) -> int | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getsid(process.pid)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None


def marked_listeners(layout: Layout, ports: Ports) -> dict[int, psutil.Process]:
    """Return processes that listen on our ports and carry our mark, by port."""
    return {
        port: process for port, process in listeners(ports.all()).items() if _is_marked(process, layout.home)
    }


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


def _is_marked(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get(HOME_MARK) == str(home)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


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
