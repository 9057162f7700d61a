"""One reversal is two alerts. However they arrive, the new position stands in the end (P8, P9).

RISK's and EXECUTE's flows run together on their twins; what lies between them takes as long as the seed says.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.execute.order_state import EntryState
from services.execute.venue import BestPrices
from services.risk.correlation import Correlations
from services.risk.flow import RiskFlow
from services.risk.profiles import PROFILES, OnOpposite, Profile
from services.risk.proposal import Market
from shared.clock import ManualClock
from shared.models import (
    CloseRequested,
    Envelope,
    OrderEnded,
    PositionClosed,
    PositionOpened,
    TradeApproved,
    TradeRejected,
)
from shared.signal_order import made_at
from shared.values import Action, CloseReason, Signal
from tests.twins.book import MemoryBook
from tests.twins.execution import Process, World
from tests.unit.execute.builders import BTC, NOON, sent
from tests.unit.risk.builders import account, analysed, seconds, signal, tick

HOP_S_MAX = 0.04
SETTLED_S = 6.0
SEEDS = range(12)
IDLE_TURNS = 400


class Outbox:
    """Messages that their world picks up."""

    def __init__(self, take: Callable[[Envelope], None]) -> None:
        self._take = take

    async def stage(self, connection: Any, envelopes: Any) -> None:
        """They are as good as committed."""

    async def publish(self, envelopes: Any) -> None:
        for each in envelopes:
            self._take(each)


class Simulation:
    """Both services, one clock, and a network with moods."""

    def __init__(self, policy: OnOpposite, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.world.market.prices[BTC] = BestPrices(bid=Decimal("49999.9"), ask=Decimal("50000.1"))
        self.clock: ManualClock = self.world.clock
        self.process: Process = self.world.process()
        self.rejected: dict[str, TradeRejected] = {}
        self.sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.passed_on = 0
        limits = msgspec.structs.replace(
            PROFILES[Profile.MISSION],
            on_opposite=policy,
            market_data_age_max_s=Decimal(600),
            account_data_age_max_s=Decimal(600),
        )
        book = MemoryBook(self.clock)
        book.account = account(snapshot_taken_at=NOON, day=NOON.date())
        sent_by_risk = Outbox(self._from_risk)
        self.risk = RiskFlow(book, self, sent_by_risk, limits, self.clock, sleep=self.sleep)

    async def view(self, symbol: str, beside: Any, now: datetime) -> Market:
        known = await self.world.market.instrument(symbol)
        return Market(instrument=known, tick=tick(symbol, received_at=now), correlations=Correlations())

    async def sleep(self, duration_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.clock() + seconds(duration_s), len(self.sleepers), future))
        await future

    def after(self, delay_s: float, work: Callable[[], Awaitable[None]]) -> None:
        async def later() -> None:
            await self.sleep(delay_s)
            await work()

        self.tasks.append(asyncio.create_task(later()))

    def alert(self, name: str, action: Action, *, stamp: datetime | None, strategy: str = "trend") -> None:
        """Let BRAIN take an alert in now and answer it in a moment."""
        received = signal(
            name, BTC, action=action, received_at=self.clock(), alert_time=stamp, strategy=strategy
        )
        self.after(self._hop(), lambda: self._brain(received))

    async def run(self, duration_s: float) -> None:
        """Let time pass."""
        end = self.clock() + seconds(duration_s)
        while self.clock() < end:
            for _ in range(IDLE_TURNS):
                await asyncio.sleep(0)
            self._pass_on_facts()
            due = min(self.sleepers, default=None, key=lambda each: each[:2])
            if due is None or due[0] > end:
                self.clock.advance(max(0.0, (end - self.clock()).total_seconds()))
                break
            self.clock.advance(max(0.0, (due[0] - self.clock()).total_seconds()))
            self.sleepers.remove(due)
            due[2].set_result(None)

    async def _brain(self, received: Signal) -> None:
        if received.action is not Action.EXIT:
            proposed = analysed(received)
            envelope = msgspec.structs.replace(sent(proposed), event_id=f"proposed {received.signal_id}")
            self.after(self._hop(), lambda: self.risk.on_analysis(envelope, proposed))
            return
        request = CloseRequested(
            signal_id=received.signal_id,
            symbol=BTC,
            requested_at=received.received_at,
            made_at=made_at(received),
            reason=CloseReason.EXIT_SIGNAL,
            requested_by=received.strategy,
        )
        self._closing(sent(request), request)

    def _closing(self, envelope: Envelope, request: CloseRequested) -> None:
        self.after(self._hop(), lambda: self.process.flow.on_control(envelope))
        self.after(self._hop(), lambda: self.risk.on_exit(request))

    def _from_risk(self, envelope: Envelope) -> None:
        match envelope.payload:
            case TradeApproved():
                self.after(self._hop(), lambda: self.process.flow.on_execution(envelope))
            case CloseRequested() as request:
                self._closing(envelope, request)
            case TradeRejected() as rejected:
                self.rejected[rejected.signal_id] = rejected

    def _pass_on_facts(self) -> None:
        published = self.world.outbox.published
        fresh, self.passed_on = published[self.passed_on :], len(published)
        for envelope in fresh:
            match envelope.payload:
                case PositionOpened() as opened:
                    self._fact(self.risk.on_position_opened, envelope, opened)
                case PositionClosed() as closed:
                    self._fact(self.risk.on_position_closed, envelope, closed)
                case OrderEnded() as ended:
                    self._fact(self.risk.on_order_ended, envelope, ended)

    def _fact(self, take: Callable[..., Awaitable[None]], envelope: Envelope, fact: Any) -> None:
        self.after(self._hop(), lambda: take(envelope, fact))

    def _hop(self) -> float:
        return self.random.uniform(0, HOP_S_MAX)


async def with_a_long(policy: OnOpposite, seed: int) -> Simulation:
    simulation = Simulation(policy, seed)
    simulation.alert("old", Action.LONG, stamp=NOON)
    await simulation.run(SETTLED_S)
    assert simulation.world.held() > 0
    return simulation


async def reversed_by(
    simulation: Simulation, first: Action, gap_s: float, stamps: tuple[datetime | None, datetime | None]
) -> None:
    """Send exit and short, `first` of them first; `stamps` are the exit's and the short's."""
    names = {Action.EXIT: ("leave", stamps[0]), Action.SHORT: ("new", stamps[1])}
    second = Action.SHORT if first is Action.EXIT else Action.EXIT
    for action in (first, second):
        name, stamp = names[action]
        simulation.alert(name, action, stamp=stamp)
        await simulation.run(gap_s if action is first else SETTLED_S)
    for task in simulation.tasks:
        if task.done():
            task.result()


def stands(simulation: Simulation) -> tuple[int, EntryState | None]:
    entry = simulation.world.store.entries.get("new")
    held = simulation.world.held()
    return (held > 0) - (held < 0), None if entry is None else entry.state


@pytest.mark.parametrize("policy", list(OnOpposite))
@pytest.mark.parametrize("first", [Action.EXIT, Action.SHORT])
async def test_a_reversal_of_one_second_ends_in_the_new_position(policy: OnOpposite, first: Action) -> None:
    for seed in SEEDS:
        simulation = await with_a_long(policy, seed)
        gap_s = (0.0, 0.3, 2.0)[seed] if seed < 3 else simulation.random.uniform(0, 2)
        stamp = simulation.clock().replace(microsecond=0)
        await reversed_by(simulation, first, gap_s, (stamp, stamp))
        assert stands(simulation) == (-1, EntryState.PROTECTED), (seed, gap_s, simulation.rejected)
        assert simulation.world.is_protected("new")


@pytest.mark.parametrize("policy", list(OnOpposite))
async def test_without_stamps_the_receipts_decide(policy: OnOpposite) -> None:
    for seed in SEEDS:
        simulation = await with_a_long(policy, seed)
        await reversed_by(simulation, Action.EXIT, simulation.random.uniform(0, 0.5), (None, None))
        assert stands(simulation) == (-1, EntryState.PROTECTED), (seed, simulation.rejected)


@pytest.mark.parametrize("policy", list(OnOpposite))
@pytest.mark.parametrize("first", [Action.EXIT, Action.SHORT])
async def test_an_exit_with_a_later_stamp_ends_flat(policy: OnOpposite, first: Action) -> None:
    """P8, P9: whatever arrives first, the chart has left after it entered."""
    for seed in SEEDS:
        simulation = await with_a_long(policy, seed)
        stamp = simulation.clock().replace(microsecond=0)
        gap_s = simulation.random.uniform(0, 2)
        await reversed_by(simulation, first, gap_s, (stamp, stamp - timedelta(seconds=1)))
        assert stands(simulation)[0] == 0, (seed, gap_s)


@pytest.mark.parametrize(
    ("policy", "side"), [(OnOpposite.CLOSE, 0), (OnOpposite.REVERSE, -1), (OnOpposite.IGNORE, 1)]
)
async def test_a_signal_without_an_exit_does_what_the_setting_says(policy: OnOpposite, side: int) -> None:
    simulation = await with_a_long(policy, 1)
    simulation.alert("new", Action.SHORT, stamp=simulation.clock())
    await simulation.run(SETTLED_S)
    assert stands(simulation)[0] == side


async def test_closing_does_not_wait_for_the_exit_that_may_come() -> None:
    simulation = await with_a_long(OnOpposite.CLOSE, 1)
    simulation.alert("new", Action.SHORT, stamp=simulation.clock())
    await simulation.run(0.5)
    assert simulation.world.held() == 0


async def test_another_strategys_exit_is_no_half_of_a_reversal() -> None:
    """Decision 7: an exit closes what was signalled before it was received, whoever asks."""
    simulation = await with_a_long(OnOpposite.REVERSE, 1)
    stamp = simulation.clock().replace(microsecond=0)
    simulation.alert("new", Action.SHORT, stamp=stamp)
    await simulation.run(0.3)
    simulation.alert("leave", Action.EXIT, stamp=stamp, strategy="another")
    await simulation.run(SETTLED_S)
    assert stands(simulation)[0] == 0
