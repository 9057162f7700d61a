"""What NOTIFY's routes answer, as examples for its API documentation. From a running system, shortened."""

from shared.api_docs import Answer

_NOTIFICATION = {
    "event_id": "evt-ljtd3vkj4mfdgayrtcap",
    "correlation_id": "sig-fvcgp34cxki2icavuett",
    "kind": "position_opened",
    "severity": "info",
    "title": "LONG BTCUSDT opened at 50011.5",
    "body": "Size 0.19 (9,502.18 USDT, 20x), margin 475.12\nRisk 199.55 USDT (2.00 % of equity)",
    "occurred_at": "2026-11-21T11:34:14.514930Z",
    "stored_at": "2026-11-21T11:34:14.532257Z",
    "is_silent": False,
    "held_because": None,
    "deliveries": [
        {
            "channel": "telegram:95",
            "attempts": 1,
            "delivered_at": "2026-11-21T11:34:14.811000Z",
            "dropped_at": None,
            "dropped_because": None,
        }
    ],
}

_ALARM = {
    "name": "UnprotectedPosition",
    "severity": "critical",
    "text": "SOLUSDT is without its stop.",
    "symbol": "SOLUSDT",
    "started_at": "2026-11-21T11:34:14.811000Z",
}

ANSWERS = {
    "GET /alarms": Answer({"alarms": [_ALARM]}, "None when the list is empty."),
    "POST /alert": Answer({"event_ids": ["evt-2m5xw4ra3kbn7tjqvzpc"]}, "On its way to the channels."),
    "GET /notifications": Answer({"notifications": [_NOTIFICATION]}, "The newest first."),
}
