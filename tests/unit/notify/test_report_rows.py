"""What follows from a report's row alone: the day's result and the drawdown, for chat and dashboard."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.notify.report_rows import Account, SignalLine, drawdown_of
from tests.unit.notify.facts import NOON

D = Decimal


def account(equity: str | None, start: str | None) -> Account:
    return Account(
        state="ACTIVE",
        trading_epoch=1,
        wallet_usdt=None,
        equity_usdt=None if equity is None else D(equity),
        available_usdt=None,
        snapshot_taken_at=NOON,
        day=NOON.date(),
        day_start_equity_usdt=None if start is None else D(start),
        peak_equity_usdt=None,
    )


@pytest.mark.parametrize(
    ("equity", "start", "pnl"),
    [("990", "1000", D(-10)), ("1000", "1000", D(0)), (None, "1000", None), ("990", None, None)],
)
def test_the_days_result_is_equity_against_its_first(
    equity: str | None, start: str | None, pnl: Decimal | None
) -> None:
    assert account(equity, start).day_pnl_usdt(NOON) == pnl


def test_yesterdays_start_says_nothing_of_today() -> None:
    assert account("990", "1000").day_pnl_usdt(NOON + timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("equity", "peak", "drawdown"),
    [
        ("900", "1000", D("0.1")),
        ("1001", "1000", D(0)),  # the peak is told a moment later than the equity
        (None, "1000", None),
        ("900", None, None),
        ("900", "0", None),
    ],
)
def test_drawdown_is_the_share_below_the_peak(
    equity: str | None, peak: str | None, drawdown: Decimal | None
) -> None:
    found = drawdown_of(None if equity is None else D(equity), None if peak is None else D(peak))

    assert found == drawdown


LINE = SignalLine(
    signal_id="sig-a",
    origin="alert",
    strategy="trend",
    symbol="BTCUSDT",
    action="long",
    confidence=Decimal("0.8"),
    price=None,
    alert_time=None,
    received_at=NOON,
    phoenix95_score=None,
    final_confidence=None,
    outcome="opened",
    reason="protected",
    decided_at=NOON,
)


@pytest.mark.parametrize(
    ("changes", "name", "tone"),
    [
        ({"position_state": "protected"}, "open", "open"),
        ({"position_state": "filled"}, "unprotected", "bad"),
        ({"position_state": "closing"}, "closing", "open"),
        ({"position_state": "closed", "closed_reason": "liquidation", "net_usdt": 1}, "liquidation", "bad"),
        ({"position_state": "closed", "closed_reason": "stop_loss", "net_usdt": -81}, "closed", "bad"),
        ({"position_state": "closed", "closed_reason": "take_profit", "net_usdt": 9}, "closed", "good"),
        ({"position_state": "closed", "closed_reason": "external", "net_usdt": None}, "closed", "none"),
        ({"outcome": "closed", "closed_trades": 1, "realised_usdt": -7}, "closed", "bad"),
        ({"outcome": "rejected"}, "rejected", "bad"),
        ({"outcome": "no_op"}, "no_op", "none"),
        ({"outcome": None}, "on_its_way", "none"),
    ],
)
def test_a_signal_is_called_by_what_became_of_it(changes: dict[str, Any], name: str, tone: str) -> None:
    """U4: a liquidated trade stayed green, opened and protected."""
    money = {key: Decimal(changes[key]) for key in ("net_usdt", "realised_usdt") if changes.get(key)}
    result = replace(LINE, **{**changes, **money}).result
    assert (result.name, result.tone) == (name, tone)
