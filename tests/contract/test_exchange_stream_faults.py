"""The paper exchange's streams in trouble: what is lost, repeated, late, and what a listener gets to see."""

from decimal import Decimal

from tests.contract.exchange_client import (
    BRIEF_MS,
    BTC,
    FOREVER_MS,
    QUIET_S,
    Client,
    Listener,
    client,
    exchange,
    held,
    ledger_orders,
    listening,
    process,
    user_stream,
)
from tests.eventually import eventually, stays
from tests.exchange_process import ExchangeProcess

__all__ = ["client", "exchange", "process", "user_stream"]


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
    fault = exchange.arm("stream_gap", for_ms=BRIEF_MS)
    exchange.admin(f"DELETE faults/{fault}")
    await stays(lambda: not user_stream.socket.closed, BRIEF_MS / 1000 + QUIET_S)


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

        async def only_ether_goes_on() -> bool:
            known, others = len(bitcoin.heard), len(ether.heard)
            await eventually(lambda: len(ether.heard) > others + 3)
            return len(bitcoin.heard) == known

        await eventually(only_ether_goes_on, what="silence, once what was on its way has arrived")
        known = len(bitcoin.heard)
        exchange.heal()
        await eventually(lambda: len(bitcoin.heard) > known + 3)
