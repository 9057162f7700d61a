"""How the webhook is shown in OpenAPI: what may be sent, in examples to paste, and what comes back."""

from typing import Any

EXAMPLES: dict[str, Any] = {
    "entry": {
        "summary": "An entry by an indicator alert",
        "value": {
            "secret": "PHOENIX_WEBHOOK_SECRET",
            "symbol": "{{ticker}}",
            "action": "buy",
            "strategy": "ema_cross",
            "confidence": 0.8,
            "price": "{{close}}",
            "rsi": "{{plot_0}}",
            "macd": "{{plot_1}}",
            "timenow": "{{timenow}}",
        },
    },
    "strategy": {
        "summary": "Any order of a strategy: the position it holds afterwards decides",
        "value": {
            "secret": "PHOENIX_WEBHOOK_SECRET",
            "symbol": "{{ticker}}",
            "strategy": "my_strategy",
            "action": "{{strategy.order.action}}",
            "order_id": "{{strategy.order.id}}",
            "contracts": "{{strategy.order.contracts}}",
            "market_position": "{{strategy.market_position}}",
            "prev_market_position": "{{strategy.prev_market_position}}",
            "price": "{{strategy.order.price}}",
            "timenow": "{{timenow}}",
        },
    },
    "exit": {
        "summary": "Close the position of a symbol; never delayed, never scored",
        "value": {"secret": "PHOENIX_WEBHOOK_SECRET", "symbol": "BTCUSDT.P", "action": "close"},
    },
}

_ACCEPTED = {
    "status": "accepted",
    "signal_id": "sig-uxhv4xj7qyksiwbc3dmt",
    "symbol": "BTCUSDT",
    "action": "exit",
    "dropped": ["rsi came as 'NaN': send an RSI between 0 and 100, as a JSON number or a string"],
}


def _problem(status: int, description: str, title: str) -> dict[str, Any]:
    body = {"type": "about:blank", "title": title, "status": status, "detail": description}
    return {"description": description, "content": {"application/problem+json": {"example": body}}}


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Accepted: the signal is durable and will end in exactly one recorded outcome."
        " `dropped` names what an exit was carried out without; it is absent when that is nothing.",
        "content": {"application/json": {"example": _ACCEPTED}},
    },
    400: _problem(400, "The body is not a JSON object.", "not a JSON object"),
    401: _problem(401, "No proof, or a wrong one.", "secret missing or wrong"),
    413: _problem(413, "More than 16 KiB.", "alert too large"),
    422: _problem(422, "price came as '-1': send a price above zero, in USDT", "alert does not fit"),
    429: _problem(429, "More entries a minute than the limit; this one was not taken.", "too many requests"),
    503: _problem(503, "The broker did not confirm; send it again.", "alert not durable"),
}

_ANY_JSON = {"schema": {"type": "object", "additionalProperties": True}, "examples": EXAMPLES}
_REQUEST = {
    "requestBody": {
        "required": True,
        "content": {"application/json": _ANY_JSON, "text/plain": _ANY_JSON},
    }
}

OPEN: dict[str, Any] = {
    "summary": "Take in an alert; 200 only when it is durable",
    "tags": ["webhook"],
    "responses": _RESPONSES,
    "openapi_extra": _REQUEST,
}
WITH_TOKEN: dict[str, Any] = OPEN | {"summary": "The same, with the secret as the last part of the address"}
ANALYZE: dict[str, Any] = {
    "summary": "Score an entry without any effect",
    "tags": ["signals"],
    "openapi_extra": _REQUEST,
}
