"""Whatever a client does and prices do: money is conserved, positions are the sum of fills, rules hold.

The machine also keeps every accepted command as the journal would, and replays it at the end.
"""

from decimal import Decimal

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from infrastructure.paper_exchange import views
from infrastructure.paper_exchange.account import Terms
from infrastructure.paper_exchange.commands import (
    CancelAllAlgos,
    CancelAllOrders,
    ChargeFunding,
    Command,
    ForceClose,
    MovePrices,
    PlaceAlgo,
    PlaceOrder,
    SetLeverage,
    SetMarginType,
    SetWallet,
)
from infrastructure.paper_exchange.engine import Exchange
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.journal import Record
from infrastructure.paper_exchange.symbols import SymbolRules
from infrastructure.paper_exchange.values import (
    ZERO,
    AlgoType,
    ForcedClose,
    MarginType,
    OrderType,
    Quote,
    Side,
    TimeInForce,
    WorkingType,
    floor_to,
)
from tests.unit.paper_exchange.builders import RULES, START_MS, state

WALLET = Decimal(10_000)
SYMBOLS = ["BTCUSDT", "DOGEUSDT"]

symbols = st.sampled_from(SYMBOLS)
sides = st.sampled_from(list(Side))
fractions = st.integers(1, 3_000).map(lambda thousandths: Decimal(thousandths) / 1_000)
ratios = st.integers(9_000, 11_000).map(lambda part: Decimal(part) / 10_000)
odd_numbers = st.sampled_from(["0", "0.0001", "-1", "1.00005", "99999999", "0.1"]).map(Decimal)


def on_tick(price: Decimal, rules: SymbolRules) -> Decimal:
    return max(rules.tick, floor_to(price, rules.tick))


class Trading(RuleBasedStateMachine):
    """A client with a random hand and a market with a random mind."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange = Exchange(RULES, state(str(WALLET)), Terms())
        self.deposits = WALLET
        self.now_ms = START_MS
        self.journal: list[bytes] = []

    def do(self, command: Command) -> None:
        self.now_ms += 1
        before = msgspec.json.encode(self.exchange.state)
        try:
            self.exchange.execute(command, self.now_ms)
        except ApiError:
            assert msgspec.json.encode(self.exchange.state) == before, "a refusal changed something"
        else:
            self.journal.append(msgspec.json.encode(Record(self.now_ms, command)))

    def quantity(self, symbol: str, fraction: Decimal) -> Decimal:
        rules = RULES[symbol]
        usdt = WALLET * 10 * fraction
        return floor_to(usdt / rules.start_price, rules.step)

    @rule(symbol=symbols, side=sides, fraction=fractions, reduce_only=st.booleans())
    def market_order(self, symbol: str, side: Side, fraction: Decimal, *, reduce_only: bool) -> None:
        quantity = self.quantity(symbol, fraction)
        self.do(
            PlaceOrder(symbol, side, OrderType.MARKET, quantity, ZERO, TimeInForce.GTC, reduce_only, "market")
        )

    @rule(
        symbol=symbols,
        side=sides,
        fraction=fractions,
        ratio=ratios,
        tif=st.sampled_from(list(TimeInForce)),
        reduce_only=st.booleans(),
    )
    def limit_order(
        self,
        symbol: str,
        side: Side,
        fraction: Decimal,
        ratio: Decimal,
        tif: TimeInForce,
        *,
        reduce_only: bool,
    ) -> None:
        price = on_tick(self.exchange.state.quotes[symbol].last * ratio, RULES[symbol])
        quantity = self.quantity(symbol, fraction)
        self.do(PlaceOrder(symbol, side, OrderType.LIMIT, quantity, price, tif, reduce_only))

    @rule(symbol=symbols, side=sides, fraction=fractions, percent=st.integers(1, 99))
    def partly_filled_order(self, symbol: str, side: Side, fraction: Decimal, percent: int) -> None:
        quantity, share = self.quantity(symbol, fraction), Decimal(percent) / 100
        self.do(PlaceOrder(symbol, side, OrderType.MARKET, quantity, ZERO, TimeInForce.GTC, fill_share=share))

    @rule(symbol=symbols, reason=st.sampled_from(list(ForcedClose)), steps=st.integers(0, 50))
    def forced_close(self, symbol: str, reason: ForcedClose, steps: int) -> None:
        self.do(ForceClose(symbol, reason, RULES[symbol].step * steps))

    @rule(symbol=symbols, side=sides, quantity=odd_numbers, price=odd_numbers)
    def nonsense_order(self, symbol: str, side: Side, quantity: Decimal, price: Decimal) -> None:
        self.do(PlaceOrder(symbol, side, OrderType.LIMIT, quantity, price, TimeInForce.GTC))

    @rule(
        symbol=symbols,
        side=sides,
        kind=st.sampled_from(list(AlgoType)),
        ratio=ratios,
        fraction=st.none() | fractions,
        working_type=st.sampled_from(list(WorkingType)),
        reduce_only=st.booleans(),
    )
    def conditional_order(
        self,
        symbol: str,
        side: Side,
        kind: AlgoType,
        ratio: Decimal,
        fraction: Decimal | None,
        working_type: WorkingType,
        *,
        reduce_only: bool,
    ) -> None:
        trigger = on_tick(self.exchange.state.quotes[symbol].mark * ratio, RULES[symbol])
        quantity = ZERO if fraction is None else self.quantity(symbol, fraction)
        close = fraction is None
        self.do(
            PlaceAlgo(symbol, side, kind, trigger, quantity, close, reduce_only and not close, working_type)
        )

    @rule(symbol=symbols, ratio=ratios, basis=st.sampled_from(["0.999", "1", "1.001"]).map(Decimal))
    def price_move(self, symbol: str, ratio: Decimal, basis: Decimal) -> None:
        rules = RULES[symbol]
        last = on_tick(self.exchange.state.quotes[symbol].last * ratio, rules)
        last = min(max(last, rules.price_min * 10), rules.price_max / 10)
        self.do(MovePrices({symbol: Quote(last, last * basis)}))

    @rule(rate=st.integers(-30, 30))
    def funding(self, rate: int) -> None:
        rates = dict.fromkeys(SYMBOLS, Decimal(rate) / 10_000)
        self.do(ChargeFunding(rates, self.now_ms))

    @rule(symbol=symbols, leverage=st.integers(0, 160))
    def set_leverage(self, symbol: str, leverage: int) -> None:
        self.do(SetLeverage(symbol, leverage))

    @rule(symbol=symbols, margin_type=st.sampled_from(list(MarginType)))
    def set_margin_type(self, symbol: str, margin_type: MarginType) -> None:
        self.do(SetMarginType(symbol, margin_type))

    @rule(symbol=symbols)
    def cancel_everything(self, symbol: str) -> None:
        self.do(CancelAllOrders(symbol))
        self.do(CancelAllAlgos(symbol))

    @rule(wallet=st.integers(1, 50_000))
    def deposit(self, wallet: int) -> None:
        change = wallet - self.exchange.ledger.wallet_balance()
        self.do(SetWallet(Decimal(wallet)))
        self.deposits += change

    @invariant()
    def money_is_conserved(self) -> None:
        rows = [row for rows in self.exchange.state.incomes.values() for row in rows]
        explained = WALLET + sum((row.amount for row in rows), ZERO)
        assert self.exchange.ledger.wallet_balance() == explained
        assert explained.is_finite()

    @invariant()
    def positions_are_the_sum_of_fills(self) -> None:
        for symbol in SYMBOLS:
            trades = self.exchange.state.trades.get(symbol, [])
            filled = sum((trade.side.sign * trade.quantity for trade in trades), ZERO)
            assert self.exchange.ledger.position(symbol).amount == filled

    @invariant()
    def flat_positions_hold_no_margin(self) -> None:
        for position in self.exchange.state.positions.values():
            if not position.amount:
                assert position.isolated_wallet == 0
                assert position.entry_price == 0
            if not self.exchange.ledger.is_isolated(position.symbol):
                assert position.isolated_wallet == 0

    @invariant()
    def every_accepted_order_obeys_the_filters(self) -> None:
        state = self.exchange.state
        done = [order for orders in state.done_orders.values() for order in orders]
        for order in [*state.open_orders.values(), *done]:
            rules = RULES[order.symbol]
            assert order.quantity > 0
            assert order.quantity % rules.step == 0
            assert 0 <= order.executed <= order.quantity
            if order.type is OrderType.LIMIT and "autoclose" not in order.client_order_id:
                assert order.price % rules.tick == 0

    @invariant()
    def every_view_can_be_made(self) -> None:
        account = views.account_v2(self.exchange.ledger)
        assert Decimal(account["availableBalance"]) >= 0
        for risk in views.position_risk_v2(self.exchange.ledger, ""):
            assert all(Decimal(risk[name]).is_finite() for name in ("liquidationPrice", "unRealizedProfit"))

    def teardown(self) -> None:
        again = Exchange(RULES, state(str(WALLET)), Terms())
        for line in self.journal:
            record = msgspec.json.decode(line, type=Record)
            again.execute(record.command, record.now_ms)
        assert again.state == self.exchange.state


Trading.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestTrading = Trading.TestCase
