"""The numbers of the pages: danger, multiples of risk, limits; what nobody knows is never filled in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.notify.dashboard import figures, numerals
from services.notify.dashboard.feeds import candles_of, markers_of
from services.notify.dashboard.figures import Danger, Mark
from services.notify.reports import Bar, OpenPosition

D = Decimal
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HELD = OpenPosition(
    signal_id="sig-1",
    strategy="trend",
    symbol="BTCUSDT",
    side="long",
    quantity=D("0.19"),
    entry_price=D(50_000),
    stop_price=D(49_000),
    take_profit_price=D(51_000),
    leverage=20,
    margin_usdt=D(475),
    risk_usdt=D(200),
    state="protected",
    opened_at=NOW - timedelta(minutes=3),
    protected_at=NOW,
)
MARK = Mark(D(49_500), D(48_000), D(-95))


@pytest.mark.parametrize(
    ("side", "mark", "liquidation", "share", "level"),
    [
        ("long", 50_100, 48_000, "0", Danger.LOW),
        ("long", 49_500, 48_000, "0.25", Danger.MEDIUM),
        ("long", 49_000, 48_000, "0.5", Danger.HIGH),
        ("long", 48_500, 48_000, "0.75", Danger.CRITICAL),
        ("long", 47_000, 48_000, "1", Danger.CRITICAL),
        ("short", 50_500, 52_000, "0.25", Danger.MEDIUM),
        ("short", 49_000, 52_000, "0", Danger.LOW),
    ],
)
def test_danger_is_the_used_up_way_to_liquidation(
    side: str, mark: int, liquidation: int, share: str, level: Danger
) -> None:
    used_up = figures.danger_share(side, D(50_000), D(mark), D(liquidation))

    assert used_up == D(share)
    assert used_up is not None
    assert figures.danger_of(used_up) is level


@pytest.mark.parametrize(
    ("side", "liquidation"), [("long", 0), ("short", 0), ("long", 51_000), ("long", 50_000)]
)
def test_danger_is_not_known_without_a_way_to_liquidation(side: str, liquidation: int) -> None:
    assert figures.danger_share(side, D(50_000), D(52_000), D(liquidation)) is None


def test_a_position_that_cannot_be_liquidated_has_no_liquidation_price() -> None:
    row = {"mark_price": "1", "liquidation_price": "0.00000000", "unrealised_pnl_usdt": "0"}
    document = {"positions": [{"signal_id": "sig-1", **row}]}

    assert figures.marks_of(document)["sig-1"] == Mark(D(1), None, D(0))


def test_without_the_exchange_nothing_is_made_up() -> None:
    line = figures.figures_of(HELD, None, NOW)

    assert (line.danger, line.danger_share, line.risk_multiple, line.margin_share) == (None,) * 4
    assert figures.total_unrealised([line]) is None
    assert numerals.usdt(line.mark.unrealised_usdt) == "–"


def test_result_in_shares_of_the_margin_and_multiples_of_the_risk() -> None:
    line = figures.figures_of(HELD, MARK, NOW)

    assert (line.margin_share, line.risk_multiple) == (D("-0.2"), D("-0.475"))
    assert line.naked_s is None


def test_a_filled_entry_without_a_stop_is_naked_since_its_fill() -> None:
    naked = replace(HELD, protected_at=None, state="filled")

    assert figures.figures_of(naked, MARK, NOW).naked_s == 180
    assert figures.figures_of(replace(naked, state="closing"), MARK, NOW).naked_s is None


def _status(**used: str) -> dict[str, Any]:
    limits = {"portfolio_risk_max": "0.10", "risk_per_trade_max": "0.02", "entries_per_day_max": "0"}
    return {
        "limits": [
            {"name": name, "used": used.get(name), "limit": limit, "unit": "fraction", "about": ""}
            for name, limit in limits.items()
        ]
    }


@pytest.mark.parametrize(("used", "tone"), [("0.05", "ok"), ("0.08", "near"), ("0.12", "full")])
def test_a_limit_says_when_it_is_nearly_used_up(used: str, tone: str) -> None:
    limit = figures.limit_named(_status(portfolio_risk_max=used), "portfolio_risk_max")

    assert limit is not None
    assert limit.tone == tone
    assert limit.share <= 1


def test_a_limit_that_positions_are_sized_to_is_no_warning() -> None:
    limit = figures.limit_named(_status(risk_per_trade_max="0.0201"), "risk_per_trade_max")

    assert limit is not None
    assert limit.tone == "ok"


def test_a_count_without_a_limit_is_no_full_bar() -> None:
    assert figures.limits_in_use(_status(entries_per_day_max="7")) == []


def test_one_minute_bars_make_longer_candles() -> None:
    bars = [
        Bar(
            opened_at=NOW + timedelta(minutes=minute),
            open=D(10 + minute),
            high=D(20 - minute),
            low=D(5 + minute),
            close=D(11 + minute),
            volume=D(1),
        )
        for minute in range(7)
    ]

    first, second = candles_of(bars, 5)

    assert first == {"time": int(NOW.timestamp()), "open": 10, "high": 20, "low": 5, "close": 15}
    assert (second["open"], second["close"]) == (15, 17)
    assert len(candles_of(bars, 1)) == 7


def test_the_entry_of_an_open_position_is_drawn_before_its_books_close() -> None:
    (marker,) = markers_of([], HELD, 1)

    assert (marker["side"], marker["text"]) == ("buy", "buy 0.19")


@pytest.mark.parametrize(
    ("seconds", "text"), [(9, "9 s"), (61, "1 m 1 s"), (7_260, "2 h 1 m"), (90_000, "1 d 1 h"), (None, "–")]
)
def test_durations_are_told_in_two_units(seconds: float | None, text: str) -> None:
    assert numerals.duration(seconds) == text


def test_a_loss_has_a_real_minus_sign() -> None:
    assert numerals.usdt(D("-1234.5"), sign=True) == "−1,234.50"
    assert numerals.percent(D("0.0123"), sign=True) == "+1.23 %"
