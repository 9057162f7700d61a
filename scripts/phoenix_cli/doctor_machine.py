"""The machine under Phoenix: disk, memory, ports, and the versions of what is installed. Asks no service."""

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from infrastructure.local.layout import MissingServerError, find_binaries, find_layout
from infrastructure.local.leftovers import listeners, supervisor_process
from infrastructure.local.ports import PORT_BASE_DEFAULT, Ports
from infrastructure.local.probes import is_port_free
from scripts.phoenix_cli.checkup import Finding, green, grey, red, yellow
from scripts.phoenix_cli.installation import REPOSITORY, SETTINGS_FILE, Installation

GIB = 2**30
DISK_FREE_MIN = 1 * GIB
DISK_FREE_WANTED = 5 * GIB
MEMORY_FREE_MIN = 256 * 2**20
MEMORY_FREE_WANTED = 1 * GIB
PYTHON_MIN = (3, 11)
PORTS_NAMED_MAX = 5

_PIN = re.compile(r"^([A-Za-z0-9_.\-]+)==([^\s#]+)")


def disk(home: Path) -> Iterable[Finding]:
    """Yield how much room is left where the data is."""
    where = next(path for path in (home, *home.absolute().parents) if path.exists())
    free = shutil.disk_usage(where).free
    said = f"{free / GIB:.1f} GiB free at {where}"
    if free < DISK_FREE_MIN:
        yield red(
            "disk",
            said,
            "Make room, 1 GiB at least: the broker stops taking messages below 200 MB.",
        )
    elif free < DISK_FREE_WANTED:
        yield yellow("disk", said, "Make room: days of bars, logs and messages need some GiB.")
    else:
        yield green("disk", said)


def memory() -> Iterable[Finding]:
    """Yield how much memory could still be used."""
    free = psutil.virtual_memory().available
    said = f"{free / GIB:.1f} GiB available"
    if free < MEMORY_FREE_MIN:
        yield red("memory", said, "Stop something else: the kernel will kill what trades when it runs out.")
    elif free < MEMORY_FREE_WANTED:
        yield yellow("memory", said, "The whole system uses about 1 GiB.")
    else:
        yield green("memory", said)


def python_and_packages() -> Iterable[Finding]:
    """Yield whether Python and the packages are those that were tested."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= PYTHON_MIN:
        yield green("python", version)
    else:
        yield red("python", version, "Python 3.11 or newer is needed.")
    pins = _pins(REPOSITORY / "requirements.txt")
    wrong = [text for name, wanted in pins.items() if (text := _differs(name, wanted))]
    if wrong:
        yield red("packages", "; ".join(wrong), "Run ./scripts/start.sh: it installs what is pinned.")
    else:
        yield green("packages", f"all {len(pins)} pinned packages are there")


def server_programs() -> Iterable[Finding]:
    """Yield whether the private servers' programs are installed; containers bring their own."""
    try:
        found = find_binaries()
    except MissingServerError as error:
        yield yellow("server programs", str(error), "Not needed with containers.")
    else:
        yield green("server programs", f"PostgreSQL {found.postgres_bin.parent.name}, RabbitMQ, Redis, nginx")


def ports(installation: Installation, *, runs: bool) -> Iterable[Finding]:
    """Yield whether the ports are free for a start; a running system holds them itself."""
    if SETTINGS_FILE not in {path.name for path in installation.env_files}:
        yield grey("ports", "no local installation here")
        return
    if runs or supervisor_process(find_layout(installation.home.absolute())) is not None:
        yield green("ports", "held by the running system")
        return
    base = installation.text("PHOENIX_PORT_BASE")
    wanted = Ports(int(base) if base and base.isdecimal() else PORT_BASE_DEFAULT)
    taken = [port for port in wanted.all() if not is_port_free(port)]
    if not taken:
        yield green("ports", f"free, from {wanted.base} on")
        return
    holders = listeners(taken)
    names = [
        f"{port} ({holders[port].name()}, pid {holders[port].pid})" if port in holders else str(port)
        for port in taken[:PORTS_NAMED_MAX]
    ]
    yield red(
        "ports",
        f"taken: {', '.join(names)}",
        "Stop what holds them, or choose others: PHOENIX_PORT_BASE=9000 ./scripts/start.sh",
    )


def _pins(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {found[1]: found[2] for line in lines if (found := _PIN.match(line))}


def _differs(name: str, wanted: str) -> str | None:
    try:
        there = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} {wanted} is missing"
    return None if there == wanted else f"{name} is {there}, tested with {wanted}"
