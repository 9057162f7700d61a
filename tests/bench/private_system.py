"""The system under test: everything `start.sh` starts, private, with the limits lifted that load would hit.

It starts, prepares, empties between measurements and destroys. What it changes from a user's system is the
table `SETTINGS` and nothing else.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

import aio_pika
import aiohttp

from infrastructure.local.bring_up import StartError
from infrastructure.local.stack import LocalStack
from services.execute.binance_client import BinanceClient
from services.execute.config import ExecuteSettings
from services.execute.store import ExecuteStore
from services.execute.venue import MarginSetup
from shared import topology
from shared.database import Database
from shared.rabbitmq_client import Publisher
from shared.redis_client import RedisClient
from shared.settings import ENV_FILES_VARIABLE, load
from tests.bench.plan import SYMBOLS_EXTRA, TICK_MS
from tests.eventually import eventually
from tests.servers import throwaway_stack

START_ATTEMPTS_MAX = 3
"""On a machine that others use as well, one service may miss its time to become ready."""
SYMBOL_FIRST = 1
PREPARED_AT_ONCE_MAX = 4
LEVERAGE = 20
"""What profile bench gives a synthetic symbol; EXECUTE would otherwise set it at the first trade."""
EMPTY_TIMEOUT_S = 120.0
BACKLOG_TIMEOUT_S = 180.0
LOOK_INTERVAL_S = 0.25
HTTP_TIMEOUT_S = 10.0

SETTINGS: Mapping[str, str] = {
    "PHOENIX_RATE_LIMIT_PER_MINUTE": "1000000",  # the load comes from one address
    "PHOENIX_RISK_PROFILE": "bench",  # counts and portfolio limits lifted, positions tiny
    "PHOENIX_SCORE_MIN": "0",  # closed trades of the load itself must not shut the gates
    "PHOENIX_FINAL_CONFIDENCE_MIN": "0",
    "PHOENIX_FEED_SYMBOLS": "*",
    "PHOENIX_MARKET_DATA_AGE_S_MAX": "60",  # symbols move every few seconds only, see plan.TICK_MS
    "PHOENIX_PAPER_SYMBOLS_EXTRA": str(SYMBOLS_EXTRA),
    "PHOENIX_PAPER_SYNTHETIC_HISTORY_BARS": "30",
    "PHOENIX_PAPER_TICK_MS": str(TICK_MS),
    "PHOENIX_PAPER_WALLET_USDT": "1000000",
    "PHOENIX_PAPER_ORDER_LIMIT_10S": "1000000",
    "PHOENIX_PAPER_ORDER_LIMIT_1M": "1000000",
    "PHOENIX_PAPER_WEIGHT_LIMIT_1M": "10000000",
    "PHOENIX_PAPER_OPEN_ORDERS_MAX": "100000",
    "PHOENIX_PAPER_OPEN_ALGOS_MAX": "100000",
}


def symbol(number: int) -> str:
    """Return the name of a synthetic symbol, 0..SYMBOLS_EXTRA − 1."""
    assert 0 <= number < SYMBOLS_EXTRA
    return f"SYN{SYMBOL_FIRST + number:03d}USDT"


class PrivateSystem:
    """A running system and the benchmark's own connections to its servers."""

    def __init__(
        self, stack: LocalStack, database: Database, publisher: Publisher, redis: RedisClient
    ) -> None:
        self.stack = stack
        self.settings = stack.settings()
        self.database = database
        self.publisher = publisher
        self.redis = redis
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S))

    async def __aenter__(self) -> "PrivateSystem":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def prepare_symbols(self, names: Sequence[str]) -> None:
        """Set margin mode and leverage on the exchange and note it, as EXECUTE does at a first trade."""
        settings = load(ExecuteSettings)
        turns = asyncio.Semaphore(PREPARED_AT_ONCE_MAX)
        async with BinanceClient(settings) as exchange, _execute_store(settings) as store:
            await exchange.clock.measure()

            async def prepare(name: str) -> None:
                async with turns:
                    await exchange.set_isolated(name)
                    await exchange.set_leverage(name, LEVERAGE)
                    await store.record_margin_setup(name, MarginSetup(is_isolated=True, leverage=LEVERAGE))

            await asyncio.gather(*map(prepare, names))

    async def await_outcomes(self, signal_ids: Sequence[str], timeout_s: float) -> int:
        """Wait until these signals have their outcomes; return how many have one in the end."""
        query = "SELECT count(*) FROM brain.outcomes WHERE signal_id = ANY($1::text[])"
        ids, deadline = list(signal_ids), _now_s() + timeout_s
        while True:
            ended: int = await self.database.fetch_value(query, ids)
            if ended >= len(ids) or _now_s() > deadline:
                return ended
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def close_positions(self) -> None:
        """Close everything and wait until RISK's book is empty too.

        Raises:
            AssertionError: something is still open after two minutes.
        """
        headers = {"X-API-Key": self.settings["PHOENIX_API_KEY"]}
        body = {"symbol": None, "reason": "bench"}
        async with self._http.post(
            f"{self.settings['PHOENIX_EXECUTE_URL']}/close", json=body, headers=headers
        ) as answer:
            answer.raise_for_status()
        await eventually(self._is_empty, EMPTY_TIMEOUT_S, what="every position closed")

    async def await_empty_queues(self) -> None:
        """Wait until the services have taken up every message: what is left over would count as load.

        Raises:
            AssertionError: a queue is not empty after three minutes.
        """
        await eventually(self._are_queues_empty, BACKLOG_TIMEOUT_S, what="every queue empty")

    async def _are_queues_empty(self) -> bool:
        async with await aio_pika.connect(self.settings["PHOENIX_AMQP_URL"]) as connection:
            channel = await connection.channel()
            for queue in topology.QUEUES:
                declared = await channel.declare_queue(queue.name, passive=True)
                if declared.declaration_result.message_count:
                    await asyncio.sleep(LOOK_INTERVAL_S)
                    return False
        return True

    async def _is_empty(self) -> bool:
        count: int = await self.database.fetch_value(
            "SELECT (SELECT count(*) FROM risk.reservations WHERE state <> 'released')"
            " + (SELECT count(*) FROM brain.open_positions WHERE is_open)"
        )
        return count == 0


@contextlib.asynccontextmanager
async def private_system() -> AsyncIterator[PrivateSystem]:
    """Give a running system and destroy it, with all its data, afterwards."""
    with _started_stack() as stack:
        async with AsyncExitStack() as resources:
            settings = stack.settings()
            database = await resources.enter_async_context(
                Database(
                    settings["PHOENIX_POSTGRES_URL"],
                    user="phoenix_admin",
                    password=settings["PHOENIX_ADMIN_DB_PASSWORD"],
                    schema="public",
                    name="bench",
                )
            )
            publisher = await resources.enter_async_context(Publisher(settings["PHOENIX_AMQP_URL"], "bench"))
            redis = await resources.enter_async_context(RedisClient(settings["PHOENIX_REDIS_URL"], "bench"))
            yield await resources.enter_async_context(PrivateSystem(stack, database, publisher, redis))


@contextlib.contextmanager
def _started_stack() -> Iterator[LocalStack]:
    with throwaway_stack() as stack:
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            try:
                stack.start(overrides=SETTINGS)
                break
            except StartError:
                if attempt == START_ATTEMPTS_MAX:
                    raise
        os.environ[ENV_FILES_VARIABLE] = ":".join(str(path) for path in stack.env_files())
        yield stack


@contextlib.asynccontextmanager
async def _execute_store(settings: ExecuteSettings) -> AsyncIterator[ExecuteStore]:
    database = Database(
        settings.postgres_url,
        user="phoenix_execute",
        password=settings.execute_db_password.get_secret_value(),
        schema="execute",
        name="bench execute",
    )
    async with database:
        yield ExecuteStore(database)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
