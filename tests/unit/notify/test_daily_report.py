"""The report of a day: due once, late rather than missing, and short enough for a phone."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from services.notify.daily.report import DayNumbers, Trade, bounds, due_day, report_id, write
from services.notify.telling.languages import LANGUAGES
from services.notify.telling.rendering import render

DAY = date(2026, 11, 20)
NUMBERS = DayNumbers(
    trades=8,
    wins=5,
    net_usdt=Decimal("212.405"),
    fees_usdt=Decimal("31.2"),
    unprotected_s_max=Decimal("0.214"),
    best=Trade(symbol="BTCUSDT", side="long", net_usdt=Decimal("143.17")),
    worst=Trade(symbol="SOLUSDT", side="short", net_usdt=Decimal("-88.5")),
    outcomes=[
        ("rejected", "final_gate", 18),
        ("opened", "protected", 8),
        ("rejected", "market_data_stale", 5),
        ("expired", "slippage", 2),
    ],
    equity_usdt=Decimal("10212.41"),
    growth=Decimal("0.021241"),
    drawdown=Decimal("0.0123"),
    positions=[("ETHUSDT", "long")],
    state="ACTIVE",
)


def at(hour: int, minute: int, day: int = 21) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (at(0, 4), None),
        (at(0, 5), DAY),
        (at(12, 0), DAY),
        (at(20, 5), DAY),
        (at(20, 6), None),
        (at(0, 6, day=22), date(2026, 11, 21)),
    ],
)
def test_a_report_is_due_from_its_time_until_it_is_no_news(now: datetime, due: date | None) -> None:
    assert due_day(now, "00:05") == due


def test_no_report_when_it_is_off() -> None:
    assert due_day(at(12, 0), "off") is None


def test_a_day_is_utc_and_half_open() -> None:
    assert bounds(DAY) == (at(0, 0, day=20), at(0, 0, day=21))


def test_report_reads_as_expected() -> None:
    report = write(DAY, NUMBERS, at(0, 5), LANGUAGES["en"])
    assert report.event_id == report_id(DAY)
    assert f"{report.title}\n{report.body}" == (
        "2026-11-20: +212.40 USDT\n"
        "8 trades, 5 won (62 %), fees 31.20\n"
        "Best BTCUSDT LONG +143.17\n"
        "Worst SOLUSDT SHORT -88.50\n"
        "Signals: 23 rejected, 8 opened, 2 expired (18 final confidence, 5 market data stale,"
        " 2 not filled within the slippage)\n"
        "Equity 10,212.41 USDT (+2.12 %), drawdown 1.23 %\n"
        "Open: ETHUSDT LONG\n"
        "Longest without a stop 0.21 s\n"
        "Trading is ACTIVE"
    )


def test_korean_report_reads_as_expected() -> None:
    report = write(DAY, NUMBERS, at(0, 5), LANGUAGES["ko"])
    assert f"{report.title}\n{report.body}" == (
        "2026-11-20 일일 보고: +212.40 USDT\n"
        "거래 8건, 수익 5건 (승률 62 %), 수수료 31.20\n"
        "최고 BTCUSDT 롱 +143.17\n"
        "최저 SOLUSDT 숏 -88.50\n"
        "신호: 23 거절, 8 진입, 2 만료 (18 최종 신뢰도, 5 시세 데이터 지연, 2 슬리피지 범위 내 미체결)\n"
        "자산 10,212.41 USDT (+2.12 %), 낙폭 1.23 %\n"
        "보유: ETHUSDT 롱\n"
        "손절 없이 있던 최장 시간 0.21초\n"
        "거래 상태: ACTIVE (정상)"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_day_on_which_nothing_happened_is_told_in_few_lines(language: str) -> None:
    nothing = replace(
        NUMBERS,
        trades=0,
        wins=0,
        net_usdt=Decimal(0),
        fees_usdt=Decimal(0),
        unprotected_s_max=None,
        best=None,
        worst=None,
        outcomes=[],
        equity_usdt=None,
        growth=None,
        drawdown=None,
        positions=[],
    )
    report = write(DAY, nothing, at(0, 5), LANGUAGES[language])
    assert len(report.body.splitlines()) == 3
    assert "0.00 USDT" in report.title


def test_the_fullest_report_goes_with_a_picture() -> None:
    full = replace(
        NUMBERS,
        outcomes=[("rejected", f"a_rather_long_reason_{n}", 1_000 - n) for n in range(50)],
        positions=[(f"SYMBOL{n}USDT", "short") for n in range(10)],
    )
    for words in LANGUAGES.values():
        assert len(render([write(DAY, full, at(0, 5), words)], words).plain) < 1_024
