"""The local stack as one thing: start, stop, look at, and single programs to stop, kill or restart.

It wires the parts of this package together and is what start.sh, stop.sh and the tests call. Start is
recovery: it takes whatever it finds (nothing, a running system, orphans of a dead supervisor) to the same
end.
"""

import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from infrastructure.local.bring_up import BringUp, StartError, Task
from infrastructure.local.database import prepare_database
from infrastructure.local.ending import SHUTDOWN_TIMEOUT_S, end_leftovers, end_supervised, forget_run
from infrastructure.local.front_door import FrontDoor
from infrastructure.local.guarding import end_guardian, guardian_command, kill_all
from infrastructure.local.layout import (
    Binaries,
    find_binaries,
    find_layout,
    make_layout,
    postgres_user,
)
from infrastructure.local.leftovers import (
    holders,
    is_in_use,
    our_process,
    recorded_session,
    stop_leftovers,
    stop_process,
    supervisor_process,
)
from infrastructure.local.monitoring import FAMILY as MONITORING
from infrastructure.local.monitoring import monitoring_programs, prepare_monitoring, require_monitoring
from infrastructure.local.plain_paths import forget_name
from infrastructure.local.plan import Program, programs, select
from infrastructure.local.ports import PORT_BASE_DEFAULT, REPLICAS_MAX, SERVICES, Ports
from infrastructure.local.preparation import (
    prepare_postgres,
    prepare_servers,
    prepare_settings,
    prepare_supervisor,
    service_environment,
)
from infrastructure.local.probes import Prober, is_port_free
from infrastructure.local.relocation import owner_note, settle
from infrastructure.local.rendering import GUARDIAN
from infrastructure.local.report import ProgramStatus
from infrastructure.local.rolling import RollingRestart, RollRefused, rollable
from infrastructure.local.settings_file import read_env_file, recorded_base
from infrastructure.local.settings_files import SettingsFiles
from infrastructure.local.start_lock import only_one
from infrastructure.local.supervision import (
    STOP_MARGIN_S,
    UP_STATES,
    ProcessInfo,
    Supervisor,
    SupervisorError,
    instances_in,
)


def silent(_line: str) -> None:
    """Tell nobody."""


class LocalStack:
    """One system below one home.

    Args:
        home: PHOENIX_HOME of this system.
        port_base: where its ports begin; None keeps what this home used before (8000 at first).
        user_env_file: settings of the user that win over phoenix.env, when the file exists.
        end_with_parent: let the system stop when the thread that calls `start` ends (for tests).
        monitoring: let `start` bring up Prometheus, Alertmanager and node exporter as well.
        tell: takes progress lines.
    """

    def __init__(
        self,
        home: Path,
        *,
        port_base: int | None = None,
        user_env_file: Path | None = None,
        end_with_parent: bool = False,
        monitoring: bool = True,
        tell: Callable[[str], None] = silent,
    ) -> None:
        self.layout = find_layout(home.absolute())
        recorded = None if port_base else recorded_base(read_env_file(self.layout.env_file))
        self.ports = Ports(port_base or recorded or PORT_BASE_DEFAULT)
        self._supervisor = Supervisor(self.layout)
        self._user_env_file = user_env_file
        self._end_with_parent = end_with_parent
        self._without: frozenset[str] = frozenset() if monitoring else frozenset((MONITORING,))
        self._tell = tell

    def start(
        self,
        *,
        only: Iterable[str] = (),
        without: Iterable[str] = (),
        replicas: int | None = None,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        """Bring the system up and return when it is ready.

        Args:
            only: names or families to start, instead of everything.
            without: names or families to leave out.
            replicas: 1..4 instances of each service; None keeps the running number, else 1.
            overrides: settings for this run only.

        Raises:
            StartError: something did not come up.
            PreparationError, MissingServerError, UnknownProgramError, SupervisorError: it could not be tried.
        """
        binaries = find_binaries()
        given = self.layout.home
        self.layout = make_layout(given)
        if self.layout.home != given:
            self._tell(f"  · that path is used as {self.layout.home}: the servers cannot hold it as it is")
            self._supervisor = Supervisor(self.layout)
        with self._lock():
            running = self._running_processes()
            if not running:
                self.layout = settle(self.layout, is_in_use, self._tell)
            count = replicas or instances_in(running)
            table = self._table(binaries, count)
            chosen = select(table, only=only, without={*without, *self._without})
            watched = any(program.family == MONITORING for program in chosen)
            if watched:
                require_monitoring(binaries)
            self._configure(table, count, overrides or {}, binaries, watched=watched)
            self._refuse_foreign_ports(chosen, was_running=bool(running))
            prober = Prober(self.settings(), binaries)
            try:
                self._bring_up(prober).run(chosen, self._tasks(chosen, binaries))
            finally:  # what is not there yet may come later
                self._front_door(binaries).configure(self.settings(), count)

    def roll(self, names: Iterable[str] = (), *, with_gap: bool = False) -> None:
        """Restart instances one after the other, each out of nginx first, with today's code and settings.

        Args:
            names: services or single instances; none are all services.
            with_gap: restart also what has no second instance.

        Raises:
            RollRefused: it would leave a gap, or something is not as it should be; nothing was touched.
            StartError, PreparationError, SupervisorError: it ended half-way; a second call completes it.
            UnknownProgramError: no such program.
        """
        if not self._supervisor.is_alive():
            raise RollRefused("Phoenix 95 is not running: ./scripts/start.sh starts it")
        binaries = find_binaries()
        with self._lock():
            count = instances_in(self._running_processes())
            table = self._table(binaries, count)
            chosen = rollable(table, names)
            prepare_settings(self.layout, self.ports)
            prober = Prober(self.settings(), binaries)
            rolling = RollingRestart(
                table=table,
                supervisor=self._supervisor,
                drain=lambda names: self._front_door(binaries).drain(self.settings(), count, names),
                answers=prober.answers,
                bring_up=lambda program: self._bring_up(prober).run([program], []),
                tell=self._tell,
            )
            rolling.check(chosen, with_gap=with_gap)
            prepare_supervisor(
                self.layout, table, self._files().all, self.settings(), self._guardian(binaries)
            )
            self._bring_up(prober).run([], self._tasks(table, binaries))
            rolling.run(chosen)

    def _bring_up(self, prober: Prober) -> BringUp:
        return BringUp(self._supervisor, prober.answers, self.layout.log_of, self._tell)

    def stop(self) -> list[str]:
        """Stop everything, also what a dead supervisor left behind, and return what was found running."""
        if not self.layout.run.is_dir():
            return []
        with self._lock():
            table = self._table(find_binaries(), REPLICAS_MAX)  # may fail: nothing was ended yet
            end_guardian(self.layout, self._supervisor)
            # Both are read now: supervisord removes the file a moment before it is gone.
            session = recorded_session(self.layout.session_file)
            supervisor = supervisor_process(self.layout)
            found = [name for name, process in self._running_processes().items() if process.pid]
            if self._supervisor.is_alive():
                end_supervised(self._supervisor, table)
            if supervisor is not None:
                stop_process(supervisor, patience_s=SHUTDOWN_TIMEOUT_S)
            found += stop_leftovers(self.layout, table, self.ports, session)
            forget_run(self.layout)
            return found

    def destroy(self) -> None:
        """End the system and delete its home with all data (for tests and throw-away systems).

        What is deleted need not end in good order: the broker alone would take 6 s for that.
        """
        kill_all(self.layout, self._running_processes())
        self.stop()
        for path in (self.layout.postgres, self.layout.home.resolve()):
            shutil.rmtree(path, ignore_errors=True)
        owner_note(self.layout.postgres).unlink(missing_ok=True)
        forget_name(self.layout.home)

    def status(self) -> list[ProgramStatus]:
        """Return every program of the running system; of a dead supervisor's, those that still run."""
        running = self._running_processes() or self._orphans()
        if not running:
            return []
        binaries = find_binaries()
        prober = Prober(self.settings(), binaries)
        table = self._table(binaries, REPLICAS_MAX)
        return [
            self._status_of(program, running[program.name], prober)
            for program in table
            if program.name in running
        ]

    def settings(self) -> dict[str, str]:
        """Return the values of phoenix.env, the user's file and this run's overrides; the later ones win."""
        return self._files().values()

    def env_files(self) -> list[Path]:
        """Return the settings files that exist, in the order in which later ones win."""
        return self._files().existing()

    def stop_program(self, name: str) -> None:
        """Stop one program and wait until it is gone; it stays away until it is restarted."""
        self._supervisor.stop([name], timeout_s=self._program(name).stop_timeout_s + STOP_MARGIN_S)

    def restart_program(self, name: str) -> None:
        """Stop one program, start it, and return when it is ready.

        Raises:
            StartError: it did not come up again.
        """
        self.stop_program(name)
        self.await_program(name)

    def await_program(self, name: str) -> None:
        """Start one program if it is stopped and return when it is ready.

        Raises:
            StartError: it did not come up.
        """
        prober = Prober(self.settings(), find_binaries())
        self._bring_up(prober).run([self._program(name)], [])

    def kill_program(self, name: str, signal_number: int = signal.SIGKILL) -> int:
        """Send a signal (SIGKILL: the supervisor restarts the program) and return the process id it hit.

        Raises:
            SupervisorError: it is not running.
        """
        process = self._supervisor.processes().get(name)
        if process is None or process.pid is None:
            raise SupervisorError(f"{name} is not running")
        os.kill(process.pid, signal_number)
        return process.pid

    def _configure(
        self,
        table: tuple[Program, ...],
        replicas: int,
        overrides: Mapping[str, str],
        binaries: Binaries,
        *,
        watched: bool,
    ) -> None:
        """Write every configuration, then have a supervisor work by it, the running one or a new one."""
        prepare_settings(self.layout, self.ports)
        settings = self._files().values(overrides)
        changed = prepare_servers(self.layout, self.ports, settings)
        instances = [program for program in table if program.family in SERVICES]
        absent = {p.name for p in instances if self._supervisor.is_alive() and is_port_free(p.ports[0])}
        self._front_door(binaries).configure(settings, replicas, drained=coming(instances, absent))
        if watched:
            changed |= prepare_monitoring(self.layout, self.ports, replicas, settings)
        self._files().write_overrides(overrides)  # only now: what nginx refuses must not stay
        prepare_supervisor(self.layout, table, self._files().all, settings, self._guardian(binaries))
        if not self._supervisor.is_alive():
            end_leftovers(self.layout, self._table(binaries, REPLICAS_MAX), self.ports)
            self._supervisor.launch(binaries, end_with_parent=self._end_with_parent)
            return
        self._supervisor.apply_configuration()
        self._supervisor.stop(changed, timeout_s=SHUTDOWN_TIMEOUT_S)

    def _guardian(self, binaries: Binaries) -> tuple[str, ...]:
        lifeline = os.getpid() if self._end_with_parent else None
        return guardian_command(self.layout, self.ports, binaries, ends_with=lifeline)

    def _files(self) -> SettingsFiles:
        return SettingsFiles(self.layout.env_file, self._user_env_file, self.layout.overrides_file)

    def _front_door(self, binaries: Binaries) -> FrontDoor:
        return FrontDoor(self.layout, self.ports, binaries, self._supervisor)

    def _tasks(self, chosen: Iterable[Program], binaries: Binaries) -> list[Task]:
        """Return the work around PostgreSQL, when that is among the chosen programs."""
        if not any(program.name == "postgres" for program in chosen):
            return []
        password = self.settings()["PHOENIX_ADMIN_DB_PASSWORD"]
        environment = service_environment(self.layout, self.env_files())
        return [
            Task("initdb", lambda: prepare_postgres(self.layout, binaries, password)),
            Task(
                "database",
                lambda: prepare_database(self.layout, self.ports, binaries, password, environment),
                needs=("postgres",),
            ),
        ]

    def _refuse_foreign_ports(self, chosen: Iterable[Program], *, was_running: bool) -> None:
        """Fail early and name who holds a port that we need; a supervisor just launched for this ends too."""
        processes = self._supervisor.processes()
        wanted = [port for program in chosen if not processes[program.name].pid for port in program.ports]
        taken = [port for port in wanted if not is_port_free(port)]
        if not taken:
            return
        launched = None if was_running else supervisor_process(self.layout)
        if launched is not None:
            stop_process(launched, patience_s=SHUTDOWN_TIMEOUT_S)
        raise StartError(
            f"these ports are taken: {holders(taken)}\n"
            f"Stop what holds them, or choose other ports: PHOENIX_PORT_BASE=9000 ./scripts/start.sh"
        )

    def _status_of(self, program: Program, process: ProcessInfo, prober: Prober) -> ProgramStatus:
        return ProgramStatus(
            name=program.name,
            state=process.state,
            pid=process.pid,
            uptime_s=process.uptime_s,
            ready=process.state in UP_STATES and all(map(prober.answers, program.ready)),
            url=program.ready[0].url,
            log=str(self.layout.log_of(program.name)),
        )

    def _program(self, name: str) -> Program:
        table = self._table(find_binaries(), REPLICAS_MAX)
        return next(program for program in table if program.name == name)

    def _table(self, binaries: Binaries, replicas: int) -> tuple[Program, ...]:
        own = programs(self.layout, self.ports, binaries, replicas=replicas, postgres_user=postgres_user())
        return (*own, *monitoring_programs(self.layout, self.ports, binaries))

    def _orphans(self) -> dict[str, ProcessInfo]:
        """Return programs that run without a supervisor."""
        if not self.layout.run.is_dir():
            return {}
        table = self._table(find_binaries(), REPLICAS_MAX)
        found = {p.name: our_process(self.layout, self.layout.pid_file_of(p.name)) for p in table}
        return {
            name: ProcessInfo(name=name, state="ORPHANED", pid=process.pid, uptime_s=0, problem="")
            for name, process in found.items()
            if process is not None
        }

    def _running_processes(self) -> dict[str, ProcessInfo]:
        """Return the programs of the table that supervisord knows, none when there is no supervisord."""
        known = self._supervisor.processes() if self._supervisor.is_alive() else {}
        return {name: process for name, process in known.items() if name != GUARDIAN}

    def _lock(self) -> AbstractContextManager[None]:
        """Let only one start or stop of this home work at a time."""
        return only_one(self.layout.run / "lock", self._tell)


def coming(instances: Collection[Program], absent: Collection[str]) -> list[str]:
    """Return the absent instances that another of their service stands in for: these get no request yet.

    Where all are absent none is passed by. nginx asks each again at every request, so whichever comes back
    first serves at once, whatever the rest of the start waits for.
    """
    present = {program.family for program in instances if program.name not in absent}
    return [p.name for p in instances if p.name in absent and p.family in present]
