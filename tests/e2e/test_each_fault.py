"""Each fault of the exchange alone gives what the transition table says, and every promise holds.

The table is docs/EXECUTION.md's: what was surely not executed fails, what is unknown is looked up, what
stands is protected or closed. Each row names the fault, what the trader does, and the end of it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infrastructure.drill.promises import judge
from infrastructure.drill.reading import Sources, read_truth
from tests.chaos.faults import EXCHANGE_FAULTS
from tests.e2e.conftest import busy_phoenix
from tests.e2e.phoenix import CALM, Phoenix
from tests.eventually import eventually

SYMBOL = "DOTUSDT"
CLOCK_SYMBOLS = {"clock ahead": "AVAXUSDT", "clock behind": "LINKUSDT"}
"""What a wrong clock has stamped must not fall into the time of the next test on the symbol."""
UNPROTECTED_MAX = timedelta(seconds=25)
PATIENCE_S = 40.0
LONGEST_SKEW = timedelta(seconds=4)
CLOCK_AHEAD = "phoenix_exchange_clock_ahead_seconds "

OPENED = ("protected", None)
UNAVAILABLE = ("failed", "exchange_unavailable")
UNKNOWN = ("failed", "unknown")


@pytest.fixture(scope="module")
async def shared_phoenix() -> AsyncIterator[Phoenix]:
    """A system of its own: so many lost trades leave it no odds, and no other test may be sized by those."""
    async with busy_phoenix() as phoenix:
        yield phoenix


@pytest.fixture
async def careful(phoenix: Phoenix) -> AsyncIterator[Phoenix]:
    """Small positions, and no limit of the day: every row of the table loses a little."""
    base = {"risk_per_trade_max": "0.001", "daily_loss_max": "1", "drawdown_max": "1"}
    await phoenix.update_risk(limits=base | {"account_data_age_max_s": "60", "probes_per_day_max": 1_000})
    yield phoenix
    await phoenix.heal_exchange()
    await eventually(lambda: knows_the_time(phoenix), PATIENCE_S, what="the exchange's true time")
    normal = {"risk_per_trade_max": "0.02", "daily_loss_max": "0.05", "drawdown_max": "0.15"}
    await phoenix.update_risk(limits=normal | {"account_data_age_max_s": "10", "probes_per_day_max": 2})


async def knows_the_time(phoenix: Phoenix) -> bool:
    """Tell whether EXECUTE has noticed that the exchange's clock is right again."""
    metrics = (await phoenix.http.get(f"{phoenix.system.url('execute')}/metrics")).text
    line = next(each for each in metrics.splitlines() if each.startswith(CLOCK_AHEAD))
    return abs(float(line.split()[-1])) < 0.5


@dataclass(frozen=True)
class End:
    """An entry's state and why it ended."""

    state: str
    reason: str | None


async def end_of(phoenix: Phoenix, signal_id: str, state: str) -> End:
    """Wait until the entry of a signal is in a state."""

    async def look() -> Any:
        rows = await phoenix.rows(
            "admin", "SELECT state::text, ended_reason FROM execute.entries WHERE signal_id = $1", signal_id
        )
        return End(rows[0]["state"], rows[0]["ended_reason"]) if rows and rows[0]["state"] == state else None

    found: End = await eventually(look, PATIENCE_S, what=f"{signal_id} {state}")
    return found


async def breaches(phoenix: Phoenix, begun_at: datetime, symbol: str) -> list[str]:
    """Return what is broken about a symbol since then."""
    settings = phoenix.system.settings
    sources = Sources(
        postgres_url=settings["PHOENIX_POSTGRES_URL"],
        admin_password=settings["PHOENIX_ADMIN_DB_PASSWORD"],
        amqp_url=settings["PHOENIX_AMQP_URL"],
        exchange_url=settings["PHOENIX_EXCHANGE_BASE_URL"],
        installation=settings["PHOENIX_INSTALLATION"],
    )
    truth = (await read_truth(sources, ())).since(begun_at, {symbol})
    return [each for verdict in judge(truth, UNPROTECTED_MAX) for each in verdict.breaches]


async def every_promise_holds(phoenix: Phoenix, begun_at: datetime, symbol: str = SYMBOL) -> None:
    """Wait until the promises hold: the last facts may still be on their way."""
    last: list[str] = []

    async def look() -> bool:
        last[:] = await breaches(phoenix, begun_at, symbol)
        return not last

    try:
        await eventually(look, PATIENCE_S)
    except AssertionError:
        raise AssertionError(f"broken: {last}") from None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("entry executed, 503 unknown", OPENED),
        ("entry executed, -1007", OPENED),
        ("entry executed, -1006", OPENED),
        ("entry executed, 408", OPENED),
        ("entry executed, reset", OPENED),
        ("entry answered late", OPENED),
        ("entry carried out late", OPENED),
        ("entry lost, 503 unknown", UNKNOWN),
        ("entry lost, reset", UNKNOWN),
        ("entry arrives late", ("failed", "clock_skew")),
        ("entry unavailable", UNAVAILABLE),
        ("entry internal error", UNAVAILABLE),
        ("entry throttled", UNAVAILABLE),
        ("entry refused", ("failed", "exchange_refused")),
        ("entry fills in part", OPENED),
        ("stop would trigger", ("closed", "unprotected")),
        ("stop refused twice", OPENED),
        ("stop placed, 503 unknown", OPENED),
        ("target lost, reset", OPENED),
        ("orders invisible", OPENED),
        ("stops invisible", OPENED),
    ],
)
async def test_a_fault_while_entering(careful: Phoenix, fault: str, expected: tuple[str, str | None]) -> None:
    begun_at = datetime.now(UTC)
    await careful.admin("faults", dict(EXCHANGE_FAULTS[fault]))
    signal_id = await careful.alert(SYMBOL, "buy", **CALM)

    end = await end_of(careful, signal_id, expected[0])

    assert (end.state, end.reason) == expected
    await every_promise_holds(careful, begun_at)


@pytest.mark.parametrize(
    "fault",
    [
        "close executed, 503 unknown",
        "close unavailable",
        "cancel executed, reset",
        "fills invisible",
        "user stream silent",
        "clock ahead",
        "clock behind",
        "429",
        "418",
    ],
)
async def test_a_fault_while_closing(careful: Phoenix, fault: str) -> None:
    symbol = CLOCK_SYMBOLS.get(fault, SYMBOL)
    begun_at = datetime.now(UTC) - (LONGEST_SKEW if fault in CLOCK_SYMBOLS else timedelta(0))
    signal_id = await careful.alert(symbol, "buy", **CALM)
    await end_of(careful, signal_id, "protected")
    await careful.admin("faults", dict(EXCHANGE_FAULTS[fault]))
    exit_id = await careful.alert(symbol, "close")

    assert await end_of(careful, signal_id, "closed") == End("closed", "exit_signal")
    assert (await careful.outcome(exit_id))["outcome"] == "closed"
    await every_promise_holds(careful, begun_at, symbol)


@pytest.mark.parametrize("fault", ["user stream silent", "user stream gap", "user stream dropped"])
@pytest.mark.parametrize(("share", "reason"), [("0.975", "stop_loss"), ("1.025", "take_profit")])
async def test_stop_and_target_fire_while_the_stream_fails(
    careful: Phoenix, fault: str, share: str, reason: str
) -> None:
    begun_at = datetime.now(UTC)
    signal_id = await careful.alert(SYMBOL, "buy", **CALM)
    await end_of(careful, signal_id, "protected")
    await careful.admin("faults", dict(EXCHANGE_FAULTS[fault]))
    price = await careful.last_price(SYMBOL)
    await careful.price_to(SYMBOL, price * Decimal(share))

    assert await end_of(careful, signal_id, "closed") == End("closed", reason)
    await every_promise_holds(careful, begun_at)  # the price stays: moved back, it would meet the next entry


@pytest.mark.parametrize(
    ("act", "reason"),
    [("close", "external"), ("liquidate", "liquidation"), ("adl", "adl"), ("settle", "settlement")],
)
async def test_a_position_that_others_end(careful: Phoenix, act: str, reason: str) -> None:
    begun_at = datetime.now(UTC)
    signal_id = await careful.alert(SYMBOL, "buy", **CALM)
    await end_of(careful, signal_id, "protected")
    await careful.admin(f"hand/{act}", {"symbol": SYMBOL})

    assert await end_of(careful, signal_id, "closed") == End("closed", reason)
    await every_promise_holds(careful, begun_at)


@pytest.mark.parametrize("role", ["s", "t"])
async def test_a_stop_or_target_that_somebody_cancels_is_put_back(careful: Phoenix, role: str) -> None:
    begun_at = datetime.now(UTC)
    signal_id = await careful.alert(SYMBOL, "buy", **CALM)
    await end_of(careful, signal_id, "protected")
    cancelled = next(each for each in await _standing(careful) if each.endswith(f"-{role}"))
    await careful.admin("hand/cancel", {"client_id": cancelled})
    assert "CANCELED" in await _statuses(careful, cancelled), "it was taken away, however soon it is back"

    await eventually(lambda: _stands(careful, cancelled), PATIENCE_S)
    await every_promise_holds(careful, begun_at)


async def _standing(phoenix: Phoenix) -> set[str]:
    return {each.client_id for each in (await phoenix.held()).algos}


async def _statuses(phoenix: Phoenix, client_id: str) -> set[str]:
    """Return the states of all conditional orders that ever bore this id, from the exchange's ledger."""
    base = phoenix.system.settings["PHOENIX_EXCHANGE_BASE_URL"]
    rows = (await phoenix.http.get(f"{base}/admin/ledger")).json()["algoOrders"]
    return {row["algoStatus"] for row in rows if row["clientAlgoId"] == client_id}


async def _stands(phoenix: Phoenix, client_id: str) -> bool:
    return client_id in await _standing(phoenix)
