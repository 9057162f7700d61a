"""Reads request parameters into commands and queries.

Knows parameter names, formats and the codes for missing or malformed ones. Must never judge an order
against the market or the account (see `validation`). Parameters arrive as strings and are not trusted.
"""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeVar

from infrastructure.paper_exchange.commands import (
    CancelAlgo,
    CancelOrder,
    PlaceAlgo,
    PlaceOrder,
    SetLeverage,
    SetMarginType,
)
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.values import (
    ZERO,
    AlgoType,
    MarginType,
    OrderType,
    Side,
    TimeInForce,
    WorkingType,
)

Params = Mapping[str, str]

ROWS_MAX = 1_000
ROWS_DEFAULT = 500
CONDITIONAL_TYPES = frozenset(
    {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
)
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_NEGATIVE = re.compile(r"-[0-9]{1,20}(\.[0-9]{1,20})?")
_INTEGER = re.compile(r"[0-9]{1,18}")
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_BOOLEANS = {"true": True, "false": False}

_Word = TypeVar("_Word", bound=StrEnum)


class RowFilter(NamedTuple):
    """Which rows of a history are asked for; times in ms, both ends included."""

    symbol: str
    start_ms: int
    end_ms: int
    from_id: int
    order_id: int
    limit: int


def symbol(params: Params, listed: Collection[str]) -> str:
    """The mandatory symbol."""
    name = params.get("symbol", "")
    if not name:
        raise ApiError(-1102, "symbol")
    if name not in listed:
        raise ApiError(-1121)
    return name


def optional_symbol(params: Params, listed: Collection[str]) -> str:
    """The symbol, or the empty string when none was sent."""
    return symbol(params, listed) if params.get("symbol") else ""


def place_order(params: Params, listed: Collection[str]) -> PlaceOrder:
    """Read POST order."""
    name = symbol(params, listed)
    side = _word(params, "side", Side, -1117)
    if params.get("type") in CONDITIONAL_TYPES:
        raise ApiError(-4120)
    kind = _word(params, "type", OrderType, -1116)
    _one_way(params)
    is_limit = kind is OrderType.LIMIT
    return PlaceOrder(
        symbol=name,
        side=side,
        type=kind,
        quantity=_decimal(params, "quantity"),
        price=_decimal(params, "price") if is_limit else ZERO,
        time_in_force=_word(params, "timeInForce", TimeInForce, -1115) if is_limit else TimeInForce.GTC,
        reduce_only=_boolean(params, "reduceOnly"),
        client_order_id=_client_id(params, "newClientOrderId"),
    )


def place_algo(params: Params, listed: Collection[str]) -> PlaceAlgo:
    """Read POST algoOrder."""
    name = symbol(params, listed)
    if params.get("algoType") != "CONDITIONAL":
        raise ApiError(-1102, "algoType")
    side = _word(params, "side", Side, -1117)
    kind = _word(params, "type", AlgoType, -1116)
    _one_way(params)
    close_position, reduce_only = _boolean(params, "closePosition"), _boolean(params, "reduceOnly")
    if close_position and params.get("quantity"):
        raise ApiError(-4137)
    if close_position and params.get("reduceOnly"):
        raise ApiError(-1106, "reduceonly")
    return PlaceAlgo(
        symbol=name,
        side=side,
        type=kind,
        trigger_price=_decimal(params, "triggerPrice"),
        quantity=ZERO if close_position else _decimal(params, "quantity"),
        close_position=close_position,
        reduce_only=reduce_only,
        working_type=_word(params, "workingType", WorkingType, -1130, WorkingType.CONTRACT_PRICE),
        price_protect=_boolean(params, "priceProtect"),
        client_algo_id=_client_id(params, "clientAlgoId"),
    )


def cancel_order(params: Params, listed: Collection[str]) -> CancelOrder:
    """Read DELETE order, and the name of an order in GET order."""
    order_id, client_id = integer(params, "orderId"), params.get("origClientOrderId", "")
    if not order_id and not client_id:
        raise ApiError(-1102, "origClientOrderId")
    return CancelOrder(symbol(params, listed), order_id, client_id)


def cancel_algo(params: Params) -> CancelAlgo:
    """Read DELETE algoOrder, and the name of a conditional order in GET algoOrder."""
    algo_id, client_id = integer(params, "algoId"), params.get("clientAlgoId", "")
    if not algo_id and not client_id:
        raise ApiError(-1102, "clientAlgoId")
    return CancelAlgo(algo_id, client_id)


def set_leverage(params: Params, listed: Collection[str]) -> SetLeverage:
    """Read POST leverage."""
    name = symbol(params, listed)
    if not params.get("leverage"):
        raise ApiError(-1102, "leverage")
    return SetLeverage(name, integer(params, "leverage"))


def set_margin_type(params: Params, listed: Collection[str]) -> SetMarginType:
    """Read POST marginType."""
    return SetMarginType(symbol(params, listed), _word(params, "marginType", MarginType, -1102))


def row_filter(params: Params, listed: Collection[str], *, symbol_needed: bool = True) -> RowFilter:
    """Read the filter of a history request."""
    return RowFilter(
        symbol=symbol(params, listed) if symbol_needed else optional_symbol(params, listed),
        start_ms=integer(params, "startTime"),
        end_ms=integer(params, "endTime", 2**62),
        from_id=integer(params, "fromId"),
        order_id=integer(params, "orderId"),
        limit=limit(params, ROWS_DEFAULT, ROWS_MAX),
    )


def limit(params: Params, default: int, most: int) -> int:
    """The number of rows asked for; raises -1130 outside 1..most."""
    asked = integer(params, "limit", default)
    if not 1 <= asked <= most:
        raise ApiError(-1130, "limit")
    return asked


def integer(params: Params, name: str, default: int = 0) -> int:
    """A whole number parameter ≥ 0."""
    text = params.get(name, "")
    if not text:
        return default
    if not _INTEGER.fullmatch(text):
        raise ApiError(-1102, name)
    return int(text)


def _decimal(params: Params, name: str) -> Decimal:
    text = params.get(name, "")
    if not (_DECIMAL.fullmatch(text) or _NEGATIVE.fullmatch(text)):
        raise ApiError(-1102, name)
    return Decimal(text)


def _boolean(params: Params, name: str) -> bool:
    text = params.get(name, "")
    if text and text.lower() not in _BOOLEANS:
        raise ApiError(-1130, name)
    return _BOOLEANS.get(text.lower(), False)


def is_client_id(text: str) -> bool:
    """Whether the exchange takes this as a client id."""
    return _CLIENT_ID.fullmatch(text) is not None


def _client_id(params: Params, name: str) -> str:
    text = params.get(name, "")
    if text and not is_client_id(text):
        raise ApiError(-4015)
    return text


def _word(params: Params, name: str, words: type[_Word], code: int, default: _Word | None = None) -> _Word:
    text = params.get(name, "")
    if not text and default is not None:
        return default
    if not text:
        raise ApiError(-1102, name.lower())
    try:
        return words(text)
    except ValueError:
        raise ApiError(code, name) from None


def _one_way(params: Params) -> None:
    if params.get("positionSide", "BOTH") != "BOTH":
        raise ApiError(-4061)
