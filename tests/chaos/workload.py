"""The people and the market: TradingView with its re-sends, an operator, prices that move.

It knows what was answered and keeps it; it must never look at what the system made of it (the checkers do).
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.chaos.plan import Act, Alert, ManualTrade, OperatorClose, Pause, PriceJump

RESEND_AFTER_S = 5.0
RESENDS_MAX = 3
"""What TradingView does after a 5xx."""
HANGS_UP_AFTER_S = 3.0
OPERATOR_PATIENCE_S = 20.0
OPERATOR_RETRY_S = 1.0
OLD = timedelta(minutes=5)


@dataclass
class Tally:
    """What the senders were told."""

    accepted: set[str] = field(default_factory=set)
    sent: int = 0
    resent: int = 0
    given_up: list[str] = field(default_factory=list)
    """Keys of alerts that were answered with 5xx four times: TradingView would show them as failed."""
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)
    longest_outage_s: float = 0.0
    """Longest time between an alert's first sending and its acceptance."""


@dataclass(frozen=True)
class Addresses:
    """Where the workload sends to; the exchange's is its own door, past any proxy."""

    webhook: str
    execute: str
    risk: str
    exchange: str
    webhook_secret: str
    api_key: str


class Workload:
    """Carries out the acts of a plan that are no faults."""

    def __init__(self, http: httpx.AsyncClient, where: Addresses, run: str) -> None:
        self.tally = Tally()
        self._http = http
        self._where = where
        self._run = run
        self._bodies: dict[str, str] = {}

    async def perform(self, act: Act) -> None:
        """Carry out one act to its end."""
        match act:
            case Alert():
                body = self._bodies.setdefault(act.key, self._body(act))
                await asyncio.gather(*(self._send(act.key, body) for _ in range(act.copies)))
            case ManualTrade(symbol=symbol, side=side):
                body_of_trade = {"symbol": symbol, "side": "long" if side == "buy" else "short"}
                answer = await self._operate(self._where.execute + "/trade", body_of_trade, once=True)
                if answer is not None:
                    self.tally.accepted.add(answer["signal_id"])
            case OperatorClose(symbol=symbol):
                await self._operate(self._where.execute + "/close", {"symbol": symbol})
            case Pause(seconds=seconds):
                await self._set_state("REDUCING")
                await asyncio.sleep(seconds)
                await self._set_state("ACTIVE")
            case PriceJump(symbol=symbol, share=share):
                await self._jump(symbol, share)

    async def _set_state(self, state: str) -> None:
        await self._operate(self._where.risk + "/update", {"state": state, "reason": "chaos"})

    def _body(self, alert: Alert) -> str:
        made_at = datetime.now(UTC) - (OLD if alert.is_old else timedelta(0))
        fields: dict[str, Any] = {
            "secret": self._where.webhook_secret,
            "symbol": f"BINANCE:{alert.symbol}.P",
            "action": alert.action,
            "strategy": "chaos",
            "confidence": 0.95,
            "timenow": made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if alert.has_own_id:
            fields["alert_id"] = f"{self._run} {alert.key}"
        else:  # told apart by its body alone, as most alerts are
            fields["comment"] = f"{self._run} {alert.key}"
        return json.dumps(fields)

    async def _send(self, key: str, body: str) -> None:
        began = time.monotonic()
        self.tally.sent += 1
        for attempt in range(1 + RESENDS_MAX):
            if attempt:
                await asyncio.sleep(RESEND_AFTER_S)
                self.tally.resent += 1
            try:
                answer = await self._http.post(self._where.webhook, content=body, timeout=HANGS_UP_AFTER_S)
            except httpx.TransportError:
                self.tally.unanswered += 1
                return  # no answer, or nobody there: TradingView does not send again
            if answer.status_code == httpx.codes.OK:
                self.tally.accepted.add(answer.json()["signal_id"])
                waited_s = time.monotonic() - began
                self.tally.longest_outage_s = max(self.tally.longest_outage_s, waited_s)
                return
            if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                self.tally.refused.append(f"{key}: {answer.status_code} {answer.text}")
                return
        self.tally.given_up.append(key)

    async def _operate(self, url: str, body: dict[str, Any], *, once: bool = False) -> dict[str, Any] | None:
        """Ask as the operator; unless `once`, a patient one who asks again while nobody answers."""
        deadline = time.monotonic() + (0 if once else OPERATOR_PATIENCE_S)
        headers = {"X-API-Key": self._where.api_key}
        while True:
            try:
                answer = await self._http.post(url, json=body, headers=headers)
                if answer.is_success:
                    found: dict[str, Any] = answer.json()
                    return found
            except httpx.HTTPError:
                pass
            if time.monotonic() >= deadline:
                return None
            await asyncio.sleep(OPERATOR_RETRY_S)

    async def _jump(self, symbol: str, share: float) -> None:
        try:
            state = (await self._http.get(self._where.exchange + "/admin/state")).json()
            price = float(state["quotes"][symbol]["last"]) * (1 + share)
            body = {"symbol": symbol, "price": f"{price:.8f}"}
            await self._http.post(self._where.exchange + "/admin/price", json=body)
        except httpx.HTTPError:
            return  # the exchange itself is away: so are its prices
