"""The chat shows what is not ours, says truly whether trades are made, and knows a close (U1, U2, U4, U5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from services.notify.chat.commands import Ask, Command
from services.notify.chat.reads import ChatReads
from services.notify.chat.texts import Phrases
from services.notify.people import Door, Person, Role
from services.notify.ports import ServiceFailure
from services.notify.report_rows import ForeignPosition, OpenPosition
from shared.clock import ManualClock
from tests.integration.chat_samples import POSITION, RISK_STATUS
from tests.unit.cli.phoenix_stand_in import CLOSE_DONE
from tests.unit.notify.facts import NOON

VIEWER = Person(Door.TELEGRAM, "7", Role.VIEWER)
FOREIGN = {
    "symbol": "XRPUSDT",
    "side": "short",
    "quantity": "1000",
    "entry_price": "0.6",
    "mark_price": "0.61",
    "liquidation_price": "0",
    "leverage": 20,
    "margin_usdt": "30",
    "unrealised_pnl_usdt": "-10",
    "has_stop": False,
    "stop_price": None,
    "take_profit_price": None,
}
ORDER = {"symbol": "XRPUSDT", "side": "buy", "order_type": "LIMIT", "trigger_price": None, "price": "0.5"}
LOSS = {"reason": "daily_loss", "measured": "7 %", "limit": "below 5 %"}


@dataclass
class Services:
    """RISK and EXECUTE, and who of them is away."""

    risk: dict[str, Any] = field(default_factory=lambda: RISK_STATUS | {"entries_blocked_by": []})
    foreign: list[dict[str, Any]] = field(default_factory=list)
    away: set[str] = field(default_factory=set)

    async def get(self, service: str, path: str, **_: str | int) -> dict[str, Any]:
        if service in self.away:
            raise ServiceFailure(f"{service} cannot be reached", may_be_done=False)
        answers = {
            "/status": self.risk,
            "/positions": {
                "positions": [POSITION],
                "foreign_positions": self.foreign,
                "foreign_orders": [ORDER],
            },
            "/alarms": {"alarms": []},
            "/closes/req-1": CLOSE_DONE,
        }
        return answers[path]

    async def readiness(self, service: str) -> dict[str, Any]:
        is_ready = service not in self.away
        return {"ready": is_ready, "dependencies": {} if is_ready else {"process": "cannot be reached"}}


class Reports:
    async def positions(self) -> Sequence[OpenPosition]:
        return []

    async def foreign_positions(self) -> Sequence[ForeignPosition]:
        texts = ("symbol", "side")
        values = {
            name: Decimal(value) if isinstance(value, str) and name not in texts else value
            for name, value in FOREIGN.items()
        }
        return [ForeignPosition(**values, first_seen_at=NOON, seen_at=NOON)]  # type: ignore[arg-type]


@pytest.fixture
def services() -> Services:
    return Services()


async def said(services: Services, name: str, *arguments: str, language: Any = "en") -> str:
    reports: Any = Reports()
    reads = ChatReads(services, reports, Phrases(language), ManualClock(NOON), "paper")
    return (await reads.answer(Ask(name), Command(name, arguments), VIEWER)).text


async def test_positions_show_what_is_not_ours_and_that_it_has_no_stop(services: Services) -> None:
    services.foreign = [FOREIGN]
    shown = await said(services, "positions")
    assert "BTCUSDT" in shown
    assert "▼ XRPUSDT 1000  -10.00 · not ours ⚠ NO STOP" in shown
    assert "XRPUSDT buy LIMIT @ 0.5" in shown
    assert "not ours" in await said(services, "position", "XRP")


async def test_what_is_not_ours_is_shown_from_the_record_while_execute_is_away(services: Services) -> None:
    services.away = {"execute"}
    assert "XRPUSDT" in await said(services, "positions")


async def test_the_status_is_green_only_when_trades_are_made(services: Services) -> None:
    assert (await said(services, "status")).startswith("🟢 ACTIVE: entries and exits are traded")
    services.risk = services.risk | {"entries_blocked_by": [LOSS]}
    shown = await said(services, "status")
    assert shown.startswith("🔴 No new entries are traded; exits are")
    assert "The day's loss is 7 %; entries need it below 5 %." in shown
    assert "오늘 손실" in await said(services, "status", language="ko")
    assert "The day's loss is 7 %" in await said(services, "risk")


@pytest.mark.parametrize("away", ["execute", "brain"])
async def test_the_status_is_not_green_while_a_service_is_away(services: Services, away: str) -> None:
    services.away = {away}
    shown = await said(services, "status")
    assert shown.startswith("🔴")
    assert f"{away.upper()} is not ready" in shown


async def test_why_knows_a_close_by_its_request(services: Services) -> None:
    shown = await said(services, "why", "req-1")
    assert shown.startswith("Close of BTCUSDT: done")
    assert "+8.97" in shown
