"""Several chats and other channels: each hears what it wants, and the trouble of one is no other's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiohttp import web

from services.notify.store import NotificationStore
from services.notify.telegram_bot import TelegramBot, TelegramChat
from services.notify.telling.apprise_channel import AppriseChannel
from services.notify.telling.channels import apprise_channels, telegram_chats
from services.notify.telling.pacing import Delivered, Unreachable
from services.notify.telling.rendering import Written
from shared.errors import OperatorNeeded
from shared.values import Severity
from tests.eventually import eventually
from tests.integration.notify_world import CHAT_ID, SOON_S, World, critical, fact, info, times_told, world
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
    hangs: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{HOOK_SECRET}"

    async def take(self, request: web.Request) -> web.Response:
        if self.hangs is not None:
            await self.hangs.wait()
        if self.status == 200:
            self.told.append(await request.json())
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
        await world.chat.wait_for(lambda texts: len(texts) == 1, SOON_S)

        async def both_have_it() -> bool:
            """The one that refused once is tried again: somebody may let the bot in, and danger waits."""
            (shown,) = (await client.get("/notifications")).json()["notifications"]
            return all(one["delivered_at"] is not None for one in shown["deliveries"])

        await eventually(both_have_it, SOON_S)


async def test_a_429_silences_the_whole_bot(world: World) -> None:
    async with TelegramBot("95:x", world.chat.url) as bot:
        first, second = TelegramChat(bot, "1"), TelegramChat(bot, "2")
        world.chat.answer_next_with(Trouble(429, "Too Many Requests", retry_after_s=30))
        await first.send(Written("a", ""))
        answer = await second.send(Written("b", ""))
        assert world.chat.requests == 1, "the second did not even ask"
        assert answer.retry_after_s == pytest.approx(30, abs=1)  # type: ignore[union-attr]


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
    assert isinstance(answer, Unreachable)
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
