"""NOTIFY against real servers and a stand-in for Telegram: facts on the queue become messages in the chat."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from shared import codec, topology
from tests.eventually import eventually
from tests.integration.notify_world import (
    CHAT_ID,
    SOON_S,
    TOKEN,
    World,
    critical,
    fact,
    info,
    none_waits,
    times_told,
    world,
)
from tests.integration.telegram_stand_in import Trouble
from tests.unit.notify import facts

pytestmark = pytest.mark.servers

__all__ = ["world"]


async def test_fact_on_the_queue_is_stored_and_arrives(world: World) -> None:
    async with world.notify() as client:
        envelope = fact(facts.CLOSED)
        await world.publisher.send(envelope)
        (text,) = await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
        assert text.startswith("✅ LONG BTCUSDT closed, take profit: +143.17 USDT\n")
        assert envelope.event_id[-6:] in text
        message = world.chat.messages[0]
        assert (message.chat_id, message.token) == (CHAT_ID, TOKEN)

        async def is_shown_as_delivered() -> bool:
            shown = (await client.get("/notifications")).json()["notifications"]
            (delivery,) = shown[0]["deliveries"]
            return delivery["channel"] == f"telegram:{CHAT_ID}" and delivery["delivered_at"] is not None

        await eventually(is_shown_as_delivered, SOON_S)
        assert (await client.get("/ready")).status_code == 200


async def test_redelivered_fact_is_one_message(world: World) -> None:
    async with world.notify():
        envelope = fact(facts.OPENED)
        for _ in range(3):
            await world.publisher.send(envelope)
        await world.publisher.send(fact(critical(1)))
        texts = await world.chat.wait_for(lambda texts: times_told(texts, "Danger 1") == 1, SOON_S)
        await eventually(lambda: none_waits(world), SOON_S)
        assert times_told(list(world.chat.texts), "LONG BTCUSDT opened") == 1, texts
        assert await world.stored() == 2


async def test_steps_on_the_way_are_consumed_and_not_told(world: World) -> None:
    async with world.notify() as client:
        for payload in facts.QUIET:
            if topology.ROUTES[payload.SCHEMA][-1].exchange == topology.EVENTS.name:
                route = topology.ROUTES[payload.SCHEMA][-1]
                await world.publisher.publish(route.exchange, route.routing_key, codec.encode(fact(payload)))
        await world.publisher.send(fact(critical(2)))
        await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
        assert await world.stored() == 1
        assert (await client.get("/ready")).json()["ready"] is True


async def test_closed_trade_and_what_the_database_carries_are_measured(world: World) -> None:
    async with world.notify() as client:
        await world.publisher.send(fact(facts.CLOSED))

        async def is_measured() -> bool:
            page = (await client.get("/metrics")).text
            return all(
                re.search(pattern, page, re.MULTILINE)
                for pattern in (
                    r'^phoenix_trade_results_total\{result="won"\} [1-9]',
                    r"^phoenix_database_bytes [1-9]",
                    r"^phoenix_database_connections [1-9]",
                    r'^phoenix_notifications_waiting\{channel="telegram"\} \d',
                )
            )

        await eventually(is_measured, SOON_S)


async def test_message_waits_as_long_as_telegram_asks_and_arrives(world: World) -> None:
    world.chat.answer_next_with(Trouble(429, "Too Many Requests", retry_after_s=3))
    async with world.notify():
        asked_at = asyncio.get_running_loop().time()
        await world.publisher.send(fact(critical(3)))
        await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
        assert asyncio.get_running_loop().time() - asked_at >= 3.0
        assert world.chat.requests == 2


async def test_message_whose_answer_was_lost_comes_again_with_the_same_tail(world: World) -> None:
    world.chat.answer_next_with(Trouble(500, "Internal Server Error", arrives=True))
    async with world.notify():
        envelope = fact(critical(4))
        await world.publisher.send(envelope)
        texts = await world.chat.wait_for(lambda texts: len(texts) == 2, SOON_S)
        assert texts[0] == texts[1]
        assert envelope.event_id[-6:] in texts[0]


async def test_hanging_telegram_holds_up_no_fact(world: World) -> None:
    world.chat.answer_next_with(Trouble(500, hang_s=30))
    async with world.notify() as client:
        await world.publisher.send(fact(critical(5)))
        await eventually(lambda: _asked(world, 1), SOON_S)
        for number in range(20):
            await world.publisher.send(fact(critical(100 + number)))

        async def all_are_kept() -> bool:
            return await world.stored() == 21

        await eventually(all_are_kept, 3.0)
        assert (await client.get("/ready")).status_code == 200
        await world.chat.wait_for(lambda texts: times_told(texts, "Danger 5") == 1, SOON_S)


async def test_outage_of_telegram_delays_and_loses_nothing(world: World) -> None:
    async with world.notify() as client:
        await world.chat.vanish()
        for number in range(6):
            await world.publisher.send(fact(info(number)))
        await world.publisher.send(fact(critical(6)))

        async def all_are_kept() -> bool:
            return await world.stored() == 7

        await eventually(all_are_kept, SOON_S)
        assert (await client.get("/ready")).status_code == 200, "Telegram is no dependency"
        await eventually(lambda: _attempts(world, 2), SOON_S)
        await world.chat.appear()
        texts = await world.chat.wait_for(lambda texts: times_told(texts, "6 notes") == 1, 2 * SOON_S)
        assert times_told(texts, "Danger 6") == 1
        assert "Danger 6" in texts[0], "danger goes first"
        assert texts[1].startswith("6 messages, "), "waiting infos are folded into one"
        assert "6 notes: 1 Note 0, 1 Note 1" in texts[1]


async def test_old_info_is_dropped_with_one_word_about_it_and_danger_is_not(world: World) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    async with world.notify():
        for number in range(5):
            await world.publisher.send(fact(info(number), at=an_hour_ago))
        await world.publisher.send(fact(critical(7), at=an_hour_ago))
        await world.chat.wait_for(
            lambda texts: times_told(texts, "Danger 7") == 1 and bool(_dropped_told(texts)), 2 * SOON_S
        )
        await eventually(lambda: none_waits(world), SOON_S)
        await world.publisher.send(fact(critical(8)))
        texts = await world.chat.wait_for(lambda texts: times_told(texts, "Danger 8") == 1, SOON_S)
        assert times_told(texts, "Note ") == 0
        assert sum(_dropped_told(texts)) == 5, texts


async def test_danger_waits_for_a_chat_that_has_shut_the_bot_out(world: World) -> None:
    world.chat.answer_next_with(Trouble(403, "Forbidden: bot was blocked by the user"))
    async with world.notify():
        await world.publisher.send(fact(critical(9)))
        await eventually(lambda: _asked(world, 1), SOON_S)
        await world.publisher.send(fact(critical(10)))
        texts = await world.chat.wait_for(lambda texts: times_told(texts, "Danger 10") == 1, SOON_S)
        assert times_told(texts, "Danger 9") == 1


async def test_a_message_that_is_refused_in_its_form_arrives_in_another_and_the_next_goes_on(
    world: World,
) -> None:
    refusal = Trouble(400, "Bad Request: wrong file identifier")
    world.chat.answer_next_with(refusal, refusal)
    async with world.notify():
        await world.publisher.send(fact(critical(9)))
        await eventually(lambda: _asked(world, 1), SOON_S)
        await world.publisher.send(fact(critical(10)))
        texts = await world.chat.wait_for(lambda texts: times_told(texts, "Danger 10") == 1, SOON_S)
        assert texts[0].startswith("🚨 A message could not be shown here.")


async def test_two_replicas_are_one_sender_and_the_other_takes_over(world: World) -> None:
    async with AsyncExitStack() as first:
        await first.enter_async_context(world.notify(0))
        async with world.notify(1):
            for number in range(4):
                await world.publisher.send(fact(critical(number)))
            await world.chat.wait_for(lambda texts: len(texts) == 4, SOON_S)
            at_s = [message.at_s for message in world.chat.messages]
            assert all(later - earlier > 0.9 for earlier, later in pairwise(at_s))
            assert len(set(world.chat.texts)) == 4, "each was told by one of them"
            holders = await world.database.fetch("SELECT holder FROM leases WHERE name = 'telegram'")
            assert len(holders) == 1
            await first.aclose()
            await world.publisher.send(fact(critical(11)))
            await world.chat.wait_for(lambda texts: times_told(texts, "Danger 11") == 1, SOON_S)


async def test_without_a_token_notifications_are_kept_and_not_sent(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world.notify(telegram_bot_token=None, telegram_chat_id=None) as client:
        await world.publisher.send(fact(critical(12)))

        async def is_kept() -> bool:
            return await world.stored() == 1

        await eventually(is_kept, SOON_S)
        (shown,) = (await client.get("/notifications")).json()["notifications"]
        assert (shown["deliveries"], shown["held_because"]) == ([], None)
        assert await world.waiting() == 0
    assert capsys.readouterr().out.count("telegram_not_set_up") == 1


async def test_operator_alert_needs_the_key_and_arrives(world: World) -> None:
    body = {"severity": "critical", "kind": "disk_full", "text": "92 % used"}
    key = world.servers.settings["PHOENIX_API_KEY"]
    async with world.notify() as client:
        refused = await client.post("/alert", json=body)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await client.post("/alert", json=body, headers={"X-API-Key": key})).status_code == 202
        (text,) = await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
        assert text.startswith("🚨 Disk full\n92 % used\n")


async def test_alertmanager_webhook_with_bearer_token_arrives_once(world: World) -> None:
    alert = {
        "status": "firing",
        "labels": {"alertname": "QueueDeep", "severity": "warning"},
        "annotations": {"summary": "500 messages wait"},
        "startsAt": "2026-11-20T11:59:00Z",
        "fingerprint": uuid4().hex,
    }
    webhook = {"version": "4", "status": "firing", "receiver": "notify", "alerts": [alert]}
    key = world.servers.settings["PHOENIX_API_KEY"]
    async with world.notify() as client:
        for _ in range(2):
            answer = await client.post("/alert", json=webhook, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 202
        await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
        assert await world.stored() == 1
        nonsense = await client.post("/alert", json={"alerts": 1}, headers={"X-API-Key": key})
        assert nonsense.status_code == 422
        assert json.loads(nonsense.text)["errors"]


async def test_token_never_reaches_the_log(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.chat.answer_next_with(Trouble(401, f"Unauthorized {TOKEN}"), Trouble(400, f"bad {TOKEN}"))
    async with world.notify() as client:
        await world.publisher.send(fact(critical(13)))
        await eventually(lambda: _asked(world, 2), SOON_S)
        await eventually(lambda: none_waits(world), SOON_S)
        shown = (await client.get("/notifications")).text
    captured = capsys.readouterr()
    assert "telegram_message_not_delivered" in captured.out
    assert TOKEN not in captured.out + captured.err + shown


async def _asked(world: World, times: int) -> bool:
    return world.chat.requests >= times


async def _attempts(world: World, count: int) -> bool:
    made = await world.database.fetch_value("SELECT coalesce(sum(attempts), 0) FROM deliveries")
    return int(made) >= count


def _dropped_told(texts: list[str]) -> list[int]:
    """Return the numbers of dropped messages the chat was told."""
    return [
        int(number) for text in texts for number in re.findall(r"(\d+) routine messages were too old", text)
    ]
