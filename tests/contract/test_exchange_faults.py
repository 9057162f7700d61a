"""Every fault of the paper exchange: what a client gets to see, and what is true in the ledger afterwards.

The exchange runs as its own process and is spoken to over HTTP and WebSocket, signed by hand, so that nothing
between the test and the wire makes an answer look better than it is.
"""

import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from tests.contract.exchange_client import (
    BRIEF_MS,
    FOREVER_MS,
    QUIET_S,
    TIMEOUT,
    UNKNOWN,
    WAIT_S,
    Client,
    client,
    exchange,
    held,
    ledger_algos,
    ledger_orders,
    process,
)
from tests.eventually import eventually
from tests.exchange_process import ExchangeProcess
from tests.unit.paper_exchange.server_process import Server

__all__ = ["client", "exchange", "process"]


# -- answers that are lost -------------------------------------------------------------------------


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    ("kind", "status", "code", "text"),
    [
        ("unknown_503", 503, None, UNKNOWN),
        ("unexpected_response", 500, -1006, "Execution status unknown."),
        ("backend_timeout", 408, -1007, TIMEOUT),
        ("http_408", 408, None, "Request Timeout"),
    ],
)
def test_a_lost_answer_says_the_same_whether_the_order_was_executed_or_not(
    exchange: ExchangeProcess,
    client: Client,
    kind: str,
    status: int,
    code: int | None,
    text: str,
    *,
    executed: bool,
) -> None:
    fault = exchange.arm(kind, operation="place_order", executed=executed)
    answer = client.order("entry")
    assert answer.status_code == status
    assert text in answer.text
    assert code is None or answer.json()["code"] == code
    assert ("entry" in ledger_orders(exchange)) is executed
    assert held(exchange) == (Decimal("0.1") if executed else 0)
    assert client.find("entry").status_code == (200 if executed else 400)
    assert exchange.fired(fault) == 1


@pytest.mark.parametrize("executed", [True, False])
def test_a_reset_connection_gives_no_answer_at_all(
    exchange: ExchangeProcess, client: Client, *, executed: bool
) -> None:
    fault = exchange.arm("connection_reset", operation="place_order", executed=executed)
    with pytest.raises(httpx.TransportError):
        client.order("entry")
    assert ("entry" in ledger_orders(exchange)) is executed
    assert client.order("next").status_code == 200
    assert exchange.fired(fault) == 1


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("service_unavailable", 503, "Service Unavailable."),
        ("internal_error", 503, "Internal error; unable to process your request. Please try again."),
        ("throttled", 503, "Request throttled by system-level protection."),
        ("too_many_requests", 429, "Too many requests"),
        ("banned", 418, "IP banned until"),
    ],
)
def test_a_sure_failure_was_never_executed(
    exchange: ExchangeProcess, client: Client, kind: str, status: int, text: str
) -> None:
    fault = exchange.arm(kind)
    answer = client.order("entry")
    assert answer.status_code == status
    assert text in answer.json()["msg"]
    assert ledger_orders(exchange) == {}
    assert client.order("entry").status_code == 200
    assert exchange.fired(fault) == 1


def test_throttling_lets_closes_stops_and_cancels_pass(exchange: ExchangeProcess, client: Client) -> None:
    client.order("entry")
    fault = exchange.arm("throttled", times=10)
    assert client.order("more").json()["code"] == -1008
    assert client.stop("stop").status_code == 200
    cancelled = client.send("DELETE /fapi/v1/algoOrder", clientAlgoId="stop")
    assert cancelled.status_code == 200
    assert client.order("close", side="SELL", reduceOnly="true").status_code == 200
    assert held(exchange) == 0
    assert exchange.fired(fault) == 1


@pytest.mark.parametrize("kind", ["too_many_requests", "banned"])
def test_who_is_told_to_stop_calling_is_told_for_how_long(
    exchange: ExchangeProcess, client: Client, kind: str
) -> None:
    exchange.arm(kind, retry_after_s=7, times=2)
    answers = [client.send("GET /fapi/v1/openOrders") for _ in range(2)]
    assert [answer.headers["Retry-After"] for answer in answers] == ["7", "7"]
    assert {answer.json()["code"] for answer in answers} == {-1003}
    assert client.rows("openOrders") == []


def test_a_plain_refusal_hits_the_stop_and_spares_the_target(
    exchange: ExchangeProcess, client: Client
) -> None:
    client.order("x-e")
    fault = exchange.arm("refused", operation="place_algo", role="-s", code=-2021)
    refused = client.stop("x-s")
    assert (refused.status_code, refused.json()) == (
        400,
        {"code": -2021, "msg": "Order would immediately trigger."},
    )
    assert client.stop("x-t").status_code == 200
    assert list(ledger_algos(exchange)) == ["x-t"]
    assert exchange.fired(fault) == 1


def test_a_request_that_is_refused_anyway_spends_no_fault(exchange: ExchangeProcess, client: Client) -> None:
    fault = exchange.arm("unknown_503")
    assert client.send("GET /fapi/v1/openOrders", ago_ms=FOREVER_MS).json()["code"] == -1021
    assert exchange.fired(fault) == 0


# -- answers that are late -------------------------------------------------------------------------


def test_a_late_answer_may_come_from_an_order_executed_at_once(
    exchange: ExchangeProcess, client: Client
) -> None:
    exchange.arm("delay", operation="place_order", delay_ms=FOREVER_MS)
    with httpx.Client(timeout=QUIET_S) as hasty, pytest.raises(httpx.ReadTimeout):
        Client(exchange.url, hasty).order("entry")
    assert held(exchange) == Decimal("0.1")


def test_an_order_long_on_its_way_is_refused_by_its_time(exchange: ExchangeProcess, client: Client) -> None:
    fault = exchange.arm("delay", operation="place_order", delay_ms=BRIEF_MS, execution="at_end")
    late = client.order("entry", recvWindow=1_000)
    assert late.json()["code"] == -1021
    assert ledger_orders(exchange) == {}
    assert exchange.fired(fault) == 1


async def test_an_order_held_up_inside_appears_after_everybody_has_given_up(
    exchange: ExchangeProcess, client: Client
) -> None:
    exchange.arm("delay", operation="place_order", delay_ms=BRIEF_MS, execution="at_end_unchecked")
    with httpx.Client(timeout=QUIET_S) as hasty, pytest.raises(httpx.ReadTimeout):
        Client(exchange.url, hasty).order("entry", recvWindow=1_000)
    assert client.find("entry").json()["code"] == -2013
    await eventually(lambda: "entry" in ledger_orders(exchange), WAIT_S)
    assert held(exchange) == Decimal("0.1")


# -- the clock -------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew_ms", [30_000, -30_000])
def test_a_skewed_clock_refuses_honest_requests_until_it_is_healed(
    exchange: ExchangeProcess, client: Client, skew_ms: int
) -> None:
    fault = exchange.arm("clock_skew", skew_ms=skew_ms)
    told = client.http.get(f"{exchange.url}/fapi/v1/time").json()["serverTime"]
    assert abs(told - time.time_ns() // 1_000_000 - skew_ms) < 1_000
    assert client.order("entry").json()["code"] == -1021
    assert ledger_orders(exchange) == {}
    adjusted = client.send("GET /fapi/v1/openOrders", ago_ms=-skew_ms)
    assert adjusted.status_code == 200
    exchange.admin(f"DELETE faults/{fault}")
    assert client.order("entry").status_code == 200


# -- things that cannot be seen yet ----------------------------------------------------------------


async def test_a_fresh_order_cannot_be_found_for_a_while(exchange: ExchangeProcess, client: Client) -> None:
    client.order("before")
    fault = exchange.arm("hidden_order", hide_ms=BRIEF_MS, role="-e")
    client.order("x-e")
    client.order("other")
    assert client.find("x-e").json() == {"code": -2013, "msg": "Order does not exist."}
    assert [row["clientOrderId"] for row in client.rows("allOrders")] == ["before", "other"]
    assert "x-e" in ledger_orders(exchange)
    await eventually(lambda: client.find("x-e").status_code == 200)
    assert [row["clientOrderId"] for row in client.rows("allOrders")] == ["before", "x-e", "other"]
    assert exchange.fired(fault) == 1


def test_a_resting_order_is_missing_from_the_open_ones(exchange: ExchangeProcess, client: Client) -> None:
    fault = exchange.arm("hidden_order", hide_ms=FOREVER_MS, operation="open_orders")
    client.order("rest", type="LIMIT", price="49000", timeInForce="GTC")
    assert client.rows("openOrders") == []
    assert client.find("rest").status_code == 200
    exchange.admin(f"DELETE faults/{fault}")
    assert len(client.rows("openOrders")) == 1


def test_a_fresh_stop_is_missing_everywhere_but_stands_and_fires(
    exchange: ExchangeProcess, client: Client
) -> None:
    client.order("entry")
    fault = exchange.arm("hidden_algo", hide_ms=FOREVER_MS)
    client.stop("stop")
    assert client.send("GET /fapi/v1/algoOrder", clientAlgoId="stop").json()["code"] == -2013
    assert client.rows("openAlgoOrders") == client.rows("allAlgoOrders") == []
    exchange.price("48900")
    assert held(exchange) == 0
    assert ledger_algos(exchange)["stop"]["algoStatus"] == "FINISHED"
    assert exchange.fired(fault) == 1


async def test_fills_appear_late(exchange: ExchangeProcess, client: Client) -> None:
    fault = exchange.arm("hidden_fill", hide_ms=BRIEF_MS, role="-e")
    client.order("x-e")
    client.order("other")
    assert len(client.rows("userTrades")) == 1
    assert len(exchange.ledger["trades"]) == 2
    await eventually(lambda: len(client.rows("userTrades")) == 2)
    assert exchange.fired(fault) == 1


# -- partial fills ---------------------------------------------------------------------------------


def test_an_entry_fills_in_part_and_expires(exchange: ExchangeProcess, client: Client) -> None:
    fault = exchange.arm("partial_fill", share="0.3")
    body = client.order("entry", type="LIMIT", price="50100", timeInForce="IOC").json()
    assert (body["status"], Decimal(body["executedQty"])) == ("EXPIRED", Decimal("0.03"))
    assert held(exchange) == Decimal("0.03")
    assert client.order("next").json()["status"] == "FILLED"
    assert exchange.fired(fault) == 1


def test_a_refused_entry_and_one_of_a_single_step_spend_no_partial_fill(
    exchange: ExchangeProcess, client: Client
) -> None:
    fault = exchange.arm("partial_fill", share="0.3")
    assert client.order("huge", quantity="100").json()["code"] == -2019
    assert client.order("small", quantity="0.001").json()["status"] == "FILLED"
    assert exchange.fired(fault) == 0


def test_kill_9_amid_partial_fills_recovers_the_same_books(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    process = ExchangeProcess(cast(Any, server.process), server.port)
    client = Client(server.url)
    try:
        process.admin("POST walk", paused=True)
        process.arm("partial_fill", share="0.35", times=5)
        for number in range(3):
            assert client.order(f"entry-{number}").json()["status"] == "EXPIRED"
        client.stop("stop")
        before = process.ledger
        server.stop(signal.SIGKILL)
        server.start()
        after = process.ledger
        assert after | {"time": 0} == before | {"time": 0}
        assert held(process) == Decimal("0.105")
        assert process.admin("GET faults")["armed"] == []
        assert client.order("healthy").json()["status"] == "FILLED"
    finally:
        client.http.close()
        server.stop(signal.SIGTERM)
