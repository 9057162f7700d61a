"""The live stream: conflated, bounded, ended with its session; a slow reader holds up nobody."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from structlog.testing import capture_logs

from services.notify.dashboard import stream
from services.notify.dashboard.hub import ENDED, MOVED, PAGES_MAX, VIEWERS_PAGES_MAX, Hub
from services.notify.dashboard.rendering import Rendering
from services.notify.dashboard.session_store import LiveSession
from services.notify.dashboard.stream import EventStream, Mailbox, event
from services.notify.dashboard.views import Page, View
from shared.errors import DatabaseUnavailable
from tests.eventually import eventually

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


class Sessions:
    """Sessions that are live until they are said to be over."""

    def __init__(self) -> None:
        self.over: set[bytes] = set()
        self.is_away = False

    async def live(self, keys: Sequence[bytes]) -> Mapping[bytes, LiveSession]:
        if self.is_away:
            raise DatabaseUnavailable("gone")
        return {key: LiveSession(key, "viewer", LATER) for key in keys if key not in self.over}


def _mailbox(key: bytes = b"one", expires_at: datetime = LATER) -> Mailbox[str]:
    return Mailbox("overview", key, expires_at)


def _hub(sessions: Sessions, now: datetime = NOW, *, is_stopping: bool = False) -> tuple[Hub[str], list[Any]]:
    asked: list[Any] = []

    async def render(views: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        asked.append(list(views))
        return {view: {"positions": f"turn {len(asked)}"} for view in views}

    return Hub(render, sessions, lambda: is_stopping, lambda: now), asked


async def test_a_page_that_does_not_read_keeps_only_the_newest() -> None:
    mailbox = _mailbox()
    for number in range(1_000):
        mailbox.offer({"positions": f"<b>{number}</b>"})

    text, is_last = await mailbox.take()

    assert text == "event: positions\ndata: <b>999</b>\n\n"
    assert not is_last


async def test_what_did_not_change_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.01)
    mailbox = _mailbox()
    mailbox.offer({"positions": "same"})
    await mailbox.take()
    mailbox.offer({"positions": "same"})

    assert await mailbox.take() == (stream.HEARTBEAT, False)


def test_a_line_break_in_data_cannot_begin_an_event() -> None:
    assert event("signals", "a\n\nevent: ended\r\ndata: x") == (
        "event: signals\ndata: a\ndata: \ndata: event: ended\ndata: data: x\n\n"
    )


async def test_pages_that_look_alike_are_rendered_once() -> None:
    hub, asked = _hub(Sessions())
    for key in (b"one", b"two"):
        hub.join(_mailbox(key))

    await hub.turn()

    assert asked == [["overview"]]


async def test_a_page_ends_with_its_session_wherever_it_was_closed() -> None:
    sessions = Sessions()
    hub, _ = _hub(sessions)
    mailbox, other = _mailbox(b"one"), _mailbox(b"two")
    hub.join(mailbox)
    hub.join(other)
    sessions.over.add(b"one")

    await hub.turn()

    assert (await mailbox.take())[1]
    assert not (await other.take())[1]


async def test_a_page_ends_when_its_session_expires_though_the_database_is_away() -> None:
    sessions = Sessions()
    sessions.is_away = True
    hub, _ = _hub(sessions, now=LATER)
    mailbox, other = _mailbox(), _mailbox(b"two", LATER + timedelta(hours=1))
    hub.join(mailbox)
    hub.join(other)

    await hub.turn()

    assert f"event: {ENDED}" in (await mailbox.take())[0]
    assert not (await other.take())[1]


async def test_pages_move_on_when_the_process_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.notify.dashboard.hub.LOOK_INTERVAL_S", 0.01)
    hub, _ = _hub(Sessions(), is_stopping=True)
    mailbox = _mailbox()
    hub.join(mailbox)
    watching = asyncio.create_task(hub.watch_for_stop())

    text, is_last = await mailbox.take()

    watching.cancel()
    assert is_last
    assert f"event: {MOVED}" in text


async def test_the_number_of_pages_is_bounded() -> None:
    hub, _ = _hub(Sessions())
    pages = [_mailbox() for _ in range(PAGES_MAX)]
    for page in pages:
        hub.join(page)
    assert hub.is_full(for_operator=True)

    hub.leave(pages[0])

    assert not hub.is_full(for_operator=True)


async def test_viewers_cannot_keep_an_operator_out() -> None:
    hub, _ = _hub(Sessions())
    for _ in range(VIEWERS_PAGES_MAX):
        hub.join(_mailbox())

    assert hub.is_full(for_operator=False)
    assert not hub.is_full(for_operator=True)


async def test_a_reader_that_takes_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 0.01)
    left: list[bool] = []
    response = EventStream(_mailbox(), lambda: left.append(True), {})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    await response({"type": "http"}, receive, send)

    assert left == [True]


async def test_a_browser_that_goes_away_is_forgotten() -> None:
    gone = asyncio.Event()
    left: list[bool] = []
    told: list[Any] = []
    response = EventStream(_mailbox(), lambda: left.append(True), {})

    async def send(message: Any) -> None:
        told.append(message)

    async def receive() -> Any:
        await gone.wait()
        return {"type": "http.disconnect"}

    serving = asyncio.create_task(response({"type": "http"}, receive, send))
    await eventually(lambda: len(told) == 2)
    gone.set()
    await serving

    assert left == [True]


async def test_a_view_that_cannot_be_rendered_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sources: Any = Mock(look=AsyncMock())
    rendering = Rendering(sources, Mock(), lambda: NOW)

    async def parts(view: View) -> Mapping[str, str]:
        if view == broken:
            raise KeyError("limits")
        return {"signals": "newest"}

    monkeypatch.setattr(rendering, "parts", parts)
    broken, whole = (View(page, "en", is_operator=False) for page in (Page.RISK, Page.SIGNALS))
    same_page = View(Page.RISK, "ko", is_operator=False)
    with capture_logs() as logged:
        for _ in range(2):
            assert set(await rendering.live([broken, same_page, whole])) == {same_page, whole}
    assert [each["event"] for each in logged] == ["dashboard_view_not_rendered"], (
        "told once, not every second"
    )
