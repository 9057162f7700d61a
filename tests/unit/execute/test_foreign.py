"""What is not ours is named as such, with the stop that stands for it or none (U1)."""

from decimal import Decimal

import msgspec
import pytest

from services.execute.foreign import orders_of, positions_of
from services.execute.venue import OrderSide
from shared.values import Side
from tests.unit.execute.builders import BTC, INSTALLATION
from tests.unit.execute.test_reconciliation import OURS, algo, order, position, view


def test_a_position_of_nobody_is_foreign_and_one_on_the_other_side_as_well() -> None:
    held = [position(), position("ETHUSDT", Side.SHORT), position("XRPUSDT")]
    ours = {(BTC, Side.LONG), ("XRPUSDT", Side.SHORT)}
    found = positions_of(held, [], ours)
    assert [(each.symbol, each.side, each.has_stop) for each in found] == [
        ("ETHUSDT", Side.SHORT, False),
        ("XRPUSDT", Side.LONG, False),
    ]
    assert found[0].leverage == 20


@pytest.mark.parametrize(
    ("order_type", "side", "status", "has_stop"),
    [
        ("STOP_MARKET", OrderSide.SELL, "NEW", True),
        ("STOP", OrderSide.SELL, "NEW", True),
        ("TRAILING_STOP_MARKET", OrderSide.SELL, "NEW", True),
        ("TAKE_PROFIT_MARKET", OrderSide.SELL, "NEW", False),
        ("STOP_MARKET", OrderSide.BUY, "NEW", False),
        ("STOP_MARKET", OrderSide.SELL, "CANCELED", False),
    ],
)
def test_only_a_standing_stop_that_closes_is_one(
    order_type: str, side: OrderSide, status: str, has_stop: bool
) -> None:
    stop = msgspec.structs.replace(algo("x-1", status, side), order_type=order_type)
    (found,) = positions_of([position()], [stop], ())
    assert found.has_stop is has_stop
    assert found.stop_price == (Decimal(49_000) if has_stop else None)


def test_orders_of_others_are_listed_and_ours_are_not() -> None:
    done = msgspec.structs.replace(order("web_2"), status="FILLED")
    seen = view([], [algo(OURS[0]), algo("web_1")], [order("web_3"), done, order(f"p95{INSTALLATION}-abc-e")])
    assert {each.client_id for each in orders_of(seen, INSTALLATION)} == {"web_1", "web_3"}
