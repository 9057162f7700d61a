"""What happened to orders, as log lines.

Knows which user data events are worth a line. Must never change or delay them.
"""

from collections.abc import Iterable

import structlog

from infrastructure.paper_exchange.values import Payload

_LOG = structlog.get_logger()
_ORDER_FIELDS = {"symbol": "s", "client_order_id": "c", "order_id": "i", "side": "S", "quantity": "q"}
_EXECUTION_FIELDS = {"status": "X", "price": "L", "filled": "z", "realized_pnl": "rp"}
_ALGO_FIELDS = {"symbol": "s", "client_algo_id": "caid", "algo_id": "aid", "side": "S", "type": "o"}
_TRIGGER_FIELDS = {"trigger_price": "tp", "order_id": "ai", "reason": "rm"}


def log_events(events: Iterable[Payload]) -> None:
    """Write one line for each order and conditional order event; account events follow from those.

    That a MARKET order was accepted says nothing that its trades do not.
    """
    for event in events:
        body = event.get("o", {})
        if event["e"] == "ORDER_TRADE_UPDATE" and (body["x"], body["o"]) != ("NEW", "MARKET"):
            _LOG.info(f"order_{body['x'].lower()}", **_pick(body, _ORDER_FIELDS | _EXECUTION_FIELDS))
        elif event["e"] == "ALGO_UPDATE":
            _LOG.info(f"algo_{body['X'].lower()}", **_pick(body, _ALGO_FIELDS | _TRIGGER_FIELDS))


def _pick(body: Payload, fields: dict[str, str]) -> dict[str, object]:
    return {name: body[field] for name, field in fields.items()}
