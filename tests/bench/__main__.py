"""`python -m tests.bench [--quick] [--runs N] [--json FILE]`: measure, print, compare with the budgets.

Exit status 0 when everything was measured, however slow it was; 1 when something could not be measured.
"""

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from infrastructure.local.bring_up import StartError
from infrastructure.local.layout import MissingServerError
from infrastructure.local.preparation import PreparationError
from infrastructure.local.supervision import SupervisorError
from shared.errors import PhoenixError
from tests.bench import bursts
from tests.bench.budgets import SUSTAINED_P99_MS_MAX
from tests.bench.machine import Processes, by_family, describe
from tests.bench.one_run import OneRun
from tests.bench.plan import FULL, QUICK, Plan
from tests.bench.private_system import PrivateSystem, private_system, symbol
from tests.bench.results import Report, Run, over_runs, sustained
from tests.bench.samples import NothingMeasured
from tests.bench.table import render

RUNS_MAX = 5
"""Each run takes symbols that were never traded."""

FAILURES = (
    StartError,
    PreparationError,
    MissingServerError,
    SupervisorError,
    PhoenixError,
    OSError,  # with it TimeoutError
    NothingMeasured,
    RuntimeError,
    AssertionError,  # of `eventually`: something did not come about
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status."""
    options = _parser().parse_args(arguments)
    plan = QUICK if options.quick else FULL
    if options.runs:
        plan = dataclasses.replace(plan, runs=options.runs)
    try:
        report = asyncio.run(_measure(plan, is_quick=options.quick))
    except FAILURES as error:
        _say(f"FAILED: {error!r}")
        return 1
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    sys.stdout.write(render(report) + "\n")
    return 0


async def _measure(plan: Plan, *, is_quick: bool) -> Report:
    async with private_system() as system:
        machine = describe(system.stack.layout.home)
        _say("Setting symbols up")
        await system.prepare_symbols([symbol(number) for number in range(plan.symbols_prepared)])
        processes = Processes(system.stack)
        runs = [await _run(system, processes, plan, number) for number in range(plan.runs)]
        rss_mib = by_family(processes.memory_mib())
        _say("RISK under a burst")
        burst = await bursts.measure(system, plan)
    return Report(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        is_quick=is_quick,
        machine=machine,
        latencies=over_runs([run.latencies for run in runs]),
        hops=over_runs([run.hops for run in runs]),
        floors=over_runs([run.floors for run in runs]),
        sustained_per_s=sustained([run.ramp for run in runs], SUSTAINED_P99_MS_MAX),
        bursts=burst,
        rss_mib=rss_mib,
        runs=runs,
    )


async def _run(system: PrivateSystem, processes: Processes, plan: Plan, number: int) -> Run:
    _say(f"Run {number + 1} of {plan.runs}")
    return await OneRun(system, processes, plan, number).run()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _runs(text: str) -> int:
    count = int(text)
    if not 1 <= count <= RUNS_MAX:
        raise argparse.ArgumentTypeError(f"1..{RUNS_MAX} runs are possible")
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about a minute: does everything still work?")
    parser.add_argument("--runs", type=_runs, metavar="N", help="runs to take medians over (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
