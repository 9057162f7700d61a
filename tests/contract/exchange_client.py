"""A client of the paper exchange that signs by hand and listens to its streams; and what the ledger says."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import httpx
import pytest

from infrastructure.paper_exchange.auth import sign
from tests.exchange_process import ExchangeProcess, exchange_process

BTC = "BTCUSDT"
WAIT_S = 10.0
UNKNOWN = "Unknown error, please check your request or try again later."
TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
FOREVER_MS = 60_000
BRIEF_MS = 1_500
"""Short enough to wait for, long enough for a few requests on a busy machine."""
QUIET_S = 0.2

Row = dict[str, Any]


@dataclass
class Client:
    """Signs requests by hand."""

    url: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=WAIT_S))

    def send(self, operation: str, *, ago_ms: int = 0, **params: Any) -> httpx.Response:
        method, _, path = operation.partition(" ")
        params["timestamp"] = time.time_ns() // 1_000_000 - ago_ms
        query = urlencode(params)
        signed = f"{query}&signature={sign('paper', query)}"
        return self.http.request(method, f"{self.url}{path}?{signed}", headers={"X-MBX-APIKEY": "paper"})

    def order(self, client_id: str, quantity: str = "0.1", side: str = "BUY", **more: Any) -> httpx.Response:
        named = {"symbol": BTC, "side": side, "type": "MARKET", "quantity": quantity}
        named |= {"newClientOrderId": client_id, "newOrderRespType": "RESULT"}
        return self.send("POST /fapi/v1/order", **(named | more))

    def stop(self, client_id: str, trigger: str = "49000") -> httpx.Response:
        return self.send(
            "POST /fapi/v1/algoOrder",
            symbol=BTC,
            side="SELL",
            algoType="CONDITIONAL",
            type="STOP_MARKET",
            triggerPrice=trigger,
            closePosition="true",
            clientAlgoId=client_id,
        )

    def find(self, client_id: str) -> httpx.Response:
        return self.send("GET /fapi/v1/order", symbol=BTC, origClientOrderId=client_id)

    def rows(self, path: str, **params: Any) -> list[Row]:
        answer = self.send(f"GET /fapi/v1/{path}", symbol=BTC, **params)
        assert answer.status_code == 200, answer.text
        return cast(list[Row], answer.json())


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeProcess]:
    with exchange_process(tmp_path_factory.mktemp("paper")) as running:
        yield running


@pytest.fixture
def exchange(process: ExchangeProcess) -> ExchangeProcess:
    process.reset()
    return process


@pytest.fixture
def client(exchange: ExchangeProcess) -> Iterator[Client]:
    client = Client(exchange.url)
    yield client
    client.http.close()


def ledger_orders(exchange: ExchangeProcess) -> dict[str, Row]:
    return {row["clientOrderId"]: row for row in exchange.ledger["orders"]}


def ledger_algos(exchange: ExchangeProcess) -> dict[str, Row]:
    return {row["clientAlgoId"]: row for row in exchange.ledger["algoOrders"]}


def held(exchange: ExchangeProcess) -> Decimal:
    positions = exchange.ledger["positions"]
    return sum((Decimal(row["positionAmt"]) for row in positions), Decimal(0))


@dataclass
class Listener:
    """One WebSocket and everything it heard."""

    socket: aiohttp.ClientWebSocketResponse
    heard: list[Row] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [event["e"] for event in self.heard]

    @property
    def clients(self) -> list[str]:
        """Client ids of the order events."""
        return [event["o"]["c"] for event in self.heard if event["e"] == "ORDER_TRADE_UPDATE"]

    async def listen(self) -> None:
        async for message in self.socket:
            self.heard.append(message.json())


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listener]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        listener = Listener(socket)
        task = asyncio.create_task(listener.listen())
        try:
            yield listener
        finally:
            task.cancel()


@pytest.fixture
async def user_stream(exchange: ExchangeProcess, client: Client) -> AsyncIterator[Listener]:
    key = client.send("POST /fapi/v1/listenKey").json()["listenKey"]
    address = f"{exchange.url.replace('http', 'ws')}/private/ws?listenKey={key}"
    async with listening(address) as listener:
        yield listener
