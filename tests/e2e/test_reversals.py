"""Two alerts of one second, exit and entry: the new position stands, whatever arrives first (P8, P9)."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.e2e.phoenix import CALM, Phoenix
from tests.eventually import eventually

REVERSALS = {
    "BTCUSDT": ("close", "sell", 0.0),
    "ETHUSDT": ("sell", "close", 0.0),
    "SOLUSDT": ("close", "sell", 0.3),
    "XRPUSDT": ("sell", "close", 0.3),
}
"""By symbol: what comes first, what second, how many seconds later."""


@pytest.mark.parametrize("on_opposite", ["close", "reverse"])
async def test_reversal_ends_in_the_new_position(phoenix: Phoenix, on_opposite: str) -> None:
    await phoenix.update_risk(limits={"on_opposite": on_opposite})
    opened = [await phoenix.alert(symbol, "buy", timenow=_stamp(), **CALM) for symbol in REVERSALS]
    for entry in opened:
        assert (await phoenix.outcome(entry))["outcome"] == "opened"
    old = _stamp()
    await eventually(lambda: _stamp() != old, what="another second than the first entries'")

    entries = await asyncio.gather(*(_reverse(phoenix, symbol, *how) for symbol, how in REVERSALS.items()))

    assert {(await phoenix.outcome(entry))["outcome"] for entry in entries} == {"opened"}
    held = {each.symbol: each.side.value for each in (await phoenix.held()).positions}
    assert held == dict.fromkeys(REVERSALS, "short")


async def _reverse(phoenix: Phoenix, symbol: str, first: str, second: str, gap_s: float) -> str:
    stamp, sent = _stamp(), {}
    for action, wait_s in ((first, gap_s), (second, 0.0)):
        sent[action] = await phoenix.alert(symbol, action, timenow=stamp, **CALM)
        await asyncio.sleep(wait_s)
    return sent["sell"]


def _stamp() -> str:
    """Now, as TradingView says it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
