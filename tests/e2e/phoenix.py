"""The running system as a trader and an operator meet it: webhook, HTTP, CLI, the exchange's own API,
Telegram.

Nothing here looks inside a process; what is read from PostgreSQL is read as an auditor would.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from services.execute import venue_parse
from services.execute.binance_client import BinanceClient
from services.execute.config import ExchangeSettings
from services.execute.reconciliation import VenueView
from shared.settings import ENV_FILES_VARIABLE, load
from tests.eventually import eventually
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import RunningSystem

REPOSITORY = Path(__file__).parent.parent.parent
TELEGRAM_TOKEN = "95:e2e"
TELEGRAM_CHAT = "9595"
TELEGRAM_OPERATOR = 42
TELEGRAM_VIEWER = 7
HTTP_TIMEOUT_S = 10.0
CLI_TIMEOUT_S = 90.0
CALM = {"rsi": "50", "macd": "0"}
"""Told by an alert that has to be approved: our own bars remember where other tests have moved the price."""


@dataclass(frozen=True)
class Phoenix:
    """A whole running system and the hands that use it."""

    system: RunningSystem
    http: httpx.AsyncClient
    exchange: BinanceClient
    telegram: TelegramStandIn

    # --- alerts ---

    async def post(self, body: bytes | str, path: str = "", **headers: str) -> httpx.Response:
        """Send a raw body to the public webhook."""
        url = f"{self.system.public_url}/webhook/tradingview{path}"
        return await self.http.post(
            url, content=body, headers={"Content-Type": "application/json", **headers}
        )

    async def alert(self, symbol: str, action: str, **fields: Any) -> str:
        """Send a good alert and return its signal id."""
        body = {
            "secret": self.system.webhook_secret,
            "symbol": f"BINANCE:{symbol}.P",
            "action": action,
            "strategy": "e2e",
            "confidence": 0.95,
            "alert_id": uuid4().hex,
        } | fields
        answer = await self.post(json.dumps(body))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["signal_id"])

    async def outcome(self, signal_id: str) -> dict[str, Any]:
        """Wait for the recorded outcome of a signal."""

        async def look() -> Any:
            story = await self.story(signal_id)
            return story and story["outcome"]

        found: dict[str, Any] = await eventually(look, what=f"an outcome of {signal_id}")
        return found

    async def story(self, signal_id: str) -> dict[str, Any] | None:
        """Return the whole story of a signal, None while BRAIN has not recorded it."""
        answer = await self.http.get(f"{self.system.url('brain')}/signals/{signal_id}")
        return None if answer.status_code == 404 else answer.json()

    async def told(self, signal_id: str, schema: str) -> dict[str, Any]:
        """Wait until the story has a fact of this schema and return its payload."""

        async def look() -> Any:
            story = await self.story(signal_id)
            return story and next(
                (each["payload"] for each in story["story"] if each["schema"] == schema), None
            )

        found: dict[str, Any] = await eventually(look, what=f"{schema} of {signal_id}")
        return found

    # --- the operator ---

    async def positions(self) -> list[dict[str, Any]]:
        """Return EXECUTE's open positions."""
        answer = await self.http.get(f"{self.system.url('execute')}/positions")
        found: list[dict[str, Any]] = answer.json()["positions"]
        return found

    async def close(self, symbol: str | None) -> str:
        """Ask for a close; all positions when `symbol` is None."""
        return str((await self.operator("execute", "/close", {"symbol": symbol}))["request_id"])

    async def risk(self) -> dict[str, Any]:
        """Return RISK's status."""
        status: dict[str, Any] = (await self.http.get(f"{self.system.url('risk')}/status")).json()
        return status

    async def update_risk(self, **changes: Any) -> dict[str, Any]:
        """Change limits or the state, as an operator."""
        return await self.operator("risk", "/update", {"reason": "e2e", **changes})

    async def operator(self, service: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a guarded request."""
        answer = await self.http.post(
            f"{self.system.url(service)}{path}", json=body, headers={"X-API-Key": self.system.api_key}
        )
        assert answer.status_code in (200, 202), answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def cli(self, *arguments: str) -> str:
        """Run `scripts/phoenix.py` and return what it prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(REPOSITORY / "scripts" / "phoenix.py"),
            "--home",
            str(self.system.stack.layout.home),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), CLI_TIMEOUT_S)
        assert process.returncode == 0, f"{out.decode()}\n{err.decode()}"
        return out.decode()

    # --- the exchange and the record ---

    async def admin(self, path: str, body: dict[str, Any]) -> None:
        """Use the paper exchange's admin API."""
        base = self.system.settings["PHOENIX_EXCHANGE_BASE_URL"]
        answer = await self.http.post(f"{base}/admin/{path}", json=body)
        assert answer.status_code == 200, answer.text

    async def heal_exchange(self) -> None:
        """Take back every fault of the paper exchange."""
        base = self.system.settings["PHOENIX_EXCHANGE_BASE_URL"]
        assert (await self.http.delete(f"{base}/admin/faults")).status_code == 200

    async def held(self) -> VenueView:
        """Return what the exchange holds, without the request weight its own API counts."""
        state = await self._exchange_state()
        positions = (venue_parse.position(row) for row in state["positions"])
        return VenueView(
            positions=tuple(each for each in positions if each is not None),
            algos=tuple(venue_parse.algo_report(row) for row in state["openAlgoOrders"]),
            orders=tuple(venue_parse.order_report(row) for row in state["openOrders"]),
        )

    async def wallet_usdt(self) -> Decimal:
        """Return the exchange account's wallet balance."""
        return Decimal((await self._exchange_state())["walletBalance"])

    async def _exchange_state(self) -> dict[str, Any]:
        base = self.system.settings["PHOENIX_EXCHANGE_BASE_URL"]
        state: dict[str, Any] = (await self.http.get(f"{base}/admin/state")).json()
        return state

    async def price_to(self, symbol: str, price: Decimal) -> None:
        """Move the market of one symbol to `price` now."""
        await self.admin("price", {"symbol": symbol, "price": str(price)})

    async def last_price(self, symbol: str) -> Decimal:
        """Return the newest price EXECUTE has seen."""
        answer = await self.http.get(f"{self.system.url('execute')}/prices/{symbol}")
        return Decimal(answer.json()["last"])

    async def rows(self, role: Any, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """Read the record."""
        connection = await asyncpg.connect(self.system.postgres_dsn(role))
        try:
            found: Sequence[asyncpg.Record] = await connection.fetch(query, *arguments)
            return found
        finally:
            await connection.close()

    async def come_to_rest(self) -> None:
        """Close everything and wait until the exchange, EXECUTE and RISK hold nothing."""
        await self.update_risk(state="ACTIVE", limits={"on_opposite": "close"})
        await self.close(None)

        async def is_flat() -> bool:
            return not (await self.positions() or (await self.risk())["reservations"])

        await eventually(is_flat, 20, what="a flat system")
        held = await self.held()
        assert not held.positions
        assert not held.algos


@asynccontextmanager
async def using(system: RunningSystem, telegram: TelegramStandIn) -> AsyncIterator[Phoenix]:
    """Give the hands to use a running system."""
    with pytest.MonkeyPatch.context() as patch:  # read as the services read them
        patch.setenv(ENV_FILES_VARIABLE, ":".join(map(str, system.stack.env_files())))
        settings = load(ExchangeSettings)
    async with (
        httpx.AsyncClient(timeout=HTTP_TIMEOUT_S) as http,
        BinanceClient(settings) as exchange,
    ):
        yield Phoenix(system, http, exchange, telegram)


def telegram_settings(telegram: TelegramStandIn) -> dict[str, str]:
    """Return the settings that lead NOTIFY to the stand-in."""
    return {
        "PHOENIX_TELEGRAM_BASE_URL": telegram.url,
        "PHOENIX_TELEGRAM_BOT_TOKEN": TELEGRAM_TOKEN,
        "PHOENIX_TELEGRAM_CHAT_ID": TELEGRAM_CHAT,
        "PHOENIX_TELEGRAM_OPERATORS": str(TELEGRAM_OPERATOR),
        "PHOENIX_TELEGRAM_VIEWERS": str(TELEGRAM_VIEWER),
    }
