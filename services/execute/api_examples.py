"""What EXECUTE's routes answer, as examples for its API documentation. From a running system, shortened."""

from shared.api_docs import Answer

_POSITION = {
    "signal_id": "sig-fvcgp34cxki2icavuett",
    "strategy": "ema_cross",
    "symbol": "BTCUSDT",
    "side": "long",
    "quantity": "0.19000000",
    "entry_price": "50010.40000000",
    "mark_price": "49902.50000000",
    "stop_price": "49010.20000000",
    "take_profit_price": "51010.60000000",
    "leverage": 20,
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

ANSWERS = {
    "GET /positions": Answer({"positions": [_POSITION]}, "Marks are null while the exchange is away."),
    "GET /orders": Answer({"orders": [_ORDER]}, "Role: e entry, s stop, t take-profit, c close."),
    "GET /prices/{symbol}": Answer(_TICK, "Prices in USDT."),
    "POST /close": Answer(
        {"request_id": "req-0c5b41b8f0f34f6cbd57"}, "Staged; its story is at BRAIN under this id."
    ),
    "POST /trade": Answer({"signal_id": "sig-kzkkjxw6j3jbn5je7kxz"}, "Staged; RISK decides, see its story."),
    "GET /preflight": Answer(_PREFLIGHT, "`result`: ok, failed, unknown or not_applicable."),
}
