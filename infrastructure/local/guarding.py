"""What a start and a stop do about the guardian, and how everything is ended at once.

It knows process ids and commands; what the guardian does is `guardian`'s.
"""

import contextlib
import os
import signal
from collections.abc import Mapping

import psutil

from infrastructure.local.layout import Binaries, Layout
from infrastructure.local.leftovers import our_process, stop_process
from infrastructure.local.ports import Ports
from infrastructure.local.rendering import GUARDIAN
from infrastructure.local.supervision import STOP_MARGIN_S, ProcessInfo, Supervisor


def guardian_command(
    layout: Layout, ports: Ports, binaries: Binaries, *, ends_with: int | None
) -> tuple[str, ...]:
    """Return the guardian's command; with `ends_with` it works only as long as that process lives."""
    where = ("--home", str(layout.home), "--port-base", str(ports.base))
    lifeline = () if ends_with is None else ("--while", str(ends_with))
    return (str(binaries.python), "-m", "infrastructure.local.guardian", *where, *lifeline)


def end_guardian(layout: Layout, supervisor: Supervisor) -> None:
    """End the guardian, supervised or not, so that what is stopped now stays so."""
    guardian = our_process(layout, layout.guardian_pid)
    if guardian is None:
        return
    if supervisor.is_alive():
        supervisor.stop([GUARDIAN], timeout_s=STOP_MARGIN_S)
    stop_process(guardian, patience_s=STOP_MARGIN_S)


def kill_all(layout: Layout, processes: Mapping[str, ProcessInfo]) -> None:
    """End every process at once, first the two that would start the others again."""
    for pid_file in (layout.supervisor_pid, layout.guardian_pid):
        if (process := our_process(layout, pid_file)) is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    for name, process_info in processes.items():
        if process_info.pid is not None:
            # PostgreSQL has to give its shared memory back; this is its own way to end at once.
            how = signal.SIGQUIT if name == "postgres" else signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_info.pid, how)
