"""The keeper: what fails once is left to the next look, nothing is done without the lease."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from services.execute.keeper import Keeper
from services.execute.venue import OrderEvent
from shared.errors import ExchangeUnavailable
from tests.twins.execution import until


class Lease:
    def __init__(self, *, is_ours: bool) -> None:
        self.is_ours = is_ours

    async def hold(self) -> bool:
        return self.is_ours


class Exchange:
    def __init__(self, *events: OrderEvent) -> None:
        self.events = events

    async def order_events(self) -> AsyncIterator[OrderEvent]:
        for event in self.events:
            yield event


class Flow:
    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.looked_at: list[str] = []

    async def on_order_event(self, symbol: str) -> None:
        self.looked_at.append(symbol)
        if symbol in self.failing:
            raise ExchangeUnavailable("hiccup")


def event(symbol: str, client_id: str = "p95test-abc-s", *, is_open: bool = False) -> OrderEvent:
    return OrderEvent(symbol=symbol, client_id=client_id, is_open=is_open)


def keeper(flow: Any, exchange: Any, *, is_ours: bool = True) -> Keeper:
    nothing: Any = None
    return Keeper(Lease(is_ours=is_ours), flow, exchange, nothing, nothing, "test", nothing)  # type: ignore[arg-type]


@pytest.fixture
async def holding() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_event_that_fails_does_not_lose_those_behind_it(holding: list[asyncio.Task[None]]) -> None:
    flow = Flow("AUSDT")
    under_test = keeper(flow, Exchange(event("AUSDT"), event("BUSDT")))
    holding.append(asyncio.create_task(under_test.keep_lease()))
    await until(lambda: under_test._holds)
    await under_test.follow_orders()
    assert flow.looked_at == ["AUSDT", "BUSDT"]


async def test_entries_and_open_orders_are_nobodys_end(holding: list[asyncio.Task[None]]) -> None:
    flow = Flow()
    events = (event("AUSDT", "p95test-abc-e"), event("BUSDT", is_open=True), event("CUSDT", "by-hand"))
    under_test = keeper(flow, Exchange(*events))
    holding.append(asyncio.create_task(under_test.keep_lease()))
    await until(lambda: under_test._holds)
    await under_test.follow_orders()
    assert flow.looked_at == ["CUSDT"]


async def test_nothing_is_done_without_the_lease(holding: list[asyncio.Task[None]]) -> None:
    flow = Flow()
    under_test = keeper(flow, Exchange(event("AUSDT")), is_ours=False)
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    holding.append(asyncio.create_task(under_test.keep_lease()))
    holding.append(asyncio.create_task(under_test.every(Decimal(1), work)))
    await asyncio.sleep(0)
    await under_test.follow_orders()
    assert (flow.looked_at, done) == ([], [])
