"""What NOTIFY's routes answer, as examples for its API documentation. From a running system, shortened."""

from shared.api_docs import Answer

_NOTIFICATION = {
    "event_id": "evt-ljtd3vkj4mfdgayrtcap",
    "correlation_id": "sig-fvcgp34cxki2icavuett",
    "kind": "position_opened",
    "severity": "info",
    "title": "LONG BTCUSDT opened: 0.19 at 50010.4",
    "body": "Stop 49010.2 (-2.00 %), take profit 51010.6 (+2.00 %)",
    "occurred_at": "2026-11-21T11:34:14.514930Z",
    "stored_at": "2026-11-21T11:34:14.532257Z",
    "attempts": 1,
    "delivered_at": "2026-11-21T11:34:14.811000Z",
    "dropped_at": None,
    "dropped_because": None,
}

ANSWERS = {
    "POST /alert": Answer({"event_ids": ["evt-2m5xw4ra3kbn7tjqvzpc"]}, "On its way to the channels."),
    "GET /notifications": Answer({"notifications": [_NOTIFICATION]}, "The newest first."),
}
