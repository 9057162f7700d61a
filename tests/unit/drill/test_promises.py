"""A checker that cannot fail proves nothing: each breach, made by hand, is found by its promise."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infrastructure.drill.promises import judge
from infrastructure.drill.truth import (
    Charge,
    DeadLetter,
    EntryRow,
    SignalRow,
    Truth,
    VenueAlgo,
    VenueOrder,
    VenueTrade,
)

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
BUDGET = timedelta(seconds=10)
ONE = Decimal(1)

ENTRY = EntryRow(
    signal_id="sig-a",
    client_id="p95test-a-e",
    symbol="BTCUSDT",
    side="long",
    state="protected",
    created_at=NOON,
    filled_quantity=ONE,
    first_fill_at=NOON,
    closed_at=None,
    net_pnl_usdt=None,
)
FILL = VenueTrade(
    trade_id="1",
    symbol="BTCUSDT",
    order_id="11",
    side="buy",
    quantity=ONE,
    net_usdt=Decimal("-0.5"),
    traded_at=NOON,
)
ORDER = VenueOrder(
    order_id="11",
    client_id="p95test-a-e",
    symbol="BTCUSDT",
    status="FILLED",
    executed_quantity=ONE,
    placed_at=NOON,
)
STOP = VenueAlgo(
    client_id="p95test-a-s",
    symbol="BTCUSDT",
    status="NEW",
    created_at=NOON + timedelta(seconds=1),
    changed_at=NOON + timedelta(seconds=1),
)
TARGET = replace(STOP, client_id="p95test-a-t")
OPENED = SignalRow(
    signal_id="sig-a",
    symbol="BTCUSDT",
    action="long",
    received_at=NOON,
    outcome="opened",
    reason="protected",
)
EXIT = replace(OPENED, signal_id="sig-x", action="exit", outcome="no_op", reason="no_position")
OPEN = Truth(
    installation="test",
    accepted=frozenset({"sig-a", "sig-again", "sig-x"}),
    duplicates={"sig-again": "sig-a"},
    signals=(OPENED, EXIT),
    entries=(ENTRY,),
    booked_trades=frozenset(),
    reserved={"sig-a": "BTCUSDT"},
    dead_letters=(),
    messages_owed=0,
    orders=(ORDER,),
    algos=(STOP, TARGET),
    trades=(FILL,),
    positions={"BTCUSDT": ONE},
    wallet_usdt=Decimal("999.5"),
    wallet_before_usdt=Decimal(1000),
    charges=(),
)
CLOSING_FILL = replace(FILL, trade_id="2", order_id="12", side="sell", net_usdt=Decimal(7))
FLAT = replace(
    OPEN,
    entries=(replace(ENTRY, state="closed", closed_at=NOON + BUDGET, net_pnl_usdt=Decimal("6.5")),),
    booked_trades=frozenset({("BTCUSDT", "1"), ("BTCUSDT", "2")}),
    reserved={},
    algos=(
        replace(STOP, status="FINISHED", changed_at=NOON + BUDGET),
        replace(TARGET, status="CANCELED", changed_at=NOON + BUDGET),
    ),
    trades=(FILL, CLOSING_FILL),
    positions={},
    wallet_usdt=Decimal("1006.5"),
)


def broken(truth: Truth) -> list[str]:
    return [verdict.promise.title for verdict in judge(truth, BUDGET) if not verdict.held]


@pytest.mark.parametrize("truth", [OPEN, FLAT], ids=["open", "flat"])
def test_a_good_end_breaks_nothing(truth: Truth) -> None:
    assert broken(truth) == []


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"accepted": frozenset({"sig-lost"})}, "accepted means durable"),
        ({"duplicates": {"sig-again": "sig-lost"}}, "accepted means durable"),
        ({"signals": (OPENED, replace(EXIT, outcome=None))}, "one outcome for every signal"),
        ({"signals": (OPENED, replace(EXIT, outcome="opened"))}, "one outcome for every signal"),
        ({"signals": (replace(OPENED, outcome="closed"), EXIT)}, "one outcome for every signal"),
        ({"signals": (replace(OPENED, outcome="expired"), EXIT)}, "the outcome is what happened"),
        (
            {"signals": (replace(OPENED, outcome="failed", reason="exchange_refused"), EXIT)},
            "the outcome is what happened",
        ),
        (
            {
                "signals": (OPENED, EXIT, replace(EXIT, signal_id="sig-d", outcome=None)),
                "dead_letters": (DeadLetter(queue="q.dead", schema="s", signal_id="sig-d"),),
            },
            "dead letters have told their end",
        ),
        ({"messages_owed": 1}, "no message is owed"),
        ({"orders": (ORDER, replace(ORDER, order_id="12"))}, "at most one entry order per signal"),
        (
            {"orders": (ORDER, replace(ORDER, client_id="p95test-b-e", executed_quantity=Decimal(0)))},
            "at most one entry order per signal",
        ),
        ({"algos": (TARGET,)}, "no position without a stop"),
        ({"algos": (replace(STOP, created_at=NOON + 2 * BUDGET), TARGET)}, "no position without a stop"),
        ({"reserved": {}}, "reservations are open positions"),
        ({"reserved": {"sig-a": "BTCUSDT", "sig-b": "BTCUSDT"}}, "reservations are open positions"),
        ({"orders": (replace(ORDER, executed_quantity=Decimal(2)),)}, "no fill goes unnoticed"),
        ({"positions": {"BTCUSDT": ONE, "ETHUSDT": ONE}}, "fills = position = books"),
        ({"trades": (replace(FILL, quantity=Decimal(2)),)}, "fills = position = books"),
        ({"algos": (STOP, TARGET, replace(STOP, client_id="p95test-z-s"))}, "no orphan order of ours"),
        ({"wallet_usdt": Decimal(1000)}, "money is conserved"),
        (
            {"signals": (OPENED, replace(EXIT, outcome="failed", reason="exchange_refused"))},
            "every exit is answered",
        ),
    ],
)
def test_a_breach_is_found_by_its_promise(changes: dict[str, Any], title: str) -> None:
    assert title in broken(replace(OPEN, **changes))


def test_a_profit_that_the_books_have_otherwise_is_found() -> None:
    wrong = replace(FLAT.entries[0], net_pnl_usdt=Decimal("6.4"))
    assert broken(replace(FLAT, entries=(wrong,))) == ["money is conserved"]


def test_trades_of_a_stranger_on_the_account_are_nobodys_breach() -> None:
    there = replace(FILL, trade_id="8", symbol="ETHUSDT", net_usdt=Decimal(-3))
    back = replace(there, trade_id="9", side="sell", net_usdt=Decimal(-3))
    truth = replace(FLAT, trades=(*FLAT.trades, there, back), wallet_usdt=FLAT.wallet_usdt - 6)
    assert broken(truth) == []


@pytest.mark.parametrize("reason", ["unknown", "parked", "closed:unprotected"])
def test_an_entry_that_failed_may_have_filled_for_these_reasons(reason: str) -> None:
    failed = replace(OPENED, outcome="failed", reason=reason)
    assert broken(replace(FLAT, signals=(failed, EXIT))) == []


def test_a_position_closed_within_the_budget_needs_no_stop() -> None:
    assert broken(replace(FLAT, algos=())) == []
    late = replace(FLAT.entries[0], closed_at=NOON + 2 * BUDGET)
    assert broken(replace(FLAT, algos=(), entries=(late,))) == ["no position without a stop"]


def test_a_gap_after_the_first_stop_is_found() -> None:
    cancelled = replace(STOP, status="CANCELED", changed_at=NOON + 2 * BUDGET)
    for back_after_s, titles in ((9, []), (11, ["no position without a stop"])):
        back_at = cancelled.changed_at + timedelta(seconds=back_after_s)
        back = replace(STOP, created_at=back_at, changed_at=back_at)
        assert broken(replace(OPEN, algos=(back, cancelled, TARGET))) == titles


def test_a_stop_that_was_taken_away_before_the_position_closed_leaves_a_gap() -> None:
    late = replace(FLAT.entries[0], closed_at=NOON + 3 * BUDGET)
    assert broken(replace(FLAT, entries=(late,))) == ["no position without a stop"]


def test_a_stop_that_was_replaced_by_one_that_came_first_leaves_none() -> None:
    later = replace(STOP, created_at=NOON + BUDGET, changed_at=NOON + BUDGET)
    earlier = replace(STOP, status="CANCELED", changed_at=NOON + 2 * BUDGET)
    assert broken(replace(OPEN, algos=(earlier, later, TARGET))) == []


def test_rows_that_the_exchange_forgot_prove_nothing() -> None:
    assert broken(replace(FLAT, is_complete=False)) == ["money is conserved"]


def test_a_look_at_one_symbol_sees_what_began_there_since_and_nothing_else() -> None:
    """A drill in a system that has traded for months judges its own trade."""
    before = replace(ENTRY, signal_id="sig-old", client_id="p95test-old-e", symbol="ETHUSDT")
    busy = replace(
        FLAT,
        entries=(before, *FLAT.entries),
        trades=(replace(FILL, trade_id="0", symbol="ETHUSDT"), *FLAT.trades),
        charges=(Charge(symbol="ETHUSDT", amount_usdt=Decimal(-9), charged_at=NOON),),
        reserved={"sig-old": "ETHUSDT"},
        positions={"ETHUSDT": ONE},
        dead_letters=(DeadLetter(queue="q.dead", schema="s", signal_id="sig-old"),),
        is_complete=False,
    )
    assert broken(busy)
    assert broken(busy.since(NOON, {"BTCUSDT"})) == []
    assert busy.since(NOON + BUDGET, {"BTCUSDT"}).entries == ()
