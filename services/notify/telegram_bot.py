"""Telegram's sending side: one bot, and the chats it writes to.

Telegram is an outside outage waiting to happen: every call has a time-out, every trouble becomes an answer,
and nothing here holds up a fact. It must never log the token; foreign errors may carry it and are scrubbed.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from telegram import Bot, LinkPreviewOptions
from telegram.constants import MessageLimit, ParseMode
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from services.notify.telling.pacing import Answer, Busy, Delivered, Refused, Unreachable
from services.notify.telling.rendering import Written
from shared import logs
from shared.lease import LEASE_S, RENEW_INTERVAL_S

LEASE_NAME = "telegram"
"""One for all chats: a 429 is the bot's, and one replica must know of it."""
CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 3.0
SEND_TIMEOUT_S = 3.5
CONNECTIONS_MAX = 4
MARKUP_FAULT = "parse entities"
CHAT_FAULT = "chat not found"

assert RENEW_INTERVAL_S + SEND_TIMEOUT_S < LEASE_S, "the lease outlives a call that began under it"

_log = logs.get(__name__)


class TelegramBot:
    """One bot. Open it with `async with`; opening calls nobody."""

    def __init__(self, token: str, base_url: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        # The library's switch to its coming type of `retry_after`; without it every 429 is a warning.
        os.environ["PTB_TIMEDELTA"] = "true"
        self._token = token
        self._monotonic_s = monotonic_s
        self._quiet_until_s = 0.0
        self._request = HTTPXRequest(
            connection_pool_size=CONNECTIONS_MAX,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            write_timeout=READ_TIMEOUT_S,
        )
        self.api = Bot(
            token, base_url=f"{base_url}/bot", request=self._request, get_updates_request=self._request
        )

    async def __aenter__(self) -> Self:
        await self._request.initialize()  # not the bot's: that one calls Telegram, which may be away
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._request.shutdown()

    async def ask(self, call: Callable[[], Awaitable[object]]) -> Answer:
        """Make one call and return what became of it; takes at most `SEND_TIMEOUT_S`.

        After a 429 nobody of this bot calls before the time that Telegram asked for is over.
        """
        quiet_s = self._quiet_until_s - self._monotonic_s()
        if quiet_s > 0:
            return Busy(quiet_s)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await call()
        except (TelegramError, TimeoutError) as error:
            answer = self._translated(error)
            _log.warning(
                "telegram_message_not_delivered", answer=type(answer).__name__, why=self._scrubbed(error)
            )
            if isinstance(answer, Busy):
                self._quiet_until_s = self._monotonic_s() + answer.retry_after_s
            return answer
        return Delivered()

    def _translated(self, error: TelegramError | TimeoutError) -> Answer:
        """Tell a chat that cannot be used, which somebody may mend, from a message that can never arrive.

        Order matters: the library calls a refused request a kind of network error.
        """
        match error:
            case RetryAfter():
                return Busy(_seconds(error.retry_after))
            case Forbidden() | ChatMigrated():
                return Unreachable(self._scrubbed(error))
            case BadRequest() if CHAT_FAULT in str(error).lower():
                return Unreachable(self._scrubbed(error))
            case BadRequest():
                return Refused(self._scrubbed(error))
            case _:
                return Unreachable(self._scrubbed(error))

    def _scrubbed(self, error: BaseException) -> str:
        return f"{type(error).__name__}: {error}".replace(self._token, "***")


class TelegramChat:
    """One chat, written to by one bot."""

    def __init__(self, bot: TelegramBot, chat_id: str) -> None:
        self._bot = bot
        self._chat_id = chat_id

    async def send(self, message: Written) -> Answer:
        """Send one message and return what became of it.

        What Telegram refuses in its best form is sent in a plainer one: without the picture, without markup.
        """
        if message.picture is not None and len(message.plain) <= MessageLimit.CAPTION_LENGTH:
            answer = await self._bot.ask(lambda: self._with_picture(message))
            if not isinstance(answer, Refused):
                return answer
        answer = await self._bot.ask(lambda: self._with_markup(message))
        if isinstance(answer, Refused) and MARKUP_FAULT in answer.why.lower():
            return await self._bot.ask(lambda: self._plain(message))
        return answer

    async def _with_picture(self, message: Written) -> None:
        assert message.picture is not None
        await self._bot.api.send_photo(
            self._chat_id,
            message.picture,
            caption=message.html,
            parse_mode=ParseMode.HTML,
            disable_notification=message.is_silent,
        )

    async def _with_markup(self, message: Written) -> None:
        await self._send(message.html, message.is_silent, ParseMode.HTML)

    async def _plain(self, message: Written) -> None:
        await self._send(message.plain, message.is_silent, None)

    async def _send(self, text: str, is_silent: bool, parse_mode: ParseMode | None) -> None:
        await self._bot.api.send_message(
            self._chat_id,
            text,
            parse_mode=parse_mode,
            disable_notification=is_silent,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
        )


def _seconds(given: int | timedelta) -> float:
    return given.total_seconds() if isinstance(given, timedelta) else float(given)
