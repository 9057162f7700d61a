"""Account values as Binance JSON: order, trade and position bodies and the user data stream's events.

Knows field names. Must never compute money or decide anything. Amounts are strings, ids and times integers.
"""

from decimal import Decimal

from infrastructure.paper_exchange import margin
from infrastructure.paper_exchange.account import Ledger
from infrastructure.paper_exchange.values import (
    ASSET,
    ZERO,
    Algo,
    Income,
    Order,
    OrderStatus,
    OrderType,
    Payload,
    Position,
    Trade,
    money,
    plain,
)

_SELF_TRADE = "EXPIRE_MAKER"


def order_body(order: Order, *, with_time: bool = False, with_average: bool = True) -> Payload:
    """An order as the REST endpoints show it; `with_average=False` leaves out avgPrice and cumQuote."""
    body: Payload = {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_order_id,
        "price": plain(order.price),
        "origQty": plain(order.quantity),
        "executedQty": plain(order.executed),
        "cumQty": plain(order.executed),
        "timeInForce": order.time_in_force,
        "type": order.type,
        "origType": order.orig_type or order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": plain(order.stop_price),
        "workingType": order.working_type,
        "priceProtect": False,
        "priceMatch": "NONE",
        "selfTradePreventionMode": _SELF_TRADE,
        "goodTillDate": 0,
        "updateTime": order.updated_ms,
    }
    if with_average:
        body["avgPrice"] = _quotient(order.average_price)
        body["cumQuote"] = plain(order.executed_quote)
    if with_time:
        body["time"] = order.created_ms
    return body


def acknowledged(body: Payload) -> Payload:
    """The same order as it looked when it was accepted: the answer to newOrderRespType=ACK."""
    nothing = {"status": OrderStatus.NEW.value, "executedQty": "0", "cumQty": "0"}
    averages = {name: "0" for name in ("avgPrice", "cumQuote") if name in body}
    return body | nothing | averages


def algo_body(algo: Algo, *, detailed: bool = False) -> Payload:
    """A conditional order; `detailed` adds what became of it, as GET and the lists do."""
    body: Payload = {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.symbol,
        "side": algo.side,
        "positionSide": "BOTH",
        "timeInForce": "GTC",
        "quantity": plain(algo.quantity),
        "algoStatus": algo.status,
        "triggerPrice": plain(algo.trigger_price),
        "price": "0",
        "icebergQuantity": None,
        "selfTradePreventionMode": _SELF_TRADE,
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
        "triggerTime": algo.triggered_ms,
        "goodTillDate": 0,
    }
    if detailed:
        body["actualOrderId"] = str(algo.order_id) if algo.order_id else ""
        body["actualPrice"] = _quotient(algo.average_price)
        body["actualQty"] = plain(algo.executed)
        body["actualType"] = OrderType.MARKET if algo.order_id else ""
        body["tpOrderType"] = ""
    return body


def trade_body(trade: Trade) -> Payload:
    """One row of userTrades."""
    return {
        "symbol": trade.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": plain(trade.price),
        "qty": plain(trade.quantity),
        "realizedPnl": plain(trade.realized_pnl),
        "marginAsset": ASSET,
        "quoteQty": plain(trade.price * trade.quantity),
        "commission": plain(trade.commission),
        "commissionAsset": ASSET,
        "time": trade.time_ms,
        "positionSide": "BOTH",
        "buyer": trade.side.sign > 0,
        "maker": trade.maker,
    }


def income_body(income: Income) -> Payload:
    """One row of income."""
    return {
        "symbol": income.symbol,
        "incomeType": income.type,
        "income": plain(income.amount),
        "asset": ASSET,
        "info": income.info,
        "time": income.time_ms,
        "tranId": income.tran_id,
        "tradeId": str(income.trade_id) if income.trade_id else "",
    }


def order_trade_update(order: Order, execution: str, now_ms: int, trade: Trade | None = None) -> Payload:
    """ORDER_TRADE_UPDATE for the order as it is now; `trade` adds what was executed."""
    body: Payload = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": plain(order.quantity),
        "p": plain(order.price),
        "ap": _quotient(order.average_price),
        "sp": plain(order.stop_price),
        "x": execution,
        "X": order.status,
        "i": order.order_id,
        "l": plain(trade.quantity if trade else ZERO),
        "z": plain(order.executed),
        "L": plain(trade.price if trade else ZERO),
        "T": now_ms,
        "t": trade.trade_id if trade else 0,
        "b": "0",
        "a": "0",
        "m": trade.maker if trade else False,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": order.orig_type or order.type,
        "ps": "BOTH",
        "cp": order.close_position,
        "rp": plain(trade.realized_pnl if trade else ZERO),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": _SELF_TRADE,
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    }
    if trade:
        body["N"], body["n"] = ASSET, plain(trade.commission)
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": now_ms, "o": body}


def algo_update(algo: Algo, now_ms: int) -> Payload:
    """ALGO_UPDATE for the conditional order as it is now."""
    return {
        "e": "ALGO_UPDATE",
        "T": now_ms,
        "E": now_ms,
        "o": {
            "caid": algo.client_algo_id,
            "aid": algo.algo_id,
            "at": "CONDITIONAL",
            "o": algo.type,
            "s": algo.symbol,
            "S": algo.side,
            "ps": "BOTH",
            "f": "GTC",
            "q": plain(algo.quantity),
            "X": algo.status,
            "ai": str(algo.order_id) if algo.order_id else "",
            "ap": _quotient(algo.average_price),
            "aq": plain(algo.executed),
            "act": OrderType.MARKET if algo.order_id else "0",
            "tp": plain(algo.trigger_price),
            "p": "0",
            "V": _SELF_TRADE,
            "wt": algo.working_type,
            "pm": "NONE",
            "cp": algo.close_position,
            "pP": algo.price_protect,
            "R": algo.reduce_only,
            "tt": algo.triggered_ms,
            "gtd": 0,
            "rm": algo.reject_reason,
        },
    }


def account_update(ledger: Ledger, reason: str, symbols: list[str], now_ms: int) -> Payload:
    """ACCOUNT_UPDATE with the balance and the positions that changed."""
    balance = {
        "a": ASSET,
        "wb": plain(ledger.wallet_balance()),
        "cw": plain(ledger.state.cross_wallet),
        "bc": "0",
    }
    positions = [_position_change(ledger, ledger.position(symbol)) for symbol in symbols]
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": now_ms,
        "a": {"m": reason, "B": [balance], "P": positions},
    }


def leverage_update(symbol: str, leverage: int, now_ms: int) -> Payload:
    """ACCOUNT_CONFIG_UPDATE after a change of leverage."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": {"s": symbol, "l": leverage}}


def force_order(order: Order, now_ms: int) -> Payload:
    """The public forceOrder event of a liquidation."""
    body = {
        "s": order.symbol,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": plain(order.quantity),
        "p": plain(order.price),
        "ap": _quotient(order.average_price),
        "X": order.status,
        "l": plain(order.executed),
        "z": plain(order.executed),
        "T": now_ms,
    }
    return {"e": "forceOrder", "E": now_ms, "o": body}


def _position_change(ledger: Ledger, position: Position) -> Payload:
    isolated = ledger.is_isolated(position.symbol)
    return {
        "s": position.symbol,
        "pa": plain(position.amount),
        "ep": plain(position.entry_price),
        "bep": plain(margin.break_even_price(position.amount, position.entry_price, position.open_fees)),
        "cr": plain(position.accumulated_pnl),
        "up": plain(ledger.unrealized_pnl(position)),
        "mt": "isolated" if isolated else "cross",
        "iw": plain(position.isolated_wallet),
        "ps": "BOTH",
        "ma": ASSET,
    }


def _quotient(value: Decimal) -> str:
    return plain(money(value).normalize() if value else ZERO)
