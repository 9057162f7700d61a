"""Many alerts at once: exactly as many positions as the binding limit allows; the rest name that limit."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.phoenix import Phoenix
from tests.eventually import eventually

BASES = ("BTC", "ETH", "BNB", "ADA", "DOGE", "XRP", "SOL", "AVAX", "DOT", "LINK")
ONE_PER_SYMBOL = ("symbol_busy", "already_open")
"""What the second alert of a symbol meets that is being entered, or stands."""
SINCE_APPROVAL = Decimal("1.01")
"""The limit holds at the moment of approval; since then equity has paid the entries' own fees. One position
too many would be a fifth and more."""


@pytest.fixture
async def limited(phoenix: Phoenix) -> AsyncIterator[Phoenix]:
    yield phoenix
    await phoenix.update_risk(limits={"positions_max": 10, "portfolio_risk_max": "0.1"})


async def _twenty_alerts(phoenix: Phoenix) -> list[dict[str, Any]]:
    alerts = [phoenix.alert(f"{base}USDT", "buy", strategy=name) for name in ("one", "two") for base in BASES]
    signals = await asyncio.gather(*alerts)
    return list(await asyncio.gather(*(phoenix.outcome(each) for each in signals)))


async def _one_more(phoenix: Phoenix) -> tuple[bool, str]:
    """Ask RISK about a symbol that is not held."""
    held = {each.symbol for each in (await phoenix.held()).positions}
    free = next(f"{base}USDT" for base in BASES if f"{base}USDT" not in held)
    answer = await phoenix.operator("risk", "/check", {"symbol": free, "action": "buy", "confidence": 0.95})
    return answer["approved"], answer["reason"]


@pytest.mark.parametrize(
    ("limit", "value", "allowed"),
    [("positions_max", 4, 4), ("portfolio_risk_max", "0.05", None)],
)
async def test_twenty_alerts_at_once_open_what_the_binding_limit_allows(
    limited: Phoenix, limit: str, value: int | str, allowed: int | None
) -> None:
    await limited.update_risk(limits={limit: value})

    outcomes = await _twenty_alerts(limited)

    opened = [each for each in outcomes if each["outcome"] == "opened"]
    refused = [each["reason"] for each in outcomes if each["outcome"] != "opened"]
    assert {reason for reason in refused if reason not in ONE_PER_SYMBOL} == {limit}
    assert allowed in (None, len(opened))
    held = await limited.held()
    assert len(held.positions) == len(opened)
    assert len(held.algos) == 2 * len(opened), "each with its stop and its target"
    status = await eventually(lambda: _all_settled(limited, len(opened)), what="as many reservations")
    used = next(each for each in status["limits"] if each["name"] == limit)
    assert Decimal(used["used"]) <= Decimal(used["limit"]) * SINCE_APPROVAL, "the limit held at each approval"
    assert await _one_more(limited) == (False, limit), "and it is used up"


async def _all_settled(phoenix: Phoenix, opened: int) -> dict[str, Any] | None:
    """Return RISK's status once it has heard of every end that BRAIN has heard of."""
    status = await phoenix.risk()
    return status if len(status["reservations"]) == opened else None


async def test_without_another_limit_every_symbol_opens_once(phoenix: Phoenix) -> None:
    outcomes = await _twenty_alerts(phoenix)

    reasons = [each["reason"] for each in outcomes if each["outcome"] != "opened"]
    assert len({each.symbol for each in (await phoenix.held()).positions}) == 20 - len(reasons)
    assert set(reasons) <= {*ONE_PER_SYMBOL, "portfolio_risk_max"}
