"""An exit that overtakes its entry, wherever the entry waits: in the end nothing stands (P8, P9)."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from tests.e2e.phoenix import CALM, Phoenix
from tests.eventually import eventually


@contextlib.contextmanager
def frozen(phoenix: Phoenix, program: str) -> Iterator[None]:
    """Let a program stand still: what is sent to it waits in its queue."""
    stack = phoenix.system.stack
    stack.kill_program(program, signal.SIGSTOP)
    try:
        yield
    finally:
        stack.kill_program(program, signal.SIGCONT)


async def test_exit_overtakes_an_entry_that_waits_for_brain_to_score_it(phoenix: Phoenix) -> None:
    """Without prices BRAIN keeps entries in hand and passes exits on."""
    with frozen(phoenix, "redis"):
        entry = await phoenix.alert("BTCUSDT", "buy", **CALM)
        leave = await phoenix.alert("BTCUSDT", "close")
        assert (await phoenix.outcome(leave))["outcome"] == "no_op"
        assert (await phoenix.story(entry) or {"outcome": None})["outcome"] is None
    ended = await phoenix.outcome(entry)
    # Right after the silence RISK may find the prices too old; either way it is not opened.
    assert ended["reason"] in {"superseded", "market_data_stale"}
    await _nothing_stands(phoenix)


async def test_exit_overtakes_an_entry_that_waits_for_risk(phoenix: Phoenix) -> None:
    with frozen(phoenix, "risk-0"):
        entry = await phoenix.alert("ETHUSDT", "buy", **CALM)
        await phoenix.told(entry, "analysis.completed.v1")
        leave = await phoenix.alert("ETHUSDT", "close")
        assert (await phoenix.outcome(leave))["outcome"] == "no_op"
    ended = await phoenix.outcome(entry)
    assert (ended["outcome"], ended["reason"]) == ("expired", "superseded")
    await phoenix.told(entry, "trade.approved.v1")
    await eventually(lambda: _is_free(phoenix, entry), what="its reservation is free again")
    await _nothing_stands(phoenix)


async def test_exit_and_entry_that_wait_for_execute_together_leave_nothing(phoenix: Phoenix) -> None:
    """They wait in two queues; whichever is taken up first."""
    with frozen(phoenix, "execute-0"):
        entry = await phoenix.alert("SOLUSDT", "buy", **CALM)
        await phoenix.told(entry, "trade.approved.v1")
        leave = await phoenix.alert("SOLUSDT", "close")
        await phoenix.told(leave, "trade.close.v1")
    ended = await phoenix.outcome(entry), await phoenix.outcome(leave)
    assert _told(ended) in {(("expired", "superseded"), "no_op"), (("opened", "protected"), "closed")}
    await eventually(lambda: _is_free(phoenix, entry), what="its reservation is free again")
    await _nothing_stands(phoenix)


def _told(ended: tuple[dict[str, Any], dict[str, Any]]) -> tuple[tuple[str, str], str]:
    entry, leave = ended
    return (entry["outcome"], entry["reason"]), leave["outcome"]


async def _is_free(phoenix: Phoenix, signal_id: str) -> bool:
    return all(each["signal_id"] != signal_id for each in (await phoenix.risk())["reservations"])


async def _nothing_stands(phoenix: Phoenix) -> None:
    held = await phoenix.held()
    assert not held.positions
    assert not held.algos
