"""A burst of facts, repeats and outages: a phone gets few messages, and none of those that matter is lost."""

from contextlib import AsyncExitStack

import msgspec

from shared.models import Message
from shared.values import CloseReason
from tests.eventually import eventually
from tests.integration.notify_world import SOON_S, World, critical, fact, none_waits, times_told, world
from tests.integration.telegram_stand_in import Trouble
from tests.unit.notify import facts

__all__ = ["world"]

BURST = 200
MESSAGES_MAX = 20
PATIENCE_S = 60.0


def opened(symbol: str) -> Message:
    position = msgspec.structs.replace(facts.POSITION, symbol=symbol)
    return msgspec.structs.replace(facts.OPENED, position=position)


def closed(symbol: str, reason: CloseReason = CloseReason.STOP_LOSS) -> Message:
    position = msgspec.structs.replace(facts.POSITION, symbol=symbol)
    return msgspec.structs.replace(facts.CLOSED, position=position, reason=reason)


def refused(symbol: str, name: str) -> Message:
    check = msgspec.structs.replace(facts.CHECKS[1], name=name, reason=name)
    return msgspec.structs.replace(facts.REJECTED, symbol=symbol, reason=name, checks=(check,))


def a_busy_minute() -> list[Message]:
    """200 facts: 20 positions opened, 12 closed, one of them liquidated, 5 alarms, the rest refused."""
    important = [opened(f"OPEN{n}USDT") for n in range(20)] + [closed(f"SHUT{n}USDT") for n in range(11)]
    danger = [closed("GONEUSDT", CloseReason.LIQUIDATION), *(critical(n) for n in range(5))]
    rest = BURST - len(important) - len(danger)
    routine = [refused(f"R{n}USDT", "final_gate" if n % 4 else "market_data_stale") for n in range(rest)]
    mixed, step = important + danger, len(routine) // len(important + danger)
    burst = [one for n, each in enumerate(mixed) for one in (each, *routine[n * step : (n + 1) * step])]
    return burst + routine[len(mixed) * step :]


async def publish(world: World, burst: list[Message]) -> None:
    for payload in burst:
        await world.publisher.send(fact(payload))


def missing(texts: list[str]) -> list[str]:
    """Return what of the busy minute a reader of these texts does not know."""
    wanted = [f"LONG OPEN{n}USDT opened" for n in range(20)] + [f"LONG SHUT{n}USDT closed" for n in range(11)]
    wanted += [f"Danger {n}" for n in range(5)] + ["GONEUSDT was LIQUIDATED"]
    return [words for words in wanted if not any(words in text for text in texts)]


async def test_a_burst_of_200_facts_is_a_few_messages_and_loses_nothing_important(world: World) -> None:
    async with world.notify() as client:
        burst = a_busy_minute()
        assert len(burst) == BURST
        await publish(world, burst)
        texts = await world.chat.wait_for(lambda texts: not missing(texts), PATIENCE_S)
        await eventually(lambda: none_waits(world), PATIENCE_S)
        texts = list(world.chat.texts)
        assert len(texts) <= MESSAGES_MAX, texts
        alarms = [text for text in texts if text.startswith("🚨")]
        assert len(alarms) == 6, "each danger has a message of its own"
        sums = " ".join(text for text in texts if "signals rejected" in text)
        assert "final confidence (limit 0.85)" in sums
        assert "market data stale (limit 0.85)" in sums
        assert await world.stored() == BURST
        assert (await client.get("/ready")).status_code == 200


async def test_a_burst_survives_429_and_a_chat_that_vanishes(world: World) -> None:
    world.chat.answer_next_with(Trouble(429, "Too Many Requests", retry_after_s=2))
    async with world.notify():
        await publish(world, a_busy_minute())
        await world.chat.wait_for(lambda texts: len(texts) >= 3, SOON_S)
        await world.chat.vanish()

        async def all_are_kept() -> bool:
            return await world.stored() == BURST

        await eventually(all_are_kept, SOON_S)
        await world.chat.appear()
        texts = await world.chat.wait_for(lambda texts: not missing(texts), PATIENCE_S)
        assert all(times_told(texts, f"Danger {n}") == 1 for n in range(5)), texts


async def test_the_same_words_again_are_counted_over_both_replicas_and_said_later(world: World) -> None:
    async with AsyncExitStack() as both:
        await both.enter_async_context(world.notify(0))
        await both.enter_async_context(world.notify(1))
        for _ in range(15):
            await world.publisher.send(fact(critical(1)))
        await world.chat.wait_for(lambda texts: times_told(texts, "Danger 1") == 1, SOON_S)

        async def all_are_kept() -> bool:
            return await world.stored() == 15

        await eventually(all_are_kept, SOON_S)
        await eventually(lambda: none_waits(world), SOON_S)
        assert len(world.chat.texts) == 1
        await world.database.execute("UPDATE repeats SET ends_at = now()")
        texts = await world.chat.wait_for(lambda texts: len(texts) == 2, SOON_S)
        assert texts[1].startswith("🚨 Danger 1 – 14 more times in 10 min\n")
        await world.publisher.send(fact(critical(1)))
        await world.chat.wait_for(lambda texts: len(texts) == 3, SOON_S)


async def test_positions_are_told_however_alike_they_are(world: World) -> None:
    async with world.notify():
        for _ in range(3):
            await world.publisher.send(fact(facts.OPENED))
        texts = await world.chat.wait_for(lambda texts: len(texts) == 3, SOON_S)
        assert times_told(texts, "LONG BTCUSDT opened") == 3


async def test_a_kind_that_is_off_is_kept_and_one_that_is_silent_has_no_sound(world: World) -> None:
    levels = "close_ignored=off,position_opened=silent"
    async with world.notify(notification_levels=levels) as client:
        await world.publisher.send(fact(facts.CLOSE_IGNORED))
        await world.publisher.send(fact(facts.OPENED))
        await world.publisher.send(fact(facts.CLOSED))
        texts = await world.chat.wait_for(lambda texts: len(texts) == 2, SOON_S)
        assert [message.is_silent for message in world.chat.messages] == [True, False], texts
        shown = (await client.get("/notifications")).json()["notifications"]
        held = {one["kind"]: (one["held_because"], len(one["deliveries"])) for one in shown}
        assert held["close_ignored"] == ("off", 0)
        assert held["position_opened"] == (None, 1)


async def test_korean_messages_arrive(world: World) -> None:
    async with world.notify(language="ko"):
        await world.publisher.send(fact(facts.OPENED))
        (text,) = await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
        assert text.startswith("롱 BTCUSDT 진입, 진입가 50000\n")


async def test_markup_in_an_alert_arrives_as_it_was_written(world: World) -> None:
    body = {"severity": "warning", "kind": "queue_deep", "text": 'depth > 500 & <b>rising</b> <a href="x">'}
    key = world.servers.settings["PHOENIX_API_KEY"]
    async with world.notify() as client:
        await client.post("/alert", json=body, headers={"X-API-Key": key})
        (text,) = await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
        assert 'depth > 500 & <b>rising</b> <a href="x">' in text


async def test_what_telegram_cannot_parse_is_sent_as_plain_text(world: World) -> None:
    world.chat.answer_next_with(Trouble(400, "Bad Request: can't parse entities: byte offset 7"))
    async with world.notify():
        await world.publisher.send(fact(critical(2)))
        await world.chat.wait_for(lambda texts: times_told(texts, "Danger 2") == 1, SOON_S)
        assert world.chat.requests == 2


async def test_what_an_older_replica_kept_is_sent(world: World) -> None:
    old = fact(critical(3))
    await world.database.execute(
        """
        INSERT INTO notifications (event_id, correlation_id, kind, severity, title, body, occurred_at,
                                   dropped_at, dropped_because)
        VALUES ($1, 'sig-x', 'danger_3', 'critical', 'Danger 3', 'from before', now(), NULL, NULL)
        """,
        old.event_id,
    )
    async with world.notify():
        (text,) = await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
        assert text.startswith("🚨 Danger 3\nfrom before\n")
