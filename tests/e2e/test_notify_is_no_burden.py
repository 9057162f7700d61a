"""Telling is not trading: NOTIFY stopped, or in front of a Telegram that hangs, costs an entry nothing.

Run with `-s` to see the numbers.
"""

import statistics
from collections.abc import AsyncIterator, Sequence

import pytest

from shared.topology import NOTIFY_FACTS, NOTIFY_QUEUE_MESSAGES_MAX
from tests.broker import Broker
from tests.e2e.conftest import busy_phoenix
from tests.e2e.phoenix import Phoenix
from tests.eventually import eventually
from tests.integration.telegram_stand_in import Trouble

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
ROUNDS = 2
NOTIFY = "notify-0"
HANGING = Trouble(500, hang_s=60)
SLOWER_S_MAX = 0.25
"""Above what a median of so few entries varies by on a busy machine, far below any time-out of NOTIFY's."""


@pytest.fixture
async def own_phoenix() -> AsyncIterator[Phoenix]:
    async with busy_phoenix() as phoenix:
        yield phoenix


@pytest.mark.timeout(420)
async def test_an_entry_is_protected_as_fast_whatever_becomes_of_notify(own_phoenix: Phoenix) -> None:
    phoenix = own_phoenix
    await _protected_within_s(phoenix, rounds=1)  # everything is warm after this
    running = await _protected_within_s(phoenix)

    phoenix.telegram.answer_next_with(*[HANGING] * 1_000)
    hanging = await _protected_within_s(phoenix)

    phoenix.system.stack.stop_program(NOTIFY)
    stopped = await _protected_within_s(phoenix)
    assert await Broker(phoenix.system).count(NOTIFY_FACTS.name) > 0, "facts wait for NOTIFY"
    assert NOTIFY_FACTS.messages_max == NOTIFY_QUEUE_MESSAGES_MAX, "and never more than this"

    for name, times in {"running": running, "hanging": hanging, "stopped": stopped}.items():
        print(f"NOTIFY {name}: webhook → protected {_told(times)}")
    for times in (hanging, stopped):
        assert statistics.median(times) <= statistics.median(running) + SLOWER_S_MAX

    phoenix.telegram.forget_troubles()
    phoenix.system.stack.await_program(NOTIFY)
    await phoenix.telegram.wait_for(lambda texts: any("opened" in text for text in texts), 60)
    await eventually(lambda: _queue_is_empty(phoenix), 60, what="all facts told")


async def _protected_within_s(phoenix: Phoenix, rounds: int = ROUNDS) -> Sequence[float]:
    """Open positions one after the other and return how long each took from alert to protection."""
    taken = []
    for _ in range(rounds):
        for symbol in SYMBOLS:
            signal_id = await phoenix.alert(symbol, "buy")
            await phoenix.told(signal_id, "position.opened.v1")
            (row,) = await phoenix.rows(
                "execute",
                "SELECT extract(epoch FROM protected_at - signal_received_at)::float8 AS taken_s"
                " FROM execute.entries WHERE signal_id = $1",
                signal_id,
            )
            taken.append(row["taken_s"])
        await phoenix.come_to_rest()
    return taken


async def _queue_is_empty(phoenix: Phoenix) -> bool:
    return await Broker(phoenix.system).count(NOTIFY_FACTS.name) == 0


def _told(times: Sequence[float]) -> str:
    median_ms, worst_ms = statistics.median(times) * 1_000, max(times) * 1_000
    return f"median {median_ms:.1f} ms, worst {worst_ms:.1f} ms, {len(times)} entries"
