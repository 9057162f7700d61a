"""The life of an entry: one table, equal to the database's, and one step for every state."""

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import infrastructure.postgres
from services.execute.order_state import (
    FINAL,
    HAS_POSITION,
    LOST_REASON,
    TRANSITIONS,
    Control,
    EntryState,
    Step,
    next_step,
    why_void,
)
from services.execute.store import QUERIES
from shared.values import TradingState
from tests.unit.execute.builders import NOON, approval, entry

ACTIVE = Control(state=TradingState.ACTIVE, trading_epoch=1)
HALTED = Control(state=TradingState.HALTED, trading_epoch=2)
TIMEOUT_S = Decimal(10)
MIGRATIONS = Path(infrastructure.postgres.__path__[0]) / "migrations"


def step(state: EntryState, control: Control = ACTIVE, after_s: float = 0, ahead_s: float = 0) -> Step:
    now = NOON + timedelta(seconds=after_s)
    return next_step(entry(state), control, now, TIMEOUT_S, timedelta(seconds=ahead_s))


def test_table_has_a_row_for_every_state_and_names_only_states() -> None:
    assert set(TRANSITIONS) == set(EntryState)
    assert all(following <= set(EntryState) for following in TRANSITIONS.values())


def test_table_equals_the_comments_of_the_database_type() -> None:
    sql = (MIGRATIONS / "0004_pre_execute.sql").read_text(encoding="utf-8")
    body = sql.split("CREATE TYPE execute.entry_state AS ENUM (", 1)[1].split(");", 1)[0]
    told = {
        EntryState(name): frozenset(map(EntryState, re.findall(r"\b\w+\b", following)))
        for name, following in re.findall(r"'(\w+)'.*?->\s*([\w, ]+)", body)
    }
    assert told == {state: following for state, following in TRANSITIONS.items() if following}


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("claim", EntryState.SENDING),
        ("record_fill", EntryState.FILLED),
        ("record_protected", EntryState.PROTECTED),
        ("record_closing", EntryState.CLOSING),
        ("record_closed", EntryState.CLOSED),
    ],
)
def test_every_compare_and_set_is_a_row_of_the_table(query: str, target: EntryState) -> None:
    condition = QUERIES[query].split("WHERE", 1)[1].split("RETURNING", 1)[0]
    compared = re.findall(r"state (?:=|IN) (\([^)]*\)|'\w+')", condition)
    sources = {EntryState(name) for part in compared for name in re.findall(r"'([a-z]+)'", part)}
    assert sources == {state for state, following in TRANSITIONS.items() if target in following}


def test_adoption_is_for_lost_entries_only() -> None:
    assert f"ended_reason = '{LOST_REASON}'" in QUERIES["record_fill"]
    assert f"ended_reason = '{LOST_REASON}'" in QUERIES["lost"]


def test_final_states_have_no_step() -> None:
    assert {state for state in EntryState if step(state) is Step.REST} == FINAL | {EntryState.PROTECTED}
    assert not FINAL & HAS_POSITION


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (EntryState.INTENT, Step.ENTER),
        (EntryState.SENDING, Step.LOOK_UP),
        (EntryState.FILLED, Step.PROTECT),
        (EntryState.PROTECTED, Step.REST),
        (EntryState.CLOSING, Step.CLOSE),
        (EntryState.CLOSED, Step.REST),
        (EntryState.EXPIRED, Step.REST),
        (EntryState.FAILED, Step.REST),
    ],
)
def test_step_of_every_state(state: EntryState, expected: Step) -> None:
    assert step(state) is expected


@pytest.mark.parametrize("state", set(EntryState) - {EntryState.INTENT})
def test_halt_stops_nothing_that_was_sent(state: EntryState) -> None:
    """P9: it blocks entries only; what is claimed, filled or closing goes its way."""
    assert step(state, HALTED) is step(state)


@pytest.mark.parametrize(
    ("after_s", "ahead_s", "expected"),
    [
        (10, 0, Step.PROTECT),
        (10.001, 0, Step.FLATTEN),
        (70, 60, Step.PROTECT),
        (5, -6, Step.FLATTEN),
    ],
)
def test_budget_runs_on_the_exchanges_clock(after_s: float, ahead_s: float, expected: Step) -> None:
    assert step(EntryState.FILLED, after_s=after_s, ahead_s=ahead_s) is expected


@pytest.mark.parametrize(
    ("control", "after_s", "reason"),
    [
        (ACTIVE, 30, None),
        (ACTIVE, 30.001, "approval_expired"),
        (HALTED, 0, "trading_halted"),
        (Control(state=TradingState.REDUCING, trading_epoch=1), 0, "trading_halted"),
        (Control(state=TradingState.ACTIVE, trading_epoch=2), 0, "trading_epoch_passed"),
        (Control(state=TradingState.ACTIVE, trading_epoch=0), 0, None),
    ],
)
def test_why_an_approval_is_void(control: Control, after_s: float, reason: str | None) -> None:
    assert why_void(approval(), control, NOON + timedelta(seconds=after_s)) == reason


def test_position_of_a_partial_fill_has_its_share_of_margin_and_risk() -> None:
    half = entry(EntryState.FILLED, filled_quantity=Decimal("0.05")).position()
    assert (half.quantity, half.margin_usdt, half.risk_usdt) == (
        Decimal("0.05"),
        Decimal(125),
        Decimal("52.5"),
    )
