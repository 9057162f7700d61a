"""The keeper: what fails once is left to the next look, nothing is done without the lease."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock

import pytest

from services.execute.account_ledger import Money
from services.execute.keeper import Keeper
from services.execute.order_state import EntryState
from services.execute.reconciliation import Correction, CorrectionKind
from services.execute.user_stream import Gap
from services.execute.venue import MarginSetup, OrderEvent, VenueAccount, VenuePosition
from services.execute.venue_rows import Rows
from shared.errors import ExchangeUnavailable
from shared.values import Side
from tests.twins.execution import until
from tests.unit.execute.builders import BTC, NOON, PRICE, QUANTITY, entry


class Lease:
    def __init__(self, *, is_ours: bool) -> None:
        self.is_ours = is_ours

    async def hold(self) -> bool:
        return self.is_ours


class Stream:
    def __init__(self, *events: OrderEvent | Gap) -> None:
        self._events = events
        self.contradicted = False

    async def events(self) -> AsyncIterator[OrderEvent | Gap]:
        for event in self._events:
            yield event

    def found_by_rest(self) -> None:
        self.contradicted = True


class Flow:
    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.looked_at: list[str] = []
        self.corrections: list[Correction] = []

    async def on_order_event(self, symbol: str) -> None:
        self.looked_at.append(symbol)
        if symbol in self.failing:
            raise ExchangeUnavailable("hiccup")

    async def on_gap(self) -> None:
        self.looked_at.append("all")

    async def reconcile(self) -> list[Correction]:
        return self.corrections


def event(symbol: str, client_id: str = "p95test-abc-s", *, is_open: bool = False) -> OrderEvent:
    return OrderEvent(symbol=symbol, client_id=client_id, is_open=is_open)


def keeper(flow: Any, stream: Any, *, is_ours: bool = True) -> Keeper:
    nothing: Any = None
    lease: Any = Lease(is_ours=is_ours)
    return Keeper(lease, flow, nothing, stream, nothing, nothing, nothing, "test")


@pytest.fixture
async def holding() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_event_that_fails_does_not_lose_those_behind_it(holding: list[asyncio.Task[None]]) -> None:
    flow = Flow("AUSDT")
    under_test = keeper(flow, Stream(event("AUSDT"), event("BUSDT")))
    holding.append(asyncio.create_task(under_test.keep_lease()))
    await until(lambda: under_test._holds)
    await under_test.follow_orders()
    assert flow.looked_at == ["AUSDT", "BUSDT"]


async def test_entries_and_open_orders_are_nobodys_end(holding: list[asyncio.Task[None]]) -> None:
    flow = Flow()
    events = (event("AUSDT", "p95test-abc-e"), event("BUSDT", is_open=True), event("CUSDT", "by-hand"))
    under_test = keeper(flow, Stream(*events))
    holding.append(asyncio.create_task(under_test.keep_lease()))
    await until(lambda: under_test._holds)
    await under_test.follow_orders()
    assert flow.looked_at == ["CUSDT"]


async def test_nothing_is_done_without_the_lease(holding: list[asyncio.Task[None]]) -> None:
    flow = Flow()
    under_test = keeper(flow, Stream(event("AUSDT")), is_ours=False)
    done: list[int] = []

    async def work() -> bool:
        done.append(1)
        return True

    holding.append(asyncio.create_task(under_test.keep_lease()))
    holding.append(asyncio.create_task(under_test.every(Decimal(1), work)))
    await asyncio.sleep(0)
    await under_test.follow_orders()
    assert (flow.looked_at, done) == ([], [])


async def test_gap_is_filled_by_a_look_at_everything(holding: list[asyncio.Task[None]]) -> None:
    flow = Flow()
    under_test = keeper(flow, Stream(Gap(), event("AUSDT")))
    holding.append(asyncio.create_task(under_test.keep_lease()))
    await until(lambda: under_test._holds)
    await under_test.follow_orders()
    assert flow.looked_at == ["all", "AUSDT"]


@pytest.mark.parametrize(
    ("kind", "contradicted"), [(CorrectionKind.SETTLE, True), (CorrectionKind.RESTORE_PROTECTION, False)]
)
async def test_end_that_only_reconciliation_saw_speaks_against_the_stream(
    kind: CorrectionKind, contradicted: bool
) -> None:
    flow, stream = Flow(), Stream()
    flow.corrections = [Correction(kind=kind, subject="sig-1", symbol="AUSDT", detail="")]
    await keeper(flow, stream).reconcile()
    assert stream.contradicted is contradicted


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((EntryState.SENDING,), (EntryState.SENDING,)),
        ((EntryState.SENDING,), (EntryState.FILLED,)),
        ((), (EntryState.SENDING,)),
        ((EntryState.CLOSING,), ()),
    ],
)
async def test_a_position_is_ours_before_its_fill_is_recorded_and_while_it_ends(
    before: tuple[EntryState, ...], after: tuple[EntryState, ...]
) -> None:
    looks = [[entry(state) for state in states] for states in (before, after)]
    position = VenuePosition(
        symbol=BTC,
        side=Side.LONG,
        quantity=QUANTITY,
        entry_price=PRICE,
        mark_price=PRICE,
        liquidation_price=Decimal(47_700),
        margin_usdt=Decimal(250),
        notional_usdt=QUANTITY * PRICE,
        unrealised_pnl_usdt=Decimal(0),
        setup=MarginSetup(is_isolated=True, leverage=20),
    )
    account = VenueAccount(wallet_usdt=Decimal(1000), equity_usdt=Decimal(1000), available_usdt=Decimal(750))
    exchange: Any = AsyncMock()
    ledger: Any = AsyncMock(look=AsyncMock(return_value=Money(account, Decimal(0), Decimal(0))))
    exchange.holdings.return_value, exchange.open_algos.return_value = Rows((position,)), ()
    store: Any = AsyncMock(unfinished=AsyncMock(side_effect=looks), now=AsyncMock(return_value=NOON))
    nothing: Any = AsyncMock()
    made = Keeper(nothing, nothing, exchange, nothing, store, nothing, ledger, "test")

    assert await made.tell_account()

    (snapshot,) = store.record_snapshot.await_args.args
    assert [each.signal_id for each in snapshot.positions] == [entry().signal_id], "not a stranger's"
