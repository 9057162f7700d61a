"""Several chats and other channels: each hears what it wants, and the trouble of one is no other's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
from aiohttp import web

from services.notify.store import NotificationStore
from services.notify.telegram_bot import TelegramBot, TelegramChat
from services.notify.telling.apprise_channel import AppriseChannel
from services.notify.telling.channels import apprise_channels, telegram_chats
from services.notify.telling.lengths import utf16_units
from services.notify.telling.pacing import Barred, Delivered
from services.notify.telling.rendering import Written
from shared.errors import OperatorNeeded
from shared.values import Severity
from tests.eventually import eventually
from tests.integration.notify_world import (
    CHAT_ID,
    SOON_S,
    TOKEN,
    World,
    critical,
    fact,
    info,
    times_told,
    world,
)
from tests.integration.telegram_stand_in import TelegramStandIn, Trouble
from tests.unit.notify import facts

__all__ = ["world"]

HOOK_SECRET = "hook-secret-95"


@dataclass
class Hook:
    """A generic webhook that somebody else runs."""

    port: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    refused: str = ""
    hangs: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{HOOK_SECRET}"

    async def take(self, request: web.Request) -> web.Response:
        if self.hangs is not None:
            await self.hangs.wait()
        given = await request.json()
        if self.refused and self.refused in given["message"]:
            return web.Response(status=400)
        if self.status == 200:
            self.told.append(given)
        return web.Response(status=self.status)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    app = web.Application()
    app.router.add_post(f"/{HOOK_SECRET}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


def warning(number: int) -> Any:
    return msgspec.structs.replace(facts.ALERT, severity=Severity.WARNING, kind=f"care_{number}", symbol=None)


async def test_each_chat_hears_what_is_loud_enough_for_it(world: World) -> None:
    async with world.notify(telegram_chat_id=f"{CHAT_ID},critical:-10096"):
        for payload in (info(1), critical(1)):
            await world.publisher.send(fact(payload))
        await world.chat.wait_for(lambda texts: len(texts) == 3, SOON_S)
        heard = {(message.chat_id, message.text.partition("\n")[0]) for message in world.chat.messages}
        assert heard == {(CHAT_ID, "🚨 Danger 1"), (CHAT_ID, "Note 1"), ("-10096", "🚨 Danger 1")}


async def test_a_chat_that_refuses_is_no_matter_to_the_other(world: World) -> None:
    async with world.notify(telegram_chat_id=f"{CHAT_ID},9696") as client:
        world.chat.answer_next_with(Trouble(403, "Forbidden: bot was blocked by the user"))
        await world.publisher.send(fact(critical(1)))
        await world.chat.wait_for(lambda texts: times_told(texts, "Danger 1") == 1, SOON_S)

        async def both_have_it() -> bool:
            """The one that refused once is tried again: somebody may let the bot in, and danger waits."""
            found = (await client.get("/notifications")).json()["notifications"]
            (shown,) = (one for one in found if one["title"] == "Danger 1")
            return all(one["delivered_at"] is not None for one in shown["deliveries"])

        await eventually(both_have_it, SOON_S)


async def test_a_429_silences_its_chat_and_a_second_one_the_whole_bot() -> None:
    async with TelegramStandIn() as server, TelegramBot("95:x", server.url) as bot:
        first, second, third = (TelegramChat(bot, name) for name in ("-1", "-2", "3"))
        server.answer_next_with(Trouble(429, "Too Many Requests", retry_after_s=30))
        await first.send(Written("a", ""))
        answer = await first.send(Written("a", ""))
        assert server.requests == 1, "it did not even ask again"
        assert answer.retry_after_s == pytest.approx(30, abs=1)  # type: ignore[union-attr]
        assert await third.send(Written("c", "")) == Delivered(), "another chat is not the busy one"
        server.answer_next_with(Trouble(429, "Too Many Requests", retry_after_s=40))
        await second.send(Written("b", ""))
        answer = await third.send(Written("c", ""))
        assert server.requests == 3, "two busy chats: the bot itself is too fast"
        assert answer.retry_after_s == pytest.approx(40, abs=1)  # type: ignore[union-attr]


async def test_a_group_that_became_a_supergroup_is_followed_after_restarts_too(world: World) -> None:
    new = -1009500
    world.chat.always["-95"] = Trouble(
        400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=new
    )

    def in_new() -> list[str]:
        return [one.text.partition("\n")[0] for one in world.chat.messages if one.chat_id == str(new)]

    async with world.notify(telegram_chat_id="-95") as client:
        await world.publisher.send(fact(critical(1)))
        await eventually(lambda: "🚨 Danger 1" in in_new(), SOON_S, what="the message in the new chat")

        async def says_what_to_set() -> bool:
            page = (await client.get("/notifications")).json()["notifications"]
            remedy = f"Set {new} in place of -95 in PHOENIX_TELEGRAM_CHAT_ID"
            return any(remedy in one["body"] for one in page)

        await eventually(says_what_to_set, SOON_S, what="the remedy among the notifications")
    world.chat.always.clear()
    async with world.notify(telegram_chat_id="-95"):
        await world.publisher.send(fact(critical(2)))
        await eventually(lambda: "🚨 Danger 2" in in_new(), SOON_S)
    assert not any(message.chat_id == "-95" for message in world.chat.messages)
    await world.database.execute("UPDATE deliveries SET delivered_at = NULL, next_attempt_at = now()")
    async with world.notify(telegram_chat_id=str(new)):  # as the message says
        await eventually(lambda: in_new().count("🚨 Danger 1") == 2, SOON_S, what="what waited goes along")


async def test_a_chat_that_bars_us_is_told_in_the_others_and_ends_when_it_lets_us_in(world: World) -> None:
    world.chat.always["9696"] = Trouble(403, "Forbidden: bot was blocked by the user")
    async with world.notify(telegram_chat_id=f"{CHAT_ID},9696") as client:
        await world.publisher.send(fact(critical(1)))
        texts = await world.chat.wait_for(lambda texts: any("takes no messages" in t for t in texts), SOON_S)
        (told,) = (text for text in texts if "takes no messages" in text)
        assert "telegram:9696" in told
        assert "blocked by the user" in told
        assert TOKEN not in told

        async def alarms() -> list[str]:
            return [one["name"] for one in (await client.get("/alarms")).json()["alarms"]]

        async def has_ended() -> bool:
            return not await alarms()

        assert await alarms() == ["channel_barred"]
        world.chat.always.clear()
        await eventually(has_ended, 2 * SOON_S)
        assert any(one.chat_id == "9696" and "Danger 1" in one.text for one in world.chat.messages)


@pytest.mark.parametrize(
    "refusal",
    [
        "Bad Request: can't parse entities: unsupported start tag",
        "Bad Request: message is too long",
        "Bad Request: text must be encoded in UTF-8",
    ],
)
async def test_nothing_is_given_up_for_its_form(refusal: str) -> None:
    async with TelegramStandIn() as server, TelegramBot("95:x", server.url) as bot:
        message = Written(
            "🚨 title", "<b>", "12:00:00 UTC", severity=Severity.CRITICAL, instead="Look there."
        )
        server.answer_next_with(Trouble(400, refusal))
        assert await TelegramChat(bot, "1").send(message) == Delivered()
        server.answer_next_with(Trouble(400, refusal), Trouble(400, refusal))
        assert await TelegramChat(bot, "1").send(message) == Delivered()
        server.answer_next_with(*[Trouble(400, refusal)] * 3)
        assert isinstance(await TelegramChat(bot, "1").send(message), Barred), "not Refused: it waits"
        assert server.texts == ["🚨 title\n<b>\n12:00:00 UTC", "🚨 Look there.\n12:00:00 UTC"]
        assert {one.parse_mode for one in server.messages} == {""}


async def test_a_text_of_emoji_fits_and_a_picture_is_not_lost_for_a_long_caption() -> None:
    async with TelegramStandIn() as server, TelegramBot("95:x", server.url) as bot:
        chat = TelegramChat(bot, "1")
        long = Written("🚨" * 900, "🔥&<" * 3_000, "12:00:00 UTC · abcdef", severity=Severity.CRITICAL)
        assert await chat.send(long) == Delivered()
        assert server.texts[0].endswith("12:00:00 UTC · abcdef")
        assert await chat.send(replace(long, title="🚨" * 600, body="🔥", picture=b"\x89PNG")) == Delivered()
        assert [one.picture_bytes > 0 for one in server.messages] == [False, False, True]


async def test_a_topic_is_written_to_and_when_it_is_gone_the_group() -> None:
    async with TelegramStandIn() as server, TelegramBot("95:x", server.url) as bot:
        (channel,) = telegram_chats("critical:-10095/7")
        chat = TelegramChat(bot, channel.address)
        assert await chat.send(Written("a", "")) == Delivered()
        server.always["-10095/7"] = Trouble(400, "Bad Request: message thread not found")
        assert await chat.send(Written("b", "")) == Delivered()
        assert [(one.text, one.topic_id) for one in server.messages] == [("a", "7"), ("b", "")]


async def test_a_service_with_short_messages_gets_parts_and_what_it_refuses_in_its_shortest_form(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    (channel,) = apprise_channels(hook.url)
    taker = AppriseChannel(channel)
    monkeypatch.setattr(taker._service, "body_maxlen", 100)
    assert await taker.send(Written("title", "🔥" * 120, "foot")) == Delivered()
    assert [utf16_units(one["message"]) <= 100 for one in hook.told] == [True, True, True]
    assert hook.told[-1]["message"].endswith("foot")
    hook.told.clear()
    hook.refused = "body"
    assert await taker.send(Written("title", "body", "foot", instead="Look there.")) == Delivered()
    assert [one["message"] for one in hook.told] == ["Look there.\nfoot"]


async def test_a_picture_that_telegram_refuses_costs_only_the_picture() -> None:
    async with TelegramStandIn() as chat, TelegramBot("95:x", chat.url) as bot:
        report = Written("title", "body", picture=b"\x89PNG not really")
        assert await TelegramChat(bot, "1").send(report) == Delivered()
        chat.answer_next_with(Trouble(400, "Bad Request: IMAGE_PROCESS_FAILED"))
        assert await TelegramChat(bot, "1").send(report) == Delivered()
        assert [message.picture_bytes > 0 for message in chat.messages] == [True, False]
        assert chat.texts[0] == chat.texts[1] == "title\nbody"


async def test_a_webhook_hears_from_its_severity_on_and_is_shown_and_measured(
    world: World, hook: Hook
) -> None:
    async with world.notify(channels=f"warning:{hook.url}") as client:
        for payload in (info(1), warning(1), critical(1)):
            await world.publisher.send(fact(payload))
        await eventually(lambda: len(hook.told) == 2, SOON_S, what="two messages at the hook")
        assert [one["title"] for one in hook.told] == ["🚨 Danger 1", "⚠️ Care 1"]
        assert [one["type"] for one in hook.told] == ["failure", "warning"]
        assert "The stop is gone" in hook.told[0]["message"]
        await world.chat.wait_for(lambda texts: len(texts) == 3, SOON_S)
        shown = (await client.get("/notifications")).text
        page = (await client.get("/metrics")).text
        assert 'phoenix_notifications_sent_total{channel="json"}' in page
        assert '"channel":"json:' in shown.replace(" ", "")
        assert HOOK_SECRET not in shown + page


async def test_a_channel_that_hangs_holds_up_neither_facts_nor_the_chat(
    world: World, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.hangs = asyncio.Event()
    async with world.notify(channels=hook.url) as client:
        for number in range(3):
            await world.publisher.send(fact(critical(number)))
        await world.chat.wait_for(lambda texts: len(texts) == 3, SOON_S)
        assert (await client.get("/ready")).status_code == 200
        hook.hangs.set()
        hook.hangs = None
        await eventually(lambda: _titles(hook) >= {f"🚨 Danger {n}" for n in range(3)}, 2 * SOON_S)
    assert HOOK_SECRET not in capsys.readouterr().out


async def test_a_channel_that_says_no_is_asked_again(world: World, hook: Hook) -> None:
    hook.status = 503
    async with world.notify(channels=hook.url):
        await world.publisher.send(fact(critical(1)))
        await world.chat.wait_for(lambda texts: times_told(texts, "Danger 1") == 1, SOON_S)
        hook.status = 200
        await eventually(lambda: _titles(hook) == {"🚨 Danger 1"}, SOON_S)


async def test_a_refusal_of_apprise_has_a_reason_and_no_secret(hook: Hook) -> None:
    hook.status = 403
    (channel,) = apprise_channels(hook.url)
    answer = await AppriseChannel(channel).send(Written("title", "body"))
    assert isinstance(answer, Barred)
    assert "403" in answer.why
    assert HOOK_SECRET not in answer.why
    hook.status = 200
    assert await AppriseChannel(channel).send(Written("title", "body")) == Delivered()


def test_a_url_that_apprise_cannot_use_stops_the_start_and_is_not_shown() -> None:
    (channel,) = apprise_channels("slack://sesame")
    with pytest.raises(OperatorNeeded, match="PHOENIX_CHANNELS") as refused:
        AppriseChannel(channel)
    assert "sesame" not in str(refused.value)


async def test_what_waits_for_a_channel_that_is_gone_is_given_up(world: World) -> None:
    async with world.notify(telegram_chat_id="777"):
        await world.publisher.send(fact(critical(1)))
        await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
    await world.database.execute(
        "UPDATE deliveries SET delivered_at = NULL, next_attempt_at = now() - interval '2 hours'"
    )
    async with world.notify():
        await eventually(lambda: _given_up(world), SOON_S)


async def test_only_what_waits_for_a_channel_of_ours_counts_as_waiting(world: World) -> None:
    (gone,) = telegram_chats("777")
    async with world.notify(telegram_chat_id="777"):
        await world.publisher.send(fact(critical(1)))
        await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)
    await world.database.execute("UPDATE deliveries SET delivered_at = NULL")
    assert await NotificationStore(world.database, [gone]).oldest_waiting_s() > 0
    assert await NotificationStore(world.database, []).oldest_waiting_s() == 0


def _titles(hook: Hook) -> set[str]:
    return {one["title"] for one in hook.told}


async def _given_up(world: World) -> bool:
    because = await world.database.fetch_value("SELECT dropped_because FROM deliveries")
    return bool(because == "channel_removed")
