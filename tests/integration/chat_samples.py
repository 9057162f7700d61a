"""What EXECUTE and RISK tell, for the tests of the chat: numbers a reader can check."""

POSITION = {
    "signal_id": "sig-abcdefghijklmnopqrst",
    "strategy": "trend",
    "symbol": "BTCUSDT",
    "side": "long",
    "quantity": "0.19",
    "entry_price": "62000",
    "mark_price": "61983.1",
    "stop_price": "60760",
    "take_profit_price": "63240",
    "leverage": 20,
    "liquidation_price": "59100",
    "margin_usdt": "589",
    "unrealised_pnl_usdt": "-3.21",
    "state": "protected",
    "opened_at": "2026-11-20T12:00:00+00:00",
    "protected_at": "2026-11-20T12:00:01+00:00",
}

RISK_STATUS = {
    "state": "ACTIVE",
    "trading_epoch": 1,
    "profile": "mission",
    "wallet_usdt": "10000",
    "equity_usdt": "9996.79",
    "available_usdt": "9411",
    "snapshot_age_s": "2",
    "day_pnl_usdt": "-3.21",
    "drawdown": "0.000321",
    "limits": [
        {"name": "daily_loss_max", "used": "0.000321", "limit": "0.05", "unit": "fraction of x", "about": ""}
    ],
    "reservations": [],
    "findings": [],
    "entries_blocked_by": [],
}
