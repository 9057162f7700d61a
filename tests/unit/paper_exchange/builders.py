"""A small exchange in memory, and short ways to say orders."""

from dataclasses import dataclass, field
from decimal import Decimal

from infrastructure.paper_exchange.account import AccountState, Terms
from infrastructure.paper_exchange.commands import Command, MovePrices, PlaceAlgo, PlaceOrder
from infrastructure.paper_exchange.engine import Exchange, Outcome
from infrastructure.paper_exchange.market import next_funding_ms
from infrastructure.paper_exchange.symbols import listed_symbols
from infrastructure.paper_exchange.values import (
    ZERO,
    AlgoType,
    OrderType,
    Payload,
    Quote,
    Side,
    TimeInForce,
    WorkingType,
)

START_MS = 1_700_000_000_000
BTC = "BTCUSDT"
RULES = listed_symbols()
FREE = Terms(taker_fee=ZERO, maker_fee=ZERO)


def amount(text: str | int) -> Decimal:
    """A decimal, tersely."""
    return Decimal(text)


@dataclass
class Desk:
    """An exchange, a clock that moves with every command, and everything it said."""

    exchange: Exchange
    now_ms: int = START_MS
    events: list[Payload] = field(default_factory=list)

    @property
    def wallet(self) -> Decimal:
        """Wallet balance, USDT."""
        return self.exchange.ledger.wallet_balance()

    def do(self, command: Command) -> Outcome:
        """Carry out a command one millisecond later."""
        self.now_ms += 1
        outcome = self.exchange.execute(command, self.now_ms)
        self.events.extend(outcome.events)
        return outcome

    def market(
        self, side: Side, quantity: str, symbol: str = BTC, client_id: str = "", *, reduce_only: bool = False
    ) -> Payload:
        """Place a MARKET order; returns the order."""
        return self.do(
            PlaceOrder(
                symbol,
                side,
                OrderType.MARKET,
                Decimal(quantity),
                ZERO,
                TimeInForce.GTC,
                reduce_only,
                client_id,
            )
        ).answer

    def limit(
        self,
        side: Side,
        quantity: str,
        price: str,
        tif: TimeInForce = TimeInForce.GTC,
        client_id: str = "",
        *,
        reduce_only: bool = False,
    ) -> Payload:
        """Place a LIMIT order in BTCUSDT; returns the order."""
        return self.do(
            PlaceOrder(
                BTC, side, OrderType.LIMIT, Decimal(quantity), Decimal(price), tif, reduce_only, client_id
            )
        ).answer

    def stop(
        self,
        side: Side,
        trigger: str,
        quantity: str = "",
        kind: AlgoType = AlgoType.STOP_MARKET,
        working_type: WorkingType = WorkingType.MARK_PRICE,
        client_id: str = "",
        *,
        reduce_only: bool = False,
        price_protect: bool = False,
    ) -> Payload:
        """Place a conditional order in BTCUSDT, closing the position when no quantity is given."""
        return self.do(
            PlaceAlgo(
                BTC,
                side,
                kind,
                Decimal(trigger),
                Decimal(quantity or 0),
                close_position=not quantity,
                reduce_only=reduce_only,
                working_type=working_type,
                price_protect=price_protect,
                client_algo_id=client_id,
            )
        ).answer

    def price(self, last: str, mark: str | None = None, symbol: str = BTC) -> Outcome:
        """Move a price; the mark follows unless it is given."""
        return self.do(MovePrices({symbol: Quote(Decimal(last), Decimal(mark or last))}))

    def forget_events(self) -> None:
        """Start listening afresh."""
        self.events.clear()


def state(wallet: str = "10000") -> AccountState:
    """A new account with every symbol at its start price."""
    quotes = {symbol: Quote(each.start_price, each.start_price) for symbol, each in RULES.items()}
    return AccountState(Decimal(wallet), quotes=quotes, next_funding_ms=next_funding_ms(START_MS))


def desk(wallet: str = "10000", terms: Terms | None = None) -> Desk:
    """An exchange with one funded account."""
    return Desk(Exchange(RULES, state(wallet), terms or Terms()))


def summary(events: list[Payload]) -> list[str]:
    """Events in a few words: what a reader of the user data stream sees."""
    return [_words(event) for event in events]


def _words(event: Payload) -> str:
    match event["e"]:
        case "ORDER_TRADE_UPDATE":
            return f"order {event['o']['x']} {event['o']['X']}"
        case "ALGO_UPDATE":
            return f"algo {event['o']['X']}"
        case "ACCOUNT_UPDATE":
            return f"account {event['a']['m']}"
        case other:
            return str(other)
