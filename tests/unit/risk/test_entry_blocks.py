"""What is said to refuse every entry is what a decision refuses for, limit by limit (U2)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.risk.correlation import Correlations
from services.risk.entry_blocks import blocks_of, market_of
from services.risk.position_manager import Book
from services.risk.status import Reading
from shared.market import Tick
from shared.values import TradingState
from tests.unit.risk.builders import NOW, account, case, tick


def reading(book: Book) -> Reading:
    return Reading(book, case().limits, Correlations(), NOW)


def reasons(book: Book, ticks: dict[str, Tick] | None = None) -> list[str]:
    seen = {"BTCUSDT": tick()} if ticks is None else ticks
    return [each["reason"] for each in blocks_of(reading(book), seen)]


def book(**changes: Any) -> Book:
    return Book(account=account(**changes))


def test_nothing_refuses_in_a_healthy_account() -> None:
    assert reasons(book()) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": TradingState.REDUCING}, "trading_reducing"),
        ({"state": TradingState.HALTED}, "trading_halted"),
        ({"snapshot_taken_at": None}, "account_data_stale"),
        ({"snapshot_taken_at": NOW - timedelta(seconds=60)}, "account_data_stale"),
        ({"snapshot_taken_at": NOW + timedelta(seconds=60)}, "account_data_stale"),
        ({"equity_usdt": Decimal(0)}, "account_empty"),
        ({"available_usdt": Decimal(0)}, "free_balance"),
        ({"peak_equity_usdt": Decimal(20_000)}, "drawdown"),
    ],
)
def test_each_trouble_of_the_account_is_a_reason(changes: dict[str, Any], reason: str) -> None:
    assert reason in reasons(book(**changes))


def test_each_count_at_its_limit_is_a_reason() -> None:
    limits = case().limits
    full = msgspec.structs.replace(
        book(),
        entries_today=limits.entries_per_day_max,
        entries_last_minute=limits.entries_per_minute_max,
    )
    assert reasons(full) == ["entries_per_day_max", "entries_per_minute_max"]
    nearly = msgspec.structs.replace(full, entries_today=limits.entries_per_day_max - 1)
    assert reasons(nearly) == ["entries_per_minute_max"]


def test_a_market_without_prices_is_a_reason_and_one_silent_symbol_is_not() -> None:
    old = msgspec.structs.replace(tick(), received_at=NOW - timedelta(minutes=2))
    assert reasons(book(), {}) == ["market_data_stale"]
    assert reasons(book(), {"BTCUSDT": old}) == ["market_data_stale"]
    assert reasons(book(), {"BTCUSDT": old, "ETHUSDT": tick()}) == []
    seen = market_of({"BTCUSDT": old, "ETHUSDT": tick()}, case().limits, NOW)
    assert (seen["symbols"], seen["fresh"], seen["stale"]) == (2, 1, ["BTCUSDT"])
