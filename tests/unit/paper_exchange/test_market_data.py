"""Bars, day statistics, index, mark price and funding rate."""

from decimal import Decimal

import pytest

from infrastructure.paper_exchange import market_payloads
from infrastructure.paper_exchange.market import (
    FUNDING_INTERVAL_MS,
    INTERVALS_MS,
    Market,
    SymbolMarket,
    next_funding_ms,
)
from infrastructure.paper_exchange.prices import PriceMove, TapeBar
from tests.unit.paper_exchange.builders import BTC, RULES, START_MS, state

D = Decimal
MINUTE_MS = 60_000
NOON_MS = START_MS - START_MS % FUNDING_INTERVAL_MS


def market(bars: int = 3) -> SymbolMarket:
    found = Market(RULES, state().quotes)[BTC]
    found.seed([TapeBar(D(50_000), D(50_100), D(49_900), D(50_000), D(1_000_000))] * bars, NOON_MS)
    return found


def test_seeded_bars_end_just_before_now() -> None:
    bars = market().klines(MINUTE_MS)
    assert [bar.open_ms for bar in bars] == [
        NOON_MS - 3 * MINUTE_MS,
        NOON_MS - 2 * MINUTE_MS,
        NOON_MS - MINUTE_MS,
    ]
    assert bars[0].volume == 20


def test_moves_build_the_open_bar_and_the_next_minute_starts_another() -> None:
    found = market()
    for price, seconds in ((50_010, 1), (50_030, 2), (50_020, 3), (50_040, 61)):
        found.trade(PriceMove(D(price), D(1_000)), NOON_MS + seconds * 1_000)
    closed, current = found.klines(MINUTE_MS)[-2:]
    assert (closed.open, closed.high, closed.low, closed.close) == (
        D(50_010),
        D(50_030),
        D(50_010),
        D(50_020),
    )
    assert (current.open_ms, current.open, current.trades) == (NOON_MS + MINUTE_MS, D(50_040), 1)


def test_longer_intervals_are_merged_from_minutes() -> None:
    (bar,) = market(5).klines(INTERVALS_MS["5m"])
    assert (bar.open, bar.high, bar.low, bar.close) == (D(50_000), D(50_100), D(49_900), D(50_000))
    assert bar.volume == 100


def test_day_statistics_add_up_the_bars() -> None:
    day = market(10).day()
    assert (day.high, day.low, day.quote_volume) == (D(50_100), D(49_900), D(10_000_000))


def test_the_mark_price_follows_a_move_only_gradually() -> None:
    found = market()
    found.trade(PriceMove(D(51_000), D(0)), NOON_MS + 200)
    assert 50_000 < found.mark < 50_100
    for step in range(2, 200):
        found.trade(PriceMove(D(51_000), D(0)), NOON_MS + step * 200)
    assert abs(found.mark - 51_000) < 50


def test_a_jump_takes_index_and_mark_along() -> None:
    found = market()
    found.jump(D(60_000), D(59_000), NOON_MS + 1)
    assert (found.last, found.mark, found.index) == (D(60_000), D(59_000), D(59_000))


def test_without_a_premium_the_funding_rate_is_the_interest() -> None:
    assert market().funding_rate() == D("0.0001")


def test_the_funding_rate_is_capped() -> None:
    found = market()
    found.premium = found.index / 10
    assert found.funding_rate() == D("0.003")


@pytest.mark.parametrize(
    ("offset", "hours"), [(0, 8), (1, 8), (FUNDING_INTERVAL_MS - 1, 8), (FUNDING_INTERVAL_MS, 16)]
)
def test_funding_times_are_every_eight_hours(offset: int, hours: int) -> None:
    assert next_funding_ms(NOON_MS + offset) == NOON_MS + hours * 60 * MINUTE_MS


def test_exchange_info_lists_what_clients_need() -> None:
    info = market_payloads.exchange_info(RULES, [], NOON_MS)
    btc = next(each for each in info["symbols"] if each["symbol"] == BTC)
    filters = {each["filterType"]: each for each in btc["filters"]}
    assert filters["MIN_NOTIONAL"]["notional"] == "50"
    assert filters["PRICE_FILTER"]["tickSize"] == "0.10"
    assert (filters["PERCENT_PRICE"]["multiplierUp"], filters["PERCENT_PRICE"]["multiplierDown"]) == (
        "1.05",
        "0.95",
    )
    assert {"LIMIT", "MARKET", "STOP_MARKET", "TAKE_PROFIT_MARKET"} <= set(btc["orderTypes"])
