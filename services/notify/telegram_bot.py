"""Telegram: one chat that takes text, and the loop that writes to it while this replica holds the lease.

Telegram is an outside outage waiting to happen: every call has a time-out, every trouble becomes an answer,
and nothing here holds up a fact. It must never log the token; foreign errors may carry it and are scrubbed.
"""

import asyncio
import os
from datetime import timedelta
from types import TracebackType
from typing import Self

from telegram import Bot, LinkPreviewOptions
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from services.notify.flow import DeliveryFlow
from services.notify.pacing import Answer, Busy, Delivered, Refused, Unreachable
from services.notify.ports import HoldsLease
from shared import logs
from shared.errors import DatabaseUnavailable
from shared.lease import LEASE_S, RENEW_INTERVAL_S
from shared.supervision import attempt

LEASE_NAME = "telegram"
CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 3.0
SEND_TIMEOUT_S = 3.5
POLL_INTERVAL_S = 1.0
"""How soon a notification that another replica kept is noticed."""
CONNECTIONS_MAX = 2

assert RENEW_INTERVAL_S + SEND_TIMEOUT_S < LEASE_S, "the lease outlives an attempt that began under it"

_log = logs.get(__name__)


class TelegramChat:
    """One chat, written to by one bot. Open it with `async with`; opening calls nobody."""

    def __init__(self, token: str, chat_id: str, base_url: str) -> None:
        # The library's switch to its coming type of `retry_after`; without it every 429 is a warning.
        os.environ["PTB_TIMEDELTA"] = "true"
        self._token = token
        self._chat_id = chat_id
        self._request = HTTPXRequest(
            connection_pool_size=CONNECTIONS_MAX,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            write_timeout=READ_TIMEOUT_S,
        )
        self._bot = Bot(
            token, base_url=f"{base_url}/bot", request=self._request, get_updates_request=self._request
        )

    async def __aenter__(self) -> Self:
        await self._request.initialize()  # not the bot's: that one calls Telegram, which may be away
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._request.shutdown()

    async def send(self, text: str) -> Answer:
        """Send one message and return what became of it; takes at most `SEND_TIMEOUT_S`."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._bot.send_message(
                    self._chat_id, text, link_preview_options=LinkPreviewOptions(is_disabled=True)
                )
        except (TelegramError, TimeoutError) as error:
            answer = self._translated(error)
            _log.warning(
                "telegram_message_not_delivered", answer=type(answer).__name__, why=self._scrubbed(error)
            )
            return answer
        return Delivered()

    def _translated(self, error: TelegramError | TimeoutError) -> Answer:
        """Order matters: the library calls a refused request a kind of network error."""
        match error:
            case RetryAfter():
                return Busy(_seconds(error.retry_after))
            case Forbidden() | BadRequest() | ChatMigrated():
                return Refused(self._scrubbed(error))
            case _:
                return Unreachable(self._scrubbed(error))

    def _scrubbed(self, error: BaseException) -> str:
        return f"{type(error).__name__}: {error}".replace(self._token, "***")


class Sender:
    """The loop that empties the queue of notifications, one replica at a time."""

    def __init__(self, flow: DeliveryFlow, lease: HoldsLease) -> None:
        self._flow = flow
        self._lease = lease
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    def wake(self) -> None:
        """Say that a notification was kept."""
        self._woken.set()

    async def run(self) -> None:
        """Loop until stopped: hold the lease, send what may leave, wait. A failure is the supervisor's."""
        was_holder = False
        while not self._stopping:
            is_holder = await self._lease.hold()
            if is_holder != was_holder:
                _log.info("telegram_lease_changed", is_holder=is_holder)
                was_holder = is_holder
                self._flow.take_over()
            if is_holder and await self._deliver():
                continue
            await self._rest(self._flow.wait_s if is_holder else 0.0)
        await asyncio.Event().wait()  # drained: the runtime cancels this loop

    async def drain(self) -> None:
        """Begin no further message, wait for the one in hand, and let another replica go on."""
        self._stopping = True
        self._woken.set()
        await attempt(asyncio.wait_for(self._idle.wait(), SEND_TIMEOUT_S))
        try:
            await self._lease.release()
        except DatabaseUnavailable as down:
            _log.warning("telegram_lease_left_to_expire", error=str(down))

    async def _deliver(self) -> bool:
        self._idle.clear()
        try:
            return await self._flow.deliver_next()
        finally:
            self._idle.set()

    async def _rest(self, wait_s: float) -> None:
        """Wait for the chat's pace, or for news; never longer than the lease allows."""
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, RENEW_INTERVAL_S))
            return
        self._woken.clear()
        await attempt(asyncio.wait_for(self._woken.wait(), POLL_INTERVAL_S))


def _seconds(given: int | timedelta) -> float:
    return given.total_seconds() if isinstance(given, timedelta) else float(given)
