"""Every fault of the paper exchange: what a client gets to see, and what is true in the ledger afterwards.

The exchange runs as its own process and is spoken to over HTTP and WebSocket, signed by hand, so that nothing
between the test and the wire makes an answer look better than it is.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import httpx
import pytest

from infrastructure.paper_exchange.auth import sign
from tests.eventually import eventually, stays
from tests.exchange_process import ExchangeProcess, exchange_process
from tests.unit.paper_exchange.server_process import Server

BTC = "BTCUSDT"
WAIT_S = 10.0
UNKNOWN = "Unknown error, please check your request or try again later."
TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
FOREVER_MS = 60_000
BRIEF_MS = 1_500
"""Short enough to wait for, long enough for a few requests on a busy machine."""
QUIET_S = 0.2

Row = dict[str, Any]


@dataclass
class Client:
    """Signs requests by hand."""

    url: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=WAIT_S))

    def send(self, operation: str, *, ago_ms: int = 0, **params: Any) -> httpx.Response:
        method, _, path = operation.partition(" ")
        params["timestamp"] = time.time_ns() // 1_000_000 - ago_ms
        query = urlencode(params)
        signed = f"{query}&signature={sign('paper', query)}"
        return self.http.request(method, f"{self.url}{path}?{signed}", headers={"X-MBX-APIKEY": "paper"})

    def order(self, client_id: str, quantity: str = "0.1", side: str = "BUY", **more: Any) -> httpx.Response:
        named = {"symbol": BTC, "side": side, "type": "MARKET", "quantity": quantity}
        named |= {"newClientOrderId": client_id, "newOrderRespType": "RESULT"}
        return self.send("POST /fapi/v1/order", **(named | more))

    def stop(self, client_id: str, trigger: str = "49000") -> httpx.Response:
        return self.send(
            "POST /fapi/v1/algoOrder",
            symbol=BTC,
            side="SELL",
            algoType="CONDITIONAL",
            type="STOP_MARKET",
            triggerPrice=trigger,
            closePosition="true",
            clientAlgoId=client_id,
        )

    def find(self, client_id: str) -> httpx.Response:
        return self.send("GET /fapi/v1/order", symbol=BTC, origClientOrderId=client_id)

    def rows(self, path: str, **params: Any) -> list[Row]:
        answer = self.send(f"GET /fapi/v1/{path}", symbol=BTC, **params)
        assert answer.status_code == 200, answer.text
        return cast(list[Row], answer.json())


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExchangeProcess]:
    with exchange_process(tmp_path_factory.mktemp("paper")) as running:
        yield running


@pytest.fixture
def exchange(process: ExchangeProcess) -> ExchangeProcess:
    process.reset()
    return process


@pytest.fixture
def client(exchange: ExchangeProcess) -> Iterator[Client]:
    client = Client(exchange.url)
    yield client
    client.http.close()


def ledger_orders(exchange: ExchangeProcess) -> dict[str, Row]:
    return {row["clientOrderId"]: row for row in exchange.ledger["orders"]}


def ledger_algos(exchange: ExchangeProcess) -> dict[str, Row]:
    return {row["clientAlgoId"]: row for row in exchange.ledger["algoOrders"]}


def held(exchange: ExchangeProcess) -> Decimal:
    positions = exchange.ledger["positions"]
    return sum((Decimal(row["positionAmt"]) for row in positions), Decimal(0))


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


# -- streams ---------------------------------------------------------------------------------------


@dataclass
class Listener:
    """One WebSocket and everything it heard."""

    socket: aiohttp.ClientWebSocketResponse
    heard: list[Row] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [event["e"] for event in self.heard]

    @property
    def clients(self) -> list[str]:
        """Client ids of the order events."""
        return [event["o"]["c"] for event in self.heard if event["e"] == "ORDER_TRADE_UPDATE"]

    async def listen(self) -> None:
        async for message in self.socket:
            self.heard.append(message.json())


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listener]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        listener = Listener(socket)
        task = asyncio.create_task(listener.listen())
        try:
            yield listener
        finally:
            task.cancel()


@pytest.fixture
async def user_stream(exchange: ExchangeProcess, client: Client) -> AsyncIterator[Listener]:
    key = client.send("POST /fapi/v1/listenKey").json()["listenKey"]
    address = f"{exchange.url.replace('http', 'ws')}/private/ws?listenKey={key}"
    async with listening(address) as listener:
        yield listener


async def test_a_silent_user_stream_loses_events_and_stays_open(
    exchange: ExchangeProcess, client: Client, user_stream: Listener
) -> None:
    fault = exchange.arm("stream_silent", for_ms=FOREVER_MS)
    client.order("unheard")
    assert held(exchange) == Decimal("0.1")
    exchange.admin(f"DELETE faults/{fault}")
    client.order("heard")
    await eventually(lambda: user_stream.clients)
    assert set(user_stream.clients) == {"heard"}
    assert not user_stream.socket.closed
    assert exchange.fired(fault) >= 3


async def test_a_gap_loses_events_and_then_closes(
    exchange: ExchangeProcess, client: Client, user_stream: Listener
) -> None:
    fault = exchange.arm("stream_gap", for_ms=BRIEF_MS)
    client.order("unheard")
    await eventually(lambda: user_stream.socket.closed)
    assert user_stream.heard == []
    assert exchange.fired(fault) >= 3
    assert "unheard" in ledger_orders(exchange)


async def test_a_healed_gap_does_not_close(exchange: ExchangeProcess, user_stream: Listener) -> None:
    fault = exchange.arm("stream_gap", for_ms=100)
    exchange.admin(f"DELETE faults/{fault}")
    await stays(lambda: not user_stream.socket.closed, 2 * QUIET_S)


async def test_a_dropped_user_stream_can_be_opened_again(
    exchange: ExchangeProcess, client: Client, user_stream: Listener
) -> None:
    fault = exchange.arm("stream_drop")
    await eventually(lambda: user_stream.socket.closed)
    assert exchange.fired(fault) == 1
    key = client.send("POST /fapi/v1/listenKey").json()["listenKey"]
    async with listening(f"{exchange.url.replace('http', 'ws')}/private/ws?listenKey={key}") as again:
        client.order("heard")
        await eventually(lambda: again.clients)


async def test_an_expired_listen_key_is_told_and_gone(
    exchange: ExchangeProcess, client: Client, user_stream: Listener
) -> None:
    fault = exchange.arm("listen_key_expired")
    await eventually(lambda: "listenKeyExpired" in user_stream.kinds)
    assert client.send("PUT /fapi/v1/listenKey").json()["code"] == -1125
    assert exchange.fired(fault) == 1


async def test_events_come_twice(exchange: ExchangeProcess, client: Client, user_stream: Listener) -> None:
    fault = exchange.arm("stream_duplicate", operation="ORDER_TRADE_UPDATE", times=2)
    client.order("entry")
    await eventually(lambda: user_stream.kinds.count("ORDER_TRADE_UPDATE") == 4)
    orders = [event for event in user_stream.heard if event["e"] == "ORDER_TRADE_UPDATE"]
    assert orders[0] == orders[1]
    assert orders[2] == orders[3]
    assert exchange.fired(fault) == 2


async def test_a_late_event_is_overtaken(
    exchange: ExchangeProcess, client: Client, user_stream: Listener
) -> None:
    exchange.arm("stream_late", operation="ORDER_TRADE_UPDATE", delay_ms=BRIEF_MS)
    client.order("entry")
    await eventually(lambda: len(user_stream.heard) == 3)
    assert user_stream.kinds == ["ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE"]
    executions = [event["o"]["x"] for event in user_stream.heard[1:]]
    assert executions == ["TRADE", "NEW"]


async def test_what_nobody_listens_to_strikes_no_fault(exchange: ExchangeProcess, client: Client) -> None:
    client.send("DELETE /fapi/v1/listenKey")
    numbers = [
        exchange.arm("stream_silent", for_ms=FOREVER_MS),
        exchange.arm("stream_drop"),
        exchange.arm("listen_key_expired"),
    ]
    client.order("entry")
    assert [exchange.fired(number) for number in numbers] == [0, 0, 0]


async def test_market_streams_fall_silent_symbol_by_symbol(exchange: ExchangeProcess) -> None:
    exchange.admin("POST walk", paused=False)
    address = f"{exchange.url.replace('http', 'ws')}/public/ws"
    async with (
        listening(f"{address}/btcusdt@bookTicker") as bitcoin,
        listening(f"{address}/ethusdt@bookTicker") as ether,
    ):
        await eventually(lambda: bitcoin.heard and ether.heard)
        fault = exchange.arm("market_silent", for_ms=FOREVER_MS, symbol=BTC)
        await eventually(lambda: exchange.fired(fault) > 2)
        known, others = len(bitcoin.heard), len(ether.heard)
        await eventually(lambda: len(ether.heard) > others + 3)
        assert len(bitcoin.heard) <= known + 1  # one may have been on its way
        exchange.heal()
        await eventually(lambda: len(bitcoin.heard) > known + 3)


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
        ("hand/liquidate", {"symbol": BTC}, 404, "no position"),
        ("faults", {"kind": "nonsense"}, 400, "kind"),
        ("faults", {"kind": "delay"}, 400, "needs delay_ms"),
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
