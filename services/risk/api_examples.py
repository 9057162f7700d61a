"""What RISK's routes answer, as examples for its API documentation. From a running system, shortened."""

from shared.api_docs import Answer

_LIMIT = {
    "name": "daily_loss_max",
    "used": "0.002437",
    "limit": "0.05",
    "unit": "fraction of the day's first equity",
    "about": "no entry from this loss on",
}
_RESERVATION = {
    "signal_id": "sig-fvcgp34cxki2icavuett",
    "strategy": "ema_cross",
    "symbol": "BTCUSDT",
    "side": "long",
    "state": "open",
    "is_ours": True,
    "is_probe": False,
    "quantity": "0.19000000",
    "entry_price": "50010.40000000",
    "notional_usdt": "9501.97600000",
    "margin_usdt": "475.09880000",
    "risk_usdt": "199.53997600",
    "reserved_at": "2026-11-21T11:34:14.258022Z",
}
_STATUS = {
    "state": "ACTIVE",
    "trading_epoch": 1,
    "profile": "mission",
    "wallet_usdt": "9995.24901200",
    "equity_usdt": "9975.62580755",
    "available_usdt": "9520.15021200",
    "snapshot_age_s": "3.810735",
    "day_pnl_usdt": "-24.37419245",
    "drawdown": "0.002437",
    "limits": [_LIMIT],
    "reservations": [_RESERVATION],
    "findings": ["5 positions on the same side lose 10 % of equity at their stops: …"],
    "entries_blocked_by": [],
    "market": {"symbols": 12, "fresh": 12, "stale": [], "newest_age_s": "0.412"},
    "measures": {
        "VaR 95 % 1 d, USDT": "312.40",
        "CVaR 95 % 1 d, USDT": "391.75",
        "VaR 99 % 1 d, USDT": "441.83",
        "CVaR 99 % 1 d, USDT": "506.18",
    },
}
_DECISION = {
    "approved": True,
    "outcome": "approved",
    "reason": "approved",
    "checks": [
        {
            "stage": 1,
            "name": "trading_state",
            "result": "pass",
            "measured": "ACTIVE",
            "limit": "ACTIVE",
            "reason": "",
        }
    ],
    "sizing": {
        "kelly_fraction": "0.25000000",
        "margin_fraction": "0.04761566",
        "probe": False,
        "leverage": 20,
        "quantity": "3.826",
        "reference_price": "2482.99",
        "notional_usdt": "9499.91974000",
        "margin_usdt": "474.99598700",
        "risk_usdt": "199.49831454",
        "stop_distance": "0.02",
        "take_profit_distance": "0.02",
        "liquidation_price": "2368.31375502",
    },
}

ANSWERS = {
    "GET /status": Answer(_STATUS, "Every limit with what is used of it; `findings` are limits at odds."),
    "POST /check": Answer(_DECISION, "Every check in its order; `sizing` is null when it would be refused."),
    "POST /update": Answer(_STATUS, "The status as it is now."),
    "POST /audit": Answer({"recorded": "dlq purge"}, "It stands in the audit log."),
}
