"""Books that cannot be closed never hold a symbol: what only reports does not stand before what is safety.

The position is gone, its twins are cancelled, the exit is answered and the risk is free at once, whatever the
exchange refuses to say about it. The books follow, with what is known, and are completed when it says so.
"""

import dataclasses
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.brain.outcomes import closed_trade, outcome_of
from services.execute.book_keeper import BookKeeper
from services.execute.book_records import BOOKS_RETRY_S_MAX
from services.execute.order_state import EntryState
from services.execute.venue_history import ROWS_PER_READ_MAX
from shared.models import AlertRaised, BooksCompleted, PositionClosed, TradeApproved
from shared.values import CloseReason, OutcomeKind
from tests.twins.execution import World
from tests.twins.venue import Fault, refused, unavailable
from tests.unit.execute.builders import BTC, approval, sent
from tests.unit.execute.exits import close, entered, last

FOR_EVER = 200
FEES = Decimal("4.999995")
USER_TRADES = "get/fapiv1usertrades"
GARBAGE: list[Any] = [
    [{"id": "x"}],
    [None],
    ["row"],
    {"rows": []},
    "nothing",
    None,
    [{"symbol": BTC, "incomeType": "FUNDING_FEE", "income": "NaN"}],
]


def arm(world: World, operation: str, fault: Fault) -> None:
    world.venue.fail(operation, *[fault] * FOR_EVER)


TROUBLES = {
    "fills refused": ("GET userTrades", refused(-1102)),
    "fills refused: too far back": ("GET userTrades", refused(-4166)),
    "fills refused: no rights": ("GET userTrades", refused(-2015, 401)),
    "fills away": ("GET userTrades", unavailable()),
    "fills fail for ever": ("GET userTrades", refused(0, 500, "")),
    "no fills": ("GET userTrades", Fault(answer=[])),
    "income refused": ("GET income", refused(-1102)),
    "income away": ("GET income", unavailable()),
    "order refused": ("GET order", refused(-1102)),
    "order away": ("GET order", unavailable()),
    **{f"fills are garbage {n}": ("GET userTrades", Fault(answer=each)) for n, each in enumerate(GARBAGE)},
    **{f"income is garbage {n}": ("GET income", Fault(answer=each)) for n, each in enumerate(GARBAGE)},
    "order is garbage": ("GET order", Fault(answer={"orderId": None})),
}
NOT_NEEDED = {"order refused", "order away", "order is garbage"}
"""Our own closing order is known by its answer: nothing lacks without that read."""


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_position_that_is_gone_frees_its_symbol_at_once_whatever_cannot_be_read(trouble: str) -> None:
    world = World()
    approved = await entered(world)
    arm(world, *TROUBLES[trouble])
    asked_at = world.clock()
    exit_id = await close(world)
    assert world.clock() - asked_at < timedelta(seconds=2)
    assert world.store.entries[approved.signal_id].state is EntryState.CLOSED
    assert world.standing() == set()
    closed = last(world, approved.signal_id, PositionClosed)
    assert (closed.reason, closed.closed_by) == (CloseReason.EXIT_SIGNAL, exit_id)
    outcome = outcome_of(closed)
    assert outcome is not None
    assert (outcome.signal_id, outcome.kind) == (exit_id, OutcomeKind.CLOSED)
    assert bool(closed.missing) == (trouble not in NOT_NEEDED)
    if closed.missing:
        assert closed_trade(closed) is None, "half a result is no evidence of the odds"

    again = approval("next", at=world.clock() + timedelta(seconds=1))
    world.clock.advance(1)
    await world.process().flow.on_execution(sent(again))
    assert world.is_protected(again.signal_id), "the symbol is free"
    if closed.missing:
        await completed_when_healed(world, approved)


async def completed_when_healed(world: World, approved: TradeApproved) -> None:
    world.clock.advance(3)
    assert await world.process().books.try_next() == "incomplete"
    world.venue.heal()
    world.clock.advance(BOOKS_RETRY_S_MAX)
    assert await world.process().books.try_next() == "complete"
    completed = last(world, approved.signal_id, BooksCompleted)
    assert completed.reason is CloseReason.EXIT_SIGNAL
    assert completed.fees_usdt == FEES
    trade = closed_trade(completed)
    assert trade is not None
    assert trade.net_pnl_usdt == completed.net_pnl_usdt
    assert await world.process().books.try_next() is None


@pytest.mark.parametrize("operation", ["GET userTrades", "GET income", "GET order", "GET algoOrder"])
async def test_stop_that_fired_frees_its_symbol_whatever_cannot_be_read(operation: str) -> None:
    world = World()
    approved = await entered(world)
    world.clock.advance(60)
    world.venue.price("48900")
    arm(world, operation, refused(-1102))
    await world.process().flow.reconcile()
    assert world.store.entries[approved.signal_id].state is EntryState.CLOSED
    assert world.standing() == set()
    closed = last(world, approved.signal_id, PositionClosed)
    world.venue.heal()
    world.clock.advance(3)
    assert await world.process().books.try_next() == ("complete" if closed.missing else None)
    ended = world.told(approved.signal_id)[-1]
    assert isinstance(ended, BooksCompleted | PositionClosed)
    assert ended.reason is CloseReason.STOP_LOSS
    assert ended.net_pnl_usdt < -100


async def test_strangers_position_survives_a_close_whose_reads_are_refused() -> None:
    """Whatever is held on the symbol while our close is unfinished is not ours: our own order had filled."""
    world = World()
    approved = await entered(world)
    arm(world, "GET userTrades", refused(-1102))
    world.venue.fail("DELETE algoOrder", *[unavailable()] * 2)
    with pytest.raises(Exception, match="not usable"):
        await close(world)
    assert world.store.entries[approved.signal_id].state is EntryState.CLOSING
    world.by_hand("buy", "0.5")
    process = world.process()
    for _ in range(4):
        world.clock.advance(15)
        await process.flow.reconcile()
        for each in await process.rescue.stalled():
            await process.rescue.take_up(each)
    assert world.held() == Decimal("0.5")
    assert world.store.entries[approved.signal_id].state is EntryState.CLOSED
    assert world.standing() == set()


async def test_position_closed_by_hand_while_our_close_is_refused_leaves_the_next_one_alone() -> None:
    world = World()
    approved = await entered(world)
    world.venue.fail("POST order", *[refused(-2010)] * 3)
    await close(world)
    world.by_hand("sell", "0.1")
    world.by_hand("buy", "0.1")
    world.clock.advance(60)
    await world.process().flow.reconcile()
    assert world.held() == Decimal("0.1")
    assert world.store.entries[approved.signal_id].state is EntryState.CLOSED


async def test_fired_stop_with_a_strangers_position_after_it_is_settled_and_not_protected_again() -> None:
    world = World()
    approved = await entered(world)
    world.venue.price("48900")
    world.by_hand("buy", "0.3")
    await world.process().flow.on_order_event(BTC)
    assert last(world, approved.signal_id, PositionClosed).reason is CloseReason.STOP_LOSS
    assert world.held() == Decimal("0.3")
    assert world.standing() == set()


@pytest.mark.parametrize("asset", ["BNFCR", "SHELL", ""])
async def test_fee_in_an_asset_without_a_market_breaks_nothing(asset: str) -> None:
    world = World()
    approved = await entered(world)
    true: Any = world.venue._endpoints[USER_TRADES]

    def in_asset(params: Any) -> Any:
        return [row | {"commissionAsset": asset} for row in true.handler(params)]

    world.venue._endpoints[USER_TRADES] = dataclasses.replace(true, handler=in_asset)
    await close(world)
    closed = last(world, approved.signal_id, PositionClosed)
    assert world.standing() == set()
    if asset == "BNFCR":
        assert (closed.missing, closed.fees_usdt) == ("", FEES)
        return
    assert closed.missing == f"the value of fees paid in {asset}"
    assert closed.exit_price == Decimal("49999.7")
    fees = [each.fee_amount for each in world.store.fills.values()]
    assert sum(each for each in fees if each is not None) == FEES, "the raw fee is kept"


async def test_what_fails_for_ever_is_tried_ever_more_seldom_and_then_given_up() -> None:
    world = World()
    approved = await entered(world)
    arm(world, "GET userTrades", refused(-1102))
    await close(world)
    world.venue.fail("GET userTrades", *[refused(-1102)] * 5_000)
    process, tries, started = world.process(), 0, world.clock()
    while world.clock() - started < timedelta(days=2):
        world.clock.advance(60)
        tries += await process.books.try_next() is not None
    assert 10 < tries < 30
    world.clock.advance(90 * 24 * 3_600)
    assert await process.books.try_next() == "given_up"
    alarm = last(world, approved.signal_id, AlertRaised)
    assert alarm.kind == "books_incomplete"
    assert "-1102" in alarm.text
    world.clock.advance(90 * 24 * 3_600)
    assert await process.books.try_next() is None


async def test_try_of_a_killed_process_is_made_by_another() -> None:
    world = World()
    approved = await entered(world)
    arm(world, "GET income", refused(-1102))
    await close(world)
    world.venue.heal()
    world.clock.advance(5)
    assert await world.store.claim_books() is not None  # and killed right after it
    assert await world.process().books.try_next() is None
    world.clock.advance(10)
    assert await world.process().books.try_next() == "complete"
    last(world, approved.signal_id, BooksCompleted)


async def test_loop_slows_down_while_it_fails_and_is_quick_again_when_it_works() -> None:
    pauses: list[float] = []
    results = iter(["incomplete"] * 12 + ["complete", None])

    class Ended(Exception):
        pass

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def try_next() -> str | None:
        try:
            return next(results)
        except StopIteration:
            raise Ended from None

    world = World()
    keeper = BookKeeper(world.store, world.process().books._reader, world.outbox, world.clock, sleep)
    keeper.try_next = try_next  # type: ignore[method-assign]
    with pytest.raises(Ended):
        await keeper.watch()
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert max(pauses) == 60.0
    assert pauses[-2:] == [0.5, 2.0]


@pytest.mark.parametrize("gives_newest", [True, False])
async def test_history_is_read_to_its_end_whichever_end_of_a_full_answer_the_exchange_gives(
    gives_newest: bool,
) -> None:
    world = World()
    approved = await entered(world)
    rows: list[dict[str, Any]] = [
        {
            "symbol": BTC,
            "incomeType": "FUNDING_FEE",
            "income": "-0.001",
            "time": 0,
            "tranId": n,
            "tradeId": "",
        }
        for n in range(3 * ROWS_PER_READ_MAX)
    ]
    start_ms = world.venue.milliseconds()
    for number, row in enumerate(rows):
        row["time"] = start_ms + number

    async def income(params: dict[str, Any]) -> Any:
        found = [each for each in rows if int(params["startTime"]) <= each["time"] <= int(params["endTime"])]
        return found[-ROWS_PER_READ_MAX:] if gives_newest else found[:ROWS_PER_READ_MAX]

    world.clock.advance(10)
    world.venue.fapiPrivateGetIncome = income  # type: ignore[attr-defined]
    entry = world.store.entries[approved.signal_id]
    assert entry.first_fill_at is not None
    charges = await world.exchange.charges(BTC, entry.first_fill_at, world.clock())
    assert charges.funding_usdt == Decimal("-0.001") * sum(
        1 for each in rows if each["time"] >= int(entry.first_fill_at.timestamp() * 1000)
    )
