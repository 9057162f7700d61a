"""The floors: what each single step costs at best on this machine, one call after the other.

A latency of ours means something only beside them. They use the same libraries and the same servers as the
services do; the orders go to a paper exchange of their own, which the system under test does not know.
"""

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode

import aio_pika
import aiohttp

from infrastructure.local.layout import REPOSITORY
from infrastructure.paper_exchange.auth import sign
from services.execute.binance_client import BinanceClient
from services.execute.config import ExecuteSettings
from services.execute.venue import EntryOrder, OrderSide
from shared.settings import load
from tests.bench.private_system import PrivateSystem
from tests.bench.samples import Summary, summary

WARM_UP_CALLS = 10
READY_TIMEOUT_S = 60.0
READY_LOOK_S = 0.1
STOP_TIMEOUT_S = 10.0
MESSAGE_BYTES = 900
"""About the size of a signal on the wire."""
QUEUE = "bench.floor"
STREAM = "bench:floor"
STREAM_LENGTH_MAX = 1_000
ORDER_SYMBOL = "BTCUSDT"
ORDER_QUANTITY = Decimal("0.002")
PRICE_MARGIN = Decimal("0.01")
TICK = Decimal("0.1")

Call = Callable[[int], Awaitable[object]]


async def measure(system: PrivateSystem, calls: int) -> dict[str, Summary]:
    """Return every floor that is measured by single calls."""
    body = b"x" * MESSAGE_BYTES
    text = body.decode()
    async with _queue(system), _table(system), paper_exchange() as base_url:
        await system.redis.commands.delete(STREAM)
        found = {
            "quorum publish": await timed(calls, lambda _: system.publisher.publish("", QUEUE, body)),
            "postgres commit": await timed(calls, lambda _: _commit(system, text)),
            "redis xadd": await timed(calls, lambda _: _xadd(system, text)),
        }
        settings = load(ExecuteSettings).model_copy(update={"exchange_base_url": base_url})
        async with _raw_order(settings) as raw, _our_order(settings) as ours:
            found["order, raw aiohttp"] = await timed(calls, raw)
            found["order, BinanceClient"] = await timed(calls, ours)
    return found


async def timed(calls: int, call: Call) -> Summary:
    """Time `calls` calls one after the other, after a few that do not count."""
    for number in range(WARM_UP_CALLS):
        await call(-1 - number)
    samples_ms = []
    for number in range(calls):
        started = time.perf_counter()
        await call(number)
        samples_ms.append((time.perf_counter() - started) * 1_000)
    return summary(samples_ms)


@contextlib.asynccontextmanager
async def bare_fastapi() -> AsyncIterator[int]:
    """Run the bare application in a process of its own and give its port."""
    port = free_port()
    async with child("-m", "tests.bench.bare_app", str(port), ready_port=port):
        yield port


@contextlib.asynccontextmanager
async def paper_exchange() -> AsyncIterator[str]:
    """Run a paper exchange in a process of its own and give its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="phoenix95-bench-") as directory:
        arguments = (
            "-m", "infrastructure.paper_exchange", "--port", str(port), "--data-dir", directory,
            "--symbols-extra", "0",
        )  # fmt: skip
        async with child(*arguments, ready_port=port):
            yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def child(*arguments: str, ready_port: int) -> AsyncIterator[None]:
    """Run `python *arguments` for the duration of the block, which begins when it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=REPOSITORY, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not await _listens(ready_port):
                assert process.returncode is None, f"{arguments[1]} ended with {process.returncode}"
                await asyncio.sleep(READY_LOOK_S)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@contextlib.asynccontextmanager
async def _queue(system: PrivateSystem) -> AsyncIterator[None]:
    """Declare a quorum queue for the floor; `Publisher` reaches it through the default exchange."""
    async with await aio_pika.connect(system.settings["PHOENIX_AMQP_URL"]) as connection:
        channel = await connection.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        try:
            yield
        finally:
            await channel.queue_delete(QUEUE)


@contextlib.asynccontextmanager
async def _table(system: PrivateSystem) -> AsyncIterator[None]:
    await system.database.execute("CREATE TABLE public.bench_floor (id bigserial PRIMARY KEY, body text)")
    try:
        yield
    finally:
        await system.database.execute("DROP TABLE public.bench_floor")


async def _commit(system: PrivateSystem, text: str) -> None:
    async with system.database.transaction() as tx:
        await tx.execute("INSERT INTO public.bench_floor (body) VALUES ($1)", text)


async def _xadd(system: PrivateSystem, text: str) -> None:
    await system.redis.commands.xadd(STREAM, {"body": text}, maxlen=STREAM_LENGTH_MAX, approximate=True)


@contextlib.asynccontextmanager
async def _our_order(settings: ExecuteSettings) -> AsyncIterator[Call]:
    """Give a call that sends an entry as EXECUTE does; buying and selling in turn keeps the account flat."""
    async with BinanceClient(settings) as exchange:
        await exchange.preflight()
        prices = await exchange.best_prices(ORDER_SYMBOL)

        async def order(number: int) -> None:
            side, limit = _side_and_limit(number, prices.bid, prices.ask)
            await exchange.place_entry(
                EntryOrder(
                    client_id=f"bench-ours-{number}",
                    symbol=ORDER_SYMBOL,
                    side=side,
                    quantity=ORDER_QUANTITY,
                    limit_price=limit,
                ),
                datetime.now(UTC),
            )

        yield order


@contextlib.asynccontextmanager
async def _raw_order(settings: ExecuteSettings) -> AsyncIterator[Call]:
    """Give a call that sends the same order with nothing but aiohttp and one HMAC."""
    base = settings.exchange_base_url
    secret = settings.exchange_api_secret.get_secret_value()
    headers = {
        "X-MBX-APIKEY": settings.exchange_api_key.get_secret_value(),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.get(f"{base}/fapi/v1/ticker/bookTicker", params={"symbol": ORDER_SYMBOL}) as answer:
            book = await answer.json()

        async def order(number: int) -> None:
            side, limit = _side_and_limit(number, Decimal(book["bidPrice"]), Decimal(book["askPrice"]))
            text = urlencode(_order_fields(number, side, limit))
            body = f"{text}&signature={sign(secret, text)}"
            async with http.post(f"{base}/fapi/v1/order", data=body) as answer:
                answer.raise_for_status()
                await answer.json()

        yield order


def _order_fields(number: int, side: OrderSide, limit: Decimal) -> Sequence[tuple[str, str]]:
    return (
        ("symbol", ORDER_SYMBOL),
        ("side", side.upper()),
        ("type", "LIMIT"),
        ("timeInForce", "IOC"),
        ("quantity", str(ORDER_QUANTITY)),
        ("price", str(limit)),
        ("newClientOrderId", f"bench-raw-{number}"),
        ("newOrderRespType", "RESULT"),
        ("timestamp", str(time.time_ns() // 1_000_000)),
        ("recvWindow", "5000"),
    )


def _side_and_limit(number: int, bid: Decimal, ask: Decimal) -> tuple[OrderSide, Decimal]:
    if number % 2 == 0:
        return OrderSide.BUY, (ask * (1 + PRICE_MARGIN)).quantize(TICK)
    return OrderSide.SELL, (bid * (1 - PRICE_MARGIN)).quantize(TICK)
