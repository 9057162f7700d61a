"""The market as a recorded tape, thinly traded: a refusal explained to the digit, and a stop that the tape
reaches.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.phoenix import Phoenix, telegram_settings, using
from tests.eventually import eventually
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import RunningSystem, throwaway_stack

HISTORY_BARS = 60  # the tape's beginning is what was before the start
FLAT_BARS = HISTORY_BARS + 90  # calm while the system starts and the alerts are sent
FALLING_BARS = 200
FALL_PER_BAR = Decimal("0.9975")
TRADED_PER_BAR_USDT = Decimal(300)  # 432,000 USDT a day: below the lowest band of the volume factors
TAPE_SPEED = 60  # a minute of the tape each second


def _write_tape(path: Path) -> None:
    """Calm at 50,000, then a steady fall."""
    lines, price, at = (
        ["timestamp,open,high,low,close,volume"],
        Decimal(50_000),
        datetime(2022, 1, 1, tzinfo=UTC),
    )
    for number in range(FLAT_BARS + FALLING_BARS):
        close = price if number < FLAT_BARS else (price * FALL_PER_BAR).quantize(Decimal("0.1"))
        lines.append(f"{at:%Y-%m-%d %H:%M:%S},{price},{price},{close},{close},{TRADED_PER_BAR_USDT}")
        price, at = close, at + timedelta(minutes=1)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
async def on_tape(tmp_path: Path) -> AsyncIterator[Phoenix]:
    tape = tmp_path / "tape.csv"
    _write_tape(tape)
    playing = {
        "PHOENIX_PAPER_TAPE": str(tape),
        "PHOENIX_PAPER_TAPE_SYMBOL": "BTCUSDT",
        "PHOENIX_PAPER_TAPE_SPEED": str(TAPE_SPEED),
        "PHOENIX_PAPER_HISTORY_BARS": str(HISTORY_BARS),
    }
    async with TelegramStandIn() as telegram:
        with throwaway_stack() as stack:
            await asyncio.to_thread(stack.start, overrides=telegram_settings(telegram) | playing)
            async with using(RunningSystem(stack), telegram) as phoenix:
                yield phoenix


async def test_thin_market_is_refused_to_the_digit_and_a_falling_tape_reaches_the_stop(
    on_tape: Phoenix,
) -> None:
    at_the_example = {"price": "50000", "macd": "0.5", "rsi": "45"}
    refused = await on_tape.alert("BTCUSDT", "buy", confidence="0.8", **at_the_example)
    assert (await on_tape.outcome(refused))["reason"] == "final_gate"
    checks = (await on_tape.told(refused, "trade.rejected.v1"))["checks"]
    assert checks[-1]["measured"].startswith("0.848094695378125")
    assert "final_gate: 0.848094, limit at least 0.85 — refuse" in await on_tape.cli("why", refused)

    entry = await on_tape.alert("BTCUSDT", "buy", confidence="1", price="50000", macd="250", rsi="50")
    assert (await on_tape.outcome(entry))["outcome"] == "opened"

    async def has_closed() -> bool:
        return not (await on_tape.held()).positions

    await eventually(has_closed, 180, what="the tape to reach the stop")
    closed = await on_tape.told(entry, "position.closed.v1")
    assert closed["reason"] == "stop_loss"
    assert Decimal(closed["pnl_usdt"]) < 0
    assert not (await on_tape.held()).algos
