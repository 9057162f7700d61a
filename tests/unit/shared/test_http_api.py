"""The HTTP side that every service has: a problem document for what goes wrong, and the operator's key."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import prometheus_client
import pytest
from fastapi import Depends, Response
from pydantic import BaseModel, SecretStr

from shared.errors import DatabaseUnavailable, ExchangeRefused
from shared.http_api import Problem, api_key_guard, create_app, json_response, same_secret
from shared.http_protocol import ProblemProtocol
from shared.lifecycle import Runtime
from tests.contract.samples import SIZING

KEY = "correct-horse-battery"


class Order(BaseModel):
    """A body to be refused."""

    symbol: str
    leverage: int


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(name="sample", instance=2)


@pytest.fixture
async def http(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(runtime, "sample", "For tests.")

    @app.get("/problem")
    async def problem() -> None:
        raise Problem(409, "already closed", "The position was closed at 14:30.", symbol="BTCUSDT")

    @app.get("/busy")
    async def busy() -> None:
        raise Problem(429, "too many requests", "Wait.")

    @app.get("/down")
    async def down() -> None:
        raise DatabaseUnavailable("connection refused")

    @app.get("/refused")
    async def refused() -> None:
        raise ExchangeRefused(-2019, "margin is insufficient")

    @app.get("/fault")
    async def fault() -> None:
        raise ZeroDivisionError(f"while using {KEY}")

    @app.post("/order")
    async def order(order: Order) -> str:
        return order.symbol

    @app.get("/sizing")
    async def sizing() -> Response:
        return json_response(SIZING)

    @app.post("/limits/{name}", dependencies=[Depends(api_key_guard(SecretStr(KEY)))])
    async def limits(name: str) -> str:
        return name

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://sample") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/problem", 409, "The position was closed at 14:30."),
        ("/busy", 429, "Wait."),
        ("/down", 503, "postgresql is not usable"),
        ("/refused", 422, "-2019"),
        ("/fault", 500, "log of this service"),
        ("/nowhere", 404, "Nothing has this address"),
        ("/order", 405, "takes POST only"),
    ],
)
async def test_whatever_goes_wrong_is_a_problem_document(
    http: httpx.AsyncClient, path: str, status: int, words: str
) -> None:
    answer = await http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert words in document["detail"]


async def test_a_problem_may_carry_more_about_itself(http: httpx.AsyncClient) -> None:
    assert (await http.get("/problem")).json()["symbol"] == "BTCUSDT"
    assert (await http.get("/refused")).json()["exchange_code"] == -2019


@pytest.mark.parametrize("path", ["/busy", "/down"])
async def test_what_may_be_tried_again_says_when(http: httpx.AsyncClient, path: str) -> None:
    assert int((await http.get(path)).headers["retry-after"]) > 0


async def test_a_fault_of_ours_does_not_show_its_inside(http: httpx.AsyncClient) -> None:
    assert KEY not in (await http.get("/fault")).text


async def test_a_refused_method_still_says_which_are_allowed(http: httpx.AsyncClient) -> None:
    assert (await http.get("/order")).headers["allow"] == "POST"


async def test_a_body_that_does_not_fit_names_each_field(http: httpx.AsyncClient) -> None:
    answer = await http.post("/order", json={"leverage": "high"})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"body.symbol", "body.leverage"}


async def test_money_in_an_answer_is_text(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/sizing")).json()
    assert answer["quantity"] == "0.199"
    assert answer["leverage"] == 20


class TestOperatorKey:
    """State-changing routes open with the key and with nothing else."""

    async def test_the_right_key_opens(self, http: httpx.AsyncClient) -> None:
        assert (await http.post("/limits/leverage", headers={"X-API-Key": KEY})).json() == "leverage"

    @pytest.mark.parametrize("key", [None, "", "wrong", KEY + "x", KEY[:-1], KEY.upper(), "ключ"])
    async def test_no_other_does_and_the_answer_says_where_the_key_is(
        self, http: httpx.AsyncClient, key: str | None
    ) -> None:
        headers = {} if key is None else {b"X-API-Key": key.encode()}
        answer = await http.post("/limits/leverage", headers=headers)
        assert answer.status_code == 401
        assert "phoenix.env" in answer.json()["detail"]
        assert KEY not in answer.text

    async def test_refusals_are_counted_by_route_and_not_by_what_a_stranger_asked_for(
        self, http: httpx.AsyncClient
    ) -> None:
        before = _refused("/limits/{name}")
        for number in range(5):
            await http.post(f"/limits/{number}")
        assert _refused("/limits/{name}") == before + 5
        assert _refused("/limits/0") == 0


@pytest.mark.parametrize("given", ["secret", "sécret", "\ud800secret", "", "SECRET", "secret\0"])
def test_secrets_are_compared_whatever_the_stranger_sends(given: str) -> None:
    assert same_secret(given, "secret") is (given == "secret")


class TestProcess:
    """Health, readiness, metrics."""

    async def test_health_says_who_answers(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/health")
        assert answer.json() == {"status": "ok", "service": "sample", "instance": "2"}

    async def test_ready_needs_every_dependency(self, http: httpx.AsyncClient, runtime: Runtime) -> None:
        async def fine() -> None:
            return

        async def broken() -> None:
            raise DatabaseUnavailable("connection refused")

        runtime.pings["redis"] = fine
        assert (await http.get("/ready")).status_code == 200
        runtime.pings["postgresql"] = broken
        answer = await http.get("/ready")
        assert answer.status_code == 503
        assert answer.json() == {
            "ready": False,
            "mode": "paper",
            "dependencies": {
                "redis": "ok",
                "postgresql": "postgresql is not usable: connection refused",
            },
            "degraded": {},
        }

    async def test_metrics_are_served_for_prometheus(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/metrics")
        assert answer.headers["content-type"] == prometheus_client.CONTENT_TYPE_LATEST
        assert "phoenix_ready" in answer.text


def _refused(door: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value("phoenix_auth_failures_total", {"door": door}) or 0


async def test_a_page_that_points_its_name_here_reads_nothing(http: httpx.AsyncClient) -> None:
    foreign = await http.get("/sizing", headers={"Host": "evil.example:8102"})
    assert foreign.status_code == 421
    assert "Ask with an IP address" in foreign.json()["detail"]
    assert (await http.get("/sizing", headers={"Host": "127.0.0.1:8102"})).status_code == 200


async def test_the_page_to_try_routes_out_loads_nothing_from_the_internet(http: httpx.AsyncClient) -> None:
    page = (await http.get("/docs")).text
    assert not re.findall(r"(?:https?:)?//\w[^'\"]*", page)
    loaded = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert len(loaded) >= 3
    for address in loaded:
        assert (await http.get(address)).status_code == 200, address


@pytest.mark.parametrize("path", ["/sizing", "/sizing/", "//sizing", "/sizing//"])
async def test_slashes_more_or_less_are_the_same_address_and_never_a_redirect(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(f"http://sample{path}")
    assert (answer.status_code, answer.headers.get("location")) == (200, None)


@pytest.mark.parametrize("path", ["/health", "/ready", "/health/"])
async def test_watchdogs_may_ask_with_head(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.head(path)).status_code == (await http.get(path)).status_code


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("OPTIONS", "/order", 405), ("HEAD", "/order", 405), ("BREW", "/sizing", 405), ("OPTIONS", "/x", 404)],
)
async def test_what_no_route_takes_is_a_problem_and_counted(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    labels = {"status": str(status)}
    before = prometheus_client.REGISTRY.get_sample_value("phoenix_http_refused_total", labels) or 0
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) == (status == 405)
    after = prometheus_client.REGISTRY.get_sample_value("phoenix_http_refused_total", labels)
    assert after == before + 1


@pytest.mark.parametrize("path", ["/sizing?symbol=%00", "/limits/a%00b", "/sizing?a=1&b=x%00y"])
async def test_nul_in_an_address_is_refused_before_a_database_hears_of_it(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_refused_body_with_text_that_utf8_cannot_hold_is_still_a_problem(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post("/order", content=b'{"symbol": "\\ud800", "leverage": "\\udfff"}')
    assert answer.status_code == 422


async def test_path_of_a_request_that_failed_is_in_no_log(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await http.post("/limits/a-secret-in-the-path")
    await http.get("/fault?secret=a-secret")
    assert "a-secret" not in capsys.readouterr().out


async def test_what_is_no_http_request_is_answered_with_a_problem_and_no_part_of_it() -> None:
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: Any) -> None:
            written.append(bytes(data))

        def close(self) -> None:
            written.append(b"closed")

    protocol = object.__new__(ProblemProtocol)
    protocol.transport = Transport()
    protocol.send_400_response("Invalid HTTP request received.")
    head, _, body = written[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["status"] == 400
    assert written[1] == b"closed"
