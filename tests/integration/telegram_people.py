"""The people in the stand-in's chats: they type, press buttons, and see what is edited and answered.

It keeps updates as the real server does: until a later offset confirms them, for one poller at a time.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.eventually import eventually

BOT = {"id": 95, "is_bot": True, "first_name": "Phoenix", "username": "phoenix_bot"}
PATIENCE_S = 15.0


@dataclass
class Shown:
    """A message of the bot as it looks now."""

    message_id: int
    chat_id: int
    text: str
    buttons: Mapping[str, str]
    """Label → what it carries."""

    @property
    def title(self) -> str:
        """The first line."""
        return self.text.partition("\n")[0]


@dataclass(frozen=True)
class PressAnswer:
    """What somebody saw who pressed a button."""

    press_id: str
    text: str


class TelegramPeople:
    """Everybody who writes to the bot, and the part of the Bot API that concerns them."""

    def __init__(self) -> None:
        self.shown: dict[int, Shown] = {}
        self.answers: list[PressAnswer] = []
        self.menus: dict[str, list[dict[str, str]]] = {}
        self.polls = 0
        self.webhook_is_set = False
        self._updates: list[dict[str, Any]] = []
        self._next_update = 700
        self._next_press = 1
        self._news = asyncio.Event()
        self._polling: asyncio.Event | None = None

    # --- what people do ---

    def type(
        self,
        user_id: int,
        text: str,
        *,
        group: int | None = None,
        age_s: int = 0,
        update_id: int | None = None,
    ) -> int:
        """Type a message, in private or in a group, and return its update's id."""
        message = {
            "message_id": 1,
            "date": int(time.time()) - age_s,
            "chat": _chat(user_id if group is None else group),
            "from": _person(user_id),
            "text": text,
        }
        return self._add({"message": message}, update_id)

    def press(self, user_id: int, label: str, shown: Shown, *, chat_id: int | None = None) -> str:
        """Press a button that is under a message, and return the press's id."""
        return self.press_data(user_id, shown.buttons[label], shown.message_id, chat_id or shown.chat_id)

    def press_data(self, user_id: int, data: str, message_id: int, chat_id: int) -> str:
        """Press a button made up, or one that is gone."""
        press_id = f"press-{self._next_press}"
        self._next_press += 1
        message = {
            "message_id": message_id,
            "date": int(time.time()),
            "chat": _chat(chat_id),
            "text": "x",
            "from": BOT,
        }
        query = {
            "id": press_id,
            "from": _person(user_id),
            "message": message,
            "chat_instance": "1",
            "data": data,
        }
        self._add({"callback_query": query}, None)
        return press_id

    # --- what people see ---

    async def sees(self, text: str, *, after: int = 0) -> Shown:
        """Wait for a message that shows this text now, newer than message id `after`."""

        async def look() -> Any:
            return next((one for one in self._newest() if text in one.text and one.message_id > after), None)

        found: Shown = await eventually(look, PATIENCE_S, what=f"{text!r} in {[*self.shown.values()]}")
        return found

    async def is_answered(self, press_id: str) -> str:
        """Wait until a press was answered and return the text that was shown."""

        async def look() -> Any:
            return next((one for one in self.answers if one.press_id == press_id), None)

        found: PressAnswer = await eventually(look, PATIENCE_S, what=f"an answer to {press_id}")
        return found.text

    def counted(self, text: str) -> int:
        """Return how many messages show this text now."""
        return sum(text in one.text for one in self.shown.values())

    @property
    def unconfirmed(self) -> int:
        """How many updates wait for the bot."""
        return len(self._updates)

    # --- the Bot API ---

    async def respond(self, method: str, given: Mapping[str, Any]) -> web.Response | None:
        """Answer one of our methods; None for another."""
        match method:
            case "getUpdates":
                return await self._get_updates(given)
            case "setMyCommands":
                self.menus[str(given.get("language_code", ""))] = json.loads(given["commands"])
                return _result(True)
            case "answerCallbackQuery":
                self.answers.append(PressAnswer(given["callback_query_id"], str(given.get("text", ""))))
                return _result(True)
            case "editMessageText":
                return self._edit(given)
            case _:
                return None

    def sent(self, message_id: int, chat_id: str, text: str, given: Mapping[str, Any]) -> None:
        """Remember what a message looks like."""
        number = int(chat_id) if chat_id.lstrip("-").isdigit() else 1
        self.shown[message_id] = Shown(message_id, number, text, _buttons(given))

    def _edit(self, given: Mapping[str, Any]) -> web.Response:
        shown = self.shown.get(int(given["message_id"]))
        if shown is None:
            return _refusal(400, "Bad Request: message to edit not found")
        text, buttons = str(given["text"]), _buttons(given)
        if (shown.text, shown.buttons) == (text, buttons):
            return _refusal(400, "Bad Request: message is not modified")
        shown.text, shown.buttons = text, buttons
        body = {"message_id": shown.message_id, "date": 1, "chat": _chat(shown.chat_id), "text": text}
        return _result(body)

    async def _get_updates(self, given: Mapping[str, Any]) -> web.Response:
        self.polls += 1
        if self.webhook_is_set:
            return _refusal(409, "Conflict: can't use getUpdates method while webhook is active")
        offset = int(given.get("offset", 0))
        self._updates = [each for each in self._updates if each["update_id"] >= offset]
        mine = asyncio.Event()
        if self._polling is not None:
            self._polling.set()
        self._polling = mine
        try:
            if not self._updates:
                self._news.clear()
                await self._wait(mine, float(given.get("timeout", 0)))
            if mine.is_set():
                return _refusal(409, "Conflict: terminated by other getUpdates request")
            return _result(self._updates[: int(given.get("limit", 100))])
        finally:
            if self._polling is mine:
                self._polling = None

    async def _wait(self, mine: asyncio.Event, timeout_s: float) -> None:
        tasks = [asyncio.create_task(event.wait()) for event in (self._news, mine)]
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    def _add(self, update: dict[str, Any], update_id: int | None) -> int:
        if update_id is None:
            update_id = self._next_update
            self._next_update += 1
        self._updates.append({"update_id": update_id, **update})
        self._news.set()
        return update_id

    def _newest(self) -> list[Shown]:
        return sorted(self.shown.values(), key=lambda one: one.message_id, reverse=True)


def _person(user_id: int) -> dict[str, Any]:
    return {"id": user_id, "is_bot": False, "first_name": f"User {user_id}"}


def _chat(chat_id: int) -> dict[str, Any]:
    return {"id": chat_id, "type": "private" if chat_id > 0 else "supergroup", "title": "t"}


def _buttons(given: Mapping[str, Any]) -> dict[str, str]:
    markup = json.loads(given["reply_markup"]) if given.get("reply_markup") else {}
    rows = markup.get("inline_keyboard", [])
    return {each["text"]: each["callback_data"] for row in rows for each in row}


def _result(result: object) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _refusal(status: int, description: str) -> web.Response:
    return web.json_response({"ok": False, "error_code": status, "description": description}, status=status)
