"""The exchange's view against our books, difference by difference."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from services.execute.order_state import Entry, EntryState
from services.execute.reconciliation import CorrectionKind, VenueView, corrections, protection_ids
from services.execute.venue import AlgoReport, MarginSetup, OrderReport, OrderSide, VenuePosition
from shared.values import Side
from tests.unit.execute.builders import BTC, INSTALLATION, NOON, entry

OURS = protection_ids(entry(), INSTALLATION)


def position(symbol: str = BTC, side: Side = Side.LONG, quantity: str = "0.1") -> VenuePosition:
    return VenuePosition(
        symbol=symbol,
        side=side,
        quantity=Decimal(quantity),
        entry_price=Decimal(50_000),
        mark_price=Decimal(50_000),
        liquidation_price=Decimal(47_700),
        margin_usdt=Decimal(250),
        notional_usdt=Decimal(5_000),
        unrealised_pnl_usdt=Decimal(0),
        setup=MarginSetup(is_isolated=True, leverage=20),
    )


def algo(client_id: str, status: str = "NEW", side: OrderSide = OrderSide.SELL) -> AlgoReport:
    return AlgoReport(
        client_id=client_id,
        algo_id="1",
        symbol=BTC,
        side=side,
        status=status,
        trigger_price=Decimal(49_000),
        actual_order_id=None,
    )


def order(client_id: str) -> OrderReport:
    return OrderReport(
        client_id=client_id,
        order_id="1",
        symbol=BTC,
        side=OrderSide.BUY,
        status="NEW",
        quantity=Decimal("0.1"),
        filled_quantity=Decimal(0),
        average_price=None,
        updated_at=NOON,
    )


def view(
    positions: Sequence[VenuePosition] = (),
    algos: Sequence[AlgoReport] = (),
    orders: Sequence[OrderReport] = (),
) -> VenueView:
    return VenueView(positions=tuple(positions), algos=tuple(algos), orders=tuple(orders))


def found(seen: VenueView, *entries: Entry, lost: Sequence[Entry] = ()) -> list[tuple[CorrectionKind, str]]:
    return [(each.kind, each.subject) for each in corrections(seen, entries, INSTALLATION, lost)]


PROTECTED = entry(EntryState.PROTECTED)
BOTH = [algo(each) for each in OURS]


def test_a_protected_position_is_as_it_should_be() -> None:
    assert found(view([position()], BOTH), PROTECTED) == []


@pytest.mark.parametrize("state", [EntryState.INTENT, EntryState.SENDING, EntryState.FILLED])
@pytest.mark.parametrize("held", [True, False])
def test_unfinished_steps_are_taken_up(state: EntryState, held: bool) -> None:
    unfinished = entry(state)
    seen = view([position()] if held and state is not EntryState.INTENT else [])
    assert found(seen, unfinished) == [(CorrectionKind.ADVANCE, unfinished.signal_id)]


@pytest.mark.parametrize("state", [EntryState.PROTECTED, EntryState.CLOSING])
def test_position_that_is_gone_is_settled(state: EntryState) -> None:
    gone = entry(state)
    assert found(view(algos=BOTH), gone) == [(CorrectionKind.SETTLE, gone.signal_id)]


def test_closing_position_that_still_stands_is_taken_further() -> None:
    closing = entry(EntryState.CLOSING)
    assert found(view([position()]), closing) == [(CorrectionKind.ADVANCE, closing.signal_id)]


def test_position_on_the_other_side_is_not_ours() -> None:
    assert found(view([position(side=Side.SHORT)]), PROTECTED) == [
        (CorrectionKind.SETTLE, PROTECTED.signal_id),
        (CorrectionKind.REPORT_EXTERNAL, BTC),
    ]


@pytest.mark.parametrize("missing", OURS)
@pytest.mark.parametrize("instead", [None, "CANCELED", "EXPIRED", "REJECTED"])
def test_missing_stop_or_target_is_restored(missing: str, instead: str | None) -> None:
    algos = [algo(each) for each in OURS if each != missing]
    if instead is not None:
        algos.append(algo(missing, instead))
    assert found(view([position()], algos), PROTECTED) == [
        (CorrectionKind.RESTORE_PROTECTION, PROTECTED.signal_id)
    ]


def test_other_quantity_is_reported() -> None:
    assert found(view([position(quantity="0.15")], BOTH), PROTECTED) == [
        (CorrectionKind.REPORT_QUANTITY, PROTECTED.signal_id)
    ]


def test_stray_stop_is_cancelled_when_nothing_stands_that_it_protects() -> None:
    assert found(view(algos=BOTH)) == [(CorrectionKind.CANCEL_ALGO, each) for each in OURS]


def test_stray_stop_is_cancelled_over_the_position_of_another_entry_of_ours() -> None:
    other = entry(EntryState.PROTECTED, "other")
    own = [algo(each) for each in protection_ids(other, INSTALLATION)]
    assert found(view([position()], [*own, *BOTH]), other) == [
        (CorrectionKind.CANCEL_ALGO, each) for each in OURS
    ]


def test_stop_stays_over_a_position_that_our_books_do_not_know() -> None:
    """Losing our database must not make a position naked that it protected."""
    assert found(view([position()], BOTH)) == [(CorrectionKind.TAKE_OVER, BTC)]


def test_stop_of_the_other_direction_does_not_protect_it() -> None:
    buys = [algo(each, side=OrderSide.BUY) for each in OURS]
    assert found(view([position()], buys)) == [
        *((CorrectionKind.CANCEL_ALGO, each) for each in OURS),
        (CorrectionKind.REPORT_EXTERNAL, BTC),
    ]


@pytest.mark.parametrize("state", [EntryState.SENDING, EntryState.FILLED, EntryState.CLOSING])
def test_stops_of_a_living_entry_are_its_own(state: EntryState) -> None:
    """Also while the fill is not recorded yet: they are placed before it."""
    assert CorrectionKind.CANCEL_ALGO not in [
        kind for kind, _ in found(view([position()], BOTH), entry(state))
    ]


def test_resting_order_of_ours_without_an_entry_is_cancelled() -> None:
    stray = entry().client_id
    assert found(view(orders=[order(stray)])) == [(CorrectionKind.CANCEL_ORDER, stray)]
    assert found(view(orders=[order(stray)]), entry(EntryState.SENDING)) == [
        (CorrectionKind.ADVANCE, entry().signal_id)
    ]


@pytest.mark.parametrize("client_id", ["by-hand", "p95other-abc-s", "autoclose-1", "x-cvBPrNm9abc", ""])
def test_orders_of_others_are_left_alone(client_id: str) -> None:
    assert found(view(algos=[algo(client_id)], orders=[order(client_id)])) == []


def test_position_of_nobody_is_reported() -> None:
    assert found(view([position("ETHUSDT")])) == [(CorrectionKind.REPORT_EXTERNAL, "ETHUSDT")]


def test_position_of_a_lost_entry_is_adopted() -> None:
    lost = entry(EntryState.FAILED)
    assert found(view([position()]), lost=[lost]) == [(CorrectionKind.ADOPT, lost.signal_id)]
    assert found(view([position(side=Side.SHORT)]), lost=[lost]) == [(CorrectionKind.REPORT_EXTERNAL, BTC)]
    assert found(view(), lost=[lost]) == []


def test_position_of_a_living_entry_is_not_adopted_for_a_lost_one() -> None:
    other = entry(EntryState.PROTECTED, "other")
    own = [algo(each) for each in protection_ids(other, INSTALLATION)]
    assert found(view([position()], own), other, lost=[entry(EntryState.FAILED)]) == []
