"""From an alert to a protected position and to closed books, on the whole running system."""

import json
from decimal import Decimal

import pytest

from tests.e2e.phoenix import Phoenix
from tests.eventually import eventually


async def _opened(phoenix: Phoenix, symbol: str, action: str = "buy") -> str:
    signal_id = await phoenix.alert(symbol, action)
    assert (await phoenix.outcome(signal_id))["outcome"] == "opened"
    return signal_id


async def test_alert_becomes_a_protected_position_that_everybody_sees(phoenix: Phoenix) -> None:
    signal_id = await phoenix.alert("BTCUSDT", "buy")

    assert (await phoenix.outcome(signal_id))["outcome"] == "opened"

    view = await phoenix.exchange.view()
    (position,) = view.positions
    assert (position.symbol, position.side.value) == ("BTCUSDT", "long")
    triggers = sorted(algo.trigger_price for algo in view.algos)
    assert len(triggers) == 2
    assert triggers[0] / position.entry_price == pytest.approx(Decimal("0.98"), abs=Decimal("0.0001"))
    assert triggers[1] / position.entry_price == pytest.approx(Decimal("1.02"), abs=Decimal("0.0001"))

    (shown,) = await phoenix.positions()
    assert shown["signal_id"] == signal_id
    assert (Decimal(shown["stop_price"]), Decimal(shown["take_profit_price"])) == tuple(triggers)
    assert shown["leverage"] == 20

    (row,) = await phoenix.rows("execute", "SELECT * FROM execute.active_positions")
    assert (row["signal_id"], row["state"], row["quantity"]) == (signal_id, "protected", position.quantity)

    story = await phoenix.cli("why", signal_id)
    for part in ("phoenix95_score", "portfolio_risk", "Stop and take profit stand on the exchange", "opened"):
        assert part in story
    machine_readable = json.loads(await phoenix.cli("why", signal_id, "--json"))
    assert machine_readable["outcome"]["outcome"] == "opened"

    texts = await phoenix.telegram.wait_for(lambda all_: any("BTCUSDT" in text for text in all_), 10)
    assert texts


@pytest.mark.parametrize(
    ("symbol", "action", "move", "reason"),
    [
        ("ETHUSDT", "buy", Decimal("1.021"), "take_profit"),
        ("SOLUSDT", "sell", Decimal("0.979"), "take_profit"),
        ("XRPUSDT", "sell", Decimal("1.021"), "stop_loss"),
    ],
)
async def test_price_reaching_stop_or_target_closes_and_books_to_the_cent(
    phoenix: Phoenix, symbol: str, action: str, move: Decimal, reason: str
) -> None:
    before = await phoenix.wallet_usdt()
    signal_id = await _opened(phoenix, symbol, action)
    (position,) = (await phoenix.held()).positions

    await phoenix.price_to(symbol, position.entry_price * move)
    closed = await phoenix.told(signal_id, "position.closed.v1")

    assert closed["reason"] == reason
    view = await phoenix.held()
    assert not view.positions
    assert not view.algos, "the twin order is gone"
    net = Decimal(closed["pnl_usdt"]) - Decimal(closed["fees_usdt"]) + Decimal(closed["funding_usdt"])
    assert await phoenix.wallet_usdt() - before == net
    assert (net > 0) == (reason == "take_profit")

    await eventually(lambda: _reservation_is_free(phoenix, signal_id), what="a free reservation")
    (booked,) = await phoenix.rows(
        "execute",
        "SELECT sum(fee_usdt) AS fees, sum(realised_pnl_usdt) AS pnl FROM execute.fills WHERE signal_id = $1",
        signal_id,
    )
    assert booked["fees"] == Decimal(closed["fees_usdt"])
    assert booked["pnl"] == Decimal(closed["pnl_usdt"])
    outcomes = await phoenix.rows("brain", "SELECT * FROM brain.outcomes WHERE signal_id = $1", signal_id)
    assert [row["outcome"] for row in outcomes] == ["opened"]
    await phoenix.telegram.wait_for(lambda texts: any(_tells_close(text, symbol) for text in texts), 10)


async def _reservation_is_free(phoenix: Phoenix, signal_id: str) -> bool:
    status = await phoenix.risk()
    return all(each["signal_id"] != signal_id for each in status["reservations"])


def _tells_close(text: str, symbol: str) -> bool:
    return symbol in text and "closed" in text.lower()


async def test_exit_alert_closes_the_position_and_is_itself_recorded(phoenix: Phoenix) -> None:
    entry = await _opened(phoenix, "ADAUSDT")

    exit_signal = await phoenix.alert("ADAUSDT", "close")

    assert (await phoenix.outcome(exit_signal))["outcome"] == "closed"
    closed = await phoenix.told(entry, "position.closed.v1")
    assert (closed["reason"], closed["closed_by"]) == ("exit_signal", exit_signal)
    assert not (await phoenix.held()).positions


async def test_exit_alert_without_a_position_is_a_no_op(phoenix: Phoenix) -> None:
    exit_signal = await phoenix.alert("DOTUSDT", "exit")

    assert (await phoenix.outcome(exit_signal))["outcome"] == "no_op"


@pytest.mark.parametrize(
    ("on_opposite", "outcome", "side_left"),
    [("close", "no_op", None), ("ignore", "no_op", "long"), ("reverse", "opened", "short")],
)
async def test_opposite_alert_does_what_on_opposite_says(
    phoenix: Phoenix, on_opposite: str, outcome: str, side_left: str | None
) -> None:
    await phoenix.update_risk(limits={"on_opposite": on_opposite})
    first = await _opened(phoenix, "LINKUSDT")

    second = await phoenix.alert("LINKUSDT", "sell")

    assert (await phoenix.outcome(second))["outcome"] == outcome
    if on_opposite != "ignore":
        assert (await phoenix.told(first, "position.closed.v1"))["reason"] == "opposite_signal"
    held = (await phoenix.held()).positions
    assert [each.side.value for each in held] == ([] if side_left is None else [side_left])


async def test_halt_blocks_entries_and_lets_exits_through(phoenix: Phoenix) -> None:
    standing = await _opened(phoenix, "AVAXUSDT")
    await phoenix.cli("halt", "--reason", "drill", "--json")

    refused = await phoenix.alert("DOGEUSDT", "buy")
    outcome = await phoenix.outcome(refused)
    exit_signal = await phoenix.alert("AVAXUSDT", "exit")

    assert outcome["outcome"] == "rejected"
    assert "halted" in outcome["reason"]
    assert (await phoenix.outcome(exit_signal))["outcome"] == "closed"
    assert (await phoenix.told(standing, "position.closed.v1"))["reason"] == "exit_signal"

    await phoenix.cli("resume", "--reason", "drill over", "--json")
    assert (await phoenix.outcome(await phoenix.alert("DOGEUSDT", "buy")))["outcome"] == "opened"


async def test_manual_trade_goes_through_risk(phoenix: Phoenix) -> None:
    answer = await phoenix.operator("execute", "/trade", {"symbol": "BNBUSDT", "side": "long"})

    assert (await phoenix.outcome(answer["signal_id"]))["outcome"] == "opened"
    checks = (await phoenix.told(answer["signal_id"], "trade.approved.v1"))["checks"]
    assert {"manual"} & {check["measured"] for check in checks}
