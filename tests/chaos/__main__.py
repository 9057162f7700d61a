"""`python -m tests.chaos`: run seeds, print what was done and which promises held; exit 1 if any did not."""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from shared import crash_points
from tests.chaos.disks import may_mount
from tests.chaos.faults import ON_A_DISK, TROUBLES
from tests.chaos.plan import make_plan
from tests.chaos.run import Report, Run
from tests.chaos.world import POSITIONS_MAX, chaos_world

EVIDENCE = Path(__file__).parents[2] / ".phoenix-chaos"
"""Where the logs of a run are kept in which a promise broke; the rest of the system is deleted."""


async def run_seed(seed: int, *, signals: int, faults: int, duration_s: float, replicas: int) -> Report:
    """Run one seed on a system of its own."""
    has_disks = may_mount()
    kinds = [row.kind for row in TROUBLES.values() if has_disks or not row.kind.name.startswith(ON_A_DISK)]
    plan = make_plan(seed, signals=signals, faults=faults, duration_s=duration_s, kinds=kinds)
    async with chaos_world(replicas) as world:
        report = await Run(world, plan, f"seed {seed}").carry_out()
        if report.breaches:
            shutil.copytree(world.stack.layout.logs, EVIDENCE / f"seed-{seed}", dirs_exist_ok=True)
        return report


def words(seed: int, report: Report) -> str:
    """Return the report as text."""
    tally, truth = report.tally, report.truth
    outcomes: dict[str, int] = {}
    for signal in truth.signals if truth else ():
        outcomes[str(signal.outcome)] = outcomes.get(str(signal.outcome), 0) + 1
    lines = [
        f"seed {seed}: {report.duration_s:.0f} s, at rest {report.rest_s:.0f} s after the last step",
        f"  alerts sent {tally.sent}, accepted signals {len(tally.accepted)}, re-sent {tally.resent},"
        f" given up {len(tally.given_up)}, unanswered {tally.unanswered}, refused {len(tally.refused)}",
        f"  outcomes {dict(sorted(outcomes.items()))}, most positions at once {report.positions_seen_max}",
        f"  faults injected {report.injected.total}, kinds {len(report.injected.counts)},"
        f" crash points met {len(report.points_met)}, missed {sorted(report.points_missed)}",
    ]
    lines += [f"  not injected: {each}" for each in report.failed_injections]
    lines += [f"  refused: {each}" for each in tally.refused]
    lines += [f"  BROKEN {each}" for each in report.breaches] or ["  every promise held"]
    if report.breaches:
        lines.append(f"  logs: {EVIDENCE / f'seed-{seed}'}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="one run each")
    parser.add_argument("--signals", type=int, default=300)
    parser.add_argument("--faults", type=int, default=80)
    parser.add_argument("--duration", type=float, default=480.0, help="seconds of load and faults")
    parser.add_argument("--replicas", type=int, default=1, help="instances of each service, 1 to 4")
    chosen = parser.parse_args(arguments)
    good = True
    points_met: set[str] = set()
    for seed in chosen.seeds:
        report = asyncio.run(
            run_seed(
                seed,
                signals=chosen.signals,
                faults=chosen.faults,
                duration_s=chosen.duration,
                replicas=chosen.replicas,
            )
        )
        print(words(seed, report), flush=True)
        good = good and not report.breaches and report.positions_seen_max <= POSITIONS_MAX
        points_met |= report.points_met
    print(f"crash points that no seed met: {sorted(set(crash_points.POINTS) - points_met) or 'none'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
