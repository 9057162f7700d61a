"""Ends a system: in good order through its supervisor, or what a dead supervisor left behind.

It knows the order in which programs may go; which processes are ours is `leftovers`' business. It must never
remove data.
"""

from collections.abc import Iterable

from infrastructure.local.launch import BEGAN_SUFFIX
from infrastructure.local.layout import Layout
from infrastructure.local.leftovers import (
    forget_dead,
    recorded_session,
    stop_leftovers,
    stop_process,
    supervisor_process,
)
from infrastructure.local.plan import Program, stop_waves
from infrastructure.local.ports import Ports
from infrastructure.local.supervision import STOP_MARGIN_S, Supervisor

SHUTDOWN_TIMEOUT_S = 60.0


def end_supervised(supervisor: Supervisor, table: Iterable[Program]) -> None:
    """Stop what a supervisor runs, each after what needs it, and tell the supervisor to end."""
    known = supervisor.processes()
    by_name = {program.name: program for program in table if program.name in known}
    for wave in stop_waves(by_name.values()):
        patience_s = max(by_name[name].stop_timeout_s for name in wave)
        supervisor.stop(wave, timeout_s=patience_s + STOP_MARGIN_S)
    supervisor.shutdown()


def end_leftovers(layout: Layout, table: Iterable[Program], ports: Ports) -> None:
    """End what a dead or deaf supervisor left behind, and forget the numbers of dead processes."""
    table = tuple(table)
    session = recorded_session(layout.session_file)
    if (deaf := supervisor_process(layout)) is not None:
        stop_process(deaf, patience_s=SHUTDOWN_TIMEOUT_S)
    stop_leftovers(layout, table, ports, session)
    forget_dead(layout, table)


def forget_run(layout: Layout) -> None:
    """Remove what is only true while the system runs."""
    noted = [path for suffix in (".pid", BEGAN_SUFFIX, ".starts") for path in layout.run.glob(f"*{suffix}")]
    for path in (*noted, layout.session_file, layout.socket, layout.overrides_file):
        path.unlink(missing_ok=True)
