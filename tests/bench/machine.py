"""What the numbers were made on, and who else was using it."""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import psutil

from infrastructure.local.stack import LocalStack
from tests.bench.samples import summary

FSYNC_WRITES = 100
FSYNC_BYTES = 4_096
LIBRARIES = ("fastapi", "uvicorn", "uvloop", "aio-pika", "asyncpg", "msgspec", "ccxt", "redis")
MIB = 1024 * 1024


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and the software."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    fsync_p50_ms: float
    fsync_p99_ms: float
    libraries: dict[str, str]


def describe(directory: Path) -> Machine:
    """Describe this machine; fsync is measured in `directory`."""
    fsync = summary(_fsync_ms(directory / "fsync.probe"))
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 1024**3, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        fsync_p50_ms=fsync.p50_ms,
        fsync_p99_ms=fsync.p99_ms,
        libraries={name: version(name) for name in LIBRARIES},
    )


class Processes:
    """Processor time and memory of every program of a system, children included."""

    def __init__(self, stack: LocalStack) -> None:
        self._roots = {each.name: psutil.Process(each.pid) for each in stack.status() if each.pid}

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time each program has used so far, seconds."""
        return {name: sum(map(_cpu_s, _family(root))) for name, root in self._roots.items()}

    def memory_mib(self) -> dict[str, float]:
        """Return the memory of each program, MiB: resident, and shared by several processes counted once."""
        return {name: round(_memory(_family(root)) / MIB, 1) for name, root in self._roots.items()}


class Meter:
    """How the processors were used between its making and `read`."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._cpu_s = processes.cpu_s()
        self._busy_s = _busy_s()
        self._started = time.monotonic()

    def read(self) -> "Usage":
        """Return what was used since."""
        now_s = self._processes.cpu_s()
        used = {name: now_s[name] - before for name, before in self._cpu_s.items() if name in now_s}
        elapsed_s = time.monotonic() - self._started
        return Usage(elapsed_s=elapsed_s, by_program_s=used, machine_s=_busy_s() - self._busy_s)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Processor time of one stretch of time, seconds."""

    elapsed_s: float
    by_program_s: dict[str, float]
    machine_s: float

    @property
    def others_share(self) -> float:
        """The share of the machine, 0..1, that went to neither the system nor, roughly, the benchmark."""
        own_s = sum(self.by_program_s.values())
        return max(0.0, self.machine_s - own_s) / (self.elapsed_s * (os.cpu_count() or 1))


def cpu_per_item_ms(usage: Usage, idle: Usage, items: int) -> dict[str, float]:
    """Return what each program spent on one item beyond what it spends anyway, in milliseconds."""
    return {
        name: round(
            max(0.0, used - idle.by_program_s.get(name, 0.0) * usage.elapsed_s / idle.elapsed_s)
            * 1_000
            / items,
            2,
        )
        for name, used in usage.by_program_s.items()
    }


def by_family(values: Mapping[str, float]) -> dict[str, float]:
    """Add up the instances of a service: `brain-0` and `brain-1` are `brain`."""
    added: dict[str, float] = {}
    for name, value in values.items():
        family = name.rstrip("0123456789").rstrip("-")
        added[family] = round(added.get(family, 0.0) + value, 2)
    return added


def _family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _memory(family: Sequence[psutil.Process]) -> int:
    try:
        if len(family) == 1:
            return int(family[0].memory_info().rss)
        return sum(int(process.memory_full_info().pss) for process in family)
    except psutil.NoSuchProcess:
        return 0


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


def _fsync_ms(path: Path) -> list[float]:
    samples = []
    with path.open("wb") as file:
        for _ in range(FSYNC_WRITES):
            started = time.perf_counter()
            file.write(os.urandom(FSYNC_BYTES))
            file.flush()
            os.fsync(file.fileno())
            samples.append((time.perf_counter() - started) * 1_000)
    path.unlink()
    return samples


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
