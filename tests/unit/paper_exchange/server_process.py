"""The paper exchange as a process of its own, and ccxt pointed at it, for tests."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import ccxt.pro

EXIT_WAIT_S = 15.0

Exchange = Any
"""A ccxt exchange; the library has no types."""


@dataclass
class Server:
    """One paper exchange process."""

    data_dir: Path
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "infrastructure.paper_exchange", "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir), "--tick-ms", "50", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.port = self._await_port()

    def _await_port(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["action"] == "exchange_serving":
                return int(event["port"])
        raise AssertionError("the exchange ended before it served")

    def stop(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(EXIT_WAIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code


@asynccontextmanager
async def client_of(server: Server, **changes: Any) -> AsyncIterator[Exchange]:
    versions = {"fapiPublic": 1, "fapiPublicV2": 2, "fapiPublicV3": 3, "fapiPrivate": 1}
    versions |= {"fapiPrivateV2": 2, "fapiPrivateV3": 3}
    addresses: dict[str, Any] = {name: f"{server.url}/fapi/v{version}" for name, version in versions.items()}
    addresses["ws"] = {"linear": f"{server.url.replace('http', 'ws')}/ws"}
    configuration = {
        "apiKey": "paper",
        "secret": "paper",
        "enableRateLimit": False,
        "urls": {"api": addresses},
        "options": {
            "fetchCurrencies": False,
            "fetchOpenOrders": {"warnWithoutSymbol": False},
            "setMarginMode": {"throwMarginModeAlreadySet": False},
        },
    }
    exchange = ccxt.pro.binanceusdm(configuration | changes)
    # ccxt knows these codes only on Binance's own host names.
    exchange.exceptions["exact"].update(exchange.exceptions["linear"]["exact"])
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


async def admin(server: Server, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{server.url}/admin/{path}", json=body) as response,
    ):
        assert response.status == 200, await response.text()
        return cast(dict[str, Any], await response.json())


async def price(server: Server, value: float | str) -> None:
    await admin(server, "POST", "price", {"symbol": "BTCUSDT", "price": str(value)})
