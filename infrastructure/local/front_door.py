"""nginx of one system: its configuration is tried before it is used, taken over without a request lost, and
put back when nginx does not take it.

It knows files and nginx's processes; what stands in the files is `infrastructure.nginx_lb`'s.
"""

import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import psutil

from infrastructure.local.bring_up import log_tail
from infrastructure.local.layout import REPOSITORY, Binaries, Layout
from infrastructure.local.ports import Ports
from infrastructure.local.preparation import PreparationError
from infrastructure.local.rendering import nginx_addresses
from infrastructure.local.settings_file import write_private
from infrastructure.local.supervision import Supervisor
from infrastructure.nginx_lb.placeholders import TEMPLATES, Addresses, configuration
from infrastructure.nginx_lb.settings import FrontDoorError, FrontDoorSettings, read

SOURCE = REPOSITORY / "infrastructure" / "nginx_lb"
WORKER_USERS = ("www-data", "nobody")

TRIAL_TIMEOUT_S = 20
RELOAD_TIMEOUT_S = 10.0
DRAIN_PATIENCE_S = 5.0
"""An alert is answered within 3 s. Event streams last longer and are not waited for: browsers reconnect."""
POLL_S = 0.05

HTTP2_DIRECTIVE_SINCE = (1, 25, 1)

LEAVING = "is shutting down"
"""What nginx writes into the title of a worker that finishes its last requests."""


class FrontDoor:
    """The configuration and the processes of one nginx."""

    def __init__(self, layout: Layout, ports: Ports, binaries: Binaries, supervisor: Supervisor) -> None:
        self._layout = layout
        self._ports = ports
        self._nginx = binaries.nginx
        self._supervisor = supervisor

    def configure(self, settings: Mapping[str, str], replicas: int, drained: Iterable[str] = ()) -> None:
        """Write the configuration; a running nginx takes it over, and goes on with its old one if it cannot.

        Args:
            settings: every PHOENIX_* value.
            replicas: instances of each service.
            drained: names of instances that get no new request.

        Raises:
            PreparationError: a setting cannot be used, or nginx refuses the result; nothing was changed.
        """
        try:
            wanted = read(settings)
        except FrontDoorError as error:
            raise PreparationError(str(error)) from None
        _refuse_missing_files(wanted)
        where = replace(
            nginx_addresses(self._layout, self._ports, replicas, _worker_user(), drained),
            knows_http2_directive=nginx_version(self._nginx) >= HTTP2_DIRECTIVE_SINCE,
        )
        templates = {name: (SOURCE / name).read_text(encoding="utf-8") for name in TEMPLATES}
        files = configuration(templates, wanted, where)
        before = self._files()
        if files != before:
            self._try_out(templates, wanted, where)
            self._note.unlink(missing_ok=True)
            self._write(files)
        if self._in_force() == _digest(files):
            return
        try:
            self._reload()
        except PreparationError:
            self._write(before)
            raise
        write_private(self._note, _digest(files))

    def drain(self, settings: Mapping[str, str], replicas: int, drained: Collection[str]) -> None:
        """Let only the other instances have new requests, and wait for those in work; nobody gives all back.

        Raises:
            PreparationError: see `configure`.
        """
        self.configure(settings, replicas, drained)
        if drained:
            self._await_old_workers()

    def _files(self) -> dict[str, str]:
        paths = [self._layout.nginx / name for name in TEMPLATES]
        return {path.name: path.read_text(encoding="utf-8") for path in paths if path.exists()}

    def _write(self, files: Mapping[str, str]) -> None:
        for name in TEMPLATES:
            if name in files:
                write_private(self._layout.nginx / name, files[name])
            else:
                (self._layout.nginx / name).unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        """Holds which files nginx was last told of: their writer may die before he tells it."""
        return self._layout.nginx / "in_force"

    def _in_force(self) -> str | None:
        return self._note.read_text(encoding="utf-8") if self._note.exists() else None

    def _try_out(self, templates: Mapping[str, str], settings: FrontDoorSettings, where: Addresses) -> None:
        """Let nginx itself judge the configuration, in a directory beside the real one."""
        trial = self._layout.nginx / "trial"
        shutil.rmtree(trial, ignore_errors=True)
        trial.mkdir(mode=0o700)
        try:
            for name, text in configuration(templates, settings, where.in_directory(str(trial))).items():
                write_private(trial / name, text)
            finished = subprocess.run(
                [str(self._nginx), "-t", "-q", "-p", str(trial), "-c", str(trial / "nginx.conf")],
                capture_output=True,
                text=True,
                timeout=TRIAL_TIMEOUT_S,
                check=False,
            )
        finally:
            shutil.rmtree(trial, ignore_errors=True)
        if finished.returncode:
            raise PreparationError(f"nginx refuses its configuration; the old one stays:\n{finished.stderr}")

    def _reload(self) -> None:
        """Have a running nginx start workers with the new files; the old ones finish what they hold."""
        master = self._master()
        if master is None:
            return
        before = {worker.pid for worker in self._workers()}
        master.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + RELOAD_TIMEOUT_S
        while not self._has_taken_over(before):
            if not master.is_running():
                return  # it died; the supervisor starts it with the new configuration
            if time.monotonic() > deadline:
                log = self._layout.log_of("nginx")
                raise PreparationError(
                    f"nginx did not take its new configuration; the old stays\n{log_tail(log)}\nLog: {log}"
                )
            time.sleep(POLL_S)

    def _has_taken_over(self, before: set[int]) -> bool:
        workers = self._workers()
        serving = {worker.pid for worker in workers if not is_leaving(worker)}
        return bool(serving) and not serving & before

    def _await_old_workers(self) -> None:
        """Wait until the requests that were in work before the last reload are answered, 5 s at most."""
        deadline = time.monotonic() + DRAIN_PATIENCE_S
        while any(map(is_leaving, self._workers())) and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _master(self) -> psutil.Process | None:
        if not self._supervisor.is_alive():
            return None
        process = self._supervisor.processes().get("nginx")
        if process is None or process.state not in {"STARTING", "RUNNING"} or process.pid is None:
            return None
        try:
            return psutil.Process(process.pid)
        except psutil.NoSuchProcess:
            return None

    def _workers(self) -> list[psutil.Process]:
        master = self._master()
        try:
            return master.children() if master else []
        except psutil.NoSuchProcess:
            return []


def nginx_version(program: Path) -> tuple[int, ...]:
    """Return the version of an nginx, such as (1, 22, 1); () when it does not say."""
    finished = subprocess.run(
        [str(program), "-v"], capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False
    )
    found = re.search(r"nginx/(\d+(?:\.\d+)*)", finished.stderr + finished.stdout)
    return tuple(map(int, found[1].split("."))) if found else ()


def is_leaving(worker: psutil.Process) -> bool:
    """Tell whether a worker of nginx takes no request any more."""
    try:
        return LEAVING in " ".join(worker.cmdline())
    except psutil.NoSuchProcess:  # gone, or a zombie
        return False


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _refuse_missing_files(settings: FrontDoorSettings) -> None:
    named = {"PHOENIX_TLS_CERTIFICATE": settings.tls_certificate, "PHOENIX_TLS_KEY": settings.tls_key}
    for key, path in named.items():
        if path is not None and not Path(path).is_file():
            raise PreparationError(f"{key}: there is no file {path}")


def _worker_user() -> str | None:
    """Return whom nginx's workers run as; None is ourselves."""
    if os.getuid() != 0:
        return None
    for name in WORKER_USERS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise PreparationError(f"nginx's workers need one of these users: {', '.join(WORKER_USERS)}")
