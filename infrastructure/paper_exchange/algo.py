"""When conditional orders fire.

Knows trigger directions and which price is watched. Must never place the order that follows (see `engine`).
"""

from decimal import Decimal

from infrastructure.paper_exchange.values import Algo, AlgoType, Quote, Side, WorkingType

# (type, side) → +1 fires at or above the trigger price, −1 fires at or below it
_DIRECTIONS: dict[tuple[AlgoType, Side], int] = {
    (AlgoType.STOP_MARKET, Side.BUY): 1,
    (AlgoType.STOP_MARKET, Side.SELL): -1,
    (AlgoType.TAKE_PROFIT_MARKET, Side.BUY): -1,
    (AlgoType.TAKE_PROFIT_MARKET, Side.SELL): 1,
}

TRIGGER_PROTECT = Decimal("0.05")


def watched_price(working_type: WorkingType, quote: Quote) -> Decimal:
    """The price that a conditional order of this working type watches."""
    return quote.mark if working_type is WorkingType.MARK_PRICE else quote.last


def would_trigger(
    kind: AlgoType, side: Side, trigger_price: Decimal, working_type: WorkingType, quote: Quote
) -> bool:
    """Whether the watched price is at or beyond the trigger."""
    distance = watched_price(working_type, quote) - trigger_price
    return distance * _DIRECTIONS[(kind, side)] >= 0


def fires(algo: Algo, quote: Quote) -> bool:
    """Whether it fires now; price protection holds it back while mark and last differ widely."""
    if not would_trigger(algo.type, algo.side, algo.trigger_price, algo.working_type, quote):
        return False
    return not algo.price_protect or abs(quote.mark - quote.last) <= TRIGGER_PROTECT * quote.last
