"""Facts that come late, twice or out of order leave the same book."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.risk.position_manager import (
    Book,
    ReservationState,
    apply_closed,
    apply_order_ended,
    apply_position,
    apply_snapshot,
)
from shared.models import AccountSnapshot
from shared.values import Position
from tests.unit.risk.builders import NOW, D, book, held, position, seconds, shown, snapshot

IDS = ("sig-0", "sig-1")
Fact = tuple[str, Any]

moments = st.integers(-60, 120).map(lambda count: NOW + seconds(count))


@st.composite
def told_positions(draw: st.DrawFn) -> Position:
    """A signal opens one position, at one time; its versions differ in size."""
    signal_id = draw(st.sampled_from(IDS))
    version = draw(st.integers(1, 4))
    return position(
        signal_id,
        symbol=f"{signal_id}USDT",
        version=version,
        quantity=D(10 - version),
        opened_at=NOW + seconds(IDS.index(signal_id) * 20),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> AccountSnapshot:
    taken_at = draw(moments)
    ids = draw(st.sets(st.sampled_from([*IDS, None])))
    # What the exchange reports at a moment is a function of that moment.
    size = D(int((taken_at - NOW).total_seconds()) + 100)
    return snapshot(
        *(shown(each, symbol=f"{each}USDT", quantity=size) for each in sorted(ids, key=str)),
        taken_at=taken_at,
        equity=size,
    )


facts: st.SearchStrategy[Fact] = st.one_of(
    told_positions().map(lambda told: ("opened", told)),
    told_positions().map(lambda told: ("closed", told)),
    st.sampled_from(IDS).map(lambda signal_id: ("ended", signal_id)),
    snapshots().map(lambda taken: ("snapshot", taken)),
)


def folded(start: Book, told: list[Fact]) -> Book:
    for kind, fact in told:
        match kind:
            case "opened":
                start = apply_position(start, fact)
            case "closed":
                start = apply_closed(start, fact, "stop_loss")
            case "ended":
                start = apply_order_ended(start, fact, "expired: slippage")
            case _:
                start = apply_snapshot(start, fact, D("0.02"))
    return start


def essence(found: Book) -> dict[str, tuple[object, ...]]:
    """Everything that counts against a limit."""
    return {
        each.signal_id: (each.state, each.released_because, each.quantity, each.margin_usdt, each.risk_usdt)
        for each in found.reservations.values()
        if each.state is not ReservationState.RELEASED or each.is_ours
    }


def promised() -> Book:
    return book(*(held(signal_id, f"{signal_id}USDT") for signal_id in IDS))


@given(st.lists(facts, max_size=8, unique_by=repr), st.data())
def test_the_book_does_not_depend_on_the_order_of_facts_nor_on_repetitions(
    told: list[Fact], data: st.DataObject
) -> None:
    # One snapshot per moment: the exchange has one answer to "what stands now?".
    seen: set[object] = set()
    once = [
        fact
        for fact in told
        if fact[0] != "snapshot" or not (fact[1].taken_at in seen or seen.add(fact[1].taken_at))  # type: ignore[func-returns-value]
    ]
    repeated = [*once, *(data.draw(st.lists(st.sampled_from(once), max_size=4)) if once else [])]
    shuffled = data.draw(st.permutations(repeated))
    assert essence(folded(promised(), shuffled)) == essence(folded(promised(), once))


@given(st.lists(facts, max_size=8))
def test_a_told_close_is_final(told: list[Fact]) -> None:
    closed = folded(promised(), [("closed", position("sig-0", symbol="sig-0USDT")), *told])
    assert closed.reservations["sig-0"].state is ReservationState.RELEASED


@given(st.lists(facts, max_size=8), snapshots())
def test_the_newest_snapshot_decides_what_stands(told: list[Fact], last: AccountSnapshot) -> None:
    """Long after everything else: what it shows is open, what it does not show is not."""
    final = snapshot(*last.positions, taken_at=NOW + seconds(600))
    after = folded(promised(), [*told, ("snapshot", final)])
    standing = {each.signal_id for each in after.live() if each.is_ours}
    closed = {fact.signal_id for kind, fact in told if kind == "closed"}
    assert standing == {each.signal_id for each in last.positions if each.signal_id} - closed
