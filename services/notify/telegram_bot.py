"""Telegram's sending side: one bot, and the chats it writes to.

Telegram is an outside outage waiting to happen: every call has a time-out, every trouble becomes an answer,
and nothing here holds up a fact. A remedy that an answer names is followed. It must never log the token;
foreign errors may carry it and are scrubbed.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from telegram import Bot, LinkPreviewOptions
from telegram.constants import ParseMode
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)
from telegram.request import HTTPXRequest

from services.notify.telling.channels import chat_of
from services.notify.telling.lengths import cut
from services.notify.telling.pacing import Answer, Barred, Busy, Delivered, Refused, Unreachable
from services.notify.telling.rendering import CAPTION_UNITS_MAX, Written
from shared import logs
from shared.lease import LEASE_S, RENEW_INTERVAL_S

LEASE_NAME = "telegram"
"""One for all chats: they share the bot's limits, and one replica must know of them."""
CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 3.0
SEND_TIMEOUT_S = 3.5
CONNECTIONS_MAX = 4
CHATS_MAX = 20
"""Chats whose patience is remembered; there are as many as channels, and one more for each that moved."""
CHAT_FAULTS = (
    "chat not found",
    "not enough rights",
    "have no rights",
    "chat_write_forbidden",
    "chat_restricted",
    "need administrator rights",
    "peer_id_invalid",
    "user not found",
    "group chat was deactivated",
    "topic_closed",
)
"""What Telegram says of a chat, not of a message: no other form of the message would arrive there."""
TOPIC_FAULTS = ("message thread not found", "topic_closed", "topic_deleted")
"""The topic is gone or closed; the group itself may still take the message."""

assert RENEW_INTERVAL_S + SEND_TIMEOUT_S < LEASE_S, "the lease outlives a call that began under it"

_log = logs.get(__name__)


@dataclass(frozen=True)
class Moved:
    """The chat has another id from now on."""

    chat_id: str


class FollowsMoves(Protocol):
    """Keeps the new ids of chats, and lets the operator know."""

    async def moved(self, old: str, new: str) -> None:
        """Record that a chat has a new id; returns when that will be known after a restart."""
        ...


class TelegramBot:
    """One bot. Open it with `async with`; opening calls nobody."""

    def __init__(self, token: str, base_url: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        # The library's switch to its coming type of `retry_after`; without it every 429 is a warning.
        os.environ["PTB_TIMEDELTA"] = "true"
        self._token = token
        self._monotonic_s = monotonic_s
        self._quiet_until_s: dict[str, float] = {}
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

    async def ask(self, chat_id: str, call: Callable[[], Awaitable[object]]) -> Answer | Moved:
        """Make one call about a chat and return what became of it; takes at most `SEND_TIMEOUT_S`.

        A chat that asked for patience is left alone for as long as it asked; when a second one asks as well,
        it is the bot that is too fast, and no chat is written to before the last of these times is over.
        """
        quiet_s = self._quiet_s(chat_id)
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
                self._be_quiet(chat_id, answer.retry_after_s)
            return answer
        return Delivered()

    def _quiet_s(self, chat_id: str) -> float:
        now_s = self._monotonic_s()
        busy = {chat: until_s for chat, until_s in self._quiet_until_s.items() if until_s > now_s}
        if len(busy) > 1:
            return max(busy.values()) - now_s
        return busy.get(chat_id, now_s) - now_s

    def _be_quiet(self, chat_id: str, retry_after_s: float) -> None:
        while len(self._quiet_until_s) >= CHATS_MAX:
            self._quiet_until_s.pop(next(iter(self._quiet_until_s)))
        self._quiet_until_s[chat_id] = self._monotonic_s() + retry_after_s

    def _translated(self, error: TelegramError | TimeoutError) -> Answer | Moved:
        """Tell a chat that cannot be used, which somebody may mend, from a message that it does not take.

        Order matters: the library calls a refused request a kind of network error.
        """
        match error:
            case RetryAfter():
                return Busy(_seconds(error.retry_after))
            case ChatMigrated():
                return Moved(str(error.new_chat_id))
            case Forbidden() | InvalidToken():
                return Barred(self._scrubbed(error))
            case BadRequest() if _names_one_of(CHAT_FAULTS, str(error)):
                return Barred(self._scrubbed(error))
            case BadRequest():
                return Refused(self._scrubbed(error))
            case _:
                return Unreachable(self._scrubbed(error))

    def _scrubbed(self, error: BaseException) -> str:
        return f"{type(error).__name__}: {error}".replace(self._token, "***")


class TelegramChat:
    """One chat, or one topic of a group, written to by one bot."""

    def __init__(self, bot: TelegramBot, address: str, moves: FollowsMoves | None = None) -> None:
        self._bot = bot
        self._chat_id, self._topic_id = chat_of(address)
        self._moves = moves

    async def send(self, message: Written) -> Answer:
        """Send one message and return what became of it.

        What Telegram refuses in its best form is sent in a plainer one: without the picture, without markup,
        at last only that there is a message. Nothing is given up for its form.
        """
        if message.picture is not None:
            return await self._send_with_picture(message, message.picture)
        return await self._send_text(message)

    async def _send_with_picture(self, message: Written, picture: bytes) -> Answer:
        if message.fits_below_picture:
            answer = await self._ask(lambda: self._photo(message, picture, message.html))
            if isinstance(answer, Delivered | Busy | Unreachable):
                return answer  # else it may be the picture alone that is not allowed here
            return await self._send_text(message)
        answer = await self._send_text(message)
        if isinstance(answer, Delivered):  # the words are there: whatever becomes of the picture
            title = cut(message.title, CAPTION_UNITS_MAX)
            await self._ask(lambda: self._photo(message, picture, title, is_html=False))
        return answer

    async def _send_text(self, message: Written) -> Answer:
        answer = await self._ask(lambda: self._text(message, message.html, ParseMode.HTML))
        for plainer in (message.plain, message.least):
            if not isinstance(answer, Refused):
                return answer
            answer = await self._ask(partial(self._text, message, plainer, None))
        return Barred(answer.why) if isinstance(answer, Refused) else answer

    async def _ask(self, call: Callable[[], Awaitable[object]]) -> Answer:
        """Make one call, and once more where the answer says how it would succeed: in the chat's new place,
        or beside the topic that is gone.
        """
        answer = await self._bot.ask(self._chat_id, call)
        if isinstance(answer, Moved):
            await self._follow(answer.chat_id)
            answer = await self._bot.ask(self._chat_id, call)
        elif self._topic_id is not None and _is_about_topic(answer):
            self._topic_id, topic_id = None, self._topic_id
            answer = await self._bot.ask(self._chat_id, call)
            self._topic_id = topic_id  # it may be opened again
        return Unreachable("the chat moved twice") if isinstance(answer, Moved) else answer

    async def _follow(self, new: str) -> None:
        old, self._chat_id = self._chat_id, new
        _log.warning("telegram_chat_moved", old=old, new=new)
        if self._moves is not None:
            await self._moves.moved(old, new)

    async def _photo(self, message: Written, picture: bytes, caption: str, *, is_html: bool = True) -> None:
        await self._bot.api.send_photo(
            self._chat_id,
            picture,
            caption=caption,
            parse_mode=ParseMode.HTML if is_html else None,
            disable_notification=message.is_silent,
            message_thread_id=self._topic_id,
        )

    async def _text(self, message: Written, text: str, parse_mode: ParseMode | None) -> None:
        await self._bot.api.send_message(
            self._chat_id,
            text,
            parse_mode=parse_mode,
            disable_notification=message.is_silent,
            message_thread_id=self._topic_id,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
        )


def _is_about_topic(answer: Answer | Moved) -> bool:
    return isinstance(answer, Barred | Refused) and _names_one_of(TOPIC_FAULTS, answer.why)


def _names_one_of(faults: tuple[str, ...], told: str) -> bool:
    return any(fault in told.lower() for fault in faults)


def _seconds(given: int | timedelta) -> float:
    return given.total_seconds() if isinstance(given, timedelta) else float(given)
