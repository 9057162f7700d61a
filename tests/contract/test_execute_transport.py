"""What the wire does to an order, through unmodified ccxt: surely not executed, refused, or unknown (P6)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web

from services.execute.binance_client import BinanceClient
from services.execute.call_gate import FAILURES_MAX
from services.execute.error_classes import ErrorKind, VenueRefused
from services.execute.venue import OrderSide
from shared.clock import utc_now
from shared.errors import ExchangeUnavailable, ExecutionUnknown, PhoenixError
from tests.contract.test_execute_exchange import order
from tests.eventually import eventually
from tests.twins.execution import SETTINGS
from tests.unit.execute.builders import BTC

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

TIMEOUT_MS = 500


@asynccontextmanager
async def exchange(answer: Answer) -> AsyncIterator[tuple[BinanceClient, list[str]]]:
    """Run a server that gives one answer to everything, and a client of it."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(f"{request.method} {request.path}")
        return await answer(request)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    changes = {
        "exchange_base_url": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "exchange_timeout_ms": TIMEOUT_MS,
    }
    try:
        async with BinanceClient(SETTINGS.model_copy(update=changes)) as client:
            yield client, seen
    finally:
        await runner.cleanup()


def says(status: int, body: str, content_type: str = "application/json", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, content_type=content_type, headers=headers)

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never_answers(request: web.Request) -> web.StreamResponse:
    await eventually(lambda: request.transport is None or request.transport.is_closing(), 5)
    return web.Response()


UNKNOWN_503 = '{"msg": "Unknown error, please check your request or try again later."}'
THROTTLED_503 = '{"code": -1008, "msg": "Request throttled by system-level protection."}'
LATE = '{"code": -1021, "msg": "Timestamp is outside of the recvWindow."}'


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (says(503, UNKNOWN_503), ExecutionUnknown),
        (says(503, '{"msg": "Service Unavailable."}'), ExchangeUnavailable),
        (says(503, THROTTLED_503), ExchangeUnavailable),
        (says(503, "<html>503 Service Unavailable</html>", "text/html"), ExecutionUnknown),
        (says(502, "<html>Bad Gateway</html>", "text/html"), ExecutionUnknown),
        (says(408, '{"code": -1007, "msg": "Timeout waiting for response."}'), ExecutionUnknown),
        (says(403, "<html>WAF</html>", "text/html"), ExchangeUnavailable),
        (says(429, '{"code": -1003, "msg": "Too many requests."}'), ExchangeUnavailable),
        (says(400, LATE), ExchangeUnavailable),
        (says(400, '{"code": -2019, "msg": "Margin is insufficient."}'), VenueRefused),
        (says(401, '{"code": -2015, "msg": "Invalid API-key."}'), VenueRefused),
        (hangs_up, ExecutionUnknown),
        (never_answers, ExecutionUnknown),
    ],
)
async def test_what_became_of_an_order(answer: Answer, expected: type[PhoenixError]) -> None:
    async with exchange(answer) as (client, seen):
        with pytest.raises(expected):
            await client.place_entry(order(), utc_now())
        orders = [each for each in seen if each != "GET /fapi/v1/time"]  # after -1021 the clock is measured
        assert orders == ["POST /fapi/v1/order"], "sent once, whatever came of it"


async def test_connection_that_is_refused_executed_nothing() -> None:
    async with exchange(hangs_up) as (client, _):
        address = client.venue.urls["api"]["fapiPublic"].removesuffix("/fapi/v1")
    nobody = SETTINGS.model_copy(update={"exchange_base_url": address})
    async with BinanceClient(nobody) as client:
        with pytest.raises(ExchangeUnavailable):
            await client.place_entry(order(), utc_now())


@pytest.mark.parametrize("answer", [hangs_up, never_answers, says(500, "")])
async def test_lost_reads_are_merely_unavailable(answer: Answer) -> None:
    async with exchange(answer) as (client, _):
        with pytest.raises(ExchangeUnavailable):
            await client.positions()


async def test_refusal_is_told_by_its_raw_code() -> None:
    async with exchange(says(400, '{"code": -2021, "msg": "Order would immediately trigger."}')) as (
        client,
        _,
    ):
        with pytest.raises(VenueRefused) as caught:
            await client.place_entry(order(), utc_now())
        assert (caught.value.code, caught.value.kind) == (-2021, ErrorKind.WOULD_TRIGGER)


@pytest.mark.parametrize("status", [429, 418])
async def test_ban_is_heeded_for_as_long_as_it_says(status: int) -> None:
    body = '{"code": -1003, "msg": "Way too many requests."}'
    async with exchange(says(status, body, **{"Retry-After": "30"})) as (client, seen):
        with pytest.raises(ExchangeUnavailable, match=str(status)):
            await client.positions()
        for call in (client.positions(), client.account(), client.find_order(BTC, "x")):
            with pytest.raises(ExchangeUnavailable, match="stop calling"):
                await call
        assert len(seen) == 1


async def test_retry_after_may_be_a_date() -> None:
    told = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    async with exchange(says(429, "{}", **told)) as (client, _):
        with pytest.raises(ExchangeUnavailable):
            await client.positions()


async def test_used_orders_hold_back_entries_and_let_exits_through() -> None:
    body = '{"code": -2022, "msg": "ReduceOnly Order is rejected."}'
    async with exchange(says(400, body, **{"X-MBX-ORDER-COUNT-10S": "290"})) as (client, seen):
        for _ in range(2):
            with pytest.raises(VenueRefused):
                await client.close_market("close", BTC, OrderSide.SELL, Decimal("0.1"), utc_now())
        with pytest.raises(ExchangeUnavailable, match="orders_10s: 290 of 300"):
            client.demand_open_for_entries()
        assert len(seen) == 2


async def test_throttled_by_the_system_an_entry_surely_failed_and_an_exit_may_go_on() -> None:
    async with exchange(says(503, THROTTLED_503)) as (client, seen):
        with pytest.raises(ExchangeUnavailable, match="-1008"):
            await client.place_entry(order(), utc_now())
        for _ in range(FAILURES_MAX * 2):  # also with the breaker open
            with pytest.raises(ExchangeUnavailable, match="-1008"):
                await client.close_market("close", BTC, OrderSide.SELL, Decimal("0.1"), utc_now())
        assert len(seen) == 1 + FAILURES_MAX * 2


async def test_used_weight_holds_back_entries_and_lets_exits_through() -> None:
    body = '{"code": -2013, "msg": "Order does not exist."}'
    async with exchange(says(400, body, **{"X-MBX-USED-WEIGHT-1M": "2300"})) as (client, seen):
        assert await client.find_order(BTC, "x") is None
        with pytest.raises(ExchangeUnavailable, match="weight"):
            client.demand_open_for_entries()
        with pytest.raises(ExchangeUnavailable, match="weight"):
            await client.account()
        assert await client.find_order(BTC, "x") is None
        assert len(seen) == 2
