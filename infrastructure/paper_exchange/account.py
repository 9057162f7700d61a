"""The account: its state and the ledger that moves money in it.

Knows balances, positions, open and done orders, and keeps every wallet change as an income row. Must never
decide whether an order is allowed (see `validation`) or at which price it trades (see `matching`). Money is
conserved: the wallet changes only through `Ledger.book`, which writes the row that explains it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, TypeVar

import msgspec

from infrastructure.paper_exchange import margin
from infrastructure.paper_exchange.matching import BookShape, Fill
from infrastructure.paper_exchange.symbols import MAX_OPEN_ALGOS, MAX_OPEN_ORDERS, SymbolRules
from infrastructure.paper_exchange.values import (
    ZERO,
    Algo,
    Income,
    IncomeType,
    MarginType,
    Order,
    Position,
    Quote,
    SymbolSetting,
    Trade,
    money,
    money_up,
)

HISTORY_KEPT = 5_000
TRADES_PER_ORDER_KEPT = 2
INCOMES_PER_ORDER_KEPT = 4
_TRIM_SLACK = 100

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Terms:
    """The exchange's terms of business: fee rates as fractions, limits as counts, the shape of the book.

    `history_kept` counts the done orders and the done conditional orders that are remembered per symbol;
    trades and income rows, of which an order has several, are kept in proportion.
    """

    taker_fee: Decimal = Decimal("0.0005")
    maker_fee: Decimal = Decimal("0.0002")
    open_orders_max: int = MAX_OPEN_ORDERS
    open_algos_max: int = MAX_OPEN_ALGOS
    history_kept: int = HISTORY_KEPT
    book: BookShape = field(default_factory=BookShape)


class Counters(msgspec.Struct):
    """Next ids; they never go back, not even at a reset."""

    order: int = 1_000_001
    algo: int = 2_000_001
    trade: int = 3_000_001
    tran: int = 4_000_001


class Forgotten(msgspec.Struct):
    """How many rows of each history were dropped because it was full."""

    orders: int = 0
    algos: int = 0
    trades: int = 0
    incomes: int = 0


class AccountState(msgspec.Struct):
    """Everything that must survive a restart.

    `initial_wallet` (USDT) is None for an account that an earlier version founded.
    """

    cross_wallet: Decimal
    quotes: dict[str, Quote] = msgspec.field(default_factory=dict)
    cursor: int = 0
    next_funding_ms: int = 0
    updated_ms: int = 0
    counters: Counters = msgspec.field(default_factory=Counters)
    settings: dict[str, SymbolSetting] = msgspec.field(default_factory=dict)
    positions: dict[str, Position] = msgspec.field(default_factory=dict)
    open_orders: dict[int, Order] = msgspec.field(default_factory=dict)
    open_algos: dict[int, Algo] = msgspec.field(default_factory=dict)
    done_orders: dict[str, list[Order]] = msgspec.field(default_factory=dict)
    done_algos: dict[str, list[Algo]] = msgspec.field(default_factory=dict)
    trades: dict[str, list[Trade]] = msgspec.field(default_factory=dict)
    incomes: dict[str, list[Income]] = msgspec.field(default_factory=dict)
    forgotten: Forgotten = msgspec.field(default_factory=Forgotten)
    initial_wallet: Decimal | None = None


class PositionFigures(NamedTuple):
    """A position valued at the mark price; amounts in USDT."""

    mark: Decimal
    notional: Decimal
    unrealized_pnl: Decimal
    maintenance_margin: Decimal
    initial_margin: Decimal
    liquidation_price: Decimal


class Ledger:
    """Reads and moves the money of one account."""

    def __init__(self, rules: Mapping[str, SymbolRules], state: AccountState, terms: Terms) -> None:
        self.rules = rules
        self.state = state
        self.terms = terms

    # -- reading -----------------------------------------------------------------------------------

    def setting(self, symbol: str) -> SymbolSetting:
        """Leverage and margin type of a symbol."""
        return self.state.settings.get(symbol) or _DEFAULT_SETTING

    def is_isolated(self, symbol: str) -> bool:
        """Whether the symbol's positions own their margin."""
        return self.setting(symbol).margin_type is MarginType.ISOLATED

    def position(self, symbol: str) -> Position:
        """The position of a symbol, flat if there never was one."""
        return self.state.positions.get(symbol) or Position(symbol)

    def open_positions(self) -> Iterator[Position]:
        """Positions that are not flat."""
        return (position for position in self.state.positions.values() if position.amount)

    def wallet_balance(self) -> Decimal:
        """Cross wallet plus all isolated wallets (USDT)."""
        return self.state.cross_wallet + sum(
            (position.isolated_wallet for position in self.state.positions.values()), ZERO
        )

    def unrealized_pnl(self, position: Position) -> Decimal:
        """Unrealised profit (USDT) of a position at the mark price."""
        mark = self.state.quotes[position.symbol].mark
        return margin.unrealized_pnl(position.amount, position.entry_price, mark)

    def maintenance_margin(self, position: Position) -> Decimal:
        """Maintenance margin (USDT) of a position at the mark price."""
        mark = self.state.quotes[position.symbol].mark
        return margin.maintenance_margin(position.amount, mark, self.rules[position.symbol].brackets)

    def cross_unrealized_pnl(self) -> Decimal:
        """Unrealised profit (USDT) of all cross positions."""
        return sum((self.unrealized_pnl(position) for position in self.cross_positions()), ZERO)

    def cross_positions(self) -> list[Position]:
        """Open positions that share the cross wallet."""
        return [position for position in self.open_positions() if not self.is_isolated(position.symbol)]

    def open_order_margin(self, symbol: str | None = None) -> Decimal:
        """Initial margin (USDT) bound by resting orders that would increase exposure."""
        return sum(
            (
                self._order_margin(order)
                for order in self.state.open_orders.values()
                if symbol is None or order.symbol == symbol
            ),
            ZERO,
        )

    def available_balance(self) -> Decimal:
        """What new orders may bind (USDT), never below 0."""
        bound = sum((self.figures(position).initial_margin for position in self.cross_positions()), ZERO)
        free = self.state.cross_wallet + self.cross_unrealized_pnl() - bound - self.open_order_margin()
        return max(ZERO, free)

    def figures(self, position: Position) -> PositionFigures:
        """Value a position at the mark price."""
        mark = self.state.quotes[position.symbol].mark
        notional = position.amount * mark
        leverage = self.setting(position.symbol).leverage
        return PositionFigures(
            mark=mark,
            notional=money(notional),
            unrealized_pnl=self.unrealized_pnl(position),
            maintenance_margin=self.maintenance_margin(position),
            initial_margin=margin.initial_margin(notional, leverage),
            liquidation_price=self._liquidation_price(position),
        )

    # -- moving money ------------------------------------------------------------------------------

    def apply_fill(self, order: Order, fill: Fill, *, maker: bool, now_ms: int) -> Trade:
        """Net a fill into the position, move margin, realise profit, charge the fee; returns the trade."""
        position = self.state.positions.setdefault(order.symbol, Position(order.symbol))
        rate = self.terms.maker_fee if maker else self.terms.taker_fee
        fee = money_up(fill.price * fill.quantity * rate)
        realized = self._net(position, order, fill, fee, now_ms)
        trade = self._record_trade(order, fill, realized, fee, maker=maker, now_ms=now_ms)
        self.book(order.symbol, IncomeType.REALIZED_PNL, realized, now_ms, trade.trade_id)
        self.book(order.symbol, IncomeType.COMMISSION, -fee, now_ms, trade.trade_id)
        return trade

    def settle_liquidation(self, order: Order, mark: Decimal, now_ms: int) -> Trade:
        """Close a position at mark; the clearance fee takes what is left, insurance pays what is short."""
        position = self.state.positions[order.symbol]
        notional = abs(position.amount) * mark
        own = position.isolated_wallet if self.is_isolated(order.symbol) else self.state.cross_wallet
        fill = Fill(mark, abs(position.amount))
        realized = self._net(position, order, fill, ZERO, now_ms)
        left = own + realized
        fee = money_up(min(notional * self.rules[order.symbol].liquidation_fee, left))
        trade = self._record_trade(order, fill, realized, ZERO, maker=False, now_ms=now_ms)
        self.book(order.symbol, IncomeType.REALIZED_PNL, realized, now_ms, trade.trade_id)
        self.book(order.symbol, IncomeType.INSURANCE_CLEAR, -fee, now_ms, trade.trade_id)
        return trade

    def charge_funding(self, position: Position, rate: Decimal, now_ms: int) -> None:
        """Pay or receive funding on one position; an isolated position pays from its own wallet."""
        mark = self.state.quotes[position.symbol].mark
        amount = margin.funding_payment(position.amount, mark, rate)
        self.book(position.symbol, IncomeType.FUNDING_FEE, amount, now_ms)
        if self.is_isolated(position.symbol):
            position.isolated_wallet += amount
            self.state.cross_wallet -= amount
        position.updated_ms = now_ms

    def book(self, symbol: str, kind: IncomeType, amount: Decimal, now_ms: int, trade_id: int = 0) -> None:
        """Change the cross wallet by `amount` (USDT) and write the row that explains it."""
        assert amount.is_finite(), "money must be a number"
        if not amount:
            return
        row = Income(self.state.counters.tran, symbol, kind, amount, now_ms, kind.value, trade_id)
        self.state.counters.tran += 1
        self.state.cross_wallet += amount
        self.state.updated_ms = now_ms
        rows = self.state.incomes.setdefault(symbol, [])
        kept = self.terms.history_kept * INCOMES_PER_ORDER_KEPT
        self.state.forgotten.incomes += _append_bounded(rows, row, kept)

    # -- histories ---------------------------------------------------------------------------------

    def archive_order(self, order: Order) -> None:
        """Remember a done order."""
        rows = self.state.done_orders.setdefault(order.symbol, [])
        self.state.forgotten.orders += _append_bounded(rows, order, self.terms.history_kept)

    def archive_algo(self, algo: Algo) -> None:
        """Remember a done conditional order."""
        rows = self.state.done_algos.setdefault(algo.symbol, [])
        self.state.forgotten.algos += _append_bounded(rows, algo, self.terms.history_kept)

    # -- inside ------------------------------------------------------------------------------------

    def _net(self, position: Position, order: Order, fill: Fill, fee: Decimal, now_ms: int) -> Decimal:
        before = abs(position.amount)
        result = margin.net(position.amount, position.entry_price, order.side, fill.price, fill.quantity)
        if result.closed:
            left = (before - result.closed) / before
            self._move_to_cross(position, position.isolated_wallet - money(position.isolated_wallet * left))
            position.open_fees = money(position.open_fees * left)
        if result.opened:
            position.open_fees += money(fee * result.opened / fill.quantity)
            if self.is_isolated(position.symbol):
                leverage = self.setting(position.symbol).leverage
                self._move_to_cross(position, -margin.initial_margin(fill.price * result.opened, leverage))
        position.amount, position.entry_price = result.amount, result.entry_price
        position.accumulated_pnl += result.realized_pnl
        position.updated_ms = now_ms
        return result.realized_pnl

    def _move_to_cross(self, position: Position, amount: Decimal) -> None:
        position.isolated_wallet -= amount
        self.state.cross_wallet += amount

    def _record_trade(
        self, order: Order, fill: Fill, realized: Decimal, fee: Decimal, *, maker: bool, now_ms: int
    ) -> Trade:
        order.executed += fill.quantity
        order.executed_quote += fill.price * fill.quantity
        order.updated_ms = now_ms
        trade = Trade(
            trade_id=self.state.counters.trade,
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            price=fill.price,
            quantity=fill.quantity,
            realized_pnl=realized,
            commission=fee,
            maker=maker,
            time_ms=now_ms,
        )
        self.state.counters.trade += 1
        rows = self.state.trades.setdefault(order.symbol, [])
        kept = self.terms.history_kept * TRADES_PER_ORDER_KEPT
        self.state.forgotten.trades += _append_bounded(rows, trade, kept)
        return trade

    def _order_margin(self, order: Order) -> Decimal:
        if order.reduce_only:
            return ZERO
        amount = self.position(order.symbol).amount
        increase = margin.exposure_increase(amount, order.side, order.remaining)
        return margin.initial_margin(order.price * increase, self.setting(order.symbol).leverage)

    def _liquidation_price(self, position: Position) -> Decimal:
        if not position.amount:
            return ZERO
        brackets = self.rules[position.symbol].brackets
        if self.is_isolated(position.symbol):
            return margin.liquidation_price(
                position.amount, position.entry_price, position.isolated_wallet, brackets
            )
        others = sum(
            (
                self.unrealized_pnl(other) - self.maintenance_margin(other)
                for other in self.cross_positions()
                if other.symbol != position.symbol
            ),
            ZERO,
        )
        return margin.liquidation_price(
            position.amount, position.entry_price, self.state.cross_wallet, brackets, others
        )


_DEFAULT_SETTING = SymbolSetting()


def _append_bounded(rows: list[_Row], row: _Row, kept: int) -> int:
    """Append a row and forget the oldest beyond `kept`; returns how many were forgotten.

    Trimmed in steps, so that appending stays cheap.
    """
    rows.append(row)
    if len(rows) <= kept + _TRIM_SLACK:
        return 0
    forgotten = len(rows) - kept
    del rows[:-kept]
    return forgotten
