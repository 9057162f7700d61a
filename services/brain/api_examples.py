"""What BRAIN's routes answer, as examples for its API documentation. From a running system, shortened."""

from typing import Any

from shared.api_docs import Answer

SIGNAL_ID = "sig-fvcgp34cxki2icavuett"
_SIGNAL: dict[str, Any] = {
    "signal_id": SIGNAL_ID,
    "dedupe_key": "alert:622ncvh27ctpy5oklwt4",
    "dedupe_window_s": None,
    "origin": "alert",
    "strategy": "ema_cross",
    "symbol": "BTCUSDT",
    "action": "long",
    "confidence": "0.95",
    "price": "50013.10",
    "rsi": None,
    "macd": None,
    "bar_volume": None,
    "alert_time": "2026-11-21T11:34:13Z",
    "received_at": "2026-11-21T11:34:14.075855Z",
    "alert_text": '{"symbol":"BTCUSDT","action":"buy"}',
}
_ANALYSIS: dict[str, Any] = {
    "scorer": "phoenix95",
    "price": "50013.10",
    "rsi": "45.90859069",
    "macd": "4.24896554",
    "quote_volume_24h_usdt": "13298777427.73000000",
    "open_positions": 0,
    "defaulted": [],
    "factors": [{"name": "technical.rsi", "input": "rsi 45.90859069", "value": "1.10", "rule": "40–60"}],
    "technical": "0.99275",
    "phoenix": "0.87027",
    "market": "0.72",
    "phoenix95_score": "0.87696",
    "final_confidence": "1",
    "risk_level": "low",
    "gates": [{"name": "confidence", "value": "0.95", "minimum": "0.25"}],
}
_EDGE = {
    "closed_trades": 0,
    "effective_trades": "0",
    "win_rate": "0.68000000",
    "win_rate_low": "0.44864835",
    "win_rate_high": "0.91135165",
    "average_win": "0.01750000",
    "average_loss": "0.00950000",
}
_ROW = {
    "signal_id": SIGNAL_ID,
    "received_at": "2026-11-21T11:34:14.075855Z",
    "symbol": "BTCUSDT",
    "action": "long",
    "strategy": "ema_cross",
    "origin": "alert",
    "confidence": "0.95000000",
    "phoenix95_score": "0.87696",
    "final_confidence": "1",
    "outcome": "opened",
    "reason": "protected",
    "position": "closed",
    "closed_reason": "take_profit",
    "closed_at": "2026-11-21T12:46:19.075855Z",
    "net_pnl_usdt": "41.70000000",
    "closed_trades": 0,
    "realised_pnl_usdt": None,
}
_FACT = {
    "event_id": "evt-tx7xbcd3yadmzzwxx56v",
    "causation_id": None,
    "schema": "signal.received.v1",
    "producer": "brain",
    "occurred_at": "2026-11-21T11:34:14.075855Z",
    "payload": {"signal": {"symbol": "BTCUSDT", "action": "long"}},
}
_STORY = {
    "signal": _SIGNAL,
    "analysis": _ANALYSIS,
    "outcome": {"outcome": "opened", "reason": "protected", "decided_at": "2026-11-21T11:34:14.514930Z"},
    "duplicate_of": None,
    "closed": [],
    "story": [_FACT],
}
_STATS = {
    "since": "2026-11-20T11:37:16.617671Z",
    "signals": 1,
    "duplicates": 0,
    "positions": {"open": 0, "closed": 1, "won": 1, "lost": 0, "net_pnl_usdt": "41.7"},
    "by_outcome": [{"outcome": "opened", "reason": "protected", "signals": 1}],
    "by_hour": [{"hour": "2026-11-21T11:00:00Z", "signals": 1, "outcomes": {"opened": 1}}],
}

ANSWERS = {
    "POST /analyze": Answer(
        {"signal": _SIGNAL, "analysis": _ANALYSIS, "edge": _EDGE},
        "The score with every factor and gate; nothing was traded.",
    ),
    "GET /signals": Answer(
        {"signals": [_ROW]}, "The newest first, with what became of each; `outcome` is null on the way."
    ),
    "GET /signals/{signal_id}": Answer(_STORY, "Every fact of the signal, as it happened."),
    "GET /stats": Answer(_STATS, "Counts since `hours` ago."),
}
