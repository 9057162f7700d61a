"""What a running exchange leaves on disk at any moment gives the same account again.

Price moves without effect are not written one by one, so this runs the venue itself: a walk, a clock that is
moved by hand, orders in between, and a recovery from the files as they are, without any farewell.
"""

import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.paper_exchange.account import AccountState, Terms
from infrastructure.paper_exchange.commands import Command, ForceClose, PlaceAlgo, PlaceOrder, SetLeverage
from infrastructure.paper_exchange.engine import Exchange
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.journal import Journal
from infrastructure.paper_exchange.market import Market
from infrastructure.paper_exchange.prices import MarketSource, WalkSource
from infrastructure.paper_exchange.streams import StreamHub
from infrastructure.paper_exchange.values import (
    ZERO,
    AlgoType,
    ForcedClose,
    OrderType,
    Side,
    TimeInForce,
    floor_to,
)
from infrastructure.paper_exchange.venue import Venue
from tests.unit.paper_exchange.builders import BTC, RULES, START_MS, state

STEP_MS = 900
"""Less than the time after which quotes are written anyway, so that most moves are not on disk."""
NEAR = Decimal("0.00003")
"""So close to the price that the walk reaches it within a few steps."""


@dataclass
class HandClock:
    """A clock that stands still until it is moved."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms


def open_venue(directory: Path, seed: int, clock: HandClock) -> Venue:
    exchange = Exchange(RULES, state(), Terms())
    journal = Journal(directory)
    journal.recover()
    journal.rotate(exchange.state)
    market = Market(RULES, exchange.state.quotes)
    for each in market.symbols.values():
        each.seed([], clock())
    source = MarketSource(WalkSource(RULES, seed))
    return Venue(exchange, market, source, journal, StreamHub(clock), clock)


def recover(directory: Path) -> AccountState:
    found = Journal(directory).recover()
    assert found is not None
    snapshot, records = found
    exchange = Exchange(RULES, snapshot, Terms())
    for record in records:
        exchange.execute(record.command, record.now_ms)
    return exchange.state


def without_prices(found: AccountState) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(found, quotes={}, cursor=0))


def commands(choice: int, last: Decimal) -> Command:
    tick = RULES[BTC].tick
    side = Side.BUY if choice % 2 else Side.SELL
    near = floor_to(last * (1 - side.sign * NEAR), tick)
    quantity = Decimal("0.05")
    return (
        PlaceOrder(BTC, side, OrderType.MARKET, quantity, ZERO, TimeInForce.GTC),
        PlaceOrder(BTC, side, OrderType.LIMIT, quantity, near, TimeInForce.GTC),
        PlaceAlgo(BTC, side.opposite, AlgoType.STOP_MARKET, near, ZERO, close_position=True),
        SetLeverage(BTC, 20 + choice),
        PlaceOrder(
            BTC, side, OrderType.MARKET, quantity, ZERO, TimeInForce.GTC, fill_share=Decimal(choice) / 41
        ),
        ForceClose(BTC, list(ForcedClose)[choice % 3], Decimal("0.01")),
    )[choice % 6]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), choices=st.lists(st.integers(0, 40) | st.none(), min_size=5, max_size=60))
def test_recovery_from_the_files_gives_the_same_account(seed: int, choices: list[int | None]) -> None:
    clock = HandClock()
    with tempfile.TemporaryDirectory() as folder:
        venue = open_venue(Path(folder), seed, clock)
        for choice in choices:
            clock.now_ms += STEP_MS
            venue.tick()
            if choice is not None:
                try:
                    venue.execute(commands(choice, venue.exchange.state.quotes[BTC].last))
                except ApiError:
                    continue
        assert without_prices(recover(Path(folder))) == without_prices(venue.exchange.state)
        venue.close()
        assert recover(Path(folder)) == venue.exchange.state
