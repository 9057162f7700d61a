"""What EXECUTE's routes answer, as examples for its API documentation. From a running system, shortened."""

from shared.api_docs import Answer

_POSITION = {
    "signal_id": "sig-fvcgp34cxki2icavuett",
    "strategy": "ema_cross",
    "symbol": "BTCUSDT",
    "side": "long",
    "quantity": "0.19000000",
    "exchange_quantity": "0.19000000",
    "entry_price": "50010.40000000",
    "mark_price": "49902.50000000",
    "stop_price": "49010.20000000",
    "take_profit_price": "51010.60000000",
    "leverage": 20,
    "is_isolated": True,
    "liquidation_price": "47700.68273092",
    "margin_usdt": "475.10735000",
    "unrealised_pnl_usdt": "-20.50100000",
    "state": "protected",
    "opened_at": "2026-11-21T11:34:14.429000+00:00",
    "protected_at": "2026-11-21T11:34:14.514411+00:00",
}
_ORDER = {
    "client_id": "p95ufh7-7rnzmfvom3rywflqsrsi-s",
    "signal_id": "sig-fvcgp34cxki2icavuett",
    "role": "s",
    "symbol": "BTCUSDT",
    "side": "sell",
    "order_type": "STOP_MARKET",
    "quantity": None,
    "price": None,
    "trigger_price": "49010.20000000",
    "status": "NEW",
    "exchange_order_id": None,
    "created_at": "2026-11-21T11:34:14.513374Z",
    "updated_at": "2026-11-21T11:34:14.513374Z",
}
_TICK = {
    "symbol": "BTCUSDT",
    "bid": "49897.80",
    "ask": "49898.30",
    "last": "49897.00",
    "mark": "49901.46",
    "quote_volume_24h_usdt": "13311600071.60",
    "exchange_time": "2026-11-21T11:37:16.547000Z",
    "received_at": "2026-11-21T11:37:16.149820Z",
}
_PREFLIGHT = {
    "mode": "paper",
    "checked_at": "2026-11-21T11:37:16.784840Z",
    "points": [{"name": "one_way_mode", "result": "ok", "said": "one-way mode", "advice": ""}],
}

_FOREIGN = {
    "symbol": "ETHUSDT",
    "side": "short",
    "quantity": "0.50000000",
    "entry_price": "2519.70000000",
    "mark_price": "2521.10000000",
    "liquidation_price": "22141.90000000",
    "leverage": 20,
    "margin_usdt": "63.02750000",
    "unrealised_pnl_usdt": "-0.70000000",
    "has_stop": False,
    "stop_price": None,
    "take_profit_price": None,
    "first_seen_at": "2026-11-21T11:36:10.512300Z",
}
_CLOSE = {
    "request_id": "req-0c5b41b8f0f34f6cbd57",
    "symbol": "BTCUSDT",
    "requested_by": "operator",
    "requested_at": "2026-11-21T11:38:14.075855Z",
    "positions": [
        {
            "signal_id": "sig-fvcgp34cxki2icavuett",
            "strategy": "ema_cross",
            "symbol": "BTCUSDT",
            "side": "long",
            "state": "closed",
            "quantity": "0.19000000",
            "entry_price": "50010.40000000",
            "exit_price": "49897.80000000",
            "net_pnl_usdt": "-30.87000000",
            "reason": "operator",
            "closed_at": "2026-11-21T11:38:14.312000Z",
        }
    ],
    "state": "done",
    "still_open": [],
}

ANSWERS = {
    "GET /positions": Answer(
        {
            "positions": [_POSITION],
            "foreign_positions": [_FOREIGN],
            "foreign_positions_seen_at": "2026-11-21T11:37:16.500000Z",
            "foreign_orders": [],
            "foreign_orders_seen_at": "2026-11-21T11:37:10.100000Z",
        },
        "Marks are null while the exchange is away. `foreign_…` is not ours: Phoenix neither protects nor"
        " closes it.",
    ),
    "GET /closes/{request_id}": Answer(_CLOSE, "`state`: pending or done."),
    "GET /orders": Answer({"orders": [_ORDER]}, "Role: e entry, s stop, t take-profit, c close."),
    "GET /prices/{symbol}": Answer(_TICK, "Prices in USDT."),
    "POST /close": Answer(
        {"request_id": "req-0c5b41b8f0f34f6cbd57"},
        "Staged; `GET /closes/…` tells what became of it.",
    ),
    "POST /trade": Answer({"signal_id": "sig-kzkkjxw6j3jbn5je7kxz"}, "Staged; RISK decides, see its story."),
    "GET /preflight": Answer(_PREFLIGHT, "`result`: ok, failed, unknown or not_applicable."),
}
