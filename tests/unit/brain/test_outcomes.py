"""One fact, one meaning: which outcome it decides, which trade it books, whose story it is."""

from decimal import Decimal

import pytest

from services.brain.outcomes import closed_trade, outcome_of, position_change, stories
from shared.models import BooksCompleted, Message, OrderPlaced, SignalEnded
from shared.values import CloseReason, OutcomeKind, Side
from tests.unit.brain.builders import (
    NOON,
    close_ignored,
    closed,
    fact,
    opened,
    order_ended,
    position,
    rejected,
)

PLACED = OrderPlaced(
    signal_id="sig-a",
    symbol="BTCUSDT",
    side=Side.LONG,
    client_id="p95x-1-e",
    exchange_order_id="1",
    order_type="LIMIT",
    quantity=Decimal(1),
    limit_price=None,
    claimed_at=NOON,
    accepted_at=NOON,
)
ENDED = SignalEnded(signal_id="sig-a", symbol="BTCUSDT", outcome=OutcomeKind.FAILED, reason="parked")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (rejected("sig-a", "daily_loss"), ("sig-a", OutcomeKind.REJECTED, "daily_loss")),
        (order_ended("sig-a"), ("sig-a", OutcomeKind.EXPIRED, "slippage")),
        (order_ended("sig-a", OutcomeKind.FAILED), ("sig-a", OutcomeKind.FAILED, "slippage")),
        (opened("sig-a"), ("sig-a", OutcomeKind.OPENED, "protected")),
        (close_ignored("sig-x"), ("sig-x", OutcomeKind.NO_OP, "no position")),
        (ENDED, ("sig-a", OutcomeKind.FAILED, "parked")),
        (
            closed("sig-a", CloseReason.EXIT_SIGNAL, "sig-x"),
            ("sig-x", OutcomeKind.CLOSED, "exit_signal"),
        ),
    ],
)
def test_facts_that_decide(message: Message, expected: tuple[str, OutcomeKind, str]) -> None:
    found = outcome_of(message)
    assert found is not None
    assert (found.signal_id, found.kind, found.reason) == expected


@pytest.mark.parametrize(
    "message",
    [
        PLACED,
        closed("sig-a"),
        closed("sig-a", CloseReason.OPERATOR, "req-1"),
        closed("sig-a", CloseReason.OPPOSITE_SIGNAL, "sig-b"),  # the opposite entry has an outcome of its own
    ],
)
def test_facts_that_decide_nothing(message: Message) -> None:
    assert outcome_of(message) is None


def test_return_is_net_of_fees_and_funding_over_what_was_entered() -> None:
    trade = closed_trade(closed("sig-a"))
    assert trade is not None
    assert trade.net_pnl_usdt == 190  # 200 − 8 − 2
    assert trade.return_fraction == Decimal("0.019")  # of 0.2 · 50 000


def test_position_that_cost_nothing_books_no_trade() -> None:
    empty = position("sig-a", quantity=Decimal(0))
    assert closed_trade(closed("sig-a", position=empty)) is None


def test_position_changes() -> None:
    was = position_change(opened("sig-a", 3))
    gone = position_change(closed("sig-a", version=7))
    assert was is not None
    assert gone is not None
    assert (was.is_open, was.version, gone.is_open, gone.version) == (True, 3, False, 7)
    assert position_change(PLACED) is None


def test_closing_belongs_to_the_entry_and_to_who_closed_it() -> None:
    closing = fact(closed("sig-a", CloseReason.EXIT_SIGNAL, "sig-x"), "sig-a")
    assert stories(closing) == ("sig-a", "sig-x")
    assert stories(fact(closed("sig-a"), "sig-a")) == ("sig-a",)


def test_trade_with_incomplete_books_is_booked_when_they_are_complete_and_not_before() -> None:
    """Half a result would move the odds, and with them the size of every later position."""
    half = closed("sig-a", exit_price=None, pnl_usdt=Decimal(0), missing="fills: refused (-1102)")
    assert closed_trade(half) is None
    assert position_change(half) is not None, "its risk is free all the same"
    complete = BooksCompleted(
        signal_id="sig-a",
        position=position("sig-a"),
        reason=CloseReason.STOP_LOSS,
        closed_by=None,
        exit_price=Decimal(49_000),
        pnl_usdt=Decimal(-200),
        fees_usdt=Decimal(8),
        funding_usdt=Decimal(0),
        closed_at=half.closed_at,
    )
    trade = closed_trade(complete)
    assert trade is not None
    assert (trade.signal_id, trade.net_pnl_usdt) == ("sig-a", Decimal(-208))
    assert outcome_of(complete) is None
    assert position_change(complete) is None
