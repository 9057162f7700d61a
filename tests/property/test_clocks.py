"""No clock of one machine decides on another's record: limits are exact whatever the clocks say (C2, P5)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from hypothesis import example, given
from hypothesis import strategies as st

from services.risk.flow import RiskFlow
from services.risk.position_manager import ReservationState
from shared.clock import ProcessClock
from shared.codec import envelop
from shared.models import AccountSnapshot, Message, PositionClosed, PositionOpened, TradeApproved
from shared.values import CloseReason, Position
from tests.twins.book import MemoryBook, QuietMarket, Sent
from tests.unit.risk.builders import NOW, D, analysed, limits, position, seconds, shown, signal

POSITIONS_MAX = 3
HOUR_S = 3_600

Step = tuple[str, int]
skews = st.integers(-HOUR_S, HOUR_S)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.sampled_from(["propose", "fill", "close", "snapshot", "fact"]), st.integers(0, 7)),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.sampled_from(["step EXECUTE", "step RISK 0", "step RISK 1"]), skews),
    st.tuples(st.just("snapshot of an older EXECUTE"), st.integers(2, HOUR_S)),
)


@dataclass
class Installation:
    """Two RISK, one EXECUTE, an exchange and a database, each with a clock of its own."""

    now: datetime = NOW
    skew: dict[str, timedelta] = field(default_factory=dict)
    held: dict[str, Position] = field(default_factory=dict)
    facts: list[tuple[Message, datetime]] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        self.book, self.sent = MemoryBook(lambda: self.now), Sent()
        risky = limits(positions_max=POSITIONS_MAX, entries_per_minute_max=0, entries_per_day_max=0)
        self.risks = [
            RiskFlow(self.book, QuietMarket(lambda: self.now), self.sent, risky, partial(self.clock, name))
            for name in ("RISK 0", "RISK 1")
        ]

    def clock(self, name: str) -> datetime:
        return self.now + self.skew.get(name, timedelta())

    def approved(self) -> list[TradeApproved]:
        return [each.payload for each in self.sent.envelopes if isinstance(each.payload, TradeApproved)]

    async def deliver(self, message: Message, at: datetime) -> None:
        self.count += 1
        envelope = envelop(
            message,
            correlation_id=f"message-{self.count}",
            causation_id=None,
            occurred_at=at,
            producer="execute",
        )
        risk = self.risks[self.count % 2]
        match message:
            case AccountSnapshot():
                await risk.on_snapshot(envelope, message)
            case PositionOpened():
                await risk.on_position_opened(envelope, message)
            case PositionClosed():
                await risk.on_position_closed(envelope, message)

    async def propose(self, number: int) -> None:
        self.count += 1
        made = analysed(signal(f"sig-{self.count}", f"S{self.count}USDT", received_at=self.now))
        envelope = envelop(
            made,
            correlation_id=made.signal.signal_id,
            causation_id=None,
            occurred_at=self.now,
            producer="brain",
        )
        await self.risks[number % 2].on_analysis(envelope, made)

    def fill(self) -> None:
        """EXECUTE claims on the database's clock what RISK approved and nothing has become of yet."""
        for each in self.approved():
            if each.signal_id not in self.held and each.valid_until > self.now:
                opened = position(each.signal_id, symbol=each.symbol, opened_at=self.now)
                self.held[each.signal_id] = opened
                fact = PositionOpened(signal_id=each.signal_id, position=opened)
                self.facts.append((fact, self.clock("EXECUTE")))
                self.sent.envelopes = [kept for kept in self.sent.envelopes if kept.payload is not each]
                return

    def close(self) -> None:
        if not self.held:
            return
        signal_id, gone = self.held.popitem()
        fact = PositionClosed(
            signal_id=signal_id,
            position=gone,
            reason=CloseReason.TAKE_PROFIT,
            closed_by=None,
            exit_price=D(2_040),
            pnl_usdt=D(1),
            fees_usdt=D(0),
            funding_usdt=D(0),
            closed_at=self.now,
        )
        self.facts.append((fact, self.clock("EXECUTE")))

    async def snapshot(self, taken_at: datetime | None = None) -> None:
        made = AccountSnapshot(
            taken_at=self.now if taken_at is None else taken_at,
            wallet_usdt=D(10_000),
            equity_usdt=D(10_000),
            available_usdt=D(10_000),
            positions=tuple(shown(key, symbol=each.symbol) for key, each in self.held.items()),
        )
        await self.deliver(made, self.clock("EXECUTE"))

    async def do(self, step: Step) -> None:
        what, number = step
        match what.split(maxsplit=1):
            case ["propose"]:
                await self.propose(number)
            case ["fill"]:
                self.fill()
            case ["close"]:
                self.close()
            case ["fact"] if self.facts:
                await self.deliver(*self.facts.pop(0))
            case ["snapshot"]:
                await self.snapshot()
            case ["snapshot", _]:
                await self.snapshot(self.now + seconds(number))
            case ["step", name]:
                self.skew[name] = seconds(number)
            case ["wait"]:
                self.now += seconds(number)

    def taken(self) -> int:
        """What is held, or may still be: that is what the limit is about."""
        return len(self.held) + sum(each.valid_until > self.now for each in self.approved())


@given(st.lists(steps, max_size=40), st.sampled_from([NOW, NOW + timedelta(hours=11, minutes=59)]))
@example(  # as it was found: a clock ahead for a moment, and every reservation was released at once
    [("snapshot of an older EXECUTE", 60), *[("propose", 0), ("snapshot", 0)] * 6], NOW
)
def test_limits_hold_whatever_the_clocks_of_the_processes_say(drawn: Sequence[Step], start: datetime) -> None:
    async def run() -> None:
        made = Installation(now=start)
        await made.snapshot()
        for step in drawn:
            await made.do(step)
            assert made.taken() <= POSITIONS_MAX

    asyncio.run(run())


@given(st.lists(steps, max_size=25))
def test_after_the_clocks_have_stepped_a_free_slot_can_be_used(drawn: Sequence[Step]) -> None:
    async def run() -> None:
        made = Installation()
        for step in drawn:
            await made.do(step)
        made.held.clear()
        made.facts.clear()
        made.now += seconds(45)  # what was approved is void, and known to be
        made.sent.envelopes.clear()
        await made.snapshot()
        await made.propose(0)
        assert len(made.approved()) == 1

    asyncio.run(run())


@given(st.sampled_from([-HOUR_S, -40, 40, HOUR_S]), st.integers(0, 3))
def test_a_database_clock_that_is_set_voids_no_limit_and_heals_with_the_next_snapshot(
    jump_s: int, filled: int
) -> None:
    async def run() -> None:
        made = Installation()
        await made.snapshot()
        for _ in range(POSITIONS_MAX):
            await made.propose(0)
        for _ in range(filled):
            made.fill()
            await made.deliver(*made.facts.pop(0))
        await made.snapshot()
        made.now += seconds(jump_s)
        await made.snapshot()
        await made.propose(1)
        assert made.taken() <= POSITIONS_MAX
        made.held.clear()
        made.now += seconds(50)
        await made.snapshot()
        made.now += seconds(1)
        await made.snapshot()
        live = [each for each in made.book.reservations.values() if each.state is ReservationState.OPEN]
        assert live == []

    asyncio.run(run())


@given(st.lists(st.integers(-HOUR_S, HOUR_S), min_size=1, max_size=20))
def test_one_snapshot_ahead_over_midnight_begins_no_day(jumps: Sequence[int]) -> None:
    async def run() -> None:
        made = Installation(now=datetime(2026, 3, 2, 23, 59, 30, tzinfo=NOW.tzinfo))
        await made.snapshot()
        first = made.book.account.day_start_equity_usdt
        for jump in jumps:
            await made.snapshot(made.now + seconds(jump))
        assert (made.book.account.day, made.book.account.day_start_equity_usdt) == (made.now.date(), first)

    asyncio.run(run())


class Machine:
    """A machine whose clock anybody sets; its counter only goes on."""

    def __init__(self, skew_s: int) -> None:
        self.elapsed, self.skew = timedelta(), seconds(skew_s)
        self.process = ProcessClock(self.wall, lambda: timedelta(days=3) + self.elapsed)

    def wall(self) -> datetime:
        return NOW + self.elapsed + self.skew

    def ask(self, trip_ms: int) -> None:
        asked = self.process.count()
        told = NOW + self.elapsed + timedelta(milliseconds=trip_ms) / 3
        self.elapsed += timedelta(milliseconds=trip_ms)
        self.process.agree(asked, told, self.process.count())


@given(skews, st.lists(st.tuples(skews, st.integers(0, 400), st.integers(0, 60)), min_size=1, max_size=20))
def test_a_process_keeps_the_databases_time_whatever_its_machines_clock_does(
    skew_s: int, drawn: Sequence[tuple[int, int, int]]
) -> None:
    machine = Machine(skew_s)
    machine.ask(1)
    for step_s, trip_ms, wait_s in drawn:
        machine.skew = seconds(step_s)
        machine.elapsed += seconds(wait_s)
        off = abs(machine.process.now() - (NOW + machine.elapsed))
        assert off <= timedelta(milliseconds=200)
        machine.ask(trip_ms)


def test_machines_that_agree_with_the_database_are_not_moved_by_how_long_it_takes_to_ask() -> None:
    machine = Machine(0)
    for trip_ms in (400, 3, 80):
        machine.ask(trip_ms)
        assert machine.process.now() == machine.wall()
