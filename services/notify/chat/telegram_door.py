"""Telegram's incoming half: one replica asks for updates, all answers go out on connections of their own.

Updates are fetched with the library's `Bot.get_updates` in a loop of ours, not with its `Updater`: that one
confirms updates before they are handled, calls Telegram at its start, and polls on without the lease
(docs/decisions/0023). It must never hold up the sender of notifications, and never log the token.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import telegram
from telegram import (
    Bot,
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MessageEntity,
)
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)
from telegram.request import HTTPXRequest

from services.notify.chat.vocabulary import (
    Button,
    Fetched,
    Place,
    Polled,
    PolledElsewhere,
    Pressed,
    Reply,
    Trouble,
    Typed,
    Update,
    first_page,
    pages,
    units,
)
from services.notify.telegram_bot import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, SEND_TIMEOUT_S, Moved
from services.notify.telling.lengths import cut
from services.notify.telling.pacing import Barred, Busy, Refused, Unreachable
from shared import logs
from shared.lease import LEASE_S, RENEW_INTERVAL_S

LONG_POLL_S = 2
"""How long Telegram holds a request open while nothing is typed; short, because the lease is renewed between
two of them.
"""
POLL_TIMEOUT_S = 3.5
UPDATES_MAX = 50
KINDS = ("message", "callback_query")
REPLY_CONNECTIONS_MAX = 4
PATIENCE_S = 5.0
"""An answer asked to wait no longer than this is sent once more."""
ALERT_CHARS_MAX = 200

assert RENEW_INTERVAL_S + POLL_TIMEOUT_S < LEASE_S, "the lease outlives a poll that began under it"

_log = logs.get(__name__)


class TelegramDoor:
    """One bot that listens and answers. Open it with `async with`; opening calls nobody."""

    def __init__(self, token: str, base_url: str) -> None:
        self._token = token
        self._replies = HTTPXRequest(
            connection_pool_size=REPLY_CONNECTIONS_MAX,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            write_timeout=READ_TIMEOUT_S,
        )
        self._polls = HTTPXRequest(
            connection_pool_size=1, connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S
        )
        self._bot = Bot(
            token, base_url=f"{base_url}/bot", request=self._replies, get_updates_request=self._polls
        )

    async def __aenter__(self) -> Self:
        await self._replies.initialize()  # not the bot's: that one calls Telegram, which may be away
        await self._polls.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._polls.shutdown()
        await self._replies.shutdown()

    async def introduce(self, menus: Mapping[str, Sequence[tuple[str, str]]]) -> str | Trouble:
        """Register the commands by language (`""`: any other) and return our bot's name, or why not.

        A menu that is not taken is logged: the commands work without it.
        """
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                me = await self._bot.get_me()
        except (TelegramError, TimeoutError) as error:
            return self._translated(error)
        for language, menu in menus.items():
            commands = [BotCommand(name, about) for name, about in menu]
            await self._deliver(self._bot.set_my_commands, commands=commands, language_code=language or None)
        return me.username or ""

    async def updates(self, offset: int) -> Polled:
        """Return what came in, confirming all before `offset`; takes at most `POLL_TIMEOUT_S`."""
        try:
            async with asyncio.timeout(POLL_TIMEOUT_S):
                found = await self._bot.get_updates(
                    offset=offset, limit=UPDATES_MAX, timeout=LONG_POLL_S, allowed_updates=KINDS
                )
        except Conflict as error:
            return PolledElsewhere(self._scrubbed(error))
        except (TelegramError, TimeoutError) as error:
            return self._translated(error)
        return [Fetched(one.update_id, _update(one)) for one in found]

    async def say(self, place: Place, reply: Reply) -> int | None:
        """Send a reply, in pages if it is long; return its last message's id, None if it did not arrive."""
        message_id: int | None = None
        for page in pages(reply):
            message_id = await self._deliver(
                self._bot.send_message,
                chat_id=place.chat_id,
                message_thread_id=place.topic_id,
                **_content(page),
            )
            if message_id is None:
                break
        return message_id

    async def change(self, place: Place, message_id: int, reply: Reply) -> None:
        """Put a reply in the place of a message of ours."""
        await self._deliver(
            self._bot.edit_message_text,
            chat_id=place.chat_id,
            message_id=message_id,
            **_content(first_page(reply)),
        )

    async def answer(self, press_id: str, text: str = "") -> None:
        """Answer a pressed button; with a text it is shown to who pressed it, and to nobody else."""
        shown = cut(text, ALERT_CHARS_MAX)
        await self._deliver(
            self._bot.answer_callback_query, callback_query_id=press_id, text=shown, show_alert=bool(shown)
        )

    async def _deliver(self, call: Any, **content: Any) -> int | None:
        """Make one call, once more where Telegram asks for a little patience."""
        answer = await self._attempt(call, content)
        if isinstance(answer, Moved):  # the group became a supergroup while it was answered
            content["chat_id"] = answer.chat_id
            answer = await self._attempt(call, content)
        if isinstance(answer, Busy) and answer.retry_after_s <= PATIENCE_S:
            await asyncio.sleep(answer.retry_after_s)
            answer = await self._attempt(call, content)
        if isinstance(answer, Trouble | Moved):
            _log.warning("telegram_answer_not_delivered", call=call.__name__, why=repr(answer))
            return None
        return answer

    async def _attempt(self, call: Any, content: Mapping[str, Any]) -> int | Trouble | Moved | None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                sent = await call(**content)
        except BadRequest as error:
            if "not modified" in str(error).lower():  # refreshed, and nothing had changed
                return None
            return self._translated(error)
        except ChatMigrated as error:
            return Moved(str(error.new_chat_id))
        except (TelegramError, TimeoutError) as error:
            return self._translated(error)
        return sent.message_id if isinstance(sent, telegram.Message) else None

    def _translated(self, error: TelegramError | TimeoutError) -> Trouble:
        match error:
            case RetryAfter():
                return Busy(_seconds(error.retry_after))
            case Forbidden() | InvalidToken():
                return Barred(self._scrubbed(error))
            case BadRequest():
                return Refused(self._scrubbed(error))
            case _:
                return Unreachable(self._scrubbed(error))

    def _scrubbed(self, error: BaseException) -> str:
        return f"{type(error).__name__}: {error}".replace(self._token, "***")


def _update(given: telegram.Update) -> Update | None:
    """Return an update in our own words; None for another kind, or one without a sender."""
    pressed, message = given.callback_query, given.message
    if pressed is not None:
        on = pressed.message
        return Pressed(
            update_id=given.update_id,
            user_id=pressed.from_user.id,
            place=None if on is None else _place(on.chat, on),
            message_id=0 if on is None else on.message_id,
            press_id=pressed.id,
            data=pressed.data or "",
        )
    if message is None or message.from_user is None:
        return None
    return Typed(
        update_id=given.update_id,
        user_id=message.from_user.id,
        place=_place(message.chat, message),
        text=message.text or "",
        sent_at=message.date,
    )


def _place(chat: telegram.Chat, message: telegram.MaybeInaccessibleMessage) -> Place:
    topic_id = None
    if isinstance(message, telegram.Message) and message.is_topic_message:
        topic_id = message.message_thread_id
    return Place(chat.id, chat.type == telegram.Chat.PRIVATE, chat.username, topic_id)


def _content(reply: Reply) -> dict[str, Any]:
    """Return a message's text with its title bold; by entity, so that no character of it needs an escape."""
    rows = [[_button(each) for each in row] for row in reply.buttons]
    return {
        "text": reply.text,
        "entities": [MessageEntity(MessageEntity.BOLD, 0, units(reply.title))],
        "reply_markup": InlineKeyboardMarkup(rows) if rows else None,
        "link_preview_options": LinkPreviewOptions(is_disabled=True),
    }


def _button(button: Button) -> InlineKeyboardButton:
    return InlineKeyboardButton(button.label, callback_data=button.data)


def _seconds(given: int | timedelta) -> float:
    return given.total_seconds() if isinstance(given, timedelta) else float(given)
