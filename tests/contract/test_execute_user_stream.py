"""The user-data stream through ccxt on the paper exchange: it comes back, with a fresh key and a gap told."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from services.execute import user_stream
from services.execute.binance_client import BinanceClient
from services.execute.ccxt_venue import AnswerError
from services.execute.error_classes import VenueFailure
from services.execute.leverage_manager import MarginMemory
from services.execute.memory import MemoryEntries
from services.execute.order_state import EntryState
from services.execute.stream_session import close_streams
from services.execute.stream_watch import GRACE, LEAD, RENEW_AFTER, Why
from services.execute.user_stream import EVENTS_WAITING_MAX, Event, Gap, UserStream
from services.execute.venue import MarginSetup, OrderEvent, SetupEvent
from shared import metrics
from shared.clock import ManualClock, utc_now
from tests.contract.test_execute_exchange import order
from tests.eventually import eventually
from tests.exchange_process import ExchangeProcess, exchange_process
from tests.twins.execution import SETTINGS
from tests.unit.execute.builders import NOON, entry


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeProcess]:
    with exchange_process(tmp_path_factory.mktemp("paper")) as running:
        yield running


@dataclass
class Listener:
    """A stream with everything it told."""

    client: BinanceClient
    stream: UserStream
    books: MemoryEntries
    clock: ManualClock
    memory: MarginMemory
    heard: list[Event] = field(default_factory=list)

    @property
    def gaps(self) -> int:
        return len([each for each in self.heard if isinstance(each, Gap)])

    def key(self) -> str:
        key: str = self.client.venue.options["linear"]["listenKey"]
        return key

    async def hears_of(self, client_id: str) -> None:
        """Trade, and wait for the stream to tell of it."""
        await self.client.place_entry(order(client_id), utc_now())
        told = OrderEvent(symbol="BTCUSDT", client_id=client_id, is_open=False)
        await eventually(lambda: told in self.heard, what=f"the end of {client_id}")

    async def comes_back(self, gaps: int, why: Why, opened_before: float) -> None:
        """Wait until a stream was opened for this reason, and has told of its gap."""
        await eventually(lambda: self.gaps >= gaps, what=f"gap {gaps}")
        assert opened(why) == opened_before + 1


@asynccontextmanager
async def running(*loops: Callable[[], Any]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop()) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def listener(process: ExchangeProcess) -> AsyncIterator[Listener]:
    process.reset()
    settings = SETTINGS.model_copy(update={"exchange_base_url": process.url})
    async with BinanceClient(settings) as client:
        await client.preflight()
        clock = ManualClock(NOON)
        books = MemoryEntries(clock)
        memory = MarginMemory()
        stream = UserStream(client, books, memory, clock)
        made = Listener(client, stream, books, clock, memory)

        async def listen() -> None:
            async for event in made.stream.events():
                made.heard.append(event)

        async with running(made.stream.keep_open, listen):
            await eventually(lambda: made.gaps == 1, what="the first connection")
            yield made


def opened(why: Why) -> float:
    return float(metrics.USER_STREAM_OPENED.labels(why=why.value)._value.get())


async def test_every_connection_begins_with_a_gap_and_then_tells_of_orders(listener: Listener) -> None:
    await listener.hears_of("first")
    assert isinstance(listener.heard[0], Gap)


async def test_two_orders_in_a_row_are_both_told(listener: Listener) -> None:
    """ccxt tells a waiter of one and the next waiter of the one after: between the two nobody waits."""
    await asyncio.gather(*(listener.hears_of(f"burst-{number}") for number in range(5)))


async def test_key_that_was_deleted_is_replaced_and_the_gap_is_told(listener: Listener) -> None:
    before, key = opened(Why.CLOSED), listener.key()
    await listener.client.venue.fapiPrivateDeleteListenKey()
    await listener.comes_back(2, Why.CLOSED, before)
    assert listener.key() != key
    await listener.hears_of("after-deletion")


async def test_key_that_expired_is_replaced_at_once_although_ccxt_ignores_it(listener: Listener) -> None:
    before, venue = opened(Why.EXPIRED), listener.client.venue
    [connection] = [each for each in venue.clients.values() if each.isConnected]
    venue.handle_message(connection, {"e": "listenKeyExpired", "E": 1, "listenKey": listener.key()})
    await listener.comes_back(2, Why.EXPIRED, before)
    await listener.hears_of("after-expiry")


async def test_key_that_cannot_be_extended_is_replaced(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, venue = opened(Why.EXPIRED), listener.client.venue
    extend = venue.fapiPrivatePutListenKey

    async def refuses(*_: object) -> None:
        venue.fapiPrivatePutListenKey = extend
        raise AnswerError(VenueFailure(status=400, code=-1125, text="This listenKey does not exist."), 0.0)

    venue.fapiPrivatePutListenKey = refuses
    monkeypatch.setattr(user_stream, "KEY_INTERVAL_S", 0.01)
    async with running(listener.stream.keep_key):
        await listener.comes_back(2, Why.EXPIRED, before)
    await listener.hears_of("after-refused-renewal")


async def test_connection_is_replaced_at_its_age(listener: Listener) -> None:
    before = opened(Why.PLANNED)
    listener.clock.advance(RENEW_AFTER.total_seconds())
    await listener.comes_back(2, Why.PLANNED, before)
    await listener.hears_of("after-renewal")


async def test_stream_that_went_deaf_is_replaced(listener: Listener) -> None:
    """Our books know of a protected position; nothing was told of its orders."""
    before = opened(Why.SILENT)
    listener.clock.advance(LEAD.total_seconds() + 1)
    made = entry(EntryState.PROTECTED, protected_at=listener.clock())
    listener.books.entries[made.signal_id] = made
    async with running(listener.stream.gather_evidence):
        listener.clock.advance((GRACE + timedelta(seconds=1)).total_seconds())
        await listener.comes_back(2, Why.SILENT, before)
    await listener.hears_of("after-deafness")


async def test_more_events_than_can_wait_become_one_look_at_everything(process: ExchangeProcess) -> None:
    settings = SETTINGS.model_copy(update={"exchange_base_url": process.url})
    async with BinanceClient(settings) as client:
        clock = ManualClock(NOON)
        stream = UserStream(client, MemoryEntries(clock), MarginMemory(), clock)
        for number in range(EVENTS_WAITING_MAX + 1):
            client.venue.take_order({"o": {"s": "BTCUSDT", "c": f"order-{number}", "X": "FILLED"}})
        assert isinstance(await anext(stream.events()), Gap)


async def test_changes_of_leverage_and_margin_mode_are_told_and_remembered(listener: Listener) -> None:
    """F4: what somebody else set is known within a second, and nothing is while the stream is away."""
    setup = MarginSetup(is_isolated=True, leverage=20)

    def known() -> MarginSetup | None:
        return listener.memory.fresh("ETHUSDT", listener.clock())

    listener.memory.note({"ETHUSDT": setup}, listener.memory.reading(), listener.clock())
    await listener.client.set_leverage("ETHUSDT", 7)
    await listener.client.set_isolated("ETHUSDT")
    for event in (
        SetupEvent(symbol="ETHUSDT", leverage=7),
        SetupEvent(symbol="ETHUSDT", is_isolated=True),
    ):
        await eventually(functools.partial(listener.heard.__contains__, event), what=f"{event}")
    assert known() == MarginSetup(is_isolated=True, leverage=7)
    await close_streams(listener.client.venue)
    await eventually(lambda: known() is None, what="the memory is empty without a stream")
    await eventually(lambda: listener.gaps == 2, what="the next connection")
