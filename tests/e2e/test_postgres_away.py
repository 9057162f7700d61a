"""PostgreSQL goes away under load and returns: nothing is dead-lettered, everything ends, nobody restarts."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.dead_letters import DeadLetters
from tests.e2e.conftest import BUSY, MANY
from tests.e2e.phoenix import Phoenix, telegram_settings, using
from tests.eventually import eventually
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import RunningSystem, throwaway_stack

AWAY_S = float(os.environ.get("POSTGRES_AWAY_S", "15"))
"""A minute is worth a look now and then; the suite takes less."""
ALERTS_PER_S = 5
LEAD_S = 5.0
SETTLED_S = 60.0
"""Bound for everything that was accepted to have its outcome, counted from the database's return."""
WEBHOOK_S_MAX = 1.0
COINS = ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "DOT", "LINK", "AVAX")
ENTRY_ENDS = {"rejected", "expired", "failed", "opened", "no_op"}
EXIT_ENDS = {"closed", "no_op", "failed"}
SERVICES = ("brain-0", "risk-0", "execute-0", "notify-0")

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


@dataclass
class Load:
    """A steady stream of alerts that does not wait for answers, and what came of it."""

    phoenix: Phoenix
    accepted: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, entries twice as often as exits."""
        sending: set[asyncio.Task[None]] = set()
        for symbol, action in self._plan():
            if stop.is_set():
                break
            task = asyncio.create_task(self._send(symbol, action))
            sending.add(task)
            await asyncio.sleep(1 / ALERTS_PER_S)
        await asyncio.gather(*sending)

    @staticmethod
    def _plan() -> Iterator[tuple[str, str]]:
        symbols = (f"{coin}USDT" for coin in cycle(COINS))
        return zip(symbols, cycle(("buy", "sell", "close")), strict=False)

    async def _send(self, symbol: str, action: str) -> None:
        body = {
            "secret": self.phoenix.system.webhook_secret,
            "symbol": symbol,
            "action": action,
            "strategy": "e2e",
            "confidence": 0.95,
            "alert_id": uuid4().hex,
        }
        clock = asyncio.get_running_loop().time
        started = clock()
        answer = await self.phoenix.http.post(
            f"{self.phoenix.system.public_url}/webhook/tradingview", json=body
        )
        self.slowest_s = max(self.slowest_s, clock() - started)
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.accepted[str(answer.json()["signal_id"])] = action


@pytest.fixture(scope="module")
async def own_phoenix() -> AsyncIterator[Phoenix]:
    """A whole system of its own: what happens to it must not happen to other tests."""
    async with TelegramStandIn() as telegram:
        with throwaway_stack() as stack:
            await asyncio.to_thread(stack.start, overrides=telegram_settings(telegram) | BUSY)
            async with using(RunningSystem(stack), telegram) as phoenix:
                await phoenix.update_risk(
                    limits={
                        "entries_per_minute_max": MANY,
                        "entries_per_day_max": MANY,
                        "on_opposite": "close",
                    }
                )
                yield phoenix


async def test_nothing_is_lost_or_dead_lettered_while_the_database_is_away(own_phoenix: Phoenix) -> None:
    phoenix, system = own_phoenix, own_phoenix.system
    before = _pids(phoenix)
    load, stop = Load(phoenix), asyncio.Event()
    sending = asyncio.create_task(load.run(stop))
    await eventually(lambda: len(load.accepted) >= ALERTS_PER_S * LEAD_S, 3 * LEAD_S)

    await asyncio.to_thread(system.stop, "postgres")
    accepted_before = len(load.accepted)
    for service in ("brain", "risk", "execute"):
        await eventually(lambda service=service: _tells_database_away(phoenix, service), what=service)
    await eventually(lambda: len(load.accepted) >= accepted_before + ALERTS_PER_S * AWAY_S, 2 * AWAY_S)
    await asyncio.to_thread(system.start, "postgres")

    clock = asyncio.get_running_loop().time
    returned = clock()
    await eventually(lambda: clock() > returned + LEAD_S, 2 * LEAD_S)
    stop.set()
    await sending
    await eventually(lambda: _all_ended(phoenix, load), SETTLED_S, what="an outcome of every signal")
    print(f"settled {clock() - returned:.1f} s after the return; {len(load.accepted)} accepted", end="; ")
    print(f"slowest webhook {load.slowest_s:.3f} s; {await _ends(phoenix)}")

    assert set(load.statuses) == {200}, load.statuses
    assert load.slowest_s < WEBHOOK_S_MAX
    outcomes = await phoenix.rows("brain", "SELECT signal_id, outcome, reason FROM brain.outcomes")
    ended = {row["signal_id"]: row["outcome"] for row in outcomes}
    for signal_id, action in load.accepted.items():
        assert ended[signal_id] in (EXIT_ENDS if action == "close" else ENTRY_ENDS)
    assert "parked" not in {row["reason"] for row in outcomes}
    async with DeadLetters(system.amqp_url, "test") as dead:
        assert {each.queue.name: each.kinds for each in await dead.overview() if each.depth} == {}
    assert _pids(phoenix) == before, "nobody restarted"
    await eventually(lambda: _all_ready(phoenix), what="everybody is ready again")
    await phoenix.come_to_rest()


def _pids(phoenix: Phoenix) -> dict[str, int | None]:
    return {each.name: each.pid for each in phoenix.system.stack.status() if each.name in SERVICES}


async def _readiness(phoenix: Phoenix, service: Any) -> httpx.Response:
    port = phoenix.system.stack.ports.instance(service, 0)
    return await phoenix.http.get(f"http://127.0.0.1:{port}/ready")


async def _tells_database_away(phoenix: Phoenix, service: str) -> bool:
    """Readiness names the database, or a queue that is paused for it."""
    answer = await _readiness(phoenix, service)
    return answer.status_code == 503 and "postgresql" in answer.text


async def _all_ready(phoenix: Phoenix) -> bool:
    answers = [await _readiness(phoenix, service) for service in ("brain", "risk", "execute", "notify")]
    return all(answer.status_code == 200 for answer in answers)


async def _all_ended(phoenix: Phoenix, load: Load) -> bool:
    (row,) = await phoenix.rows(
        "brain",
        "SELECT count(*) AS ended FROM brain.outcomes WHERE signal_id = ANY($1::text[])",
        list(load.accepted),
    )
    return bool(row["ended"] == len(load.accepted))


async def _ends(phoenix: Phoenix) -> dict[str, int]:
    rows = await phoenix.rows(
        "brain",
        "SELECT outcome || '(' || split_part(reason, ':', 1) || ')' AS ended, count(*) AS number"
        " FROM brain.outcomes GROUP BY 1 ORDER BY 2 DESC",
    )
    return {row["ended"]: row["number"] for row in rows}
