"""Unmodified ccxt (REST and pro) trades on the paper exchange as it would on Binance USD-M futures.

The exchange runs as its own process, is told where prices go through its admin API, and is killed when that
is the point of a test.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import aiohttp
import ccxt.pro
import pytest

from tests.unit.paper_exchange.server_process import Exchange, Server, admin, client_of, price

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
TRIGGER = {"trigger": True}
WAIT_S = 15.0
STOP_BUDGET_S = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("paper"))
    running.start()
    yield running
    running.stop(signal.SIGTERM)


@pytest.fixture
async def exchange(server: Server) -> AsyncIterator[Exchange]:
    await admin(server, "POST", "reset")
    await admin(server, "POST", "walk", {"paused": True, "symbol": "BTCUSDT"})
    await price(server, 50_000)
    async with client_of(server) as client:
        yield client


async def eventually(probe: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition; the pause between two looks is what keeps it from being a busy loop."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_S
    while not await probe():
        assert loop.time() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.05)


async def opened_long(exchange: Exchange, amount: float = 0.1) -> dict[str, Any]:
    await exchange.set_margin_mode("isolated", BTC)
    await exchange.set_leverage(20, BTC)
    return cast(
        dict[str, Any],
        await exchange.create_order(BTC, "market", "buy", amount, None, {"clientOrderId": "entry"}),
    )


# -- market data -----------------------------------------------------------------------------------


async def test_markets_carry_the_limits_that_clients_round_by(exchange: Exchange) -> None:
    market = exchange.market(BTC)
    assert market["linear"]
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.001, 0.1)
    assert market["limits"]["cost"]["min"] == 50
    assert exchange.amount_to_precision(BTC, 0.0129) == "0.012"
    assert len(exchange.markets) == 10


async def test_time_tickers_and_books(exchange: Exchange) -> None:
    assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 1_000
    ticker = await exchange.fetch_ticker(BTC)
    assert ticker["last"] == 50_000
    assert ticker["quoteVolume"] > 100_000_000
    assert len(await exchange.fetch_tickers()) == 10
    book = await exchange.fetch_order_book(BTC, 20)
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert book["bids"][0][0] <= 50_000 <= book["asks"][0][0]
    best = (await exchange.fetch_bids_asks([BTC]))[BTC]
    assert (best["bid"], best["ask"]) == (book["bids"][0][0], book["asks"][0][0])
    mark = await exchange.fetch_mark_price(BTC)
    assert mark["markPrice"] == 50_000
    funding = await exchange.fetch_funding_rate(BTC)
    assert funding["fundingRate"] == 0.0001
    assert funding["fundingTimestamp"] > exchange.milliseconds()


async def test_bars_are_there_from_the_start(exchange: Exchange) -> None:
    bars = await exchange.fetch_ohlcv(BTC, "1m", limit=500)
    assert len(bars) == 500
    steps = {after[0] - before[0] for before, after in pairwise(bars)}
    assert steps == {60_000}
    since = await exchange.fetch_ohlcv(BTC, "1m", since=bars[10][0], limit=5)
    assert [bar[0] for bar in since] == [bar[0] for bar in bars[10:15]]
    hours = await exchange.fetch_ohlcv(BTC, "1h", limit=3)
    assert all(bar[0] % 3_600_000 == 0 for bar in hours)


# -- account ---------------------------------------------------------------------------------------


async def test_balance_leverage_and_settings(exchange: Exchange) -> None:
    balance = await exchange.fetch_balance()
    usdt = balance["USDT"]
    assert (usdt["free"], usdt["used"], usdt["total"]) == (10_000, 0, 10_000)
    assert (await exchange.set_leverage(20, BTC))["leverage"] == 20
    await exchange.set_margin_mode("isolated", BTC)
    modes = await exchange.fetch_margin_modes([BTC])
    assert modes[BTC]["marginMode"] == "isolated"
    leverages = await exchange.fetch_leverages([BTC])
    assert leverages[BTC]["longLeverage"] == 20
    tiers = (await exchange.fetch_leverage_tiers([BTC]))[BTC]
    assert (tiers[0]["maxLeverage"], tiers[0]["maxNotional"]) == (150, 300_000)
    fee = await exchange.fetch_trading_fee(BTC)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)
    assert (await exchange.fetch_position_mode(BTC))["hedged"] is False
    assert (await exchange.fapiPrivateGetMultiAssetsMargin())["multiAssetsMargin"] is False
    assert (await exchange.fapiPrivateGetAccountConfig())["canTrade"] is True


async def test_setting_the_same_margin_mode_twice_is_tolerated(exchange: Exchange) -> None:
    await exchange.set_margin_mode("isolated", BTC)
    answer = await exchange.set_margin_mode("isolated", BTC)
    assert answer["code"] in (-4046, "-4046")


# -- orders ----------------------------------------------------------------------------------------


async def test_a_market_order_by_client_id_opens_an_isolated_position(exchange: Exchange) -> None:
    order = await opened_long(exchange)
    assert (order["status"], order["filled"], order["clientOrderId"]) == ("closed", 0.1, "entry")
    found = await exchange.fetch_order(None, BTC, {"clientOrderId": "entry"})
    assert (found["id"], found["average"]) == (order["id"], order["average"])
    (position,) = await exchange.fetch_positions([BTC])
    assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 0.1, "isolated")
    assert position["entryPrice"] == order["average"]
    assert 47_000 < position["liquidationPrice"] < 48_000
    (trade,) = await exchange.fetch_my_trades(BTC)
    assert trade["order"] == order["id"]
    assert trade["fee"]["cost"] == pytest.approx(order["average"] * 0.1 * 0.0005)
    balance = await exchange.fetch_balance()
    assert balance["USDT"]["total"] == pytest.approx(10_000 - trade["fee"]["cost"], abs=1)


@pytest.mark.parametrize("method", ["account", "positionRisk"])
async def test_positions_by_either_endpoint(exchange: Exchange, method: str) -> None:
    await opened_long(exchange)
    (position,) = await exchange.fetch_positions([BTC], {"method": method})
    assert position["contracts"] == 0.1
    (position,) = await exchange.fetch_positions([BTC], {"method": method, "useV2": True})
    assert (position["contracts"], position["leverage"]) == (0.1, 20)


async def test_an_ioc_limit_fills_or_expires(exchange: Exchange) -> None:
    ioc = {"timeInForce": "IOC"}
    filled = await exchange.create_order(BTC, "limit", "buy", 0.01, 50_050, ioc)
    assert (filled["status"], filled["filled"]) == ("closed", 0.01)
    missed = await exchange.create_order(BTC, "limit", "buy", 0.01, 49_900, ioc)
    assert (missed["status"], missed["filled"]) == ("expired", 0)


async def test_a_resting_order_is_listed_cancelled_and_kept_in_history(exchange: Exchange) -> None:
    order = await exchange.create_order(BTC, "limit", "buy", 0.01, 49_000, {"clientOrderId": "rest"})
    (listed,) = await exchange.fetch_open_orders(BTC)
    assert listed["clientOrderId"] == "rest"
    assert len(await exchange.fetch_open_orders()) == 1
    assert (await exchange.cancel_order(order["id"], BTC))["status"] == "canceled"
    assert await exchange.fetch_open_orders(BTC) == []
    assert (await exchange.fetch_orders(BTC))[-1]["status"] == "canceled"
    await exchange.create_order(BTC, "limit", "buy", 0.01, 49_000)
    await exchange.cancel_all_orders(BTC)
    assert await exchange.fetch_open_orders(BTC) == []


async def test_a_resting_order_fills_when_the_price_comes(exchange: Exchange, server: Server) -> None:
    order = await exchange.create_order(BTC, "limit", "buy", 0.01, 49_000)
    await price(server, 48_900)
    found = await exchange.fetch_order(order["id"], BTC)
    assert (found["status"], found["average"]) == ("closed", 49_000)
    (trade,) = await exchange.fetch_my_trades(BTC)
    assert trade["takerOrMaker"] == "maker"


# -- conditional orders ----------------------------------------------------------------------------


async def protect(exchange: Exchange) -> None:
    common = {"workingType": "MARK_PRICE", "closePosition": True}
    stop = common | {"stopPrice": 49_000, "clientOrderId": "stop"}
    target = common | {"stopPrice": 51_000, "clientOrderId": "target"}
    await exchange.create_order(BTC, "STOP_MARKET", "sell", None, None, stop)
    await exchange.create_order(BTC, "TAKE_PROFIT_MARKET", "sell", None, None, target)


async def fetch_conditional(exchange: Exchange, client_id: str) -> dict[str, Any]:
    return cast(dict[str, Any], await exchange.fetch_order(None, BTC, TRIGGER | {"clientAlgoId": client_id}))


async def test_stop_and_target_are_listed_apart_from_orders(exchange: Exchange) -> None:
    await opened_long(exchange)
    await protect(exchange)
    assert await exchange.fetch_open_orders(BTC) == []
    listed = await exchange.fetch_open_orders(BTC, params=TRIGGER)
    assert [order["clientOrderId"] for order in listed] == ["stop", "target"]
    stop = await fetch_conditional(exchange, "stop")
    assert (stop["status"], stop["triggerPrice"], stop["info"]["orderType"]) == (
        "open",
        49_000,
        "STOP_MARKET",
    )
    await exchange.cancel_order(stop["id"], BTC, TRIGGER)
    assert (await fetch_conditional(exchange, "stop"))["status"] == "canceled"
    await exchange.cancel_all_orders(BTC, TRIGGER)
    assert await exchange.fetch_open_orders(BTC, params=TRIGGER) == []
    assert len(await exchange.fetch_orders(BTC, params=TRIGGER)) >= 2


async def test_stop_loss_and_take_profit_with_a_quantity(exchange: Exchange) -> None:
    await opened_long(exchange)
    reduce = {"reduceOnly": True, "workingType": "MARK_PRICE"}
    stop = await exchange.create_order(BTC, "market", "sell", 0.1, None, reduce | {"stopLossPrice": 49_000})
    target = await exchange.create_order(
        BTC, "market", "sell", 0.1, None, reduce | {"takeProfitPrice": 51_000}
    )
    kinds = [
        (await exchange.fetch_order(each["id"], BTC, TRIGGER))["info"]["orderType"] for each in (stop, target)
    ]
    assert kinds == ["STOP_MARKET", "TAKE_PROFIT_MARKET"]


async def test_a_stop_triggered_by_the_price_closes_the_position(exchange: Exchange, server: Server) -> None:
    await opened_long(exchange)
    await protect(exchange)
    await price(server, 48_990)
    assert await exchange.fetch_positions([BTC]) == []
    stop = await fetch_conditional(exchange, "stop")
    assert stop["status"] == "closed"
    fired = await exchange.fetch_order(stop["info"]["actualOrderId"], BTC)
    assert (fired["status"], fired["filled"], fired["side"]) == ("closed", 0.1, "sell")
    assert (await fetch_conditional(exchange, "target"))["status"] == "open"
    rows = await exchange.fapiPrivateGetIncome({"symbol": "BTCUSDT"})
    explained = 10_000 + sum(Decimal(row["income"]) for row in rows)
    assert Decimal((await admin(server, "GET", "state"))["walletBalance"]) == explained
    await price(server, 51_500)
    assert (await fetch_conditional(exchange, "target"))["status"] == "expired"


async def test_a_liquidation_is_an_order_of_the_exchanges_own(exchange: Exchange, server: Server) -> None:
    await opened_long(exchange)
    await price(server, 47_000)
    assert await exchange.fetch_positions([BTC]) == []
    orders = await exchange.fetch_orders(BTC)
    assert orders[-1]["clientOrderId"].startswith("autoclose-")


# -- streams ---------------------------------------------------------------------------------------


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
