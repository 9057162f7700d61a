"""The running exchange: the core with its journal, price source, streams and clock.

Knows the order in which a command is carried out, written down, published and answered. Must never know HTTP.
Everything runs on one event loop and no method here awaits, so commands never overlap.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

from infrastructure.paper_exchange.commands import ChargeFunding, Command, MovePrices
from infrastructure.paper_exchange.engine import Exchange, Outcome
from infrastructure.paper_exchange.event_log import log_events
from infrastructure.paper_exchange.journal import Journal, Record
from infrastructure.paper_exchange.market import Market, next_funding_ms
from infrastructure.paper_exchange.prices import PriceMove, PriceSource
from infrastructure.paper_exchange.publisher import Publisher
from infrastructure.paper_exchange.streams import StreamHub
from infrastructure.paper_exchange.values import Payload, Quote

QUOTES_WRITTEN_EVERY_MS = 5_000
SECOND_MS = 1_000
ELAPSED_MAX_MS = 60_000


class Venue:
    """Carries out commands and lets time pass.

    `clock` is the time that the exchange tells; `pace`, by which prices move, is not skewed with it.
    """

    def __init__(
        self,
        exchange: Exchange,
        market: Market,
        source: PriceSource,
        journal: Journal,
        hub: StreamHub,
        clock: Callable[[], int],
        pace: Callable[[], int] | None = None,
    ) -> None:
        self.exchange = exchange
        self.market = market
        self.hub = hub
        self.clock = clock
        self._pace = pace or clock
        self.paused_symbols: set[str] = set()
        self._source = source
        self._journal = journal
        self._publisher = Publisher(market, hub, exchange.ledger.terms.book)
        self._unwritten: dict[str, Quote] = {}
        self._written_ms = clock()
        self._second = 0
        self._ticked_ms = self._pace()
        self._cursor_ms = exchange.state.cursor

    def execute(self, command: Command) -> Payload:
        """Carry out a command, write it down, tell the streams; returns the answer.

        Raises `ApiError` when the exchange refuses, OSError when the journal cannot be written (the command
        has then happened in memory only: the process must end).
        """
        now_ms = self.clock()
        outcome = self.exchange.execute(command, now_ms)
        self._write_quotes(now_ms)
        self._write(command, now_ms)
        self._rotate_if_full()
        self._tell(outcome)
        return outcome.answer

    def tick(self) -> None:
        """Let time pass: move prices, fire what they fire, publish, charge funding, expire listen keys."""
        now_ms, paced_ms = self.clock(), self._pace()
        elapsed_ms = min(max(paced_ms - self._ticked_ms, 0), ELAPSED_MAX_MS)
        self._ticked_ms = paced_ms
        self._cursor_ms += elapsed_ms
        for moves in self._source.step(elapsed_ms):
            running = {symbol: move for symbol, move in moves.items() if symbol not in self.paused_symbols}
            self._move(running, now_ms)
        if now_ms // SECOND_MS != self._second:
            self._second = now_ms // SECOND_MS
            self._every_second(now_ms)

    def jump(self, symbol: str, price: Decimal, mark: Decimal) -> None:
        """Put a symbol's prices somewhere at once; what that fires is fired before this returns."""
        now_ms = self.clock()
        self._source.jump(symbol, price)
        self.market[symbol].jump(price, mark, now_ms)
        self.execute(MovePrices({symbol: self.market[symbol].quote}, self._cursor_ms))
        self._publisher.after_move([symbol], now_ms)
        self._publisher.every_second(now_ms)

    def close(self) -> None:
        """Write a last snapshot and let go of the files."""
        self._journal.rotate(self.exchange.state)
        self._journal.close()

    def _move(self, moves: Mapping[str, PriceMove], now_ms: int) -> None:
        if not moves:
            return
        quotes = self.market.apply(moves, now_ms)
        command = MovePrices(quotes, self._cursor_ms)
        outcome = self.exchange.execute(command, now_ms)
        self._unwritten |= quotes
        if outcome.events or now_ms - self._written_ms >= QUOTES_WRITTEN_EVERY_MS:
            self._write_quotes(now_ms)
            self._rotate_if_full()
        self._tell(outcome)
        self._publisher.after_move(moves.keys(), now_ms)

    def _tell(self, outcome: Outcome) -> None:
        self.hub.publish_user(outcome.events)
        self._publisher.liquidations(outcome.liquidations)
        log_events(outcome.events)

    def _every_second(self, now_ms: int) -> None:
        self._publisher.every_second(now_ms)
        self.hub.expire_listen_key()
        if now_ms >= self.exchange.state.next_funding_ms:
            rates = {symbol: each.funding_rate() for symbol, each in self.market.symbols.items()}
            self.execute(ChargeFunding(rates, next_funding_ms(now_ms)))

    def _write_quotes(self, now_ms: int) -> None:
        """Write the latest quotes before whatever happened at them.

        Price moves without effect are not written one by one: only the quotes that the next effect is judged
        by matter for replay, and evaluating those once more has, again, no effect.
        """
        if self._unwritten:
            quotes, self._unwritten = self._unwritten, {}
            self._write(MovePrices(quotes, self._cursor_ms), now_ms)
        self._written_ms = now_ms

    def _write(self, command: Command, now_ms: int) -> None:
        self._journal.append(Record(now_ms, command))

    def _rotate_if_full(self) -> None:
        """Only when everything in memory is written: a snapshot must not run ahead of the journal."""
        if self._journal.is_full:
            self._journal.rotate(self.exchange.state)
