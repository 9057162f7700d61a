"""One alert, however often it is sent and whoever dies meanwhile, is one position (P1, P3)."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.probes import is_port_free
from services.brain.shared_windows import KEY_PREFIX
from shared.redis_client import RedisClient
from shared.settings import ENV_FILES_VARIABLE
from tests.e2e.phoenix import Phoenix, telegram_settings, using
from tests.eventually import eventually
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import RunningSystem, throwaway_stack

pytestmark = pytest.mark.timeout(400)  # the first test waits for the start

REPLICAS = 2
AGAIN_AFTER_S = 5.0
AGAIN_MAX = 3
"""TradingView sends an alert again 5 s after a 5xx, at most three times."""
HURRY_S = 0.5
"""The same, for a test in which the pause does not matter."""
SENDERS = 12
PORTS = range(32_400, 32_800)
RATE_LIMIT = 120
FLOOD_AT_ONCE = 20


@pytest.fixture(scope="module")
async def doubled() -> AsyncIterator[Phoenix]:
    """Start a system with two instances of each service, for this file."""
    async with TelegramStandIn() as telegram:
        with throwaway_stack() as stack:
            await asyncio.to_thread(stack.start, overrides=telegram_settings(telegram), replicas=REPLICAS)
            async with using(RunningSystem(stack), telegram) as phoenix:
                yield phoenix


@pytest.fixture
async def phoenix(doubled: Phoenix) -> AsyncIterator[Phoenix]:
    """Give the running system, flat and active, with nothing counted against the rate limit."""
    await doubled.come_to_rest()
    async with RedisClient(doubled.system.redis_url, "test") as redis:
        for key in await redis.commands.keys(f"{KEY_PREFIX}*"):
            await redis.commands.delete(key)
    yield doubled
    for name in ("brain-0", "brain-1"):
        await asyncio.to_thread(doubled.system.stack.await_program, name)


def equal_body(phoenix: Phoenix, symbol: str, **fields: Any) -> str:
    """Return an alert that nothing but its text tells from another: no id, no time."""
    body = {"secret": phoenix.system.webhook_secret, "symbol": symbol, "action": "buy", "confidence": 0.95}
    return json.dumps(body | fields)


@dataclass
class TradingView:
    """Sends an alert as TradingView does: again after a 5xx, or when it was cut off."""

    phoenix: Phoenix
    pause_s: float

    async def pass_time(self) -> None:
        """Wait as long as TradingView does before it sends again."""
        await asyncio.sleep(self.pause_s)

    async def send(self, body: str, first_url: str | None = None) -> list[str]:
        """Return the signal ids that were answered; the first send may go to another address."""
        for number in range(1 + AGAIN_MAX):
            if number:
                await self.pass_time()
            try:
                if first_url and not number:
                    answer = await self.phoenix.http.post(first_url, content=body)
                else:
                    answer = await self.phoenix.post(body)
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                return [answer.json()["signal_id"]]
            assert answer.status_code >= 500, answer.text
        return []


async def _is_one_position(phoenix: Phoenix, symbol: str, ids: list[str], since: datetime) -> None:
    """Every id leads to one story with one outcome, one entry order, one protected position."""
    found = [await _story(phoenix, each) for each in ids]
    assert len({story["signal"]["signal_id"] for story in found}) == 1
    signal_id = found[0]["signal"]["signal_id"]
    assert (await phoenix.outcome(signal_id))["outcome"] == "opened"
    held = await phoenix.held()
    assert [each.symbol for each in held.positions] == [symbol]
    assert len(held.algos) == 2, "one stop, one target"
    trades = await phoenix.exchange.trades(symbol, since)
    assert len({each.order_id for each in trades}) == 1, "the exchange knows of one order"
    for role, query, expected in (
        ("brain", "SELECT signal_id FROM brain.outcomes WHERE outcome = 'opened' AND decided_at >= $1", 1),
        ("execute", "SELECT FROM execute.orders WHERE role = 'e' AND created_at >= $1", 1),
        ("risk", "SELECT FROM risk.decisions WHERE decided_at >= $1", 1),
    ):
        assert len(await phoenix.rows(role, query, since)) == expected, query


async def _story(phoenix: Phoenix, signal_id: str) -> dict[str, Any]:
    found: Any = await eventually(lambda: phoenix.story(signal_id), what=f"the story of {signal_id}")
    return dict(found)


async def test_alert_sent_four_times_at_once_and_again_as_tradingview_does_is_one_position(
    phoenix: Phoenix,
) -> None:
    since, body = datetime.now(UTC), equal_body(phoenix, "BTCUSDT")
    sender = TradingView(phoenix, AGAIN_AFTER_S)
    ids = [each for sent in await asyncio.gather(*(sender.send(body) for _ in range(4))) for each in sent]
    for _ in range(AGAIN_MAX):
        await sender.pass_time()
        ids += await sender.send(body)
    assert len(ids) == 4 + AGAIN_MAX
    await _is_one_position(phoenix, "BTCUSDT", ids, since)


async def test_alerts_sent_while_a_replica_is_killed_are_one_position(phoenix: Phoenix) -> None:
    since, body = datetime.now(UTC), equal_body(phoenix, "ETHUSDT")
    sender = TradingView(phoenix, HURRY_S)
    sending = [asyncio.create_task(sender.send(body)) for _ in range(SENDERS)]
    await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
    phoenix.system.stack.kill_program("brain-0")
    sending += [asyncio.create_task(sender.send(body)) for _ in range(SENDERS)]
    ids = [each for sent in await asyncio.gather(*sending) for each in sent]
    assert len(ids) == 2 * SENDERS, "with the other replica there, nobody was turned away"
    await _is_one_position(phoenix, "ETHUSDT", ids, since)


async def test_alert_whose_replica_died_after_the_confirm_and_before_the_200_is_one_position(
    phoenix: Phoenix,
) -> None:
    """The first copy is durable although nobody was told so; the second is taken by another replica."""
    since, body = datetime.now(UTC), equal_body(phoenix, "SOLUSDT")
    async with _dying_brain(phoenix) as (process, url):
        ids = await TradingView(phoenix, HURRY_S).send(body, first_url=f"{url}/webhook/tradingview")
        assert await process.wait() < 0, "killed"
    assert len(ids) == 1
    await eventually(lambda: _copies(phoenix, since, 2), what="both copies handled")
    await _is_one_position(phoenix, "SOLUSDT", ids, since)


async def _copies(phoenix: Phoenix, since: datetime, number: int) -> bool:
    query = "SELECT FROM brain.inbox WHERE queue = 'signal_processing' AND handled_at >= $1"
    return len(await phoenix.rows("brain", query, since)) == number


@asynccontextmanager
async def _dying_brain(phoenix: Phoenix) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port = next(number for number in PORTS if is_port_free(number))
    url = f"http://127.0.0.1:{port}"
    files = ":".join(str(path) for path in phoenix.system.stack.env_files())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.brain_that_dies", "--port", str(port), "--instance", "9"),
        cwd=REPOSITORY,
        env=os.environ | {ENV_FILES_VARIABLE: files},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await eventually(lambda: _is_ready(phoenix, url), 30, what="the process is ready")
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _is_ready(phoenix: Phoenix, url: str) -> bool:
    try:
        return (await phoenix.http.get(f"{url}/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def test_flood_is_limited_over_all_replicas_and_closing_still_works(phoenix: Phoenix) -> None:
    standing = await phoenix.alert("ADAUSDT", "buy")
    assert (await phoenix.outcome(standing))["outcome"] == "opened"
    wrong = await _flood(phoenix, secret="guess")
    assert _statuses(wrong) == {401: RATE_LIMIT, 429: RATE_LIMIT}
    good = await _flood(phoenix, timenow="2026-01-31T12:00:00Z")
    statuses = _statuses(good)
    assert statuses.keys() == {200, 429}
    # On a machine so busy that nginx asked a second instance, an alert takes two places for a while.
    assert RATE_LIMIT // 2 < statuses[200] < RATE_LIMIT
    refused = next(each for each in good if each.status_code == 429)
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert "Exits are counted apart" in refused.json()["detail"]
    assert (await phoenix.outcome(await phoenix.alert("ADAUSDT", "close")))["outcome"] == "closed"


async def _flood(phoenix: Phoenix, **fields: Any) -> list[httpx.Response]:
    """Send twice the limit, different alerts, a few at a time."""
    turns = asyncio.Semaphore(FLOOD_AT_ONCE)

    async def send(number: int) -> httpx.Response:
        async with turns:
            return await phoenix.post(equal_body(phoenix, "BTCUSDT", order_id=number, **fields))

    return await asyncio.gather(*map(send, range(2 * RATE_LIMIT)))


def _statuses(answers: list[httpx.Response]) -> dict[int, int]:
    codes = [answer.status_code for answer in answers]
    return {code: codes.count(code) for code in set(codes)}
