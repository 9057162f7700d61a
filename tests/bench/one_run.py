"""One run: floors, webhook, entries, ramp; in this order, because each leaves more behind than the last."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import islice

from infrastructure.local.ports import Ports
from tests.bench import floors, loads, stories
from tests.bench.budgets import (
    SUSTAINED_P99_MS_MAX,
    WEBHOOK_DIRECT,
    WEBHOOK_NGINX,
    entry_name,
    protection_name,
)
from tests.bench.loads import WEBHOOK_PATH
from tests.bench.machine import Meter, Processes, Usage, by_family, cpu_per_item_ms
from tests.bench.open_load import Answer
from tests.bench.plan import Plan
from tests.bench.private_system import PrivateSystem, symbol
from tests.bench.results import RampStep, Run
from tests.bench.samples import Summary, summary

OUTCOME_TIMEOUT_S = 60.0
RAMP_OUTCOME_TIMEOUT_S = 180.0
IDLE_S = 3.0
BARE_FASTAPI = "bare FastAPI POST"
FIRST_TRADE = "first trade on a symbol → entry accepted"
FIRST_TRADE_RATE = 5


class OneRun:
    """Collects what one run measures."""

    def __init__(self, system: PrivateSystem, processes: Processes, plan: Plan, number: int) -> None:
        self._system = system
        self._processes = processes
        self._plan = plan
        self._number = number
        self._ports = Ports(system.stack.ports.base)
        self._latencies: dict[str, Summary] = {}
        self._hops: dict[str, Summary] = {}
        self._floors: dict[str, Summary] = {}
        self._ramp: list[RampStep] = []
        self._cpu_ms: dict[str, dict[str, float]] = {}
        self._others: dict[str, float] = {}
        self._late_ms: list[float] = []
        self._idle = Usage(elapsed_s=1.0, by_program_s={}, machine_s=0.0)

    async def run(self) -> Run:
        """Measure everything once."""
        await self._system.await_empty_queues()
        await self._measure_idle()
        await self._measure_floors()
        await self._entries("warm-up", 5, self._prepared(self._plan.warm_up_entries))
        await self._webhook(WEBHOOK_DIRECT, self._ports.instance("brain", 0))
        await self._webhook(WEBHOOK_NGINX, self._ports.of("nginx"))
        for rate in self._plan.entry_rates:
            names = self._prepared(round(rate * self._plan.entry_s))
            await self._entries(f"entries, {rate}/s", rate, names)
        await self._entries("first trades", FIRST_TRADE_RATE, self._fresh())
        for rate in self._plan.ramp_rates:
            step = await self._ramp_step(rate)
            self._ramp.append(step)
            if not step.holds(SUSTAINED_P99_MS_MAX):
                break  # higher rates would only pile up more to clear away
        await self._system.await_empty_queues()
        return Run(
            latencies=self._latencies,
            hops=self._hops,
            floors=self._floors,
            ramp=self._ramp,
            cpu_ms=self._cpu_ms,
            others_share=self._others,
            late_p99_ms=summary(self._late_ms).p99_ms,
        )

    async def _measure_idle(self) -> None:
        meter = Meter(self._processes)
        await asyncio.sleep(IDLE_S)
        self._idle = meter.read()
        self._others["idle"] = round(self._idle.others_share, 3)

    async def _measure_floors(self) -> None:
        self._floors = await floors.measure(self._system, self._plan.floor_calls)
        async with floors.bare_fastapi() as port:
            bodies = loads.stale_alerts(self._system, self._webhook_count)
            await loads.send(port, "/", self._plan.webhook_rate, bodies[: floors.WARM_UP_CALLS])
            answers = await loads.send(port, "/", self._plan.webhook_rate, bodies)
        self._floors[BARE_FASTAPI] = loads.latency(answers)

    @property
    def _webhook_count(self) -> int:
        return round(self._plan.webhook_rate * self._plan.webhook_s)

    async def _webhook(self, name: str, port: int) -> None:
        bodies = loads.stale_alerts(self._system, self._webhook_count)
        answers = await self._send(name, port, self._plan.webhook_rate, bodies)
        self._latencies[name] = loads.latency(answers)

    async def _entries(self, load: str, rate: int, names: Sequence[str]) -> None:
        """Send one entry per symbol, read the stories when all have ended, and close the positions."""
        bodies = loads.entry_alerts(self._system, names, rate)
        answers = await self._send(load, self._ports.of("nginx"), rate, bodies)
        told = await stories.read_moments(self._system.database, loads.due_us_by_signal(answers))
        failed = len(names) - len(told) + stories.unfinished(told)
        accepted = summary(stories.stretch_ms(stories.ENTRY, told), failed)
        protected = summary(stories.stretch_ms(stories.PROTECTION, told), failed)
        if load != "warm-up":
            self._keep_entries(load, rate, told, (accepted, protected))
        await self._system.close_positions()

    def _keep_entries(
        self, load: str, rate: int, told: list[stories.Moments], found: tuple[Summary, Summary]
    ) -> None:
        if load == "first trades":
            self._latencies[FIRST_TRADE] = found[0]
            return
        self._latencies[entry_name(rate)], self._latencies[protection_name(rate)] = found
        for hop in stories.HOPS:
            self._hops[f"{hop.name}, {rate}/s"] = summary(stories.stretch_ms(hop, told))

    async def _ramp_step(self, rate: int) -> RampStep:
        bodies = loads.stale_alerts(self._system, round(rate * self._plan.ramp_s))
        began = time.monotonic()
        answers = await self._send(f"ramp, {rate}/s", self._ports.instance("brain", 0), rate, bodies)
        ended_s = time.monotonic() - began
        found = loads.latency(answers)
        last_us = max(each.due_us + each.latency_us for each in answers)
        return RampStep(
            rate=rate,
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            max_ms=found.max_ms,
            failed=found.failed,
            answered_per_s=round(found.count / (last_us - answers[0].due_us) * 1e6, 1),
            ended_per_s=round(found.count / ended_s, 1),
        )

    async def _send(self, load: str, port: int, rate: int, bodies: Sequence[str]) -> list[Answer]:
        """Send a load, wait until every accepted signal has its outcome, and keep what it cost."""
        meter = Meter(self._processes)
        answers = await loads.send(port, WEBHOOK_PATH, rate, bodies)
        others = meter.read().others_share
        timeout_s = RAMP_OUTCOME_TIMEOUT_S if load.startswith("ramp") else OUTCOME_TIMEOUT_S
        await self._system.await_outcomes(list(loads.due_us_by_signal(answers)), timeout_s)
        usage = meter.read()
        self._cpu_ms[load] = by_family(cpu_per_item_ms(usage, self._idle, len(bodies)))
        self._others[load] = round(others, 3)
        self._late_ms += [each.late_us / 1_000 for each in answers]
        return answers

    def _prepared(self, number: int) -> list[str]:
        """Return symbols that have been set up."""
        assert number <= self._plan.symbols_prepared, "more entries than symbols"
        return [symbol(each) for each in range(number)]

    def _fresh(self) -> list[str]:
        """Return symbols that have never been traded."""
        first = self._plan.symbols_prepared + self._number * self._plan.first_trades
        return list(islice(_symbols_from(first), self._plan.first_trades))


def _symbols_from(first: int) -> Iterator[str]:
    number = first
    while True:
        yield symbol(number)
        number += 1
