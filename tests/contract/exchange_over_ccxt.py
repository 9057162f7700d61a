"""The paper exchange as a process, and unmodified ccxt as its client."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

import pytest

from tests.unit.paper_exchange.server_process import Exchange, Server, admin, client_of, price

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
TRIGGER = {"trigger": True}
WAIT_S = 15.0
STOP_BUDGET_S = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("paper"))
    running.start()
    yield running
    running.stop(signal.SIGTERM)


@pytest.fixture
async def exchange(server: Server) -> AsyncIterator[Exchange]:
    await admin(server, "POST", "reset")
    await admin(server, "POST", "walk", {"paused": True, "symbol": "BTCUSDT"})
    await price(server, 50_000)
    async with client_of(server) as client:
        yield client


async def eventually(probe: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition; the pause between two looks is what keeps it from being a busy loop."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_S
    while not await probe():
        assert loop.time() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.05)


async def opened_long(exchange: Exchange, amount: float = 0.1) -> dict[str, Any]:
    await exchange.set_margin_mode("isolated", BTC)
    await exchange.set_leverage(20, BTC)
    return cast(
        dict[str, Any],
        await exchange.create_order(BTC, "market", "buy", amount, None, {"clientOrderId": "entry"}),
    )


async def protect(exchange: Exchange) -> None:
    common = {"workingType": "MARK_PRICE", "closePosition": True}
    stop = common | {"stopPrice": 49_000, "clientOrderId": "stop"}
    target = common | {"stopPrice": 51_000, "clientOrderId": "target"}
    await exchange.create_order(BTC, "STOP_MARKET", "sell", None, None, stop)
    await exchange.create_order(BTC, "TAKE_PROFIT_MARKET", "sell", None, None, target)
