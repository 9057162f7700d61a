"""The listed contracts: price and quantity filters, leverage brackets and walk parameters, as tables.

Knows what is listed and its limits. Must never hold prices or account state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

MAX_OPEN_ORDERS = 200
MAX_OPEN_ALGOS = 200
SYNTHETIC_MAX = 999

_THOUSAND, _MILLION, _BILLION = Decimal(1_000), Decimal(1_000_000), Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True)
class Bracket:
    """One leverage tier; it holds notionals in (floor, cap]."""

    number: int
    leverage: int
    floor: Decimal
    cap: Decimal
    maint_ratio: Decimal
    cum: Decimal


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """What is fixed about one contract; prices in USDT, quantities in the base asset, ratios as fractions."""

    symbol: str
    tick: Decimal
    step: Decimal
    price_precision: int
    quantity_precision: int
    lot_max: Decimal
    market_lot_max: Decimal
    price_min: Decimal
    price_max: Decimal
    min_notional: Decimal
    liquidation_fee: Decimal
    band: Decimal
    brackets: tuple[Bracket, ...]
    start_price: Decimal
    daily_quote_volume: Decimal
    interest_rate: Decimal = Decimal("0.0001")

    @property
    def base(self) -> str:
        """The base asset."""
        return self.symbol.removesuffix("USDT")

    @property
    def leverage_max(self) -> int:
        """Leverage of the first tier."""
        return self.brackets[0].leverage


def bracket_for(brackets: Sequence[Bracket], notional: Decimal) -> Bracket:
    """The tier that holds an absolute notional; notionals beyond the table belong to the last tier."""
    for bracket in brackets:
        if notional <= bracket.cap:
            return bracket
    return brackets[-1]


def notional_cap(brackets: Sequence[Bracket], leverage: int) -> Decimal:
    """The largest position notional (USDT) that is allowed at a leverage."""
    caps = [bracket.cap for bracket in brackets if bracket.leverage >= leverage]
    return caps[-1] if caps else Decimal(0)


def _amount(text: str) -> Decimal:
    scale = {"k": _THOUSAND, "M": _MILLION, "B": _BILLION}.get(text[-1])
    return Decimal(text) if scale is None else Decimal(text[:-1]) * scale


def _brackets(table: str) -> tuple[Bracket, ...]:
    """Read `leverage cap ratio | …`; floor is the previous cap, cum keeps maintenance margin continuous."""
    brackets: list[Bracket] = []
    floor, ratio_before, cum = Decimal(0), Decimal(0), Decimal(0)
    for number, row in enumerate(table.split("|"), start=1):
        leverage, cap, ratio = row.split()
        ratio_now = Decimal(ratio)
        cum += floor * (ratio_now - ratio_before)
        brackets.append(Bracket(number, int(leverage), floor, _amount(cap), ratio_now, cum))
        floor, ratio_before = _amount(cap), ratio_now
    return tuple(brackets)


# leverage, notional cap, maintenance ratio of each tier
_BRACKET_TABLES: dict[str, str] = {
    "BTCUSDT": (
        "150 300k .004 | 100 800k .005 | 75 3M .0065 | 50 12M .01 | 25 70M .02 | 20 100M .025 | "
        "10 230M .05 | 5 480M .1 | 4 600M .125 | 3 800M .15 | 2 1.2B .25 | 1 1.8B .5"
    ),
    "ETHUSDT": (
        "150 300k .004 | 100 800k .005 | 75 3M .0065 | 50 12M .01 | 25 50M .02 | 20 65M .025 | "
        "10 150M .05 | 5 320M .1 | 4 400M .125 | 2 800M .25 | 1 1.2B .5"
    ),
    "BNBUSDT": (
        "75 10k .005 | 50 200k .006 | 40 400k .01 | 25 1.5M .02 | 20 3M .025 | 10 15M .05 | "
        "5 30M .1 | 4 37.5M .125 | 2 75M .25 | 1 150M .5"
    ),
    "ADAUSDT": (
        "75 10k .005 | 50 50k .01 | 40 200k .015 | 25 1M .02 | 20 2M .025 | 10 10M .05 | "
        "5 20M .1 | 2 50M .25 | 1 100M .5"
    ),
    "DOGEUSDT": (
        "75 80k .0065 | 50 150k .01 | 40 750k .0125 | 25 2M .02 | 20 4M .025 | 10 20M .05 | "
        "5 40M .1 | 2 100M .25 | 1 200M .5"
    ),
    "XRPUSDT": (
        "100 40k .005 | 75 80k .006 | 50 150k .01 | 40 400k .0125 | 25 1M .02 | 20 2M .025 | "
        "10 10M .05 | 5 20M .1 | 2 50M .25 | 1 100M .5"
    ),
    "SOLUSDT": (
        "100 50k .005 | 75 400k .0065 | 50 1M .01 | 25 4M .02 | 20 8M .025 | 10 40M .05 | "
        "5 80M .1 | 2 200M .25 | 1 400M .5"
    ),
    "AVAXUSDT": (
        "75 25k .005 | 50 80k .01 | 40 160k .015 | 25 800k .02 | 20 1.6M .025 | 10 8M .05 | "
        "5 16M .1 | 2 40M .25 | 1 80M .5"
    ),
    "DOTUSDT": (
        "75 10k .0065 | 50 50k .01 | 40 100k .015 | 25 500k .02 | 20 800k .025 | 10 4M .05 | "
        "5 8M .1 | 2 20M .25 | 1 40M .5"
    ),
    "LINKUSDT": (
        "75 10k .005 | 50 200k .01 | 40 400k .015 | 25 800k .02 | 20 1.6M .025 | 10 8M .05 | "
        "5 16M .1 | 2 40M .25 | 1 80M .5"
    ),
}

# Plausible only: the maxima of BNB, SOL, AVAX, DOT and LINK, and the minimum notional of LINK.
_SYMBOL_TABLE = """
symbol   tick     step  digits lot_max  market_max min_price max_price notional liq_fee band start volume
BTCUSDT  0.10     0.001 2/3    1000     120        556.80    4529764   50       0.0125  0.05 50000 12B
ETHUSDT  0.01     0.001 2/3    10000    2000       39.86     306177    20       0.0125  0.05 2500  8B
BNBUSDT  0.010    0.01  3/2    10000    2000       6.600     100000    5        0.0100  0.05 600   700M
ADAUSDT  0.00010  1     5/0    2000000  300000     0.01740   20000     5        0.0100  0.05 0.5   300M
DOGEUSDT 0.000010 1     6/0    50000000 30000000   0.002440  30        5        0.0100  0.10 0.12  900M
XRPUSDT  0.0001   0.1   4/1    10000000 2000000    0.0143    100000    5        0.0100  0.05 0.6   1B
SOLUSDT  0.0100   0.01  4/2    1000000  80000      0.4200    6857      5        0.0100  0.05 150   3B
AVAXUSDT 0.0010   1     4/0    100000   10000      0.1100    100000    5        0.0100  0.05 30    250M
DOTUSDT  0.001    0.1   3/1    1000000  50000      0.040     100000    5        0.0100  0.05 7     200M
LINKUSDT 0.001    0.01  3/2    200000   20000      0.040     100000    20       0.0100  0.05 15    300M
"""
_SYNTHETIC_ROW = "0.01 0.001 2/3 1000000 1000000 0.10 100000 5 0.0100 0.05 100 2B"
_NO_INTEREST = frozenset({"BNBUSDT"})


def _rules(symbol: str, row: str, brackets: str) -> SymbolRules:
    tick, step, precision, lot, market_lot, low, high, notional, fee, band, start, volume = row.split()
    price_precision, quantity_precision = precision.split("/")
    return SymbolRules(
        symbol=symbol,
        tick=Decimal(tick),
        step=Decimal(step),
        price_precision=int(price_precision),
        quantity_precision=int(quantity_precision),
        lot_max=Decimal(lot),
        market_lot_max=Decimal(market_lot),
        price_min=Decimal(low),
        price_max=Decimal(high),
        min_notional=Decimal(notional),
        liquidation_fee=Decimal(fee),
        band=Decimal(band),
        brackets=_brackets(brackets),
        start_price=Decimal(start),
        daily_quote_volume=_amount(volume),
        interest_rate=Decimal(0) if symbol in _NO_INTEREST else Decimal("0.0001"),
    )


def listed_symbols(synthetic_count: int = 0, named: Sequence[str] = ()) -> Mapping[str, SymbolRules]:
    """All listed contracts by symbol: the ten majors, SYN001USDT … up to `synthetic_count` (0..999), and
    those that are named: exchanges list names of every shape.
    """
    rules: dict[str, SymbolRules] = {}
    for line in _SYMBOL_TABLE.strip().splitlines()[1:]:
        symbol, row = line.split(maxsplit=1)
        rules[symbol] = _rules(symbol, row, _BRACKET_TABLES[symbol])
    for symbol in (*(f"SYN{number:03d}USDT" for number in range(1, synthetic_count + 1)), *named):
        rules[symbol] = _rules(symbol, _SYNTHETIC_ROW, _BRACKET_TABLES["ETHUSDT"])
    return rules
