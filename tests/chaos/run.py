"""One run: a plan is carried out against a system, the system comes to rest, and the promises are judged.

It must never help the system: after the last step it only takes the disturbances back and waits.
"""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from infrastructure.drill.promises import Verdict, judge
from infrastructure.drill.reading import read_truth
from infrastructure.drill.truth import Truth
from shared import crash_points
from shared.supervision import Failed, attempt
from tests.chaos.faults import TROUBLES, Injected
from tests.chaos.plan import Fault, Step
from tests.chaos.workload import Tally, Workload
from tests.chaos.world import World
from tests.eventually import eventually

REST_TIMEOUT_S = 150.0
REST_POLL_S = 1.0
AT_REST_LOOKS = 3
"""Nothing may change for this many looks in a row: what is on its way has arrived."""
WATCH_INTERVAL_S = 0.5
FROZEN_AT_A_POINT_S = 15.0
UNPROTECTED_MAX = timedelta(seconds=45)
"""P4's budget of 10 s, plus the longest that faults, one on another, keep the exchange or EXECUTE away."""


@dataclass
class Report:
    """What one run came to."""

    tally: Tally
    injected: Injected
    failed_injections: list[str] = field(default_factory=list)
    points_met: set[str] = field(default_factory=set)
    positions_seen_max: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    truth: Truth | None = None
    rest_s: float = 0.0
    duration_s: float = 0.0

    @property
    def breaches(self) -> list[str]:
        """Every breach of every promise, in words."""
        return [
            f"{verdict.promise.number} {verdict.promise.title}: {breach}"
            for verdict in self.verdicts
            for breach in verdict.breaches
        ]

    @property
    def points_missed(self) -> set[str]:
        """Crash points that were armed by nobody or passed by nobody."""
        return set(crash_points.POINTS) - self.points_met


class Run:
    """Carries out one plan."""

    def __init__(self, world: World, plan: Sequence[Step], name: str) -> None:
        self._world = world
        self._plan = plan
        self._http = httpx.AsyncClient(timeout=10.0, limits=httpx.Limits(max_connections=200))
        self._workload = Workload(self._http, world.addresses, name)
        self._report = Report(self._workload.tally, Injected())

    async def carry_out(self) -> Report:
        """Perform every step at its time, come to rest, judge, close everything, judge again."""
        began = time.monotonic()
        async with self._http:
            watching = [
                asyncio.create_task(self._watch_points()),
                asyncio.create_task(self._watch_positions()),
            ]
            try:
                await self._perform_all()
                await self._world.heal()
                self._report.rest_s = await self._come_to_rest()
                await self._judge()
                await self._close_all()
                await self._come_to_rest()
                await self._judge()
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)
        self._report.duration_s = time.monotonic() - began
        return self._report

    async def _perform_all(self) -> None:
        began = time.monotonic()

        async def perform(step: Step) -> None:
            await asyncio.sleep(max(0.0, began + step.at_s - time.monotonic()))
            if isinstance(step.act, Fault):
                await self._inject(step.act)
            else:
                await self._workload.perform(step.act)

        async with asyncio.TaskGroup() as group:
            for step in self._plan:
                group.create_task(perform(step))

    async def _inject(self, fault: Fault) -> None:
        match await attempt(TROUBLES[fault.kind].inject(self._world, fault)):
            case Failed(error):
                self._report.failed_injections.append(f"{fault.kind}: {error!r}")
            case _:
                self._report.injected.note(fault.kind)

    async def _watch_points(self) -> None:
        """Note which crash points were met; let a process that was frozen at one go on after a while."""
        thaw_at: dict[int, float] = {}
        seen: set[str] = set()
        while True:
            for met in self._world.crash_points.glob("*.met.*"):
                if met.name in seen:
                    continue
                seen.add(met.name)
                point, _, pid = met.name.rpartition(".met.")
                self._report.points_met.add(point)
                if met.read_text().strip() == "STOP":
                    thaw_at[int(pid)] = time.monotonic() + FROZEN_AT_A_POINT_S
            for frozen in [frozen for frozen, at in thaw_at.items() if time.monotonic() >= at]:
                del thaw_at[frozen]
                with suppress(ProcessLookupError):
                    os.kill(frozen, signal.SIGCONT)
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _watch_positions(self) -> None:
        """P5 while it happens: never more positions on the exchange than the limit allows."""
        while True:
            with suppress(httpx.HTTPError, AssertionError):
                held = (await self._world.admin("GET", "state"))["positions"]
                count = sum(1 for each in held if float(each["positionAmt"]))
                self._report.positions_seen_max = max(self._report.positions_seen_max, count)
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _come_to_rest(self) -> float:
        """Wait until nothing changes any more and nobody waits for anything; return how long that took."""
        began = time.monotonic()
        looks: list[object] = []
        while time.monotonic() - began < REST_TIMEOUT_S:
            truth = await attempt(read_truth(self._world.sources, self._workload.tally.accepted))
            if isinstance(truth, Failed):  # a server is still starting
                looks.clear()
            else:
                looks.append(truth.value if _is_settled(truth.value) else object())
                if len(looks) >= AT_REST_LOOKS and all(each == looks[-1] for each in looks[-AT_REST_LOOKS:]):
                    return time.monotonic() - began
            await asyncio.sleep(REST_POLL_S)
        return time.monotonic() - began  # the verdicts say what is still open

    async def _judge(self) -> None:
        truth = await read_truth(self._world.sources, self._workload.tally.accepted)
        self._report.truth = truth
        self._report.verdicts += judge(truth, UNPROTECTED_MAX)

    async def _close_all(self) -> None:
        url, key = self._world.addresses.execute + "/close", self._world.addresses.api_key
        answer = await self._http.post(url, json={"symbol": None}, headers={"X-API-Key": key})
        answer.raise_for_status()

        async def is_flat() -> bool:
            return not (await read_truth(self._world.sources, self._workload.tally.accepted)).positions

        with suppress(AssertionError):  # the verdicts say what is still open
            await eventually(is_flat, REST_TIMEOUT_S)


def _is_settled(truth: Truth) -> bool:
    """Whether nobody waits for anything: an outcome, a fill, a fact."""
    working = {"intent", "sending", "filled", "closing"}
    return (
        not any(signal.outcome is None for signal in truth.signals)
        and not any(entry.state in working for entry in truth.entries)
        and not truth.messages_owed
        and not any(verdict.breaches for verdict in judge(truth, UNPROTECTED_MAX))
    )
