"""EXECUTE's prices and books for all inputs: against ourselves, on the tick, and adding up."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.paper_exchange.symbols import listed_symbols
from services.execute.execution_rules import (
    ClosedBooks,
    close_books,
    close_reason,
    has_drifted,
    limit_price,
    slippage,
    stop_price,
    take_profit_price,
)
from services.execute.order_state import Entry, EntryState
from services.execute.venue import OrderSide, VenueTrade
from shared.values import CloseReason, Side
from tests.unit.execute.builders import NOON, entry, trade

TICKS = sorted({each.tick for each in listed_symbols().values()})
EIGHT_PLACES = Decimal("0.00000001")

sides = st.sampled_from(Side)
ticks = st.sampled_from(TICKS)
fractions = st.decimals("0.0001", "0.05", places=4)


@st.composite
def prices(draw: st.DrawFn) -> tuple[Decimal, Decimal]:
    """A tick and a price on it, large enough that a tick is small beside it."""
    tick = draw(ticks)
    return tick, tick * draw(st.integers(20_000, 20_000_000))


@given(prices(), sides, fractions)
def test_limit_is_on_the_tick_and_never_pays_more_than_the_tolerance(
    market: tuple[Decimal, Decimal], side: Side, tolerance: Decimal
) -> None:
    tick, best = market
    limit = limit_price(best, side, tolerance, tick)
    assert limit % tick == 0
    assert side.sign * (limit - best) >= 0, "an IOC that cannot meet the best price fills nothing"
    assert side.sign * (limit - best) <= best * tolerance


@given(prices(), sides, fractions)
def test_stop_loses_at_most_the_plan_and_target_comes_at_latest_as_planned(
    market: tuple[Decimal, Decimal], side: Side, distance: Decimal
) -> None:
    tick, at = market
    stop, target = stop_price(at, side, distance, tick), take_profit_price(at, side, distance, tick)
    assert stop % tick == 0
    assert target % tick == 0
    assert 0 <= side.sign * (at - stop) <= at * distance
    assert 0 <= side.sign * (target - at) <= at * distance
    if at * distance >= tick:
        assert stop != at
        assert target != at
    assert at * distance - side.sign * (at - stop) < tick, "rounded by less than one tick"


@given(prices(), sides, st.decimals("-0.01", "0.01", places=4))
def test_slippage_is_positive_when_worse(market: tuple[Decimal, Decimal], side: Side, moved: Decimal) -> None:
    _, reference = market
    worse = slippage(reference, reference * (1 + side.sign * moved), side)
    assert worse == pytest.approx(moved)


@given(prices(), st.decimals("0", "0.02", places=5))
def test_drift_is_judged_both_ways_alike(market: tuple[Decimal, Decimal], moved: Decimal) -> None:
    _, reference = market
    limit = Decimal("0.005")
    up, down = reference * (1 + moved), reference * (1 - moved)
    assert has_drifted(reference, up, limit) == has_drifted(reference, down, limit) == (moved > limit)


# --- books ---


@st.composite
def split(draw: st.DrawFn, lots: int) -> list[int]:
    """`lots` cut into pieces."""
    cuts = sorted(draw(st.sets(st.integers(1, lots - 1), max_size=4))) if lots > 1 else []
    return [end - start for start, end in zip([0, *cuts], [*cuts, lots], strict=True)]


@st.composite
def stories(draw: st.DrawFn) -> tuple[Entry, list[VenueTrade], list[VenueTrade]]:
    """A filled entry, its fills and closing fills, and what others traded before and after."""
    side = draw(sides)
    lots = draw(st.integers(1, 500))
    opened = entry(EntryState.PROTECTED, side=side, filled_quantity=Decimal(lots) / 1000)
    opening, closing = OrderSide.opening(side), OrderSide.closing(side)
    number = 0
    ours: list[VenueTrade] = []
    for order, way in ((opened.exchange_order_id, opening), ("c", closing)):
        for position, piece in enumerate(draw(split(lots))):
            number += 1
            name = str(order) if order != "c" else f"exit-{draw(st.integers(1, 3))}-{position}"
            ours.append(_fill(number, name, way, piece, draw))
    foreign = [
        _fill(number + 1 + each, "foreign-later", draw(st.sampled_from(OrderSide)), 7, draw)
        for each in range(draw(st.integers(0, 3)))
    ]
    before = [_fill(-1 - each, "foreign-before", closing, 5, draw) for each in range(draw(st.integers(0, 2)))]
    return opened, ours, [*foreign, *before]


NUMBERED_FROM = 1_000


def _fill(number: int, order: str, way: OrderSide, lots: int, draw: st.DrawFn) -> VenueTrade:
    return trade(
        number if number > 0 else 0,
        order,
        way,
        str(Decimal(lots) / 1000),
        trade_id=str(number + NUMBERED_FROM),
        filled_at=NOON + timedelta(milliseconds=number, seconds=draw(st.integers(-5, 5))),  # clocks are set
        price=Decimal(draw(st.integers(4_000_000, 6_000_000))) / 100,
        fee_usdt=draw(st.decimals("0", "5", places=8)),
        realised_pnl_usdt=draw(st.decimals("-50", "50", places=8)),
    )


def books_of(opened: Entry, trades: Sequence[VenueTrade]) -> ClosedBooks:
    books = close_books(opened, trades)
    assert books is not None
    return books


@given(stories(), st.randoms())
def test_books_hold_our_fills_and_nobody_elses_in_whatever_order_they_come(
    story: tuple[Entry, list[VenueTrade], list[VenueTrade]], order: "st.DataObject"
) -> None:
    opened, ours, foreign = story
    shuffled = [*ours, *foreign]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    books = books_of(opened, shuffled)
    assert sorted(books.fills, key=lambda each: int(each.trade_id)) == ours
    exits = [each for each in ours if each.side is OrderSide.closing(opened.side)]
    assert books.pnl_usdt == sum(each.realised_pnl_usdt for each in exits)
    assert books.fees_usdt == sum(each.fee_usdt for each in ours)
    assert sum(each.quantity for each in exits) == opened.filled_quantity
    turnover = sum(each.price * each.quantity for each in exits)
    assert books.exit_price is not None
    assert abs(books.exit_price * opened.filled_quantity - turnover) <= EIGHT_PLACES * opened.filled_quantity
    assert (books.exit_order_id, books.closed_at) == (exits[-1].order_id, exits[-1].filled_at)


@given(stories(), st.data())
def test_books_wait_until_every_fill_is_visible(
    story: tuple[Entry, list[VenueTrade], list[VenueTrade]], data: st.DataObject
) -> None:
    opened, ours, foreign = story
    hidden = data.draw(st.sampled_from(ours))
    closing = OrderSide.closing(opened.side)
    before = [each for each in foreign if int(each.trade_id) < NUMBERED_FROM]
    visible = [each for each in [*ours, *before] if each is not hidden]
    assert close_books(opened, visible) is None, "a fill that is missing must not be made up by older trades"
    assert closing in OrderSide


@given(st.integers(1, 500), st.integers(1, 500), st.decimals("0", "5", places=8))
def test_fill_that_turned_the_position_round_counts_as_far_as_it_closed(
    lots: int, beyond: int, fee: Decimal
) -> None:
    opened = entry(EntryState.PROTECTED, filled_quantity=Decimal(lots) / 1000)
    fills = [
        trade(1, str(opened.exchange_order_id), OrderSide.BUY, str(Decimal(lots) / 1000)),
        trade(2, "by-hand", OrderSide.SELL, str(Decimal(lots + beyond) / 1000), fee_usdt=fee),
    ]
    books = books_of(opened, fills)
    assert books.fills[-1].quantity == opened.filled_quantity
    share = fee * lots / (lots + beyond)
    assert abs(books.fills[-1].fee_usdt - share) <= EIGHT_PLACES
    assert books.exit_price == fills[-1].price


@given(
    sides,
    st.integers(1, 500),
    st.integers(0, 500),
    st.integers(0, 500),
    st.tuples(*[st.decimals("40000", "60000", places=1)] * 3),
)
def test_fill_that_also_closed_what_a_stranger_added_is_shared_by_quantity(
    side: Side, lots: int, added: int, beyond: int, traded_at: tuple[Decimal, Decimal, Decimal]
) -> None:
    """The exchange realises the whole position against its one average price; ours is our share of that."""
    opened = entry(EntryState.PROTECTED, side=side, filled_quantity=Decimal(lots) / 1000)
    opening, closing = OrderSide.opening(side), OrderSide.closing(side)
    ours_at, theirs_at, closed_at = traded_at
    average = (lots * ours_at + added * theirs_at) / (lots + added)
    realised = side.sign * (closed_at - average) * (lots + added) / 1000
    close = trade(
        3,
        "by-hand",
        closing,
        str(Decimal(lots + added + beyond) / 1000),
        price=closed_at,
        realised_pnl_usdt=round(realised, 8),
    )
    fills = [trade(1, str(opened.exchange_order_id), opening, str(Decimal(lots) / 1000)), close]
    if added:
        fills.append(trade(2, "by-hand-2", opening, str(Decimal(added) / 1000)))
    books = books_of(opened, fills)
    assert abs(books.pnl_usdt - realised * lots / (lots + added)) <= 2 * EIGHT_PLACES
    assert books.exit_price == closed_at


def test_entry_that_met_a_resting_order_of_the_same_account_is_not_closed_by_it() -> None:
    """Both sides of such a trade are ours and have its number; the position came from the other fill."""
    opened = entry(EntryState.PROTECTED, filled_quantity=Decimal("0.2"))
    fills = [
        trade(1, str(opened.exchange_order_id), OrderSide.BUY, "0.1"),
        trade(1, "by-hand", OrderSide.SELL, "0.1"),
        trade(2, str(opened.exchange_order_id), OrderSide.BUY, "0.1"),
        trade(3, "stop", OrderSide.SELL, "0.2"),
    ]
    assert books_of(opened, fills).fills == (fills[0], fills[2], fills[3])


# --- reasons ---


@pytest.mark.parametrize(
    ("order_id", "client_id", "reason"),
    [
        ("11", "x-by-binance", CloseReason.STOP_LOSS),
        ("12", "x-by-binance", CloseReason.TAKE_PROFIT),
        ("13", "autoclose-1700000000", CloseReason.LIQUIDATION),
        ("13", "adl_autoclose", CloseReason.ADL),
        ("13", "settlement_autoclose-9", CloseReason.SETTLEMENT),
        ("13", None, CloseReason.EXTERNAL),
        ("13", "by-hand", CloseReason.EXTERNAL),
    ],
)
def test_why_a_position_ended(order_id: str, client_id: str | None, reason: CloseReason) -> None:
    assert close_reason(entry(EntryState.PROTECTED), order_id, client_id, "11", "12") is reason


@pytest.mark.parametrize("suffix", ["c", "c2", "c17"])
def test_own_closing_orders_end_it_for_the_reason_it_is_being_closed_for(suffix: str) -> None:
    closing = entry(EntryState.CLOSING)
    ours = closing.client_id[:-1] + suffix
    assert close_reason(closing, "13", ours, None, None) is CloseReason.EXIT_SIGNAL
    other = entry(EntryState.CLOSING, "other").client_id[:-1] + suffix
    assert close_reason(closing, "13", other, None, None) is CloseReason.EXTERNAL
