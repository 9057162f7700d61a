"""What the keeper shows of the account: danger as the used-up share, and nothing when it keeps it no more."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import prometheus_client
import pytest

from services.execute import account_gauges
from services.execute.account_gauges import danger_of
from shared.models import AccountSnapshot
from shared.values import Side, SnapshotPosition

D = Decimal


def position(**changes: Any) -> SnapshotPosition:
    """Return a long position at 100 that would be liquidated at 95."""
    made = SnapshotPosition(
        signal_id="sig-1",
        symbol="BTCUSDT",
        side=Side.LONG,
        quantity=D(2),
        entry_price=D(100),
        mark_price=D(100),
        liquidation_price=D(95),
        leverage=20,
        margin_usdt=D(10),
        unrealised_pnl_usdt=D(0),
        stop_price=D(98),
    )
    return msgspec.structs.replace(made, **changes)


def short(**changes: Any) -> SnapshotPosition:
    return position(side=Side.SHORT, liquidation_price=D(105), **changes)


@pytest.mark.parametrize(
    ("held", "danger"),
    [
        (position(), "0"),
        (position(mark_price=D(101)), "0"),
        (position(mark_price=D(98)), "0.4"),
        (position(mark_price=D(95)), "1"),
        (position(mark_price=D(94)), "1.2"),
        (short(mark_price=D(102)), "0.4"),
        (short(mark_price=D(99)), "0"),
        (position(liquidation_price=D(0), mark_price=D(50)), "0"),
        (position(liquidation_price=D(100)), "0"),
        (position(liquidation_price=D(110), mark_price=D(120)), "0"),
    ],
)
def test_danger_is_the_used_up_share_of_the_way_to_liquidation(held: SnapshotPosition, danger: str) -> None:
    assert danger_of(held) == D(danger)


def snapshot(*positions: SnapshotPosition) -> AccountSnapshot:
    return AccountSnapshot(
        taken_at=datetime(2026, 3, 2, tzinfo=UTC),
        wallet_usdt=D(1_000),
        equity_usdt=D(1_000),
        available_usdt=D(1_000),
        positions=positions,
    )


def shown(name: str, **labels: str) -> float | None:
    return prometheus_client.REGISTRY.get_sample_value(name, labels)


def test_a_snapshot_replaces_the_one_before_and_a_closed_position_leaves_no_series() -> None:
    naked = position(symbol="ETHUSDT", side=Side.SHORT, stop_price=None, liquidation_price=D(105))
    account_gauges.show(snapshot(position(mark_price=D(98)), naked))
    assert shown("phoenix_exposure_usdt", side="long") == 196
    assert shown("phoenix_exposure_usdt", side="short") == 200
    assert shown("phoenix_positions_without_stop") == 1
    assert shown("phoenix_liquidation_danger_ratio", symbol="BTCUSDT") == pytest.approx(0.4)

    account_gauges.show(snapshot(naked))

    assert shown("phoenix_exposure_usdt", side="long") == 0
    assert shown("phoenix_liquidation_danger_ratio", symbol="BTCUSDT") is None


def test_who_keeps_the_account_no_more_shows_nothing_of_it() -> None:
    account_gauges.show(snapshot(position(stop_price=None, unrealised_pnl_usdt=D(-5))))
    account_gauges.forget()
    assert shown("phoenix_positions_without_stop") is None, "nothing is not zero"
    assert shown("phoenix_unrealised_pnl_usdt") is None
    assert shown("phoenix_exposure_usdt", side="long") is None
    assert shown("phoenix_liquidation_danger_ratio", symbol="BTCUSDT") is None
