"""Market data as Binance JSON: exchangeInfo, REST answers and stream events.

Knows field names. Must never know accounts or compute prices.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from infrastructure.paper_exchange import matching
from infrastructure.paper_exchange.market import INTERVALS_MS, Bar, SymbolMarket, next_funding_ms
from infrastructure.paper_exchange.matching import BookShape, Level
from infrastructure.paper_exchange.symbols import MAX_OPEN_ORDERS, SymbolRules
from infrastructure.paper_exchange.values import ASSET, ZERO, Payload, Side, money, plain

_PERCENT = 100
_PERCENT_STEP = Decimal("0.001")
_DELIVERY_MS = 4_133_404_800_000
_ONBOARD_MS = 1_569_398_400_000
_ORDER_TYPES = ["LIMIT", "MARKET", "STOP_MARKET", "TAKE_PROFIT_MARKET"]
_TIMES_IN_FORCE = ["GTC", "IOC", "FOK", "GTX"]


class Book(NamedTuple):
    """Both sides of a book, best levels first."""

    bids: list[Level]
    asks: list[Level]


def exchange_info(rules: Mapping[str, SymbolRules], limits: Sequence[Payload], now_ms: int) -> Payload:
    """GET exchangeInfo."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": list(limits),
        "exchangeFilters": [],
        "assets": [{"asset": ASSET, "marginAvailable": True, "autoAssetExchange": "0"}],
        "symbols": [_symbol_info(each) for each in rules.values()],
    }


def _symbol_info(rules: SymbolRules) -> Payload:
    return {
        "symbol": rules.symbol,
        "pair": rules.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _DELIVERY_MS,
        "onboardDate": _ONBOARD_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": rules.base,
        "quoteAsset": ASSET,
        "marginAsset": ASSET,
        "pricePrecision": rules.price_precision,
        "quantityPrecision": rules.quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": plain(rules.liquidation_fee),
        "marketTakeBound": plain(rules.band),
        "maxMoveOrderLimit": 10_000,
        "filters": _filters(rules),
        "orderTypes": _ORDER_TYPES,
        "timeInForce": _TIMES_IN_FORCE,
        "permissionSets": [],
    }


def _filters(rules: SymbolRules) -> list[Payload]:
    step = plain(rules.step)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": plain(rules.price_min),
            "maxPrice": plain(rules.price_max),
            "tickSize": plain(rules.tick),
        },
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": plain(rules.lot_max), "stepSize": step},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": step,
            "maxQty": plain(rules.market_lot_max),
            "stepSize": step,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN_ORDERS},
        {"filterType": "MIN_NOTIONAL", "notional": plain(rules.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": plain(1 + rules.band),
            "multiplierDown": plain(1 - rules.band),
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]


def depth(market: SymbolMarket, shape: BookShape, count: int, now_ms: int) -> Payload:
    """GET depth."""
    bids, asks = book_of(market, shape, count)
    return {
        "lastUpdateId": market.update_id,
        "E": now_ms,
        "T": market.updated_ms,
        "bids": price_rows(bids),
        "asks": price_rows(asks),
    }


def book_of(market: SymbolMarket, shape: BookShape, count: int, last: Decimal | None = None) -> Book:
    """The synthetic book at the last price, or at another one."""
    price = market.last if last is None else last
    bids = matching.levels(Side.SELL, price, market.rules, shape, count)
    asks = matching.levels(Side.BUY, price, market.rules, shape, count)
    return Book(list(bids), list(asks))


def price_rows(levels: Iterable[Level]) -> list[list[str]]:
    """Levels as [price, quantity] strings."""
    return [[plain(level.price), plain(level.quantity)] for level in levels]


def book_ticker(market: SymbolMarket, shape: BookShape) -> Payload:
    """GET ticker/bookTicker."""
    bids, asks = book_of(market, shape, 1)
    return {
        "symbol": market.rules.symbol,
        "bidPrice": plain(bids[0].price),
        "bidQty": plain(bids[0].quantity),
        "askPrice": plain(asks[0].price),
        "askQty": plain(asks[0].quantity),
        "time": market.updated_ms,
        "lastUpdateId": market.update_id,
    }


def price_ticker(market: SymbolMarket) -> Payload:
    """GET ticker/price."""
    return {"symbol": market.rules.symbol, "price": plain(market.last), "time": market.updated_ms}


def day_ticker(market: SymbolMarket) -> Payload:
    """GET ticker/24hr."""
    day = market.day()
    change = market.last - day.open
    return {
        "symbol": market.rules.symbol,
        "priceChange": plain(change),
        "priceChangePercent": plain((change / day.open * _PERCENT).quantize(_PERCENT_STEP)),
        "weightedAvgPrice": plain(money(day.quote_volume / day.volume)) if day.volume else plain(market.last),
        "lastPrice": plain(market.last),
        "lastQty": plain(market.last_quantity),
        "openPrice": plain(day.open),
        "highPrice": plain(day.high),
        "lowPrice": plain(day.low),
        "volume": plain(day.volume),
        "quoteVolume": plain(day.quote_volume),
        "openTime": day.open_ms,
        "closeTime": market.updated_ms,
        "firstId": max(1, market.trade_id - day.trades),
        "lastId": market.trade_id,
        "count": day.trades,
    }


def kline_row(bar: Bar, interval_ms: int) -> list[str | int]:
    """One row of GET klines; half of the volume is taken by buyers."""
    return [
        bar.open_ms,
        plain(bar.open),
        plain(bar.high),
        plain(bar.low),
        plain(bar.close),
        plain(bar.volume),
        bar.open_ms + interval_ms - 1,
        plain(bar.quote_volume),
        bar.trades,
        plain(bar.volume / 2),
        plain(bar.quote_volume / 2),
        "0",
    ]


def premium_index(market: SymbolMarket, now_ms: int) -> Payload:
    """GET premiumIndex."""
    return {
        "symbol": market.rules.symbol,
        "markPrice": plain(market.mark),
        "indexPrice": plain(market.index),
        "estimatedSettlePrice": plain(market.index),
        "lastFundingRate": plain(market.funding_rate()),
        "interestRate": plain(market.rules.interest_rate),
        "nextFundingTime": next_funding_ms(now_ms),
        "time": now_ms,
    }


# -- stream events ---------------------------------------------------------------------------------


def book_ticker_event(market: SymbolMarket, shape: BookShape, now_ms: int) -> Payload:
    """A bookTicker event."""
    bids, asks = book_of(market, shape, 1)
    return {
        "e": "bookTicker",
        "u": market.update_id,
        "E": now_ms,
        "T": market.updated_ms,
        "s": market.rules.symbol,
        "b": plain(bids[0].price),
        "B": plain(bids[0].quantity),
        "a": plain(asks[0].price),
        "A": plain(asks[0].quantity),
    }


def trade_event(market: SymbolMarket, now_ms: int) -> Payload:
    """A trade event for the latest price move."""
    return {
        "e": "trade",
        "E": now_ms,
        "T": market.updated_ms,
        "s": market.rules.symbol,
        "t": market.trade_id,
        "p": plain(market.last),
        "q": plain(max(market.last_quantity, market.rules.step)),
        "X": "MARKET",
        "m": market.trade_id % 2 == 0,
    }


def aggregate_trade_event(market: SymbolMarket, now_ms: int) -> Payload:
    """An aggTrade event for the latest price move."""
    quantity = plain(max(market.last_quantity, market.rules.step))
    return {
        "e": "aggTrade",
        "E": now_ms,
        "s": market.rules.symbol,
        "a": market.trade_id,
        "p": plain(market.last),
        "q": quantity,
        "nq": quantity,
        "f": market.trade_id,
        "l": market.trade_id,
        "T": market.updated_ms,
        "m": market.trade_id % 2 == 0,
    }


def mark_price_event(market: SymbolMarket, now_ms: int) -> Payload:
    """A markPriceUpdate event."""
    return {
        "e": "markPriceUpdate",
        "E": now_ms,
        "s": market.rules.symbol,
        "p": plain(market.mark),
        "i": plain(market.index),
        "P": plain(market.index),
        "r": plain(market.funding_rate()),
        "ap": plain(market.mark),
        "T": next_funding_ms(now_ms),
    }


def mini_ticker_event(market: SymbolMarket, now_ms: int) -> Payload:
    """A 24hrMiniTicker event."""
    day = market.day()
    return {
        "e": "24hrMiniTicker",
        "E": now_ms,
        "s": market.rules.symbol,
        "c": plain(market.last),
        "o": plain(day.open),
        "h": plain(day.high),
        "l": plain(day.low),
        "v": plain(day.volume),
        "q": plain(day.quote_volume),
    }


def ticker_event(market: SymbolMarket, now_ms: int) -> Payload:
    """A 24hrTicker event."""
    row = day_ticker(market)
    return {
        "e": "24hrTicker",
        "E": now_ms,
        "s": row["symbol"],
        "p": row["priceChange"],
        "P": row["priceChangePercent"],
        "w": row["weightedAvgPrice"],
        "c": row["lastPrice"],
        "Q": row["lastQty"],
        "o": row["openPrice"],
        "h": row["highPrice"],
        "l": row["lowPrice"],
        "v": row["volume"],
        "q": row["quoteVolume"],
        "O": row["openTime"],
        "C": row["closeTime"],
        "F": row["firstId"],
        "L": row["lastId"],
        "n": row["count"],
    }


def kline_event(market: SymbolMarket, bar: Bar, interval: str, now_ms: int, *, closed: bool) -> Payload:
    """A kline event for a bar of the interval."""
    return {
        "e": "kline",
        "E": now_ms,
        "s": market.rules.symbol,
        "k": {
            "t": bar.open_ms,
            "T": bar.open_ms + INTERVALS_MS[interval] - 1,
            "s": market.rules.symbol,
            "i": interval,
            "f": market.trade_id,
            "L": market.trade_id,
            "o": plain(bar.open),
            "c": plain(bar.close),
            "h": plain(bar.high),
            "l": plain(bar.low),
            "v": plain(bar.volume),
            "n": bar.trades,
            "x": closed,
            "q": plain(bar.quote_volume),
            "V": plain(bar.volume / 2),
            "Q": plain(bar.quote_volume / 2),
            "B": "0",
        },
    }


def depth_update_event(market: SymbolMarket, before: Book, after: Book, now_ms: int) -> Payload:
    """A depthUpdate for the latest move, from one book to the next; levels that are gone have quantity 0."""
    bids, asks = (_difference(old, new) for old, new in zip(before, after, strict=True))
    return {
        "e": "depthUpdate",
        "E": now_ms,
        "T": market.updated_ms,
        "s": market.rules.symbol,
        "U": market.update_id,
        "u": market.update_id,
        "pu": market.update_id - 1,
        "b": price_rows(bids),
        "a": price_rows(asks),
    }


def _difference(before: Sequence[Level], after: Sequence[Level]) -> list[Level]:
    kept = {level.price for level in after}
    known = set(before)
    gone = [Level(level.price, ZERO) for level in before if level.price not in kept]
    return gone + [level for level in after if level not in known]
