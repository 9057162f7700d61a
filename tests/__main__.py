"""Runs every check in lanes side by side: `python -m tests [TIER …]`, which is what scripts/test.sh calls.

Most tests wait for servers more than they compute, so two lanes of them take little longer than the longer
one. Each lane has servers and ports of its own. It must never decide what a test is worth: it starts, shows,
and counts as failed what did not end well.
"""

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
LINE_BYTES_MAX = 16 * 1024 * 1024
"""A failed comparison of two large values is one line."""
ENDED_BY_SIGNAL = 130
USAGE = 2


@dataclass(frozen=True)
class Step:
    """One command and the name under which it fails."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Lane:
    """Checks that run one after the other, in one pytest process: it starts what they share once."""

    name: str
    tiers: tuple[str, ...]
    first: tuple[Step, ...] = ()


STATIC = (
    Step("style", ("-m", "ruff", "check", ".")),
    Step("format", ("-m", "ruff", "format", "--check", ".")),
    Step("types", ("-m", "mypy")),
    Step("imports", (str(Path(sys.executable).parent / "lint-imports"),)),
)
LANES = (
    Lane("parts", ("unit", "integration")),
    Lane("whole", ("property", "architecture", "contract", "e2e", "chaos"), STATIC),
)
TIERS = tuple(tier for lane in LANES for tier in lane.tiers)


@dataclass
class Run:
    """What runs now and what has failed."""

    failed: list[str] = field(default_factory=list)
    failed_tests: list[str] = field(default_factory=list)
    is_stopped: bool = False
    _processes: set[asyncio.subprocess.Process] = field(default_factory=set)

    async def lane(self, lane: Lane, steps: Sequence[Step]) -> None:
        """Run the steps of a lane; go on after a failure, so that one run shows all there is to mend."""
        for step in steps:
            if not self.is_stopped and not await self._ends_well(lane, step):
                self.failed.append(step.name)

    def stop(self) -> None:
        """Interrupt what runs: it takes its servers down and ends. Asked again, end it as it is."""
        how = signal.SIGTERM if self.is_stopped else signal.SIGINT
        self.is_stopped = True
        for process in self._processes:
            interrupt(process, how)

    async def _ends_well(self, lane: Lane, step: Step) -> bool:
        began = time.monotonic()
        say(f"== {step.name}")
        process = await asyncio.create_subprocess_exec(
            *dying_with_us(),
            sys.executable,
            "-u",
            *step.words,
            cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C reaches it by `stop` alone: twice, it would cut its tidying off
        )
        self._processes.add(process)
        if self.is_stopped:  # meanwhile
            interrupt(process, signal.SIGINT)
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            say(f"{lane.name} | {line}")
            if line.startswith(("FAILED ", "ERROR ")):
                self.failed_tests.append(line)
        code = await process.wait()
        self._processes.discard(process)
        say(f"== {step.name}: {'ok' if code == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s")
        return code == 0


def interrupt(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    """Send a signal to a process that may have ended just now."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(how)


def dying_with_us() -> list[str]:
    """Return what makes a command end, and tidy up, when this process is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT"] if setpriv else []


def say(line: str) -> None:
    """Tell whoever watches, at once."""
    print(line, flush=True)


def steps_of(lane: Lane, tiers: Sequence[str]) -> list[Step]:
    """Return what a lane has to do: everything, or only the tiers that were asked for and have tests."""
    wanted = [tier for tier in lane.tiers if tier in (tiers or TIERS)]
    folders = [f"tests/{tier}" for tier in wanted if any((REPOSITORY / "tests" / tier).rglob("test_*.py"))]
    tests = [Step(f"tests of {' '.join(wanted)}", ("-m", "pytest", *folders))] if folders else []
    return [*(() if tiers else lane.first), *tests]


async def run(tiers: Sequence[str]) -> int:
    """Run all lanes and return the exit code."""
    doing, loop = Run(), asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(each, doing.stop)
    await asyncio.gather(*(doing.lane(lane, steps_of(lane, tiers)) for lane in LANES))
    for line in sorted(doing.failed_tests):
        say(line)
    if doing.is_stopped:
        say("stopped")
        return ENDED_BY_SIGNAL
    say(f"error: failed: {', '.join(doing.failed)}" if doing.failed else "everything is in order")
    return 1 if doing.failed else 0


def main(tiers: Sequence[str]) -> int:
    """Check the arguments and run."""
    if unknown := [tier for tier in tiers if tier not in TIERS]:
        say(f"error: no such tier: {', '.join(unknown)} (there are: {', '.join(TIERS)})")
        return USAGE
    return asyncio.run(run(tiers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
