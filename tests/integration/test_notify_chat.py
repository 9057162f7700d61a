"""The chat's incoming half on real servers, with stand-ins for Telegram and the other services."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import pytest
from aiohttp import web
from fastapi import FastAPI

from services.notify.config import NotifySettings
from services.notify.notify_service import build
from shared import topology
from shared.database import Database
from shared.lifecycle import Runtime
from tests.broker import Broker
from tests.eventually import eventually
from tests.integration.chat_samples import POSITION, RISK_STATUS
from tests.integration.notify_world import notify_database
from tests.integration.telegram_people import TelegramPeople
from tests.integration.telegram_stand_in import TelegramStandIn
from tests.servers import Servers

pytestmark = pytest.mark.servers

TOKEN = "95:a-token-that-must-not-be-logged"
OPERATOR, VIEWER, STRANGER = 42, 7, 666
GROUP = -10095
CONFIRM, CANCEL = "✅ Confirm", "✖ Cancel"


@dataclass
class ServicesServer:
    """RISK, EXECUTE and BRAIN as one HTTP server; keeps what was asked of it."""

    posts: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    positions: list[dict[str, Any]] = field(default_factory=lambda: [POSITION])
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self.posts.append((request.path, await request.json(), request.headers["X-Actor"]))
            return web.json_response({"request_id": "req-1"})
        if request.path == "/positions":
            return web.json_response({"positions": self.positions})
        if request.path == "/status":
            return web.json_response(RISK_STATUS)
        if request.path == "/ready":
            return web.json_response({"ready": True, "dependencies": {}})
        if request.path == "/alarms":
            return web.json_response({"alarms": []})
        return web.json_response({"detail": "not known"}, status=404)


@dataclass
class World:
    """The servers, the chat with its people, the other services, and NOTIFY's database."""

    servers: Servers
    chat: TelegramStandIn
    services: ServicesServer
    database: Database
    began_at: datetime

    @property
    def people(self) -> TelegramPeople:
        return self.chat.people

    @asynccontextmanager
    async def notify(self, instance: int = 0, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
        """Run one instance of NOTIFY and give a client of its HTTP side."""
        given = {
            name.removeprefix("PHOENIX_").lower(): value for name, value in self.servers.settings.items()
        }
        ours = {
            "telegram_bot_token": TOKEN,
            "telegram_chat_id": str(GROUP),
            "telegram_base_url": self.chat.url,
            "telegram_operators": str(OPERATOR),
            "telegram_viewers": str(VIEWER),
            "brain_url": self.services.url,
            "risk_url": self.services.url,
            "execute_url": self.services.url,
            "notify_url": self.services.url,
        }
        runtime = Runtime(name="notify", instance=instance)
        app: FastAPI = await build(runtime, NotifySettings.model_validate(given | ours | changes))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://notify") as client:
            try:
                yield client
            finally:
                await runtime.stop()

    async def audited(self) -> list[tuple[str, str, str]]:
        """Return who did what with which result since the test began, the oldest first."""
        rows = await self.database.fetch(
            "SELECT actor, act, result FROM audit_log WHERE at > $1 ORDER BY id", self.began_at
        )
        return [(row["actor"], row["act"], row["result"]) for row in rows]


@pytest.fixture
async def world(servers: Servers) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(notify_database(servers))
        for table in ("deliveries", "notifications", "inbox", "leases", "confirmations"):
            await database.execute(f"DELETE FROM {table}")
        for queue in (topology.NOTIFY_FACTS, topology.RISK_ALERTS):
            await Broker(servers).purge(queue.name)
        chat = await stack.enter_async_context(TelegramStandIn())
        services = ServicesServer()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", services.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        services.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        began_at = await database.fetch_value("SELECT clock_timestamp()")
        yield World(servers, chat, services, database, began_at)


# --- looking ---


async def test_a_viewer_asks_for_the_status_and_is_answered(world: World) -> None:
    async with world.notify():
        world.people.type(VIEWER, "/status")

        shown = await world.people.sees("ACTIVE")

    assert shown.chat_id == VIEWER
    assert "Equity 9,996.79 USDT" in shown.text
    assert "▲ BTCUSDT -3.21" in shown.text
    assert list(shown.buttons) == ["🔄 Refresh"]


async def test_commands_are_registered_in_both_languages(world: World) -> None:
    async with world.notify(language="ko"):
        await eventually(lambda: len(world.people.menus) == 3)

    menus = {language: {each["command"] for each in menu} for language, menu in world.people.menus.items()}
    assert menus["en"] == menus["ko"] == menus[""]
    assert {"status", "why", "close", "halt"} <= menus["en"]
    assert world.people.menus[""] == world.people.menus["ko"] != world.people.menus["en"]


async def test_every_look_is_answered_in_both_languages(world: World) -> None:
    asks = "positions position\tBTC signals profit daily weekly monthly performance balance risk limits"
    for language in ("en", "ko"):
        async with world.notify(language=language):
            for ask in [*asks.split(" "), "health", "version", "help", "start", "why\tlast", "nonsense"]:
                before = max(world.people.shown, default=0)
                world.people.type(OPERATOR if language == "en" else VIEWER, "/" + ask.replace("\t", " "))
                shown = await world.people.sees("", after=before)
                assert shown.text.strip()
                assert "fault" not in shown.text
                assert "오류" not in shown.text


async def test_refresh_changes_the_message_and_says_nothing_when_nothing_changed(world: World) -> None:
    async with world.notify():
        world.people.type(VIEWER, "/positions")
        shown = await world.people.sees("Open positions: 1")
        await world.people.is_answered(world.people.press(VIEWER, "🔄 Refresh", shown))
        world.services.positions = []
        world.people.press(VIEWER, "🔄 Refresh", shown)
        await world.people.sees("No open positions")

    assert len(world.people.shown) == 1


async def test_in_the_group_people_of_ours_are_answered_and_other_talk_is_not(world: World) -> None:
    async with world.notify():
        world.people.type(VIEWER, "shall we?", group=GROUP)
        world.people.type(VIEWER, "/status@another_bot", group=GROUP)
        world.people.type(VIEWER, "/unknown", group=GROUP)
        world.people.type(VIEWER, "/version@Phoenix_Bot", group=GROUP)
        shown = await world.people.sees("Phoenix 95")

    assert shown.chat_id == GROUP
    assert len(world.people.shown) == 1


# --- strangers ---


async def test_a_stranger_hears_one_refusal_in_private_and_is_on_record_once(world: World) -> None:
    async with world.notify():
        for _ in range(20):
            world.people.type(STRANGER, "/close all")
        await world.people.sees("private")
        await eventually(lambda: world.people.unconfirmed == 0)

    assert [one.chat_id for one in world.people.shown.values()] == [STRANGER]
    assert await world.audited() == [("telegram:666", "/close", "refused")]


async def test_a_stranger_in_the_group_gets_no_answer_and_neither_do_ours_in_a_foreign_group(
    world: World,
) -> None:
    async with world.notify():
        world.people.type(STRANGER, "/status", group=GROUP)
        world.people.type(OPERATOR, "/halt", group=-5)
        world.people.type(VIEWER, "/version")
        await world.people.sees("Phoenix 95")

    assert len(world.people.shown) == 1
    assert sorted(await world.audited()) == [  # both are handled at the same time
        ("telegram:42", "/halt in chat -5", "refused"),
        ("telegram:666", f"/status in chat {GROUP}", "refused"),
    ]


# --- acting ---


async def proposed(world: World, command: str = "/close BTCUSDT", asks: str = "Close BTCUSDT") -> Any:
    world.people.type(OPERATOR, command)
    return await world.people.sees(asks)


async def test_a_close_says_what_it_would_do_and_is_asked_for_when_confirmed(world: World) -> None:
    async with world.notify():
        shown = await proposed(world, "/close btc")
        assert shown.title == "Close BTCUSDT long 0.19, now -3.21 USDT?"
        assert world.services.posts == []

        world.people.press(OPERATOR, CONFIRM, shown)
        await eventually(lambda: world.services.posts)
        await world.people.sees("Asked to close BTCUSDT")

    [(path, body, actor)] = world.services.posts
    assert (path, body["symbol"], actor) == ("/close", "BTCUSDT", "telegram:42")
    assert [line[1:] for line in await world.audited()] == [
        ("close", "proposed"),
        ("close", "confirmed"),
        ("close", "performed"),
    ]


@pytest.mark.parametrize(
    ("command", "asks", "state"),
    [
        ("/pause", "Pause trading?", "REDUCING"),
        ("/resume", "Resume trading?", "ACTIVE"),
        ("/halt", "HALT trading?", "HALTED"),
    ],
)
async def test_a_state_is_changed_after_two_steps(world: World, command: str, asks: str, state: str) -> None:
    async with world.notify():
        shown = await proposed(world, command, asks)
        world.people.press(OPERATOR, CONFIRM, shown)
        await world.people.sees(f"Trading is {state}")

    assert [(path, body["state"]) for path, body, _ in world.services.posts] == [("/update", state)]


async def test_a_viewer_is_refused_at_the_first_step(world: World) -> None:
    async with world.notify():
        world.people.type(VIEWER, "/close BTCUSDT")
        await world.people.sees("Only operators")
        world.people.type(VIEWER, "/positions")
        shown = await world.people.sees("Open positions")
        world.people.press(VIEWER, "✖ Close BTCUSDT", shown)
        await eventually(lambda: world.people.counted("Only operators") == 2)

    assert await world.audited() == [("telegram:7", "close", "refused")] * 2


async def test_a_replayed_confirmation_and_one_of_somebody_else_do_nothing(world: World) -> None:
    async with world.notify():
        shown = await proposed(world)
        data = shown.buttons[CONFIRM]
        someone = await world.people.is_answered(world.people.press(VIEWER, CONFIRM, shown))
        forwarded = world.people.press(OPERATOR, CONFIRM, shown, chat_id=-5)
        assert await world.people.is_answered(forwarded) == "This is not for you."
        world.people.press(OPERATOR, CONFIRM, shown)
        await world.people.sees("Asked to close BTCUSDT")
        replay = world.people.press_data(OPERATOR, data, shown.message_id, OPERATOR)
        again = await world.people.is_answered(replay)
        made_up = world.people.press_data(OPERATOR, "ok:made-up", shown.message_id, OPERATOR)
        unknown = await world.people.is_answered(made_up)

    assert someone == "Only who asked for it may confirm it."
    assert again.startswith("This was confirmed or cancelled before")
    assert unknown.startswith("I do not know this confirmation")
    assert len(world.services.posts) == 1
    refusals = [line for line in await world.audited() if line[2] == "refused"]
    assert refusals == [
        ("telegram:7", "confirm", "refused"),
        ("telegram:42", "press ok in chat -5", "refused"),
        ("telegram:42", "confirm", "refused"),
        ("telegram:42", "confirm", "refused"),
    ]


async def test_a_cancelled_proposal_says_so_and_cannot_be_confirmed(world: World) -> None:
    async with world.notify():
        shown = await proposed(world)
        data = shown.buttons[CONFIRM]
        world.people.press(OPERATOR, CANCEL, shown)
        await world.people.sees("Cancelled, nothing was done")
        replay = world.people.press_data(OPERATOR, data, shown.message_id, OPERATOR)
        assert "before" in await world.people.is_answered(replay)

    assert world.services.posts == []


async def test_a_proposal_that_nobody_confirms_says_that_it_has_expired(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notify.desk_store.CONFIRM_WITHIN_S", 0.5)
    async with world.notify():
        shown = await proposed(world)
        data = shown.buttons[CONFIRM]
        await world.people.sees("Expired, nothing was done")
        assert shown.buttons == {}
        late = world.people.press_data(OPERATOR, data, shown.message_id, OPERATOR)
        assert (await world.people.is_answered(late)).startswith("Too late")

    assert world.services.posts == []


# --- one listener, nothing twice ---


async def test_what_was_typed_long_ago_is_not_carried_out_and_that_is_told_once(world: World) -> None:
    for _ in range(5):
        world.people.type(OPERATOR, "/halt", age_s=180)
    async with world.notify():
        await world.people.sees("Too old, ask again")
        await eventually(lambda: world.people.unconfirmed == 0)

    assert len(world.people.shown) == 1
    assert await world.audited() == []


async def test_an_update_that_comes_again_after_a_restart_is_not_handled_again(world: World) -> None:
    async with world.notify():
        update_id = world.people.type(VIEWER, "/version")
        await world.people.sees("Phoenix 95")
    world.people.type(VIEWER, "/version", update_id=update_id)
    async with world.notify():
        world.people.type(VIEWER, "/limits")
        await world.people.sees("Limits")

    assert world.people.counted("Phoenix 95") == 1


async def test_of_two_replicas_one_listens_and_the_other_takes_over(world: World) -> None:
    async with world.notify(1):
        async with world.notify(0):
            for number in range(5):
                world.people.type(VIEWER, "/version")
                await eventually(lambda: world.people.counted("Phoenix 95") == number + 1)  # noqa: B023
        world.people.type(VIEWER, "/limits")
        await world.people.sees("Limits")

    assert world.people.counted("Phoenix 95") == 5


async def test_commands_work_again_after_telegram_was_away(world: World) -> None:
    async with world.notify() as client:
        world.people.type(VIEWER, "/version")
        await world.people.sees("Phoenix 95")
        await world.chat.vanish()
        world.people.type(VIEWER, "/limits")
        assert (await client.get("/ready")).status_code == 200
        await world.chat.appear()
        await world.people.sees("Limits")


async def test_another_program_with_our_token_is_lived_with(world: World) -> None:
    async with world.notify() as client:
        world.people.webhook_is_set = True
        await eventually(lambda: _metric(client, 'phoenix_chat_polls_total{answer="polled_elsewhere"}'))
        before = world.people.polls
        assert (await client.get("/ready")).status_code == 200
        assert world.people.polls - before <= 1


async def _metric(client: httpx.AsyncClient, name: str) -> bool:
    return name in (await client.get("/metrics")).text


async def test_a_confirmation_pressed_while_the_database_is_away_is_carried_out_once(world: World) -> None:
    async with world.notify():
        shown = await proposed(world)
        await asyncio.to_thread(world.servers.stop, "postgres")
        try:
            world.people.press(OPERATOR, CONFIRM, shown)
            world.people.press(OPERATOR, CONFIRM, shown)
        finally:
            await asyncio.to_thread(world.servers.start, "postgres")
        await eventually(lambda: len(world.people.answers) == 2, 40)

    assert len(world.services.posts) == 1


async def test_the_audit_is_shown_to_who_has_the_key(world: World) -> None:
    async with world.notify() as client:
        world.people.type(VIEWER, "/halt")
        await world.people.sees("Only operators")
        assert (await client.get("/audit")).status_code == 401
        key = {"X-API-Key": world.servers.settings["PHOENIX_API_KEY"]}
        acts = json.loads((await client.get("/audit", params={"limit": 3}, headers=key)).text)["acts"]

    assert acts[0]["actor"] == "telegram:7"
    assert acts[0]["result"] == "refused"
    assert [act["at"] for act in acts] == sorted((act["at"] for act in acts), reverse=True)
