"""How orders meet the synthetic book."""

from decimal import Decimal

import pytest

from infrastructure.paper_exchange import matching
from infrastructure.paper_exchange.matching import BookShape, Level
from infrastructure.paper_exchange.values import Side
from tests.unit.paper_exchange.builders import BTC, RULES

SHAPE = BookShape()
D = Decimal
BOOK = [Level(D(100), D(1)), Level(D(101), D(2)), Level(D(102), D(3))]


@pytest.mark.parametrize("symbol", list(RULES))
def test_every_book_has_a_spread_of_whole_ticks_around_the_last_price(symbol: str) -> None:
    rules = RULES[symbol]
    top = matching.top_of_book(rules.start_price, rules, SHAPE)
    assert 0 < top.bid <= rules.start_price <= top.ask
    assert top.ask - top.bid >= rules.tick
    assert top.bid % rules.tick == 0
    assert top.ask % rules.tick == 0


def test_levels_move_away_from_the_best_price_and_grow() -> None:
    asks = list(matching.levels(Side.BUY, D(50_000), RULES[BTC], SHAPE, 5))
    bids = list(matching.levels(Side.SELL, D(50_000), RULES[BTC], SHAPE, 5))
    assert [level.price for level in asks] == sorted(level.price for level in asks)
    assert [level.price for level in bids] == sorted((level.price for level in bids), reverse=True)
    assert asks[4].quantity > asks[0].quantity


def test_a_book_near_zero_has_no_prices_below_one_tick() -> None:
    rules = RULES["DOGEUSDT"]
    bids = list(matching.levels(Side.SELL, rules.tick * 3, rules, SHAPE))
    assert bids
    assert min(level.price for level in bids) >= rules.tick


def test_a_big_order_walks_the_levels() -> None:
    fills = matching.take(Side.BUY, D("2.5"), None, BOOK)
    assert fills == [(D(100), D(1)), (D(101), D("1.5"))]


def test_a_limit_stops_the_walk() -> None:
    fills = matching.take(Side.BUY, D(5), D(101), BOOK)
    assert matching.filled_quantity(fills) == 3


def test_an_order_larger_than_the_book_is_filled_in_part() -> None:
    assert matching.filled_quantity(matching.take(Side.BUY, D(10), None, BOOK)) == 6


def test_a_limit_away_from_the_book_takes_nothing() -> None:
    assert matching.take(Side.BUY, D(1), D(99), BOOK) == []
