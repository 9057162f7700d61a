"""EXECUTE in memory: the flows as the service composes them, on twins of the record, the exchange and time.

A `World` is what outlasts a process: the record, the outbox, the exchange, the clock. `World.process()`
starts a process on it, mortal when it has a fuse.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from infrastructure.paper_exchange.commands import CancelAlgo, PlaceOrder
from infrastructure.paper_exchange.values import OrderType, Side, TimeInForce
from services.execute.binance_client import BinanceClient
from services.execute.book_keeper import BookKeeper
from services.execute.book_reader import BookReader
from services.execute.call_gate import Pace
from services.execute.config import ExchangeSettings
from services.execute.entry_flow import EntryFlow
from services.execute.entry_preparation import EntryRules
from services.execute.exit_flow import ExitFlow
from services.execute.flow import ExecutionFlow
from services.execute.leverage_manager import MarginMemory
from services.execute.margin_flow import MarginFlow
from services.execute.memory import MemoryEntries
from services.execute.memory_outbox import MemoryOutbox
from services.execute.protection_flow import ProtectionFlow
from services.execute.reconciliation import protection_ids
from services.execute.rescue import Rescue
from services.execute.venue import BestPrices
from shared import ids
from shared.clock import ManualClock
from shared.market import Instrument
from shared.models import Envelope, Message, TradeApproved
from tests.twins.fuse import Fuse, Mortal
from tests.twins.venue import VenueTwin
from tests.unit.execute.builders import BTC, INSTALLATION, NOON, client_id

SETTINGS = ExchangeSettings.model_validate(
    {
        "amqp_url": "amqp://none",
        "redis_url": "redis://none",
        "postgres_url": "postgresql://none",
        "api_key": "an-operator-key-of-tests",
        "exchange_api_key": "paper",
        "exchange_api_secret": "paper",
    }
)

TURNS_MAX = 10_000


@dataclass
class MarketTwin:
    """Rules from the exchange; prices as fresh as the test says."""

    exchange: BinanceClient
    prices: dict[str, BestPrices] = field(default_factory=dict)
    known: dict[str, Instrument] = field(default_factory=dict)
    failure: Exception | None = None

    async def instrument(self, symbol: str) -> Instrument | None:
        if self.failure is not None:
            raise self.failure
        if not self.known:
            self.known = {each.symbol: each for each in await self.exchange.instruments()}
        return self.known.get(symbol)

    async def renewed(self, symbol: str) -> Instrument | None:
        self.known = {}
        return await self.instrument(symbol)

    def fresh_prices(self, symbol: str, now: datetime) -> BestPrices | None:
        return self.prices.get(symbol)


@dataclass
class Process:
    """One running EXECUTE."""

    flow: ExecutionFlow
    entries: EntryFlow
    exits: ExitFlow
    protection: ProtectionFlow
    rescue: Rescue
    books: BookKeeper
    fuse: Fuse
    memory: MarginMemory


class World:
    """What outlasts a process."""

    def __init__(self, *, omit_average: bool = False) -> None:
        self.clock = ManualClock(NOON)
        self.venue = VenueTwin(self.clock, omit_average=omit_average)
        self.store = MemoryEntries(self.clock)
        self.outbox = MemoryOutbox()
        self.exchange = self._client()
        self.market = MarketTwin(self.exchange)
        for symbol in (BTC, "ETHUSDT"):
            self.venue.price("50000", symbol)

    def process(self, fuse: Fuse | None = None, **rules: Any) -> Process:
        """Start a process; without a fuse it lives for ever."""
        fuse = fuse or Fuse()
        store, outbox = Mortal("store", self.store, fuse), Mortal("outbox", self.outbox, fuse)
        exchange, market = Mortal("exchange", self._client(), fuse), self.market

        async def sleep(seconds: float) -> None:
            fuse.burn("before sleep")
            self.clock.advance(seconds)
            await asyncio.sleep(0)

        made = EntryRules(**(_RULES | rules))
        exits = ExitFlow(store, exchange, market, outbox, INSTALLATION, self.clock, sleep)
        books = BookKeeper(store, BookReader(exchange, INSTALLATION, sleep), outbox, self.clock, sleep)
        protection = ProtectionFlow(
            store,
            exchange,
            market,
            outbox,
            exits,
            INSTALLATION,
            made.protection_timeout_s,
            self.clock,
            sleep,
        )
        memory = MarginMemory()
        margins = MarginFlow(store, exchange, exchange, outbox, exits, memory, self.clock)
        entries = EntryFlow(
            store, exchange, market, outbox, exits, protection, margins, made, self.clock, sleep
        )
        flow = ExecutionFlow(
            store,
            exchange,
            exchange,
            outbox,
            entries,
            protection,
            exits,
            margins,
            INSTALLATION,
            self.clock,
            sleep,
        )
        rescue = Rescue(store, entries, exits, self.clock)
        return Process(flow, entries, exits, protection, rescue, books, fuse, memory)

    def _client(self) -> BinanceClient:
        client = BinanceClient(SETTINGS, self.venue)
        client.history.pace = Pace(10**9)  # a simulated day has more than a day's reads
        return client

    def told(self, story: str) -> list[Message]:
        """Return what was published about a story, each fact once, in order."""
        once: dict[str, Envelope] = {}
        for each in self.outbox.published:
            once.setdefault(each.event_id, each)
        return [each.payload for each in once.values() if each.correlation_id == story]

    def entry_orders(self, approved: TradeApproved) -> list[str]:
        """Return the status of every order that the exchange ever accepted as this signal's entry."""
        state = self.venue.core.exchange.state
        orders = [*state.open_orders.values(), *state.done_orders.get(approved.symbol, ())]
        return [each.status.value for each in orders if each.client_order_id == client_id(approved)]

    def held(self, symbol: str = BTC) -> Decimal:
        """Return the position on the exchange, signed."""
        return self.venue.core.exchange.ledger.position(symbol).amount

    def standing(self) -> set[str]:
        """Return the client ids of all conditional orders that stand."""
        return {each.client_algo_id for each in self.venue.core.exchange.state.open_algos.values()}

    def is_protected(self, signal_id: str) -> bool:
        """Tell whether both stop and target of the entry stand."""
        return set(protection_ids(self.store.entries[signal_id], INSTALLATION)) <= self.standing()

    def by_hand(self, side: str, quantity: str, client_order_id: str = "", symbol: str = BTC) -> None:
        """Trade at market as somebody else on the same account."""
        self.venue.core.execute(_market_order(symbol, side, quantity, client_order_id))

    def cancel_by_hand(self, role: ids.OrderRole, approved: TradeApproved) -> None:
        """Cancel one of our conditional orders as somebody else."""
        name = ids.client_order_id(INSTALLATION, approved.signal_id, role)
        self.venue.core.execute(CancelAlgo(client_algo_id=name))


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until a condition holds."""
    for _ in range(TURNS_MAX):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never held")


_RULES: dict[str, Any] = {
    "installation": INSTALLATION,
    "market_order": False,
    "slippage_tolerance": Decimal("0.001"),
    "price_drift_max": Decimal("0.005"),
    "protection_timeout_s": Decimal(10),
    "lookup_window": timedelta(seconds=12),
}


def _market_order(symbol: str, side: str, quantity: str, client_order_id: str) -> Any:
    return PlaceOrder(
        symbol,
        Side(side.upper()),
        OrderType.MARKET,
        Decimal(quantity),
        Decimal(0),
        TimeInForce.GTC,
        client_order_id=client_order_id,
    )
