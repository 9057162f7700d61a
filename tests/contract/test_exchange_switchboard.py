"""The paper exchange's side door: acts by hand, and the switchboard of its faults."""

from decimal import Decimal

import httpx
import pytest

from tests.contract.exchange_client import (
    BTC,
    WAIT_S,
    Client,
    Listener,
    Row,
    client,
    exchange,
    held,
    ledger_algos,
    ledger_orders,
    process,
    user_stream,
)
from tests.eventually import eventually
from tests.exchange_process import ExchangeProcess

__all__ = ["client", "exchange", "process", "user_stream"]


# -- acts by hand ----------------------------------------------------------------------------------


def test_somebody_else_trades_on_the_account(exchange: ExchangeProcess, client: Client) -> None:
    exchange.admin("POST hand/order", symbol=BTC, side="BUY", quantity="0.2", client_id="web_1")
    exchange.admin("POST hand/order", symbol=BTC, side="SELL", quantity="0.05", reduce_only=True)
    assert held(exchange) == Decimal("0.15")
    named, unnamed = ledger_orders(exchange).values()
    assert named["clientOrderId"] == "web_1"
    assert unnamed["reduceOnly"] is True
    exchange.admin("POST hand/close", symbol=BTC)
    assert held(exchange) == 0


def test_any_order_or_stop_can_be_cancelled_by_hand(exchange: ExchangeProcess, client: Client) -> None:
    client.order("rest", type="LIMIT", price="49000", timeInForce="GTC")
    client.stop("stop")
    for name in ("rest", "stop"):
        exchange.admin("POST hand/cancel", client_id=name)
    assert ledger_orders(exchange)["rest"]["status"] == "CANCELED"
    assert ledger_algos(exchange)["stop"]["algoStatus"] == "CANCELED"


@pytest.mark.parametrize(
    ("act", "client_id"),
    [("liquidate", "autoclose-"), ("adl", "adl_autoclose"), ("settle", "settlement_autoclose-")],
)
async def test_the_exchange_takes_a_position_away(
    exchange: ExchangeProcess, client: Client, user_stream: Listener, act: str, client_id: str
) -> None:
    client.order("entry")
    client.stop("stop")
    order = exchange.admin(f"POST hand/{act}", symbol=BTC)
    assert order["clientOrderId"].startswith(client_id)
    assert held(exchange) == 0
    assert ledger_algos(exchange)["stop"]["algoStatus"] == "NEW"
    await eventually(lambda: order["clientOrderId"] in user_stream.clients)
    executions = [event["o"]["x"] for event in user_stream.heard if event["e"] == "ORDER_TRADE_UPDATE"]
    assert executions[-1] == "CALCULATED"


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("hand/order", {"symbol": BTC, "side": "UP", "quantity": 1}, 400, "side"),
        ("hand/order", {"symbol": BTC, "side": "BUY", "quantity": 100}, 400, "-2019"),
        ("hand/order", {"symbol": BTC, "side": "BUY", "quantity": 1, "price": 2}, 400, "price means nothing"),
        ("hand/order", {"symbol": BTC, "side": "BUY", "quantity": 1, "client_id": "ä"}, 400, "client_id"),
        ("hand/close", {"symbol": BTC}, 404, "no position"),
        ("hand/close", {"symbol": "NOPE"}, 400, "not listed"),
        ("hand/cancel", {"client_id": "nobody"}, 404, "nobody"),
        ("hand/leverage", {"symbol": BTC, "leverage": "20"}, 400, "whole number"),
        ("hand/leverage", {"symbol": BTC, "leverage": 500}, 400, "-4028"),
        ("hand/margin_type", {"symbol": BTC, "margin_type": "WIDE"}, 400, "one of"),
        ("hand/liquidate", {"symbol": BTC}, 404, "no position"),
        ("faults", {"kind": "nonsense"}, 400, "kind"),
        ("faults", {"kind": "delay"}, 400, "needs delay_ms"),
        ("faults", {"kind": "rules_changed", "symbol": BTC, "step": "0"}, 400, "step must be above 0"),
        ("faults", {"kind": "unknown_503", "operation": "dance"}, 400, "place_order"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    exchange: ExchangeProcess, path: str, body: Row, status: int, reason: str
) -> None:
    answer = httpx.post(f"{exchange.url}/admin/{path}", json=body, timeout=WAIT_S)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


# -- the switchboard itself ------------------------------------------------------------------------


def test_a_page_in_the_operators_browser_cannot_reach_it(exchange: ExchangeProcess) -> None:
    foreign = {"Origin": "https://example.org"}
    url, body = f"{exchange.url}/admin/faults", {"kind": "banned"}
    assert httpx.post(url, json=body, headers=foreign, timeout=WAIT_S).status_code == 403
    assert exchange.admin("GET faults")["armed"] == []


def test_the_overview_tells_how_to_use_it(exchange: ExchangeProcess) -> None:
    overview = httpx.get(f"{exchange.url}/admin", timeout=WAIT_S).json()
    assert any(name.startswith("POST /admin/faults") for name in overview["operations"])
    assert overview["faults"]["kinds"]["delay"]["needs"] == ["delay_ms"]
    known = set(overview["faults"]["requestOperations"])
    assert {"place_order", "place_algo", "order", "cancel_algo", "position_risk", "user_trades"} <= known


def test_healing_and_reset_leave_nothing_armed(exchange: ExchangeProcess, client: Client) -> None:
    first = exchange.arm("banned", times=100)
    exchange.arm("unknown_503")
    assert exchange.admin("GET state")["faultsArmed"] == 2
    exchange.admin(f"DELETE faults/{first}")
    again = httpx.delete(f"{exchange.url}/admin/faults/{first}", timeout=WAIT_S)
    assert again.status_code == 404
    exchange.admin("POST reset")
    assert exchange.admin("GET faults")["armed"] == []
    assert client.order("entry").status_code == 200


# -- rules that changed, settings that somebody else changes ---------------------------------------


def test_an_order_must_fit_the_rules_as_they_are_now(exchange: ExchangeProcess, client: Client) -> None:
    exchange.arm("rules_changed", symbol=BTC, step="0.5", tick="7")
    filters = {row["filterType"]: row for row in _listed(exchange)[BTC]["filters"]}
    assert filters["LOT_SIZE"]["stepSize"] == filters["MARKET_LOT_SIZE"]["stepSize"] == "0.5"
    assert filters["PRICE_FILTER"]["tickSize"] == "7"
    assert client.order("unfit", quantity="0.1").json()["code"] == -1111
    assert client.order("fits", quantity="0.5").status_code == 200
    assert client.stop("unfit-s", trigger="49001").json()["code"] == -4014
    assert client.stop("fits-s", trigger="49000").status_code == 200


def test_a_symbol_that_trades_no_more_takes_only_what_reduces(
    exchange: ExchangeProcess, client: Client
) -> None:
    client.order("entry")
    exchange.arm("rules_changed", symbol=BTC, listing="SETTLING")
    assert _listed(exchange)[BTC]["status"] == "SETTLING"
    assert client.order("more").json()["code"] == -4140
    assert client.stop("stop").status_code == 200
    assert client.order("exit", side="SELL", reduceOnly="true").status_code == 200


def test_a_symbol_that_is_gone_is_unknown_everywhere(exchange: ExchangeProcess, client: Client) -> None:
    exchange.arm("rules_changed", symbol=BTC, listing="gone")
    assert BTC not in _listed(exchange)
    assert client.order("entry").json()["code"] == -1121
    assert client.send("GET /fapi/v3/positionRisk", symbol=BTC).json()["code"] == -1121
    exchange.admin("DELETE faults")
    assert client.order("again").status_code == 200


def test_rules_may_change_without_the_list_saying_so(exchange: ExchangeProcess, client: Client) -> None:
    exchange.arm("rules_changed", symbol=BTC, step="0.5", shown=False)
    filters = {row["filterType"]: row for row in _listed(exchange)[BTC]["filters"]}
    assert filters["LOT_SIZE"]["stepSize"] == "0.001"
    assert client.order("unfit", quantity="0.1").json()["code"] == -1111


def test_a_history_may_end_too_early_and_its_fees_be_paid_in_another_asset(
    exchange: ExchangeProcess, client: Client
) -> None:
    for name in ("one", "two"):
        client.order(name)
    exchange.arm("short_page", operation="user_trades")
    assert len(client.rows("userTrades")) == 1
    exchange.arm("fee_asset", asset="BNFCR")
    assert {row["commissionAsset"] for row in client.rows("userTrades")} == {"BNFCR"}
    assert {row["commissionAsset"] for row in client.rows("userTrades")} == {"USDT"}


async def test_somebody_changes_leverage_and_margin_type_elsewhere(
    exchange: ExchangeProcess, client: Client, user_stream: Listener
) -> None:
    exchange.admin("POST hand/leverage", symbol=BTC, leverage=7)
    exchange.admin("POST hand/margin_type", symbol=BTC, margin_type="ISOLATED")
    (row,) = client.rows("symbolConfig")
    assert (row["leverage"], row["marginType"]) == (7, "ISOLATED")
    await eventually(lambda: "ACCOUNT_CONFIG_UPDATE" in user_stream.kinds)


def _listed(exchange: ExchangeProcess) -> dict[str, Row]:
    info = httpx.get(f"{exchange.url}/fapi/v1/exchangeInfo", timeout=WAIT_S).json()
    return {row["symbol"]: row for row in info["symbols"]}
