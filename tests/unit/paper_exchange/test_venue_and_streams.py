"""The running exchange without sockets: ticks, streams, listen keys, funding times, and who is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from aiohttp import web

from infrastructure.paper_exchange import market_payloads, streams
from infrastructure.paper_exchange.account import Terms
from infrastructure.paper_exchange.commands import PlaceOrder
from infrastructure.paper_exchange.engine import Exchange
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.journal import Journal
from infrastructure.paper_exchange.market import FUNDING_INTERVAL_MS, Market, next_funding_ms
from infrastructure.paper_exchange.prices import MarketSource, WalkSource
from infrastructure.paper_exchange.streams import Connection, StreamHub, category_of
from infrastructure.paper_exchange.values import ZERO, IncomeType, OrderType, Side, TimeInForce
from infrastructure.paper_exchange.venue import Venue
from tests.unit.paper_exchange.builders import BTC, RULES, START_MS, state

D = Decimal
MINUTE_MS = 60_000


@dataclass
class Floor:
    """A venue with a hand-moved clock and connections that keep what they are sent."""

    venue: Venue
    now: list[int]
    connections: list[Connection] = field(default_factory=list)

    def pass_time(self, elapsed_ms: int) -> None:
        self.now[0] += elapsed_ms
        self.venue.tick()

    def listen(self, *names: str, category: str = "public", combined: bool = False) -> Connection:
        connection = Connection(cast(web.WebSocketResponse, None), category, combined=combined)
        self.venue.hub._subscribe(connection, names)
        return connection


def heard(connection: Connection) -> list[Any]:
    messages = [orjson.loads(message) for message in connection._queue]
    connection._queue.clear()
    return messages


def buy(quantity: str = "0.1") -> PlaceOrder:
    return PlaceOrder(BTC, Side.BUY, OrderType.MARKET, D(quantity), ZERO, TimeInForce.GTC)


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    now = [START_MS]
    exchange = Exchange(RULES, state(), Terms())
    journal = Journal(tmp_path)
    journal.recover()
    journal.rotate(exchange.state)
    market = Market(RULES, exchange.state.quotes)
    for symbol, each in market.symbols.items():
        each.seed(WalkSource(RULES, 1).history(symbol, 5), START_MS)

    def clock() -> int:
        return now[0]

    venue = Venue(exchange, market, MarketSource(WalkSource(RULES, 95)), journal, StreamHub(clock), clock)
    yield Floor(venue, now)
    venue.close()


@pytest.mark.parametrize(
    ("stream", "category"),
    [
        ("btcusdt@bookTicker", "public"),
        ("!bookTicker", "public"),
        ("btcusdt@depth@100ms", "public"),
        ("btcusdt@trade", "public"),
        ("btcusdt@aggTrade", "market"),
        ("btcusdt@kline_1m", "market"),
        ("btcusdt@markPrice@1s", "market"),
        ("!miniTicker@arr", "market"),
        ("btcusdt@ticker", "market"),
        ("0af3", "private"),
    ],
)
def test_every_stream_belongs_to_one_address(stream: str, category: str) -> None:
    assert category_of(stream) == category


def test_a_stream_asked_for_at_the_wrong_address_stays_silent(floor: Floor) -> None:
    connection = floor.listen("btcusdt@markPrice@1s", category="public")
    floor.pass_time(1_000)
    assert heard(connection) == []
    assert connection.streams == {"btcusdt@markPrice@1s"}


def test_a_skewed_clock_does_not_hurry_the_prices(floor: Floor) -> None:
    told = floor.venue.clock
    floor.venue.clock = lambda: told() + 60_000
    floor.pass_time(0)
    assert floor.venue._cursor_ms == 0
    floor.pass_time(200)
    assert floor.venue._cursor_ms == 200
    assert floor.venue.market[BTC].updated_ms == told() + 60_000


def test_a_tick_publishes_to_whoever_listens(floor: Floor) -> None:
    public = floor.listen("btcusdt@bookTicker", "btcusdt@trade", "ethusdt@depth@100ms", "!bookTicker")
    market = floor.listen("btcusdt@aggTrade", "btcusdt@kline_5m", category="market")
    floor.pass_time(200)
    events = heard(public)
    kinds = [event["e"] for event in events]
    assert sorted(set(kinds)) == ["bookTicker", "depthUpdate", "trade"]
    assert kinds.count("bookTicker") == 1 + len(RULES)
    assert sorted(event["e"] for event in heard(market)) == ["aggTrade", "kline"]


def test_tickers_and_mark_prices_come_once_a_second(floor: Floor) -> None:
    names = ("btcusdt@markPrice@1s", "btcusdt@miniTicker", "btcusdt@ticker", "!ticker@arr")
    floor.pass_time(200)
    connection = floor.listen(*names, category="market")
    for _ in range(15):
        floor.pass_time(200)
    messages = heard(connection)
    lists = [message for message in messages if isinstance(message, list)]
    kinds = [message["e"] for message in messages if not isinstance(message, list)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "markPriceUpdate": 3,
        "24hrTicker": 3,
        "24hrMiniTicker": 3,
    }
    assert [len(each) for each in lists] == [10, 10, 10]


def test_combined_connections_name_the_stream(floor: Floor) -> None:
    connection = floor.listen("btcusdt@bookTicker", combined=True)
    floor.pass_time(200)
    (message,) = heard(connection)
    assert (message["stream"], message["data"]["e"]) == ("btcusdt@bookTicker", "bookTicker")


def test_the_last_kline_of_a_minute_is_told_closed(floor: Floor) -> None:
    connection = floor.listen("btcusdt@kline_1m", category="market")
    floor.pass_time(200)
    opened = heard(connection)[-1]["k"]["t"]
    floor.pass_time(MINUTE_MS)
    closed, current = heard(connection)
    assert (closed["k"]["t"], closed["k"]["x"]) == (opened, True)
    assert (current["k"]["t"], current["k"]["x"]) == (opened + MINUTE_MS, False)
    assert closed["k"]["T"] == opened + MINUTE_MS - 1


class Follower:
    """A client that keeps a book by the documented rules."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.number = snapshot["lastUpdateId"]
        self.sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}

    def follow(self, event: dict[str, Any]) -> None:
        assert event["U"] <= self.number <= event["u"] or event["pu"] == self.number
        self.number = event["u"]
        for side, book in self.sides.items():
            book.update(event[side])
            self.sides[side] = {price: quantity for price, quantity in book.items() if D(quantity)}


def snapshot(floor: Floor) -> dict[str, Any]:
    shape = floor.venue.exchange.ledger.terms.book
    return market_payloads.depth(floor.venue.market[BTC], shape, 100, floor.now[0])


def test_a_snapshot_is_carried_on_by_the_updates_that_follow_it(floor: Floor) -> None:
    for wait in range(3):
        connection = floor.listen("btcusdt@depth")
        for _ in range(wait):
            floor.pass_time(200)
        heard(connection)
        follower = Follower(snapshot(floor))
        for _ in range(4):
            floor.pass_time(200)
            follower.follow(heard(connection)[-1])
            now = snapshot(floor)
            assert follower.sides == {"b": dict(now["bids"]), "a": dict(now["asks"])}
        floor.venue.hub._unsubscribe(connection, ("btcusdt@depth",))
        floor.pass_time(200)


def test_a_reader_that_is_too_slow_is_closed(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "QUEUE_MESSAGES_MAX", 3)
    connection = floor.listen("btcusdt@bookTicker")
    for _ in range(5):
        floor.pass_time(200)
    assert connection._closing
    assert len(connection._queue) == 3


def test_paused_symbols_stand_still_while_the_others_walk(floor: Floor) -> None:
    floor.venue.paused_symbols.add(BTC)
    before = {symbol: each.update_id for symbol, each in floor.venue.market.symbols.items()}
    floor.pass_time(200)
    moved = {symbol for symbol, each in floor.venue.market.symbols.items() if each.update_id > before[symbol]}
    assert moved == set(RULES) - {BTC}


def test_a_jump_fires_before_it_returns_and_is_published(floor: Floor) -> None:
    connection = floor.listen("btcusdt@bookTicker")
    floor.venue.execute(buy("3"))
    floor.venue.jump(BTC, D(48_000), D(48_000))
    assert floor.venue.exchange.ledger.position(BTC).amount == 3
    assert D(heard(connection)[-1]["b"]) <= 48_000
    floor.venue.jump(BTC, D(40_000), D(40_000))
    assert not floor.venue.exchange.ledger.position(BTC).amount


def test_liquidations_are_public(floor: Floor) -> None:
    connection = floor.listen("btcusdt@forceOrder", "!forceOrder@arr", category="market")
    floor.venue.execute(buy("3"))
    floor.venue.jump(BTC, D(30_000), D(30_000))
    assert [event["e"] for event in heard(connection)] == ["forceOrder", "forceOrder"]


def test_user_events_reach_the_listen_key_and_nobody_else(floor: Floor) -> None:
    key = floor.venue.hub.open_listen_key()
    private, public = floor.listen(key, category="private"), floor.listen("btcusdt@bookTicker")
    floor.venue.execute(buy())
    assert [event["e"] for event in heard(private)] == [
        "ORDER_TRADE_UPDATE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE",
    ]
    assert heard(public) == []


def test_a_listen_key_is_the_same_until_nobody_extends_it(floor: Floor) -> None:
    hub = floor.venue.hub
    key = hub.open_listen_key()
    connection = floor.listen(key, category="private")
    floor.pass_time(59 * MINUTE_MS)
    assert hub.extend_listen_key() == hub.open_listen_key() == key
    floor.pass_time(59 * MINUTE_MS)
    assert heard(connection) == []
    floor.pass_time(2 * MINUTE_MS)
    (expired,) = heard(connection)
    assert (expired["e"], expired["listenKey"]) == ("listenKeyExpired", key)
    with pytest.raises(ApiError, match="-1125"):
        hub.extend_listen_key()
    assert hub.open_listen_key() != key


def test_closing_a_listen_key_closes_its_connections(floor: Floor) -> None:
    key = floor.venue.hub.open_listen_key()
    connection = floor.listen(key, category="private")
    floor.venue.hub.close_listen_key()
    assert connection._closing
    assert not floor.venue.hub.is_listen_key(key)


def test_funding_is_charged_once_at_each_funding_time(floor: Floor) -> None:
    floor.venue.execute(buy())
    due = next_funding_ms(START_MS)
    floor.now[0] = due - 1_000
    floor.venue.tick()
    rows = floor.venue.exchange.state.incomes[BTC]
    assert IncomeType.FUNDING_FEE not in {row.type for row in rows}
    for _ in range(5):
        floor.pass_time(1_000)
    (payment,) = [row for row in rows if row.type is IncomeType.FUNDING_FEE]
    assert payment.amount < 0
    assert floor.venue.exchange.state.next_funding_ms == due + FUNDING_INTERVAL_MS


def test_a_disk_that_refuses_is_not_hidden(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("infrastructure.paper_exchange.journal.os.write", refuse)
        with pytest.raises(OSError, match="No space"):
            floor.venue.execute(buy())
