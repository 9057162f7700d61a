"""Turns market data into the events of the public streams that somebody listens to.

Knows stream names. Must never know connections (see `streams`) or change prices. Work is done only for
streams with listeners, so an idle exchange costs next to nothing.
"""

from collections.abc import Callable, Collection, Iterable

from infrastructure.paper_exchange import market_payloads
from infrastructure.paper_exchange.market import INTERVALS_MS, Market, SymbolMarket
from infrastructure.paper_exchange.market_payloads import Book, book_of
from infrastructure.paper_exchange.matching import BOOK_LEVELS_MAX, BookShape
from infrastructure.paper_exchange.streams import StreamHub
from infrastructure.paper_exchange.values import Payload

_EventMaker = Callable[[SymbolMarket, int], Payload]

_EVERY_SECOND: dict[str, _EventMaker] = {
    "markPrice": market_payloads.mark_price_event,
    "markPrice@1s": market_payloads.mark_price_event,
    "miniTicker": market_payloads.mini_ticker_event,
    "ticker": market_payloads.ticker_event,
}
_ALL_EVERY_SECOND: dict[str, _EventMaker] = {
    "!markPrice@arr": market_payloads.mark_price_event,
    "!markPrice@arr@1s": market_payloads.mark_price_event,
    "!miniTicker@arr": market_payloads.mini_ticker_event,
    "!ticker@arr": market_payloads.ticker_event,
}
_EVERY_MOVE: dict[str, _EventMaker] = {
    "trade": market_payloads.trade_event,
    "aggTrade": market_payloads.aggregate_trade_event,
}
_KLINE = "kline_"
_DEPTH_CHANNELS = frozenset({"depth", "depth@100ms", "depth@250ms", "depth@500ms"})
_PARTIAL_DEPTHS = {
    f"depth{count}{speed}": count for count in (5, 10, 20) for speed in ("", "@100ms", "@500ms")
}

_NO_BOOK = Book([], [])


class Publisher:
    """Publishes market data to the hub."""

    def __init__(self, market: Market, hub: StreamHub, shape: BookShape) -> None:
        self._market = market
        self._hub = hub
        self._shape = shape
        self._by_id = {symbol.lower(): symbol for symbol in market.symbols}
        self._books: dict[str, tuple[int, Book]] = {}
        self._bars: dict[str, int] = {}

    def after_move(self, moved: Collection[str], now_ms: int) -> None:
        """Publish what follows every price move."""
        self._forget_unwanted()
        for stream, symbol, channel in self._wanted(moved):
            market = self._market[symbol]
            if channel == "bookTicker":
                self._hub.publish(stream, market_payloads.book_ticker_event(market, self._shape, now_ms))
            elif channel in _EVERY_MOVE:
                self._hub.publish(stream, _EVERY_MOVE[channel](market, now_ms))
            elif channel.startswith(_KLINE):
                self._publish_kline(stream, market, channel.removeprefix(_KLINE), now_ms)
            elif channel in _DEPTH_CHANNELS:
                self._publish_depth(stream, market, now_ms)
            elif channel in _PARTIAL_DEPTHS:
                self._publish_partial_depth(stream, market, _PARTIAL_DEPTHS[channel], now_ms)
        if "!bookTicker" in self._hub.wanted:
            for symbol in moved:
                event = market_payloads.book_ticker_event(self._market[symbol], self._shape, now_ms)
                self._hub.publish("!bookTicker", event)

    def every_second(self, now_ms: int) -> None:
        """Publish mark prices and tickers."""
        for stream, symbol, channel in self._wanted(self._market.symbols):
            if channel in _EVERY_SECOND:
                self._hub.publish(stream, _EVERY_SECOND[channel](self._market[symbol], now_ms))
        for stream, maker in _ALL_EVERY_SECOND.items():
            if stream in self._hub.wanted:
                self._hub.publish(stream, [maker(each, now_ms) for each in self._market.symbols.values()])

    def liquidations(self, events: Iterable[Payload]) -> None:
        """Publish forced orders."""
        for event in events:
            self._hub.publish(f"{event['o']['s'].lower()}@forceOrder", event)
            self._hub.publish("!forceOrder@arr", event)

    def _forget_unwanted(self) -> None:
        """Keep nothing for streams without listeners; a bar told closed must be one they saw open."""
        for known in (self._books, self._bars):
            for stream in known.keys() - set(self._hub.wanted):
                del known[stream]

    def _wanted(self, symbols: Collection[str]) -> Iterable[tuple[str, str, str]]:
        """Streams with listeners that are about one of these symbols: (stream, symbol, channel)."""
        for stream in self._hub.wanted:
            name, _, channel = stream.partition("@")
            symbol = self._by_id.get(name, "")
            if symbol in symbols:
                yield stream, symbol, channel

    def _publish_kline(self, stream: str, market: SymbolMarket, interval: str, now_ms: int) -> None:
        if interval not in INTERVALS_MS:
            return
        bars = market.klines(INTERVALS_MS[interval])
        current = bars[-1]
        known = self._bars.get(stream, current.open_ms)
        if known < current.open_ms and len(bars) > 1:
            closed = market_payloads.kline_event(market, bars[-2], interval, now_ms, closed=True)
            self._hub.publish(stream, closed)
        self._bars[stream] = current.open_ms
        self._hub.publish(
            stream, market_payloads.kline_event(market, current, interval, now_ms, closed=False)
        )

    def _publish_depth(self, stream: str, market: SymbolMarket, now_ms: int) -> None:
        """Every move is one update, so that any snapshot can be carried on from."""
        known_id, before = self._books.get(stream, (0, _NO_BOOK))
        if known_id != market.update_id - 1:
            before = book_of(market, self._shape, BOOK_LEVELS_MAX, market.previous_last)
        after = book_of(market, self._shape, BOOK_LEVELS_MAX)
        self._books[stream] = (market.update_id, after)
        self._hub.publish(stream, market_payloads.depth_update_event(market, before, after, now_ms))

    def _publish_partial_depth(self, stream: str, market: SymbolMarket, count: int, now_ms: int) -> None:
        book = book_of(market, self._shape, count)
        self._hub.publish(stream, market_payloads.depth_update_event(market, _NO_BOOK, book, now_ms))
