"""Two instances of everything behind nginx, ten alerts a second, and one who kills, rolls and reconfigures.

The load is an open model: an alert leaves when it is due, on a connection of its own, and is sent again 5 s
after a 5xx, as TradingView does. In the end every promise is judged from the ledger and the database.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count, cycle

import httpx
import pytest

from infrastructure.drill.promises import judge
from infrastructure.drill.reading import read_truth
from infrastructure.drill.truth import Truth
from infrastructure.local.ports import SERVICES
from infrastructure.local.settings_file import read_env_file
from tests.chaos.plan import SYMBOLS, Alert
from tests.chaos.workload import Tally, Workload
from tests.chaos.world import SETTINGS, World
from tests.eventually import eventually
from tests.servers import throwaway_stack

pytestmark = pytest.mark.timeout(420)

REPLICAS = 2
ALERTS_PER_S = 10
LOAD_AROUND_S = 2.0
READY_TIMEOUT_S = 60.0
REST_TIMEOUT_S = 90.0
REST_POLL_S = 1.0
HTTP_TIMEOUT_S = 10.0
UNPROTECTED_MAX = timedelta(seconds=10)
RATE = {"PHOENIX_RATE_LIMIT_PER_MINUTE": "100000"}
"""All alerts come from one address here, ten times as many as a trader's."""
TRADES_EVERY = 4
"""One in four alerts trades, the others come too late: they are taken in like any other."""

runs = count(1)


@dataclass(frozen=True)
class Outcome:
    """What the senders were told, and what became of it."""

    tally: Tally
    truth: Truth

    def lost(self) -> dict[str, object]:
        """Return everything that TradingView would not send again, and so would be missing."""
        tally = self.tally
        counted = {
            "unanswered": tally.unanswered,
            "refused": tally.refused,
            "given up": tally.given_up,
            "accepted, not recorded": tally.accepted - {each.signal_id for each in self.truth.signals},
        }
        return {name: what for name, what in counted.items() if what}

    def breaches(self) -> list[str]:
        """Return every breach of a promise: among them two outcomes, or two entries, of one signal."""
        return [
            f"{verdict.promise.number} {verdict.promise.title}: {breach}"
            for verdict in judge(self.truth, UNPROTECTED_MAX)
            for breach in verdict.breaches
        ]


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Start a system of two instances each, with nothing between it and its servers."""
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_S) as http:
        with throwaway_stack() as stack:
            await asyncio.to_thread(stack.start, replicas=REPLICAS, overrides={**SETTINGS, **RATE})
            yield World(stack, stack.settings(), {}, tmp_path_factory.mktemp("points"), REPLICAS, http)


def alerts(run: int) -> Iterator[Alert]:
    """Give alerts without end: entries of both sides, exits, and in between those that come too late."""
    acts = cycle([(symbol, action) for symbol in SYMBOLS for action in ("buy", "sell", "exit")])
    for number in count():
        symbol, action = next(acts) if number % TRADES_EVERY == 0 else ("BTCUSDT", "buy")
        key = f"run {run} alert {number}"
        yield Alert(key=key, symbol=symbol, action=action, is_old=bool(number % TRADES_EVERY))


async def while_alerts_come(world: World, disturb: Callable[[], Awaitable[None]]) -> Outcome:
    """Send alerts before, during and after `disturb`, and return what became of all of them."""
    run = next(runs)
    over = asyncio.Event()
    fresh_connections = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=fresh_connections) as http:
        workload = Workload(http, world.addresses, f"front door {run}")

        async def send() -> None:
            async with asyncio.TaskGroup() as group:
                for alert in alerts(run):
                    if over.is_set():
                        return
                    group.create_task(workload.perform(alert))
                    await asyncio.sleep(1 / ALERTS_PER_S)

        sending = asyncio.create_task(send())
        await asyncio.sleep(LOAD_AROUND_S)
        await disturb()
        await asyncio.sleep(LOAD_AROUND_S)
        over.set()
        await sending
    assert workload.tally.sent > ALERTS_PER_S * LOAD_AROUND_S
    return Outcome(workload.tally, await at_rest(world, workload.tally))


async def at_rest(world: World, tally: Tally) -> Truth:
    """Wait until nobody waits for anything; what is still open after that, the verdicts say."""

    deadline = time.monotonic() + REST_TIMEOUT_S
    while True:
        truth = await read_truth(world.sources, tally.accepted)
        settled = not any(verdict.breaches for verdict in judge(truth, UNPROTECTED_MAX))
        if settled or time.monotonic() > deadline:
            return truth
        await asyncio.sleep(REST_POLL_S)


async def ready_again(world: World, program: str) -> None:
    """Wait until a program is ready."""

    async def is_ready() -> bool:
        found = await asyncio.to_thread(world.stack.status)
        return any(each.name == program and each.ready for each in found)

    await eventually(is_ready, READY_TIMEOUT_S, what=f"{program} ready")


def started(world: World) -> dict[str, int | None]:
    """Return the process of every instance."""
    return {
        each.name: each.pid for each in world.stack.status() if each.name.rstrip("-0123456789") in SERVICES
    }


async def test_one_instance_of_each_service_killed_loses_no_alert(world: World) -> None:
    async def kill_one_after_the_other() -> None:
        for service in reversed(SERVICES):
            assert await world.signal(f"{service}-0", signal.SIGKILL)
            await ready_again(world, f"{service}-0")

    outcome = await while_alerts_come(world, kill_one_after_the_other)
    assert not outcome.lost()
    assert not outcome.breaches()


async def test_every_instance_rolled_loses_no_alert(world: World) -> None:
    before = await asyncio.to_thread(started, world)

    outcome = await while_alerts_come(world, lambda: asyncio.to_thread(world.stack.roll))

    after = await asyncio.to_thread(started, world)
    assert len(after) == REPLICAS * len(SERVICES)
    assert not set(before.values()) & set(after.values()), "each one is a new process"
    assert not outcome.lost()
    assert not outcome.breaches()


async def test_start_again_with_other_nginx_settings_restarts_no_service_and_loses_no_alert(
    world: World,
) -> None:
    before = await asyncio.to_thread(started, world)

    async def change_who_may_send() -> None:
        for networks in ("loopback", "tradingview,loopback", "any"):
            settings = read_env_file(world.stack.layout.overrides_file)
            settings["PHOENIX_WEBHOOK_ALLOWED_NETWORKS"] = networks
            await asyncio.to_thread(world.stack.start, overrides=settings)

    outcome = await while_alerts_come(world, change_who_may_send)
    assert await asyncio.to_thread(started, world) == before
    assert not outcome.lost()
    assert not outcome.breaches()


async def test_a_roll_that_was_killed_half_way_is_completed_by_the_next(world: World) -> None:
    """Killed with the instance in its hands stopped and out of nginx, it leaves one that answers."""
    before = await asyncio.to_thread(started, world)

    async def kill_a_roll_and_roll_again() -> None:
        await asyncio.to_thread(world.stack.stop_program, "brain-0")
        await asyncio.to_thread(world.stack.roll, ["brain"])

    outcome = await while_alerts_come(world, kill_a_roll_and_roll_again)
    after = await asyncio.to_thread(started, world)
    assert {name for name in after if after[name] != before[name]} == {"brain-0", "brain-1"}
    assert not outcome.lost()
    assert not outcome.breaches()
