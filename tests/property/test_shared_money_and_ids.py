"""Money and identifiers: what holds for every amount and every signal."""

import re
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.ids import OrderRole, client_order_id, digest, is_ours
from shared.money import Rounding, floor_to_step, plain, round_to_tick, stored

QUANTITIES = st.decimals(0, 10**9, places=8)
PRICES = st.decimals(0, 10**7, places=8)
STEPS = st.decimals("0.00000001", 1000, places=8)
BINANCE_CLIENT_ID = re.compile(r"^[\.A-Z\:/a-z0-9_-]{1,36}$")
INSTALLATIONS = st.from_regex(r"\A[a-z2-7]{1,6}\Z")


@given(QUANTITIES, STEPS)
def test_a_size_never_grows_and_loses_less_than_a_step(quantity: Decimal, step: Decimal) -> None:
    rounded = floor_to_step(quantity, step)
    assert 0 <= quantity - rounded < step
    assert rounded % step == 0
    assert floor_to_step(rounded, step) == rounded


@given(PRICES, STEPS, st.sampled_from(Rounding))
def test_a_price_moves_less_than_a_tick_and_only_the_way_it_should(
    price: Decimal, tick: Decimal, rounding: Rounding
) -> None:
    moved = round_to_tick(price, tick, rounding) - price
    assert abs(moved) < tick
    assert (price + moved) % tick == 0
    if rounding is Rounding.DOWN:
        assert moved <= 0
    if rounding is Rounding.UP:
        assert moved >= 0
    if rounding is Rounding.NEAREST:
        assert abs(moved) * 2 <= tick


@given(st.decimals(-(10**19), 10**19, allow_nan=False, allow_infinity=False))
def test_an_amount_that_is_shown_is_the_amount(amount: Decimal) -> None:
    text = plain(amount)
    assert Decimal(text) == amount
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text)
    assert text != "-0"


@given(st.decimals(-(10**11), 10**11, allow_nan=False, allow_infinity=False))
def test_what_the_database_keeps_is_near_and_does_not_change_again(amount: Decimal) -> None:
    kept = stored(amount)
    assert abs(kept - amount) <= Decimal("0.000000005")
    assert stored(kept) == kept


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_digests_are_equal_exactly_when_the_parts_are(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) is (one == other)


@given(INSTALLATIONS, st.text(), st.sampled_from(OrderRole), st.integers(1, 999))
def test_every_order_id_is_one_that_the_exchange_takes_and_we_recognise(
    installation: str, signal: str, role: OrderRole, attempt: int
) -> None:
    made = client_order_id(installation, signal, role, attempt)
    assert BINANCE_CLIENT_ID.match(made)
    assert is_ours(made, installation)
    assert made == client_order_id(installation, signal, role, attempt)


@given(st.sets(st.tuples(st.text(), st.sampled_from(OrderRole), st.integers(1, 50)), min_size=2, max_size=20))
def test_no_two_orders_share_an_id(orders: set[tuple[str, OrderRole, int]]) -> None:
    assert len({client_order_id("local", *order) for order in orders}) == len(orders)
