"""The alerts that load consists of, as TradingView would send them. Pure.

`entry_alert` runs through the whole pipeline. `stale_alert` is the same alert with a `timenow` of an hour
ago: it is taken in exactly like a fresh one (secret, fields, durable publish) and BRAIN then ends it as
`expired(too old)` before it looks at the market, so that the load on the webhook is not a load on RISK.
"""

import json
from datetime import UTC, datetime, timedelta

STRATEGY = "bench"
STALE_BY = timedelta(hours=1)


def entry_alert(secret: str, symbol: str, alert_id: str, now: datetime) -> str:
    """Return an alert that every gate lets through, with its own indicator values."""
    return json.dumps(
        {
            "secret": secret,
            "symbol": f"BINANCE:{symbol}.P",
            "action": "buy",
            "strategy": STRATEGY,
            "confidence": 0.95,
            "rsi": 48.5,
            "macd": 0.5,
            "volume": 1234.5,
            "alert_id": alert_id,
            "timenow": now.astimezone(UTC).isoformat(),
        }
    )


def stale_alert(secret: str, symbol: str, alert_id: str, now: datetime) -> str:
    """Return an alert that is accepted and then expires at once."""
    return entry_alert(secret, symbol, alert_id, now - STALE_BY)
