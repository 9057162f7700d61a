"""Speaks with supervisord: launches it, hands it a new process table, starts, stops and signals programs.

A program that has outlived a killed supervisord is an orphan: the next one does not know it; here it is left
alone by a start, and stopped and looked at like any other. It knows processes by name only; what a program
is for, and whether it is ready, is not its business.
"""

import configparser
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from xmlrpc.client import Fault, ProtocolError, ServerProxy

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from infrastructure.local.layout import REPOSITORY, SUPERVISED_MARK, Binaries, Layout
from infrastructure.local.leftovers import our_process, stop_process
from infrastructure.local.ports import SERVICES
from infrastructure.local.preparation import basic_environment
from shared.clock import utc_now

LAUNCH_TIMEOUT_S = 20.0
POLL_S = 0.1
CALL_TIMEOUT_S = 5.0
"""supervisord answers at once; one that does not is frozen."""
STOP_MARGIN_S = 10.0
"""supervisord kills a program at its own time-out; only then do we give up waiting."""

GONE_STATES = frozenset({"STOPPED", "EXITED", "FATAL"})
ORPHANED = "ORPHANED"
UP_STATES = frozenset({"RUNNING", ORPHANED})


class SupervisorError(Exception):
    """supervisord could not be launched or did not do what it was told."""


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """What supervisord says about one program."""

    name: str
    state: str  # STOPPED | STARTING | RUNNING | BACKOFF | STOPPING | EXITED | FATAL | ORPHANED
    pid: int | None
    uptime_s: int
    problem: str


class Supervisor:
    """One supervisord and the calls we make to it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def is_alive(self) -> bool:
        """Tell whether supervisord answers."""
        try:
            self._call("getPID")
        except (OSError, ProtocolError, http.client.HTTPException):
            return False
        return True

    def launch(self, binaries: Binaries, *, end_with_parent: bool = False, same_session: bool = False) -> int:
        """Start supervisord and return its process id.

        With `end_with_parent` it stops all when we end. With `same_session` it takes over the programs of one
        that died: the session is what they are known by.

        Raises:
            SupervisorError: it did not answer within 20 s.
        """
        command = [
            str(binaries.python),
            "-m",
            "infrastructure.local.supervisord",
            "-n",
            "-c",
            str(self._layout.supervisor_conf),
        ]
        if end_with_parent:
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        output = self._layout.logs / "supervisord.out"
        with _appending(output) as stream:
            begun_at = stream.tell()
            process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=basic_environment()
                | {"PHOENIX_HOME": str(self._layout.home), SUPERVISED_MARK: str(self._layout.home)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=not same_session,
                process_group=0 if same_session else None,
            )
        if not same_session:
            with suppress(OSError):
                self._layout.session_file.write_text(f"{process.pid}\n", encoding="utf-8")
        deadline = time.monotonic() + LAUNCH_TIMEOUT_S
        while not self.is_alive():
            if process.poll() is not None or time.monotonic() > deadline:
                said = output.read_bytes()[begun_at:] if output.exists() else b""
                raise SupervisorError(f"supervisord did not start: {said.decode(errors='replace').strip()}")
            time.sleep(POLL_S)
        return process.pid

    def apply_configuration(self) -> None:
        """Take over a rewritten configuration: programs that changed or are gone stop, new ones are known."""
        [[added, changed, removed]] = self._call("reloadConfig")
        old = [*changed, *removed]
        self.stop(old, timeout_s=STOP_MARGIN_S * 3)
        for name in old:
            self._call("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._call("addProcessGroup", name)

    def adopt(self, name: str) -> None:
        """Take over a rewritten configuration for one stopped program; the others keep theirs."""
        [[added, changed, _removed]] = self._call("reloadConfig")
        if name in changed:
            self._call("removeProcessGroup", name)
        if name in {*added, *changed}:  # added: whoever did this before was killed between the two
            self._call("addProcessGroup", name)

    def processes(self) -> dict[str, ProcessInfo]:
        """Return every program supervisord knows, by name; of those it does not run, who runs without it."""
        known = {str(entry["name"]): _process_info(entry) for entry in self._call("getAllProcessInfo")}
        return {name: self._or_orphan(info) for name, info in known.items()}

    def _or_orphan(self, info: ProcessInfo) -> ProcessInfo:
        if info.state not in GONE_STATES:
            return info
        process = our_process(self._layout, self._layout.pid_file_of(info.name))
        if process is None:
            return info
        with suppress(psutil.Error):
            uptime_s = int(utc_now().timestamp() - process.create_time())
            return replace(info, state=ORPHANED, pid=process.pid, uptime_s=max(0, uptime_s), problem="")
        return info

    def start(self, name: str) -> None:
        """Start a program on purpose; one that is already on its way, or an orphan, is left alone."""
        with suppress(OSError):  # a full disk: the guardian then knows of it while it lives
            self._layout.starts_file_of(name).unlink(missing_ok=True)
            self._layout.starts_file_of(name).touch(mode=0o600)
        if self.processes()[name].state != ORPHANED:
            self.start_again(name)

    def start_again(self, name: str) -> None:
        """Start a program that is meant to run; how often it ended before counts on.

        Raises:
            SupervisorError: supervisord does not know it, or cannot spawn it.
        """
        try:
            self._call("startProcess", name, False)
        except Fault as fault:
            if fault.faultCode != Faults.ALREADY_STARTED:
                raise SupervisorError(f"{name}: {fault.faultString}") from fault

    def stop(self, names: Iterable[str], *, timeout_s: float) -> None:
        """Stop programs together and wait until they are gone.

        Raises:
            SupervisorError: one is still there after `timeout_s`.
        """
        names = list(names)
        for name in names:
            self._layout.starts_file_of(name).unlink(missing_ok=True)
        asked: set[str] = set()
        deadline: float | None = None
        while waiting := self._still_there(names):
            if deadline is not None and time.monotonic() > deadline:
                raise SupervisorError(f"did not stop: {', '.join(waiting)}")
            # An orphan may show only now: supervisord's own was stopped before it had replaced it.
            if orphans := [name for name, state in waiting.items() if state == ORPHANED]:
                with ThreadPoolExecutor(len(orphans)) as pool:
                    list(pool.map(self._stop_orphan, orphans))
            for name in waiting.keys() - {*orphans, *asked}:
                self._ask_to_stop(name)
                asked.add(name)
            deadline = deadline or time.monotonic() + timeout_s  # how long an orphan may take is its own
            time.sleep(POLL_S)

    def _still_there(self, names: Iterable[str]) -> dict[str, str]:
        """Return the states of those of the programs that are not gone."""
        states = self.processes()
        found = {name: states[name].state for name in names if name in states}
        return {name: state for name, state in found.items() if state not in GONE_STATES}

    def _ask_to_stop(self, name: str) -> None:
        try:
            self._call("stopProcess", name, False)
        except Fault as fault:
            if fault.faultCode != Faults.NOT_RUNNING:
                raise SupervisorError(f"{name}: {fault.faultString}") from fault

    def _stop_orphan(self, name: str) -> None:
        """End an orphan the way supervisord would."""
        written = configparser.RawConfigParser()
        written.read(self._layout.supervisor_conf, encoding="utf-8")
        section = f"program:{name}"
        how = signal.Signals[f"SIG{written.get(section, 'stopsignal', fallback='TERM')}"]
        patience_s = written.getfloat(section, "stopwaitsecs", fallback=STOP_MARGIN_S)
        if (process := our_process(self._layout, self._layout.pid_file_of(name))) is not None:
            stop_process(process, patience_s=patience_s, how=how)

    def shutdown(self) -> None:
        """Tell supervisord to end; the caller waits for its process."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: object) -> Any:
        """Make one call over a connection of its own: supervisord drops idle ones."""
        transport = _Transport(self._layout.socket)
        with ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


def instances_in(processes: Mapping[str, ProcessInfo]) -> int:
    """Return how many instances of each service a running system has; 1 when nothing runs."""
    counts = (sum(name.startswith(f"{service}-") for name in processes) for service in SERVICES)
    return max(1, *counts)


def _appending(path: Path) -> BinaryIO:
    """Open a file to append to, or, where that cannot be made, nothing."""
    try:
        return path.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


class _Transport(SupervisorTransport):  # type: ignore[misc]
    """supervisor's own, which would wait for ever for a frozen supervisord."""

    def __init__(self, path: Path) -> None:
        super().__init__(None, None, f"unix://{path}")
        self._get_connection = lambda: _Connection(path)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CALL_TIMEOUT_S)
        self.sock.connect(str(self._path))


def _process_info(entry: Mapping[str, Any]) -> ProcessInfo:
    running = entry["statename"] in {"RUNNING", "STARTING", "STOPPING"}
    return ProcessInfo(
        name=entry["name"],
        state=entry["statename"],
        pid=entry["pid"] or None,
        uptime_s=max(0, entry["now"] - entry["start"]) if running else 0,
        problem=entry["spawnerr"],
    )
