"""Unmodified ccxt watches the paper exchange as it would Binance: markets, books, the user's own stream."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import ccxt.pro
import pytest

from tests.contract.exchange_over_ccxt import (
    BTC,
    ETH,
    WAIT_S,
    eventually,
    exchange,
    opened_long,
    protect,
    server,
)
from tests.unit.paper_exchange.server_process import Exchange, Server, admin, price

__all__ = ["exchange", "server"]


@pytest.mark.parametrize(
    ("watch", "check"),
    [
        ("watch_bids_asks", lambda found: found[ETH]["bid"] < found[ETH]["ask"]),
        ("watch_tickers", lambda found: found[ETH]["last"] > 0),
    ],
)
async def test_streams_of_several_symbols(
    exchange: Exchange, watch: str, check: Callable[[dict[str, Any]], bool]
) -> None:
    assert check(await asyncio.wait_for(getattr(exchange, watch)([ETH]), WAIT_S))


@pytest.mark.parametrize(
    ("watch", "check"),
    [
        ("watch_mark_price", lambda found: found["markPrice"] > 0),
        ("watch_ticker", lambda found: found["last"] > 0),
        ("watch_trades", lambda found: found[0]["price"] > 0),
        ("watch_ohlcv", lambda found: found[-1][4] > 0),
    ],
)
async def test_streams_of_one_symbol(exchange: Exchange, watch: str, check: Callable[[Any], bool]) -> None:
    assert check(await asyncio.wait_for(getattr(exchange, watch)(ETH), WAIT_S))


async def test_a_watched_book_stays_in_step_with_its_updates(exchange: Exchange, server: Server) -> None:
    for _ in range(10):
        book = await asyncio.wait_for(exchange.watch_order_book(ETH), WAIT_S)
        assert book["bids"][0][0] < book["asks"][0][0]
    await admin(server, "POST", "walk", {"paused": True, "symbol": "ETHUSDT"})
    try:
        snapshot = await exchange.fetch_order_book(ETH, 100)

        async def in_step() -> bool:
            watched = exchange.orderbooks[ETH]
            return bool(watched["nonce"] == snapshot["nonce"])

        await eventually(in_step, "the watched book reaches the snapshot")
        watched = exchange.orderbooks[ETH]
        assert [list(level) for level in watched["bids"][:100]] == snapshot["bids"]
        assert [list(level) for level in watched["asks"][:100]] == snapshot["asks"]
    finally:
        await admin(server, "POST", "walk", {"paused": False, "symbol": "ETHUSDT"})


async def watching(exchange: Exchange, server: Server) -> None:
    """Wait until the private stream is connected, so that nothing is missed."""

    async def connected() -> bool:
        return any("/private/" in url and client.connected.done() for url, client in exchange.clients.items())

    await eventually(connected, "the private stream connects")


async def test_orders_positions_and_balance_are_pushed(exchange: Exchange, server: Server) -> None:
    orders = asyncio.create_task(exchange.watch_orders(BTC))
    await watching(exchange, server)
    balance = asyncio.create_task(exchange.watch_balance())
    trades = asyncio.create_task(exchange.watch_my_trades(BTC))
    await opened_long(exchange)
    seen = await asyncio.wait_for(orders, WAIT_S)
    assert seen[-1]["clientOrderId"] == "entry"
    assert (await asyncio.wait_for(trades, WAIT_S))[-1]["amount"] == 0.1
    assert (await asyncio.wait_for(balance, WAIT_S))["USDT"]["total"] < 10_000


async def test_a_firing_stop_is_pushed_with_its_order(exchange: Exchange, server: Server) -> None:
    await opened_long(exchange)
    await protect(exchange)
    first = asyncio.create_task(exchange.watch_orders(BTC))
    await watching(exchange, server)
    await price(server, 48_990)
    await asyncio.wait_for(first, WAIT_S)

    async def told() -> bool:
        stories = {
            (order["id"], order["status"]) for order in exchange.orders if order["clientOrderId"] == "stop"
        }
        return len(stories) == 2 and {status for _, status in stories} == {"closed"}

    await eventually(told, "both the conditional order and the order it placed are told as closed")


async def test_an_unknown_listen_key_is_refused(exchange: Exchange, server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{server.url}/private/ws?listenKey=nobody")
    await exchange.fapiPrivateDeleteListenKey()
    with pytest.raises(ccxt.AuthenticationError, match="-1125"):
        await exchange.fapiPrivatePutListenKey()


async def test_a_combined_stream_names_its_streams(server: Server) -> None:
    address = f"{server.url}/market/stream?streams=ethusdt@markPrice@1s/ethusdt@aggTrade"
    seen: set[str] = set()
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
        while len(seen) < 2:
            message = await socket.receive_json(timeout=WAIT_S)
            assert message["data"]["s"] == "ETHUSDT"
            seen.add(message["stream"])
    assert seen == {"ethusdt@markPrice@1s", "ethusdt@aggTrade"}


async def test_stream_requests_are_answered_in_kind(server: Server) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.url}/public/ws") as socket:

        async def ask(request: Any) -> dict[str, Any]:
            await socket.send_str(request if isinstance(request, str) else json.dumps(request))
            while True:
                answer = await socket.receive_json(timeout=WAIT_S)
                if "id" in answer:
                    return cast(dict[str, Any], answer)

        name = "ethusdt@bookTicker"
        assert await ask({"method": "SUBSCRIBE", "params": [name], "id": "a"}) == {"result": None, "id": "a"}
        assert await ask({"method": "LIST_SUBSCRIPTIONS", "id": 2}) == {"result": [name], "id": 2}
        assert await ask({"method": "UNSUBSCRIBE", "params": [name], "id": 3}) == {"result": None, "id": 3}
        assert await ask({"method": "LIST_SUBSCRIPTIONS", "id": 4}) == {"result": [], "id": 4}
        assert (await ask({"method": "DANCE", "id": 5}))["error"]["code"] == 2
        assert (await ask("no json"))["error"]["code"] == 2
