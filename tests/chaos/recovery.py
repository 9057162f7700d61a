"""`python -m tests.chaos.recovery`: kill each own process under a steady load; print how long each took to
come back, and whether an alert was lost. It measures; it judges only that nothing was lost.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from infrastructure.local.ports import SERVICES
from tests.chaos.plan import Alert
from tests.chaos.workload import Workload
from tests.chaos.world import World, chaos_world
from tests.eventually import eventually

ALERTS_PER_S = 5
LOAD_BEFORE_S = 2.0
BACK_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What killing one program came to."""

    program: str
    ready_again_s: float
    longest_alert_s: float
    lost: int


async def measure(world: World, program: str) -> Recovery:
    """Kill a program under load and wait until it is ready again."""
    async with httpx.AsyncClient() as http:
        workload = Workload(http, world.addresses, f"recovery {program}")
        stop = asyncio.Event()
        sending = asyncio.create_task(_send_steadily(workload, stop))
        await asyncio.sleep(LOAD_BEFORE_S)
        killed_at = time.monotonic()
        await world.signal(program, signal.SIGKILL)
        await eventually(lambda: _is_ready(world, program), BACK_TIMEOUT_S, what=f"{program} ready")
        ready_again_s = time.monotonic() - killed_at
        stop.set()
        await sending
    tally = workload.tally
    return Recovery(
        program=program,
        ready_again_s=ready_again_s,
        longest_alert_s=tally.longest_outage_s,
        lost=len(tally.given_up) + tally.unanswered + len(tally.refused),
    )


async def _send_steadily(workload: Workload, stop: asyncio.Event) -> None:
    """Send alerts until `stop`: they come too late to trade, and are taken in like any other."""
    number = 0
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            number += 1
            alert = Alert(key=f"alert {number}", symbol="BTCUSDT", action="buy", is_old=True)
            group.create_task(workload.perform(alert))
            await asyncio.sleep(1 / ALERTS_PER_S)


async def _is_ready(world: World, program: str) -> bool:
    found = await asyncio.to_thread(world.stack.status)
    return any(each.name == program and each.ready for each in found)


async def measure_all(replicas: int) -> list[Recovery]:
    """Kill every own program once, one after the other."""
    async with chaos_world(replicas) as world:
        programs = [f"{service}-{index}" for service in SERVICES for index in range(replicas)]
        return [await measure(world, each) for each in (*programs, "market_feed", "paper_exchange", "nginx")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit 1 when an alert was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.recovery", description=__doc__)
    parser.add_argument("--replicas", type=int, default=2, help="instances of each service, 1 to 4")
    found = asyncio.run(measure_all(parser.parse_args(arguments).replicas))
    print(f"{'killed':16} {'ready again':>12} {'longest alert':>14} {'lost':>5}")
    for each in found:
        print(f"{each.program:16} {each.ready_again_s:10.1f} s {each.longest_alert_s:12.1f} s {each.lost:5}")
    return 1 if any(each.lost for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
