"""Speaks with supervisord: launches it, hands it a new process table, starts, stops and signals programs.

It knows processes by name only; what a program is for, and whether it is ready, is not its business.
"""

import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xmlrpc.client import Fault, ProtocolError, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport

from infrastructure.local.layout import Binaries, Layout
from infrastructure.local.preparation import basic_environment

LAUNCH_TIMEOUT_S = 20.0
POLL_S = 0.1
STOP_MARGIN_S = 10.0
"""supervisord kills a program at its own time-out; only then do we give up waiting."""

GONE_STATES = frozenset({"STOPPED", "EXITED", "FATAL"})


class SupervisorError(Exception):
    """supervisord could not be launched or did not do what it was told."""


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """What supervisord says about one program."""

    name: str
    state: str  # STOPPED | STARTING | RUNNING | BACKOFF | STOPPING | EXITED | FATAL
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
        except (OSError, ProtocolError):
            return False
        return True

    def launch(self, binaries: Binaries, *, end_with_parent: bool) -> int:
        """Start supervisord and return its process id; with `end_with_parent` it stops all when we end.

        Raises:
            SupervisorError: it did not answer within 20 s.
        """
        command = [
            str(binaries.python),
            "-m",
            "supervisor.supervisord",
            "-n",
            "-c",
            str(self._layout.supervisor_conf),
        ]
        if end_with_parent:
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        output = self._layout.logs / "supervisord.out"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd="/",
                env=basic_environment()
                | {"PHOENIX_HOME": str(self._layout.home)},  # the mark of our processes
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + LAUNCH_TIMEOUT_S
        while not self.is_alive():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SupervisorError(
                    f"supervisord did not start: {output.read_text(errors='replace').strip()}"
                )
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
        """Return every program supervisord knows, by name."""
        return {str(entry["name"]): _process_info(entry) for entry in self._call("getAllProcessInfo")}

    def start(self, name: str) -> None:
        """Start a program; one that is already on its way is left alone."""
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
        states = self.processes()
        waiting = [name for name in names if name in states and states[name].state not in GONE_STATES]
        for name in waiting:
            try:
                self._call("stopProcess", name, False)
            except Fault as fault:
                if fault.faultCode != Faults.NOT_RUNNING:
                    raise SupervisorError(f"{name}: {fault.faultString}") from fault
        deadline = time.monotonic() + timeout_s
        while waiting:
            states = self.processes()
            waiting = [name for name in waiting if states[name].state not in GONE_STATES]
            if waiting and time.monotonic() > deadline:
                raise SupervisorError(f"did not stop: {', '.join(waiting)}")
            time.sleep(POLL_S)

    def signal(self, name: str, signal_number: int) -> None:
        """Send a signal to a program."""
        self._call("signalProcess", name, str(signal_number))

    def shutdown(self) -> None:
        """Tell supervisord to end; the caller waits for its process."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: object) -> Any:
        """Make one call over a connection of its own: supervisord drops idle ones."""
        transport = SupervisorTransport(None, None, f"unix://{self._layout.socket}")
        with ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


def _process_info(entry: Mapping[str, Any]) -> ProcessInfo:
    running = entry["statename"] in {"RUNNING", "STARTING", "STOPPING"}
    return ProcessInfo(
        name=entry["name"],
        state=entry["statename"],
        pid=entry["pid"] or None,
        uptime_s=max(0, entry["now"] - entry["start"]) if running else 0,
        problem=entry["spawnerr"],
    )
