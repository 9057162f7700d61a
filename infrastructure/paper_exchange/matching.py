"""The synthetic order book and how an order takes from it.

Knows prices, levels and quantities of one symbol at one moment. Must never know accounts, time or
randomness: the same quote always gives the same book. Liquidity is not consumed by fills; every order meets
the full book.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from infrastructure.paper_exchange.symbols import SymbolRules
from infrastructure.paper_exchange.values import ZERO, Side, floor_to

BOOK_LEVELS_MAX = 100
_LEVEL_GROWTH = Decimal("0.2")


@dataclass(frozen=True, slots=True)
class BookShape:
    """How deep and wide the synthetic book is: spread and gap as fractions of price, depth in USDT."""

    spread_ratio: Decimal = Decimal("0.00001")
    level_gap_ratio: Decimal = Decimal("0.00002")
    level_depth_usdt: Decimal = Decimal(50_000)


class Level(NamedTuple):
    """One price level of the book."""

    price: Decimal
    quantity: Decimal


class Fill(NamedTuple):
    """A quantity executed at a price."""

    price: Decimal
    quantity: Decimal


class TopOfBook(NamedTuple):
    """Best bid and ask prices."""

    bid: Decimal
    ask: Decimal


def top_of_book(last: Decimal, rules: SymbolRules, shape: BookShape) -> TopOfBook:
    """Best prices around the last trade: at least one tick apart, never below one tick."""
    spread = max(rules.tick, _round_up(last * shape.spread_ratio, rules.tick))
    bid = max(rules.tick, (last - spread / 2).quantize(rules.tick, ROUND_FLOOR))
    bid = floor_to(bid, rules.tick)
    return TopOfBook(bid, bid + spread)


def levels(
    side: Side, last: Decimal, rules: SymbolRules, shape: BookShape, count: int = BOOK_LEVELS_MAX
) -> Iterator[Level]:
    """The best `count` levels that an order of `side` would take from: asks for BUY, bids for SELL.

    Levels are made one by one as they are asked for, because most orders end at the first.
    """
    top = top_of_book(last, rules, shape)
    gap = side.sign * max(rules.tick, _round_up(last * shape.level_gap_ratio, rules.tick))
    best = top.ask if side is Side.BUY else top.bid
    for depth in range(min(count, BOOK_LEVELS_MAX)):
        price = best + gap * depth
        if price < rules.tick:
            return
        usdt = shape.level_depth_usdt * (1 + _LEVEL_GROWTH * depth)
        yield Level(price, max(rules.step, floor_to(usdt / price, rules.step)))


def take(side: Side, quantity: Decimal, limit: Decimal | None, book: Iterable[Level]) -> list[Fill]:
    """Walk the book for `quantity`; a `limit` stops the walk at the first worse price."""
    fills: list[Fill] = []
    remaining = quantity
    for level in book:
        if limit is not None and not crosses(side, limit, level.price):
            break
        taken = min(remaining, level.quantity)
        fills.append(Fill(level.price, taken))
        remaining -= taken
        if not remaining:
            break
    return fills


def share_of(quantity: Decimal, share: Decimal, step: Decimal) -> Decimal:
    """A share (0..1) of a quantity in whole steps, at least one step."""
    return max(step, floor_to(quantity * share, step))


def crosses(side: Side, limit: Decimal, price: Decimal) -> bool:
    """Whether a limit order of `side` would trade at `price`."""
    return price <= limit if side is Side.BUY else price >= limit


def filled_quantity(fills: Sequence[Fill]) -> Decimal:
    """Sum of the quantities."""
    return sum((fill.quantity for fill in fills), ZERO)


def _round_up(value: Decimal, step: Decimal) -> Decimal:
    return (value / step).to_integral_value(ROUND_CEILING) * step
