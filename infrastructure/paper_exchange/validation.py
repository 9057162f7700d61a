"""What the exchange checks before it accepts an order, as ordered tables of checks.

Knows limits and their error codes. Must never change state: a check returns or raises `ApiError`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from infrastructure.paper_exchange import algo, margin, matching
from infrastructure.paper_exchange.account import Ledger
from infrastructure.paper_exchange.commands import PlaceAlgo, PlaceOrder
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.symbols import SymbolRules, notional_cap
from infrastructure.paper_exchange.values import ZERO, OrderType, Quote, Side, TimeInForce, plain

MARKET_BUY_MARGIN_FACTOR = Decimal("1.0005")


@dataclass(frozen=True, slots=True)
class OrderContext:
    """One order request and what it is judged against."""

    order: PlaceOrder
    ledger: Ledger

    @property
    def rules(self) -> SymbolRules:
        """Rules of the order's symbol."""
        return self.ledger.rules[self.order.symbol]

    @property
    def quote(self) -> Quote:
        """Current prices of the order's symbol."""
        return self.ledger.state.quotes[self.order.symbol]

    @property
    def is_market(self) -> bool:
        """Whether the order takes any price."""
        return self.order.type is OrderType.MARKET

    @property
    def position_amount(self) -> Decimal:
        """Signed amount of the current position."""
        return self.ledger.position(self.order.symbol).amount

    @property
    def best_price(self) -> Decimal:
        """The counterparty's best price."""
        top = matching.top_of_book(self.quote.last, self.rules, self.ledger.terms.book)
        return top.ask if self.order.side is Side.BUY else top.bid


OrderCheck = Callable[[OrderContext], None]


def _quantity_precision(context: OrderContext) -> None:
    check_decimals(context.order.quantity, context.rules.quantity_precision)


def _price_precision(context: OrderContext) -> None:
    if not context.is_market:
        check_decimals(context.order.price, context.rules.price_precision)


def _quantity_range(context: OrderContext) -> None:
    most = context.rules.market_lot_max if context.is_market else context.rules.lot_max
    check_quantity(context.order.quantity, context.rules, most)


def _price_range(context: OrderContext) -> None:
    if not context.is_market:
        check_price(context.order.price, context.rules)


def _price_band(context: OrderContext) -> None:
    order, rules, mark = context.order, context.rules, context.quote.mark
    if context.is_market:
        if abs(context.best_price - mark) > mark * rules.band:
            raise ApiError(-4131)
    elif order.side is Side.BUY and order.price > mark * (1 + rules.band):
        raise ApiError(-4016)
    elif order.side is Side.SELL and order.price < mark * (1 - rules.band):
        raise ApiError(-4024)


def _open_order_count(context: OrderContext) -> None:
    if len(context.ledger.state.open_orders) >= context.ledger.terms.open_orders_max:
        raise ApiError(-2025)


def _min_notional(context: OrderContext) -> None:
    price = context.quote.mark if context.is_market else context.order.price
    if not context.order.reduce_only and price * context.order.quantity < context.rules.min_notional:
        raise ApiError(-4164, plain(context.rules.min_notional))


def _duplicate_id(context: OrderContext) -> None:
    wanted = context.order.client_order_id
    if wanted and any(order.client_order_id == wanted for order in context.ledger.state.open_orders.values()):
        raise ApiError(-4116)


def _reduce_only(context: OrderContext) -> None:
    if context.order.reduce_only and context.position_amount * context.order.side.sign >= 0:
        raise ApiError(-2022)


def _leverage_cap(context: OrderContext) -> None:
    order = context.order
    increase = margin.exposure_increase(context.position_amount, order.side, order.quantity)
    if order.reduce_only or not increase:
        return
    cap = notional_cap(context.rules.brackets, context.ledger.setting(order.symbol).leverage)
    resting = sum(
        (
            open_order.remaining
            for open_order in context.ledger.state.open_orders.values()
            if open_order.symbol == order.symbol
            and open_order.side is order.side
            and not open_order.reduce_only
        ),
        ZERO,
    )
    after = abs(context.position_amount + order.side.sign * (order.quantity + resting))
    price = context.quote.mark if context.is_market else max(order.price, context.quote.mark)
    if after * price > cap:
        raise ApiError(-2027)


def _margin(context: OrderContext) -> None:
    order, ledger = context.order, context.ledger
    increase = margin.exposure_increase(context.position_amount, order.side, order.quantity)
    if order.reduce_only or not increase:
        return
    price = order.price
    if context.is_market:
        price = context.best_price * (MARKET_BUY_MARGIN_FACTOR if order.side is Side.BUY else 1)
    leverage = ledger.setting(order.symbol).leverage
    cost = margin.order_cost(order.side, price, increase, context.quote.mark, leverage)
    if cost + price * increase * ledger.terms.taker_fee > ledger.available_balance():
        raise ApiError(-2019)


def _immediate_fill(context: OrderContext) -> None:
    order = context.order
    if order.time_in_force is TimeInForce.GTX and matching.crosses(
        order.side, order.price, context.best_price
    ):
        raise ApiError(-5022)
    if order.time_in_force is TimeInForce.FOK:
        book = matching.levels(order.side, context.quote.last, context.rules, context.ledger.terms.book)
        fills = matching.take(order.side, order.quantity, order.price, book)
        if matching.filled_quantity(fills) < order.quantity:
            raise ApiError(-5021)


ORDER_CHECKS: tuple[OrderCheck, ...] = (
    _quantity_precision,
    _price_precision,
    _quantity_range,
    _price_range,
    _price_band,
    _open_order_count,
    _min_notional,
    _duplicate_id,
    _reduce_only,
    _leverage_cap,
    _margin,
    _immediate_fill,
)


def check_order(order: PlaceOrder, ledger: Ledger) -> None:
    """Refuse an order that breaks a rule; the first rule in the table decides the code."""
    context = OrderContext(order, ledger)
    for check in ORDER_CHECKS:
        check(context)


AlgoCheck = Callable[[PlaceAlgo, Ledger], None]


def _algo_prices(request: PlaceAlgo, ledger: Ledger) -> None:
    rules = ledger.rules[request.symbol]
    check_decimals(request.trigger_price, rules.price_precision)
    check_price(request.trigger_price, rules)


def _algo_quantity(request: PlaceAlgo, ledger: Ledger) -> None:
    if request.close_position:
        return
    rules = ledger.rules[request.symbol]
    check_decimals(request.quantity, rules.quantity_precision)
    check_quantity(request.quantity, rules, rules.market_lot_max)
    if not request.reduce_only and request.trigger_price * request.quantity < rules.min_notional:
        raise ApiError(-4164, plain(rules.min_notional))


def _algo_count(_: PlaceAlgo, ledger: Ledger) -> None:
    if len(ledger.state.open_algos) >= ledger.terms.open_algos_max:
        raise ApiError(-4045)


def _algo_duplicate_id(request: PlaceAlgo, ledger: Ledger) -> None:
    wanted = request.client_algo_id
    if wanted and any(found.client_algo_id == wanted for found in ledger.state.open_algos.values()):
        raise ApiError(-4116)


def _algo_would_trigger(request: PlaceAlgo, ledger: Ledger) -> None:
    quote = ledger.state.quotes[request.symbol]
    if algo.would_trigger(request.type, request.side, request.trigger_price, request.working_type, quote):
        raise ApiError(-2021)


# Nothing here asks for margin or a position: both are looked at only when the order fires.
ALGO_CHECKS: tuple[AlgoCheck, ...] = (
    _algo_prices,
    _algo_quantity,
    _algo_count,
    _algo_duplicate_id,
    _algo_would_trigger,
)


def check_algo(request: PlaceAlgo, ledger: Ledger) -> None:
    """Refuse a conditional order that breaks a rule."""
    for check in ALGO_CHECKS:
        check(request, ledger)


def check_decimals(value: Decimal, precision: int) -> None:
    """Refuse more decimals than the symbol's precision; trailing zeros do not count."""
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "requests are parsed to finite numbers"
    if -exponent > precision:
        raise ApiError(-1111)


def check_quantity(quantity: Decimal, rules: SymbolRules, most: Decimal) -> None:
    """Refuse a quantity outside the lot size filter."""
    if quantity <= 0:
        raise ApiError(-4003)
    if quantity < rules.step:
        raise ApiError(-4004)
    if quantity > most:
        raise ApiError(-4005)
    if quantity % rules.step:
        raise ApiError(-4023)


def check_price(price: Decimal, rules: SymbolRules) -> None:
    """Refuse a price outside the price filter."""
    if price < rules.price_min:
        raise ApiError(-4013)
    if price > rules.price_max:
        raise ApiError(-4002)
    if price % rules.tick:
        raise ApiError(-4014)
