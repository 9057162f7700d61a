"""A trader with nothing but a phone: looks, asks why, closes, and is not let do what is not theirs."""

from typing import Any

from tests.e2e.phoenix import TELEGRAM_OPERATOR, TELEGRAM_VIEWER, Phoenix
from tests.eventually import eventually

CONFIRM = "✅ Confirm"


async def test_a_position_is_seen_explained_and_closed_from_the_chat(phoenix: Phoenix) -> None:
    people = phoenix.telegram.people
    signal_id = await phoenix.alert("BTCUSDT", "buy")
    assert (await phoenix.outcome(signal_id))["outcome"] == "opened"

    people.type(TELEGRAM_OPERATOR, "/status")
    status = await people.sees("🟢 ACTIVE")
    assert "▲ BTCUSDT" in status.text

    people.type(TELEGRAM_OPERATOR, "/positions")
    positions = await people.sees("Open positions: 1,")
    assert "Stop " in positions.text

    people.type(TELEGRAM_OPERATOR, "/why last")
    story = await people.sees("RISK approved long", after=positions.message_id)
    assert story.title == "Alert: long BTCUSDT"
    assert "Stop and take profit stand on the exchange" in story.text

    people.press(TELEGRAM_OPERATOR, "✖ Close BTCUSDT", positions)
    asked = await people.sees("Close BTCUSDT long", after=story.message_id)
    assert (await phoenix.held()).positions
    data = asked.buttons[CONFIRM]
    people.press(TELEGRAM_OPERATOR, CONFIRM, asked)

    await eventually(lambda: "closed at" in asked.text, what=asked.text)
    assert "USDT net" in asked.text
    assert not (await phoenix.held()).positions

    replay = people.press_data(TELEGRAM_OPERATOR, data, asked.message_id, TELEGRAM_OPERATOR)
    assert "confirmed or cancelled before" in await people.is_answered(replay)
    closes = "SELECT count(*) FROM notify.audit_log WHERE act = 'close' AND result = 'performed'"
    assert (await phoenix.rows("admin", closes))[0]["count"] == 1


async def test_a_viewer_sees_everything_and_moves_nothing(phoenix: Phoenix) -> None:
    people = phoenix.telegram.people
    signal_id = await phoenix.alert("ETHUSDT", "buy")
    assert (await phoenix.outcome(signal_id))["outcome"] == "opened"
    last = max(people.shown, default=0)

    people.type(TELEGRAM_VIEWER, "/position eth")
    position = await people.sees("▲ ETHUSDT long", after=last)
    people.press(TELEGRAM_VIEWER, "✖ Close ETHUSDT", position)
    await people.sees("Only operators may do this", after=last)

    assert [one.symbol for one in (await phoenix.held()).positions] == ["ETHUSDT"]


async def test_halt_and_resume_from_the_chat(phoenix: Phoenix) -> None:
    people = phoenix.telegram.people

    async def confirmed(command: str, asks: str, state: str) -> None:
        last = max(people.shown, default=0)
        people.type(TELEGRAM_OPERATOR, command)
        people.press(TELEGRAM_OPERATOR, CONFIRM, await people.sees(asks, after=last))
        await people.sees(f"Done. Trading is {state}", after=last)
        assert (await phoenix.risk())["state"] == state

    await confirmed("/halt", "HALT trading?", "HALTED")
    await confirmed("/resume", "Resume trading?", "ACTIVE")
    acts: list[dict[str, Any]] = [
        dict(row)
        for row in await phoenix.rows("admin", "SELECT actor FROM risk.audit_log ORDER BY id DESC LIMIT 2")
    ]
    assert [act["actor"] for act in acts] == [f"telegram:{TELEGRAM_OPERATOR}"] * 2


async def test_commands_work_after_telegram_was_away(phoenix: Phoenix) -> None:
    people = phoenix.telegram.people
    last = max(people.shown, default=0)
    await phoenix.telegram.vanish()
    people.type(TELEGRAM_VIEWER, "/health")
    await phoenix.telegram.appear()

    health = await people.sees("All parts are well", after=last)
    assert health.text.count("✅") == 5
