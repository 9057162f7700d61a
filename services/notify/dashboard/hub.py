"""Keeps every open page live: one loop looks once a second for all of them and tells each what is new to it.

Pages that look alike are rendered once. It sleeps while nobody looks. It must never hold up anything that
trades: the number of pages is bounded, each has a mailbox of bounded size, and every source has a time-out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from services.notify.dashboard.session_store import LiveSession
from services.notify.dashboard.stream import Mailbox
from shared import logs, metrics
from shared.clock import Clock
from shared.errors import DatabaseUnavailable

LOOK_INTERVAL_S = 1.0
CHECK_SESSIONS_EVERY_S = 3.0
PAGES_MAX = 50
"""Open pages of one process; the next is told to come back later."""
VIEWERS_PAGES_MAX = 40
"""Beyond this many only operators are taken: whoever may just look must not keep them out."""

BEAT = "beat"
BEAT_EVERY_S = 3.0
"""A page that hears nothing for three times as long says that its numbers are old."""

ENDED = "ended"
"""The session is over: log in again."""
MOVED = "moved"
"""This process stops; another one goes on with it."""

V = TypeVar("V")

_log = logs.get(__name__)


class FindsSessions(Protocol):
    """Knows which sessions may still be used."""

    async def live(self, keys: Sequence[bytes]) -> Mapping[bytes, LiveSession]:
        """Return those that may be used now."""
        ...


class Hub(Generic[V]):
    """The open pages of this process. `render` returns the parts of several views at once."""

    def __init__(
        self,
        render: Callable[[Sequence[V]], Awaitable[Mapping[V, Mapping[str, str]]]],
        sessions: FindsSessions,
        is_stopping: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._render = render
        self._sessions = sessions
        self._is_stopping = is_stopping
        self._clock = clock
        self._pages: set[Mailbox[V]] = set()
        self._somebody = asyncio.Event()
        self._checked_at = 0.0

    def is_full(self, *, for_operator: bool) -> bool:
        """Tell whether no further page of this person is taken."""
        return len(self._pages) >= (PAGES_MAX if for_operator else VIEWERS_PAGES_MAX)

    def join(self, mailbox: Mailbox[V]) -> None:
        """Keep this page live from now on; it is told its whole state first."""
        self._pages.add(mailbox)
        metrics.DASHBOARD_PAGES.set(len(self._pages))
        self._somebody.set()

    def leave(self, mailbox: Mailbox[V]) -> None:
        """Forget a page."""
        self._pages.discard(mailbox)
        metrics.DASHBOARD_PAGES.set(len(self._pages))
        if not self._pages:
            self._somebody.clear()

    def end_session(self, key: bytes) -> None:
        """End the pages of a session that was just closed here; other replicas see it in the database."""
        for page in [page for page in self._pages if page.key == key]:
            page.end(ENDED)

    async def run(self) -> None:
        """Look and tell, for ever."""
        while True:
            await self._somebody.wait()
            started = time.monotonic()
            await self.turn()
            await asyncio.sleep(max(0.0, LOOK_INTERVAL_S - (time.monotonic() - started)))

    async def watch_for_stop(self) -> None:
        """End every page as soon as the process is asked to stop: it waits for its requests."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            if self._is_stopping():
                for page in list(self._pages):
                    page.end(MOVED)

    async def turn(self) -> None:
        """End what is over, then tell every page what is new to it."""
        await self._end_what_is_over()
        views = list({page.view for page in self._pages})
        if not views:
            return
        rendered = await self._render(views)
        beat = str(int(time.monotonic() / BEAT_EVERY_S))
        for page in self._pages:
            if page.view in rendered:  # not one that came while we looked
                page.offer({**rendered[page.view], BEAT: beat})

    async def _end_what_is_over(self) -> None:
        now = self._clock()
        for page in list(self._pages):
            if page.expires_at <= now:
                page.end(ENDED)
        if time.monotonic() - self._checked_at < CHECK_SESSIONS_EVERY_S:
            return
        self._checked_at = time.monotonic()
        asked = list(self._pages)
        try:
            live = await self._sessions.live(list({page.key for page in asked}))
        except DatabaseUnavailable as error:  # they see old numbers, marked as such, until it is back
            _log.warning("dashboard_sessions_not_checked", error=str(error))
            return
        for page in asked:
            if page.key not in live:
                page.end(ENDED)
