"""What unmodified ccxt makes of the paper exchange's refusals, faults, and deaths."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import ccxt.pro
import pytest

from tests.contract.exchange_over_ccxt import (
    BTC,
    STOP_BUDGET_S,
    TRIGGER,
    WAIT_S,
    exchange,
    opened_long,
    protect,
    server,
)
from tests.unit.paper_exchange.server_process import Exchange, Server, admin, client_of, price

__all__ = ["exchange", "server"]


# -- errors ----------------------------------------------------------------------------------------


async def market_order(exchange: Exchange, amount: float, **params: Any) -> None:
    await exchange.create_order(BTC, "market", "buy", amount, None, params)


@pytest.mark.parametrize(
    ("error", "code", "act"),
    [
        (ccxt.InsufficientFunds, -2019, lambda it: market_order(it, 50)),
        (ccxt.InvalidOrder, -2022, lambda it: market_order(it, 0.1, reduceOnly=True)),
        (ccxt.InvalidOrder, -4164, lambda it: it.create_order(BTC, "limit", "buy", 0.001, 49_000)),
        (ccxt.BadRequest, -4016, lambda it: it.create_order(BTC, "limit", "buy", 0.1, 53_000)),
        (ccxt.OrderNotFound, -2011, lambda it: it.cancel_order("1", BTC)),
        (ccxt.OrderNotFound, -2013, lambda it: it.fetch_order("1", BTC)),
        (
            ccxt.OrderImmediatelyFillable,
            -2021,
            lambda it: it.create_order(
                BTC, "STOP_MARKET", "sell", None, None, {"stopPrice": 50_500, "closePosition": True}
            ),
        ),
        (
            ccxt.InvalidOrder,
            -4120,
            lambda it: it.fapiPrivatePostOrder(
                {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "stopPrice": "49000"}
            ),
        ),
        (ccxt.BadSymbol, -1121, lambda it: it.fapiPublicGetDepth({"symbol": "NOPEUSDT"})),
        (
            ccxt.BadRequest,
            -4028,
            lambda it: it.fapiPrivatePostLeverage({"symbol": "BTCUSDT", "leverage": 151}),
        ),
        (
            ccxt.OrderNotFillable,
            -5021,
            lambda it: it.create_order(BTC, "limit", "buy", 0.1, 49_900, {"timeInForce": "FOK"}),
        ),
        (ccxt.InvalidNonce, -1021, lambda it: it.fapiPrivateGetOpenOrders({"timestamp": 1})),
    ],
)
async def test_refusals_reach_the_client_as_the_right_class(
    exchange: Exchange, error: type[Exception], code: int, act: Callable[[Exchange], Awaitable[Any]]
) -> None:
    with pytest.raises(error, match=str(code)):
        await act(exchange)


async def test_a_duplicate_client_id_is_refused_while_open_and_free_after_a_fill(exchange: Exchange) -> None:
    named = {"clientOrderId": "same"}
    await exchange.create_order(BTC, "limit", "buy", 0.01, 49_000, named)
    with pytest.raises(ccxt.InvalidOrder, match="-4116"):
        await exchange.create_order(BTC, "limit", "buy", 0.01, 49_000, named)
    await exchange.cancel_all_orders(BTC)
    for _ in range(2):
        await exchange.create_order(BTC, "market", "buy", 0.01, None, named)
    assert (await exchange.fetch_positions([BTC]))[0]["contracts"] == 0.02


@pytest.mark.parametrize(("key", "secret"), [("other", "paper"), ("paper", "wrong")])
async def test_wrong_credentials_are_refused(server: Server, key: str, secret: str) -> None:
    async with client_of(server, apiKey=key, secret=secret) as stranger:
        with pytest.raises(ccxt.AuthenticationError):
            await stranger.fetch_balance()


async def use_up_the_weight(exchange: Exchange) -> None:
    for _ in range(70):
        await exchange.fetch_balance()


async def test_weight_and_order_limits_are_reported_and_enforced(tmp_path: Path) -> None:
    strict = Server(tmp_path, ("--weight-limit-1m", "60", "--order-limit-10s", "1"))
    strict.start()
    try:
        async with client_of(strict) as exchange:
            await exchange.create_order(BTC, "market", "buy", 0.01)
            headers = {name.lower(): value for name, value in exchange.last_response_headers.items()}
            assert headers["x-mbx-order-count-10s"] == "1"
            assert int(headers["x-mbx-used-weight-1m"]) >= 1
            with pytest.raises(ccxt.DDoSProtection, match="-1015"):
                await exchange.create_order(BTC, "market", "buy", 0.01)
            with pytest.raises(ccxt.DDoSProtection, match="-1003"):
                await use_up_the_weight(exchange)
            assert "Retry-After" in exchange.last_response_headers
    finally:
        strict.stop(signal.SIGTERM)


# -- faults ----------------------------------------------------------------------------------------


async def arm(server: Server, kind: str, **told: Any) -> None:
    await admin(server, "POST", "faults", {"kind": kind} | told)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("unknown_503", ccxt.ExchangeNotAvailable),
        ("backend_timeout", ccxt.RequestTimeout),
        ("connection_reset", ccxt.NetworkError),
    ],
)
@pytest.mark.parametrize("executed", [True, False])
async def test_a_lost_answer_is_an_error_and_the_client_id_tells_the_truth(
    exchange: Exchange, server: Server, kind: str, error: type[Exception], *, executed: bool
) -> None:
    await arm(server, kind, operation="place_order", executed=executed)
    with pytest.raises(error):
        await market_order(exchange, 0.1, clientOrderId="entry")
    by_id = {"clientOrderId": "entry"}
    if executed:
        assert (await exchange.fetch_order(None, BTC, by_id))["filled"] == 0.1
    else:
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.fetch_order(None, BTC, by_id)


async def test_a_partial_fill_reads_as_an_expired_order_with_something_in_it(
    exchange: Exchange, server: Server
) -> None:
    await arm(server, "partial_fill", share="0.5")
    order = await exchange.create_order(BTC, "limit", "buy", 0.1, 50_100, {"timeInForce": "IOC"})
    assert (order["status"], order["filled"], order["remaining"]) == ("expired", 0.05, 0.05)
    (trade,) = await exchange.fetch_my_trades(BTC)
    assert trade["amount"] == 0.05


async def test_a_ban_says_how_long_it_lasts(exchange: Exchange, server: Server) -> None:
    await arm(server, "banned", retry_after_s=9)
    with pytest.raises(ccxt.DDoSProtection, match="418"):
        await exchange.fetch_balance()
    assert exchange.last_response_headers["Retry-After"] == "9"


# -- process ---------------------------------------------------------------------------------------


async def test_kill_9_and_a_restart_keep_everything_that_was_acknowledged(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    try:
        await admin(server, "POST", "walk", {"paused": True})
        async with client_of(server) as exchange:
            order = await opened_long(exchange)
            await protect(exchange)
            await exchange.create_order(BTC, "limit", "buy", 0.01, 45_000, {"clientOrderId": "rest"})
            server.stop(signal.SIGKILL)
            server.start()
            (position,) = await exchange.fetch_positions([BTC])
            assert (position["contracts"], position["entryPrice"]) == (0.1, order["average"])
            conditional = await exchange.fetch_open_orders(BTC, params=TRIGGER)
            assert [each["clientOrderId"] for each in conditional] == ["stop", "target"]
            assert [each["clientOrderId"] for each in await exchange.fetch_open_orders(BTC)] == ["rest"]
            assert len(await exchange.fetch_my_trades(BTC)) == 1
            await price(server, 48_990)
            assert await exchange.fetch_positions([BTC]) == []
    finally:
        server.stop(signal.SIGTERM)


async def test_sigterm_stops_in_time_even_with_clients_connected(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start()
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/public/ws") as socket:
        async with session.get(f"{server.url}/health") as response:
            assert response.status == 200
        loop = asyncio.get_running_loop()
        began = loop.time()
        code = await loop.run_in_executor(None, server.stop, signal.SIGTERM)
        assert loop.time() - began < STOP_BUDGET_S
        assert code == 0
        assert (await socket.receive(timeout=WAIT_S)).type in (
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
        )


async def test_synthetic_symbols_and_a_tape_are_served(tmp_path: Path) -> None:
    tape = tmp_path / "tape.csv"
    bars = "".join(
        f"2022-01-01 00:{minute:02d}:00,{40_000 + minute},40100,39900,{40_000 + minute},3000000\n"
        for minute in range(40)
    )
    tape.write_text("timestamp,open,high,low,close,volume\n" + bars)
    server = Server(tmp_path / "data", ("--symbols-extra", "3", "--tape", str(tape), "--tape-speed", "10"))
    server.start()
    try:
        async with client_of(server) as exchange:
            assert "SYN003/USDT:USDT" in exchange.markets
            assert 39_000 < (await exchange.fetch_ticker(BTC))["last"] < 41_000
            assert (await exchange.fetch_ticker("SYN001/USDT:USDT"))["quoteVolume"] > 100_000_000
    finally:
        server.stop(signal.SIGTERM)
