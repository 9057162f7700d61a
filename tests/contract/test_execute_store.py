"""EXECUTE's record keeps its promises in PostgreSQL and in memory alike: compare-and-set, all or nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest

from services.execute.execution_rules import ClosedBooks
from services.execute.memory import MemoryEntries
from services.execute.order_state import FINAL, TRANSITIONS, Control, Entry, EntryState
from services.execute.store import ExecuteStore
from services.execute.takeover import taken_over
from services.execute.venue import (
    AlgoReport,
    MarginSetup,
    OrderReport,
    OrderRow,
    OrderSide,
    ProtectiveOrder,
    VenuePosition,
)
from shared import ids
from shared.clock import utc_now
from shared.database import Database
from shared.models import TradeApproved
from shared.values import CloseReason, Side, TradingState
from tests.eventually import eventually
from tests.servers import Servers
from tests.unit.execute.builders import approval, client_id, close_request, state_changed, trade

TABLES = ("fills", "orders", "entries", "exit_requests", "margin_setups", "inbox", "outbox")
_names = count()


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.servers)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield MemoryEntries(utc_now)
        return
    servers: Servers = request.getfixturevalue("servers")
    async with Database(
        servers.postgres_url,
        user="phoenix_execute",
        password=servers.password("execute"),
        schema="execute",
        name="test",
    ) as database:
        for table in TABLES:
            await database.execute(f"DELETE FROM {table}")
        await database.execute(
            "UPDATE trading_state SET state = 'ACTIVE', trading_epoch = 0, changed_at = '-infinity'"
        )
        yield ExecuteStore(database)


def fresh(symbol: str = "BTCUSDT", **changes: Any) -> TradeApproved:
    return approval(f"contract-{next(_names)}", at=utc_now(), symbol=symbol, **changes)


async def inserted(store: Any, approved: TradeApproved) -> Entry:
    await store.record_intent("queue", f"approved {approved.signal_id}", approved, client_id(approved))
    entry: Entry = await store.entry(approved.signal_id)
    return entry


def report(entry: Entry, filled: str = "0.1") -> OrderReport:
    return OrderReport(
        client_id=entry.client_id,
        order_id="77",
        symbol=entry.symbol,
        side=OrderSide.BUY,
        status="FILLED",
        quantity=entry.quantity,
        filled_quantity=Decimal(filled),
        average_price=Decimal(50_000),
        updated_at=datetime.now(UTC).replace(microsecond=0),
    )


def protective(entry: Entry, *, is_stop: bool) -> ProtectiveOrder:
    role = ids.OrderRole.STOP_LOSS if is_stop else ids.OrderRole.TAKE_PROFIT
    return ProtectiveOrder(
        client_id=ids.client_order_id("test", entry.signal_id, role),
        symbol=entry.symbol,
        side=OrderSide.SELL,
        is_stop=is_stop,
        trigger_price=Decimal(49_000 if is_stop else 51_000),
    )


def protection(entry: Entry) -> tuple[ProtectiveOrder, ProtectiveOrder]:
    return protective(entry, is_stop=True), protective(entry, is_stop=False)


def books(entry: Entry) -> ClosedBooks:
    fills = (
        trade(next(_names), "77", OrderSide.BUY, "0.1", symbol=entry.symbol),
        trade(next(_names), "78", OrderSide.SELL, "0.1", symbol=entry.symbol),
    )
    return ClosedBooks(
        exit_price=Decimal(51_000),
        pnl_usdt=Decimal(100),
        fees_usdt=Decimal("0.5"),
        closed_at=datetime.now(UTC),
        exit_order_id="78",
        fills=fills,
    )


Step = Callable[[Any, Any, Entry], Awaitable[Entry | None]]

STEPS: dict[str, tuple[EntryState, Step]] = {
    "fill": (EntryState.FILLED, lambda s, tx, e: s.record_fill(tx, e, report(e), Decimal(50_000))),
    "expire": (EntryState.EXPIRED, lambda s, tx, e: s.record_end(tx, e, failed=False, reason="slippage")),
    "fail": (EntryState.FAILED, lambda s, tx, e: s.record_end(tx, e, failed=True, reason="refused")),
    "lose": (EntryState.FAILED, lambda s, tx, e: s.record_end(tx, e, failed=True, reason="unknown")),
    "protect": (EntryState.PROTECTED, lambda s, tx, e: s.record_protected(tx, e, *protection(e))),
    "begin_closing": (
        EntryState.CLOSING,
        lambda s, tx, e: s.record_closing(tx, e, CloseReason.EXIT_SIGNAL, "sig-exit"),
    ),
    "close": (
        EntryState.CLOSED,
        lambda s, tx, e: s.record_closed(tx, e, CloseReason.EXIT_SIGNAL, books(e), Decimal("-0.1")),
    ),
}

PATHS: dict[EntryState, tuple[str, ...]] = {
    EntryState.INTENT: (),
    EntryState.SENDING: ("claim",),
    EntryState.FILLED: ("claim", "fill"),
    EntryState.PROTECTED: ("claim", "fill", "protect"),
    EntryState.CLOSING: ("claim", "fill", "begin_closing"),
    EntryState.CLOSED: ("claim", "fill", "close"),
    EntryState.EXPIRED: ("expire",),
    EntryState.FAILED: ("claim", "fail"),
}


async def step(store: Any, entry: Entry, name: str) -> Entry | None:
    if name == "claim":
        claimed = await store.claim(entry.signal_id, Decimal(50_050))
        found: Entry = await store.entry(entry.signal_id)
        return found if claimed is not None else None
    async with store.transaction() as tx:
        return await STEPS[name][1](store, tx, entry)


async def brought_to(store: Any, state: EntryState, symbol: str = "BTCUSDT") -> Entry:
    entry = await inserted(store, fresh(symbol))
    for name in PATHS[state]:
        done = await step(store, entry, name)
        assert done is not None, (state, name)
        entry = done
    assert entry.state is state
    return entry


@pytest.mark.parametrize("state", list(EntryState))
@pytest.mark.parametrize("name", ["claim", *STEPS])
async def test_every_compare_and_set_obeys_the_transition_table(
    store: Any, state: EntryState, name: str
) -> None:
    entry = await brought_to(store, state)
    target = EntryState.SENDING if name == "claim" else STEPS[name][0]
    # An entry that failed for a reason other than `unknown` is never adopted, though the table allows it.
    allowed = target in TRANSITIONS[state] and not (state is EntryState.FAILED and name == "fill")
    if name in ("expire", "fail", "lose") and state not in (EntryState.INTENT, EntryState.SENDING):
        return  # the flow ends only what has no position; the store compares with the state it was given
    if state is EntryState.INTENT and target is EntryState.FAILED:
        return  # an intent is expired: nothing of it can have gone wrong
    done = await step(store, entry, name)
    stands = await store.entry(entry.signal_id)
    if allowed:
        assert done is not None
        assert (done.state, stands.state) == (target, target)
        assert stands.version == entry.version + 1
    else:
        assert done is None
        assert stands == entry


async def test_a_lost_entry_can_be_adopted_and_no_other_failed_one(store: Any) -> None:
    entry = await brought_to(store, EntryState.SENDING)
    lost = await step(store, entry, "lose")
    assert lost is not None
    assert [each.signal_id for each in await store.lost()] == [lost.signal_id]
    adopted = await step(store, lost, "fill")
    assert adopted is not None
    assert adopted.state is EntryState.FILLED
    assert await store.lost() == []


async def test_only_one_of_many_claims_wins(store: Any) -> None:
    entry = await inserted(store, fresh())
    claims = await asyncio.gather(*(store.claim(entry.signal_id, None) for _ in range(8)))
    assert sum(each is not None for each in claims) == 1


async def test_one_live_entry_per_symbol(store: Any) -> None:
    entries = [await inserted(store, fresh()) for _ in range(4)]
    other = await inserted(store, fresh("ETHUSDT"))
    claims = await asyncio.gather(*(store.claim(each.signal_id, None) for each in (*entries, other)))
    assert sum(each is not None for each in claims[:-1]) == 1
    assert claims[-1] is not None


async def test_symbol_is_free_again_when_its_position_is_closed(store: Any) -> None:
    await brought_to(store, EntryState.CLOSED)
    assert await store.claim((await inserted(store, fresh())).signal_id, None) is not None


async def test_no_claim_past_valid_until(store: Any) -> None:
    late = fresh(valid_until=utc_now() - timedelta(milliseconds=1))
    assert await store.claim((await inserted(store, late)).signal_id, None) is None


@pytest.mark.parametrize(
    ("state", "epoch", "claimed"),
    [
        (TradingState.ACTIVE, 1, True),
        (TradingState.ACTIVE, 2, False),
        (TradingState.HALTED, 1, False),
        (TradingState.REDUCING, 1, False),
    ],
)
async def test_claims_need_active_trading_and_their_epoch(
    store: Any, state: TradingState, epoch: int, claimed: bool
) -> None:
    entry = await inserted(store, fresh(trading_epoch=1))
    async with store.transaction() as tx:
        await store.set_control(tx, state_changed(state, epoch))
    assert (await store.claim(entry.signal_id, None) is not None) is claimed


async def test_older_trading_states_come_too_late(store: Any) -> None:
    now = utc_now()
    for state, epoch, at in (
        (TradingState.HALTED, 3, now),
        (TradingState.ACTIVE, 3, now + timedelta(seconds=1)),
        (TradingState.HALTED, 3, now),  # the first again, late
        (TradingState.HALTED, 2, now + timedelta(seconds=9)),
    ):
        async with store.transaction() as tx:
            await store.set_control(tx, state_changed(state, epoch, at))
    assert await store.control() == Control(state=TradingState.ACTIVE, trading_epoch=3)


@pytest.mark.parametrize(
    ("symbol", "seconds", "claimed"),
    [("BTCUSDT", 0, False), (None, 0, False), ("ETHUSDT", 0, True), ("BTCUSDT", -1, True), (None, -1, True)],
)
async def test_an_exit_voids_the_entries_of_signals_up_to_it(
    store: Any, symbol: str | None, seconds: int, claimed: bool
) -> None:
    approved = fresh()
    entry = await inserted(store, approved)
    at = approved.signal_received_at + timedelta(seconds=seconds)
    for asked_at in (at, at - timedelta(hours=1)):  # an older one, late
        await store.record_exit(close_request(symbol=symbol, at=asked_at))
    assert (await store.claim(entry.signal_id, None) is not None) is claimed


async def test_first_time_is_true_once_and_only_when_committed(store: Any) -> None:
    async def handled() -> bool:
        async with store.transaction() as tx:
            return bool(await store.first_time(tx, "queue", "event"))

    async def handled_in_vain() -> None:
        async with store.transaction() as tx:
            assert await store.first_time(tx, "queue", "event")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await handled_in_vain()
    assert [await handled(), await handled()] == [True, False]


async def test_what_a_transaction_wrote_is_taken_back_together(store: Any) -> None:
    entry = await brought_to(store, EntryState.SENDING)

    async def filled_in_vain() -> None:
        async with store.transaction() as tx:
            await store.record_fill(tx, entry, report(entry), Decimal(50_000))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await filled_in_vain()
    assert await store.entry(entry.signal_id) == entry


async def test_second_approval_of_a_signal_changes_nothing(store: Any) -> None:
    entry = await brought_to(store, EntryState.FILLED)
    await store.record_intent("queue", "another approval", entry.approval, entry.client_id)
    assert await store.entry(entry.signal_id) == entry


async def test_message_that_was_taken_before_records_no_intent(store: Any) -> None:
    approved = fresh()
    async with store.transaction() as tx:
        assert await store.first_time(tx, "queue", "event")
    await store.record_intent("queue", "event", approved, client_id(approved))
    assert await store.entry(approved.signal_id) is None
    await store.record_intent("another queue", "event", approved, client_id(approved))
    assert await store.entry(approved.signal_id) is not None


async def test_message_whose_intent_is_recorded_is_taken(store: Any) -> None:
    approved = fresh()
    await store.record_intent("queue", "event", approved, client_id(approved))
    async with store.transaction() as tx:
        assert not await store.first_time(tx, "queue", "event")


async def test_entry_is_seen_with_the_newest_trading_state(store: Any) -> None:
    entry = await brought_to(store, EntryState.FILLED)
    async with store.transaction() as tx:
        await store.set_control(tx, state_changed(TradingState.HALTED, 3, utc_now()))
    halted = Control(state=TradingState.HALTED, trading_epoch=3)
    assert await store.standing(entry.signal_id) == (entry, halted)
    assert await store.standing("unknown") is None


async def test_unfinished_are_those_that_are_not_final(store: Any) -> None:
    for number, state in enumerate(EntryState):
        await brought_to(store, state, f"SYM{number}USDT")
    found = await store.unfinished()
    assert {each.state for each in found} == set(EntryState) - FINAL
    assert [each.symbol for each in await store.unfinished_on("SYM0USDT")] == ["SYM0USDT"]


async def test_stalled_are_those_between_two_steps_that_nobody_changed_for_a_while(store: Any) -> None:
    for number, state in enumerate(EntryState):
        await brought_to(store, state, f"SYM{number}USDT")
    assert await store.stalled(60.0, 60.0, 10) == []
    found = await eventually(lambda: store.stalled(0.0, 0.0, 10))
    assert [each.state for each in found] == [EntryState.FILLED, EntryState.SENDING, EntryState.CLOSING]
    assert [each.state for each in await store.stalled(0.0, 60.0, 1)] == [EntryState.FILLED]
    assert [each.state for each in await store.stalled(60.0, 0.0, 10)] == [EntryState.CLOSING]


async def test_closing_keeps_its_first_reason_and_counts_its_orders(store: Any) -> None:
    entry = await brought_to(store, EntryState.CLOSING)
    async with store.transaction() as tx:
        assert await store.record_closing(tx, entry, CloseReason.OPERATOR, "req-2") is None
    stands = await store.entry(entry.signal_id)
    assert (stands.close_reason, stands.closed_by) == (CloseReason.EXIT_SIGNAL, "sig-exit")
    assert [await store.next_close_attempt(entry.signal_id) for _ in range(2)] == [1, 2]
    assert await store.ends_for("sig-exit")
    assert not await store.ends_for("req-2")


async def test_how_it_ended_does_not_hide_why_it_was_being_closed(store: Any) -> None:
    entry = await brought_to(store, EntryState.CLOSING)
    async with store.transaction() as tx:
        closed = await store.record_closed(tx, entry, CloseReason.STOP_LOSS, books(entry), Decimal(0))
    assert (closed.close_reason, closed.closed_by) == (CloseReason.EXIT_SIGNAL, "sig-exit")
    assert await store.next_close_attempt(entry.signal_id) is None


async def test_orders_are_kept_once_and_brought_up_to_date(store: Any) -> None:
    entry = await brought_to(store, EntryState.FILLED)
    row = OrderRow(
        client_id=entry.client_id,
        role=ids.OrderRole.ENTRY,
        symbol=entry.symbol,
        side=OrderSide.BUY,
        order_type="MARKET",
        quantity=entry.quantity,
        status="SENDING",
    )
    for _ in range(2):
        async with store.transaction() as tx:
            await store.record_orders(tx, entry.signal_id, [row])
    await store.set_order_status(entry.client_id, "FILLED")
    await store.set_order_status("nobody-knows-it", "FILLED")


async def test_margin_setups_are_remembered_and_forgotten(store: Any) -> None:
    setup = MarginSetup(is_isolated=True, leverage=20)
    assert await store.margin_setup("BTCUSDT") is None
    await store.record_margin_setup("BTCUSDT", MarginSetup(is_isolated=True, leverage=5))
    await store.record_margin_setup("BTCUSDT", setup)
    assert await store.margin_setup("BTCUSDT") == setup
    assert await store.margin_setups() == {"BTCUSDT": setup}
    await store.forget_margin_setup("BTCUSDT")
    assert await store.margin_setups() == {}


async def test_entry_comes_back_as_it_was_approved(store: Any) -> None:
    approved = fresh(side=Side.SHORT, closes_opposite=True)
    entry = await inserted(store, approved)
    assert entry.approval == approved
    assert (entry.side, entry.strategy, entry.quantity) == (Side.SHORT, "ema_cross", Decimal("0.1"))
    assert await store.entry("sig-nobody") is None


async def test_books_that_lack_something_are_due_once_for_all_replicas_until_they_are_complete(
    store: Any,
) -> None:
    entry = await brought_to(store, EntryState.CLOSING)
    whole = books(entry)
    partial = msgspec.structs.replace(
        whole, exit_price=None, exit_order_id=None, fills=whole.fills[:1], missing=("fills: refused",)
    )
    async with store.transaction() as tx:
        closed = await store.record_closed(tx, entry, CloseReason.EXIT_SIGNAL, partial, Decimal(0))
    assert closed is not None
    assert closed.state is EntryState.CLOSED, "the symbol is free"
    assert await store.books_incomplete() == 1
    due = await eventually(store.claim_books)
    assert (due.entry.signal_id, due.tries, due.gone_at) == (entry.signal_id, 1, partial.closed_at)
    assert await store.claim_books() is None, "claimed by one"
    await store.note_missing(entry.signal_id, "fills: still refused", give_up=False)
    complete = msgspec.structs.replace(whole, reason=CloseReason.STOP_LOSS)
    async with store.transaction() as tx:
        assert await store.record_books(tx, entry, complete)
        assert not await store.record_books(tx, entry, complete), "complete once"
    assert await store.books_incomplete() == 0


async def test_books_that_are_given_up_are_tried_no_more(store: Any) -> None:
    entry = await brought_to(store, EntryState.CLOSING)
    partial = msgspec.structs.replace(books(entry), missing=("funding",))
    async with store.transaction() as tx:
        await store.record_closed(tx, entry, CloseReason.EXIT_SIGNAL, partial, Decimal(0))
    await store.note_missing(entry.signal_id, "funding", give_up=True)
    assert await store.books_incomplete() == 0


async def test_complete_books_are_not_due(store: Any) -> None:
    await brought_to(store, EntryState.CLOSED)
    assert await store.books_incomplete() == 0


async def test_closing_orders_say_how_much_they_closed(store: Any) -> None:
    entry = await brought_to(store, EntryState.CLOSING)
    names = [ids.client_order_id("test", entry.signal_id, ids.OrderRole.CLOSE, number) for number in (1, 2)]
    rows = [
        OrderRow(
            client_id=name,
            role=ids.OrderRole.CLOSE,
            symbol=entry.symbol,
            side=OrderSide.SELL,
            order_type="MARKET",
            quantity=Decimal("0.05"),
            status="SENDING",
        )
        for name in names
    ]
    async with store.transaction() as tx:
        await store.record_orders(tx, entry.signal_id, rows)
    await store.set_order_status(names[0], "FILLED", filled_quantity=Decimal("0.05"), exchange_order_id="7")
    await store.set_order_status(names[0], "FILLED")
    first, second = sorted(await store.closing_orders(entry.signal_id), key=lambda each: each.client_id)
    assert (first.filled_quantity, first.exchange_order_id, first.status) == (Decimal("0.05"), "7", "FILLED")
    assert (second.filled_quantity, second.status) == (None, "SENDING")


async def test_first_reason_of_a_close_keeps_its_words(store: Any) -> None:
    entry = await brought_to(store, EntryState.FILLED)
    async with store.transaction() as tx:
        closing = await store.record_closing(tx, entry, CloseReason.UNPROTECTED, None, "refused (-4130)")
    assert closing is not None
    assert closing.close_detail == "refused (-4130)"


@pytest.mark.parametrize(
    ("strategy", "made_s", "received_s", "claimed"),
    [
        ("ema_cross", 0, 0.3, True),  # the first half of a reversal, received second
        ("ema_cross", -1, 9.0, True),
        ("ema_cross", 1, -0.3, False),  # P8: left after it entered, whatever came first
        ("ema_cross", 0, 10.3, False),  # P9: closing works, whatever the stamp says
        ("another", 0, 0.3, False),
        ("another", 0, -0.3, True),
        ("ema_cross", None, 0.3, False),
    ],
)
async def test_an_exit_of_the_same_chart_is_ordered_by_its_stamp(
    store: Any, strategy: str, made_s: float | None, received_s: float, claimed: bool
) -> None:
    now = utc_now() - timedelta(seconds=20)
    entry = await inserted(store, fresh(signal_made_at=now, signal_received_at=now))
    made_at = None if made_s is None else now + timedelta(seconds=made_s)
    received_at = now + timedelta(seconds=received_s)
    await store.record_exit(
        close_request(symbol=entry.symbol, at=received_at, made_at=made_at, requested_by=strategy)
    )
    older = now - timedelta(minutes=1)
    await store.record_exit(
        close_request(symbol=entry.symbol, at=older, made_at=older, requested_by=strategy)
    )
    assert await store.is_superseded(entry.signal_id) is not claimed
    assert (await store.claim(entry.signal_id, None) is not None) is claimed


async def test_an_exit_of_a_clock_that_is_ahead_does_not_void_the_entries_to_come(store: Any) -> None:
    await store.record_exit(close_request(symbol="BTCUSDT", at=utc_now() + timedelta(hours=1)))
    entry = await inserted(store, fresh(signal_received_at=utc_now() + timedelta(seconds=6)))
    assert await store.claim(entry.signal_id, None) is not None


async def test_a_position_that_was_found_is_inserted_whole_and_only_where_nothing_stands(store: Any) -> None:
    position = VenuePosition(
        symbol="BTCUSDT",
        side=Side.SHORT,
        quantity=Decimal("0.1"),
        entry_price=Decimal(50_000),
        mark_price=Decimal(50_000),
        liquidation_price=Decimal(52_000),
        margin_usdt=Decimal(250),
        notional_usdt=Decimal(5_000),
        unrealised_pnl_usdt=Decimal(0),
        setup=None,
    )
    stop = AlgoReport(
        client_id=ids.client_order_id("test", "lost", ids.OrderRole.STOP_LOSS),
        algo_id="1",
        symbol="BTCUSDT",
        side=OrderSide.BUY,
        status="NEW",
        trigger_price=Decimal(51_000),
        actual_order_id=None,
    )
    found = taken_over(position, [stop], None, "test", utc_now())
    async with store.transaction() as tx:
        assert await store.record_taken_over(tx, found)
        assert not await store.record_taken_over(tx, found)
    assert await store.entry(found.signal_id) == found
    assert not await store.is_closed([found.client_id])
    elsewhere = msgspec.structs.replace(found, signal_id="adopted-other", client_id="p95test-other-a")
    async with store.transaction() as tx:
        assert not await store.record_taken_over(tx, elsewhere), "one live entry per symbol"
