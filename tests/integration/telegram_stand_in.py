"""A stand-in for api.telegram.org: it takes sendMessage, sendPhoto and getMe as the real server does.

It can be told to answer badly, to hang, and to vanish. `python -m tests.integration.telegram_stand_in --port
P` prints each message as a JSON line, for end-to-end tests and for trying things by hand. It must never be
lenient: what the real server refuses (an empty text, one that is too long) is refused here.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.integration.telegram_markup import CAPTION_CHARS_MAX, TEXT_CHARS_MAX, shown
from tests.integration.telegram_people import TelegramPeople

SENDING = {"sendMessage": ("text", TEXT_CHARS_MAX), "sendPhoto": ("caption", CAPTION_CHARS_MAX)}
"""Methods that put something into a chat: where their text stands, and how long it may be."""
HOST = "127.0.0.1"
MESSAGES_KEPT_MAX = 10_000


@dataclass(frozen=True)
class Message:
    """One message that arrived in a chat, as a person sees it."""

    message_id: int
    chat_id: str
    text: str
    token: str
    is_silent: bool = False
    picture_bytes: int = 0
    at_s: float = field(default_factory=time.monotonic)
    topic_id: str = ""
    parse_mode: str = ""


@dataclass(frozen=True)
class Trouble:
    """How one request is to be answered badly; `arrives` when the message is kept all the same."""

    status: int
    description: str = ""
    retry_after_s: int | None = None
    migrate_to_chat_id: int | None = None
    hang_s: float = 0.0
    arrives: bool = False


class TelegramStandIn:
    """One local Bot API server. Use it with `async with`; it keeps its port while it is away."""

    def __init__(self, port: int = 0, tell: Callable[[Message], None] | None = None) -> None:
        self.port = port
        self.messages: deque[Message] = deque(maxlen=MESSAGES_KEPT_MAX)
        self.requests = 0
        self.people = TelegramPeople()
        self.always: dict[str, Trouble] = {}
        """How every message to a chat is answered badly, by its id; `id/topic` for a topic of it."""
        self._troubles: deque[Trouble] = deque()
        self._tell = tell
        self._runner: web.AppRunner | None = None
        self._arrived = asyncio.Condition()
        self._next_id = 1

    @property
    def url(self) -> str:
        """Value for PHOENIX_TELEGRAM_BASE_URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def texts(self) -> list[str]:
        """The texts of all messages, in order of arrival."""
        return [message.text for message in self.messages]

    async def __aenter__(self) -> Self:
        await self.appear()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.vanish()

    async def appear(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def vanish(self) -> None:
        """Stop listening and drop every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def answer_next_with(self, *troubles: Trouble) -> None:
        """Answer the next requests badly, one by one, then well again."""
        self._troubles.extend(troubles)

    def forget_troubles(self) -> None:
        """Answer well from the next request on."""
        self._troubles.clear()

    async def wait_for(self, condition: Callable[[list[str]], bool], timeout_s: float) -> list[str]:
        """Wait until the texts satisfy `condition` and return them; `TimeoutError` shows what there was."""
        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                await self._arrived.wait_for(lambda: condition(self.texts))
        except TimeoutError:
            raise TimeoutError(f"after {timeout_s} s the chat holds {self.texts}") from None
        return self.texts

    async def _answer(self, request: web.Request) -> web.Response:
        given = await (request.json() if request.content_type == "application/json" else request.post())
        answered = await self.people.respond(request.match_info["method"], given)
        if answered is not None:
            return answered
        if request.match_info["method"] == "getMe":
            bot = {"id": 95, "is_bot": True, "first_name": "Phoenix", "username": "phoenix_bot"}
            return web.json_response({"ok": True, "result": bot})
        if request.match_info["method"] == "getChat":
            return web.json_response({"ok": True, "result": {"id": 1, "type": "private"}})
        if request.match_info["method"] not in SENDING:
            return _refusal(404, "Not Found")
        self.requests += 1
        where, chars_max = SENDING[request.match_info["method"]]
        chat_id, text = str(given.get("chat_id", "")), str(given.get(where, ""))
        seen = shown(text, str(given.get("parse_mode", "")))
        message = self._read(chat_id, seen if seen is not None else text, given, request)
        trouble = self._troubles.popleft() if self._troubles else self._standing_trouble(message)
        if trouble is not None:
            return await self._trouble(trouble, message)
        if seen is None:
            return _refusal(400, "Bad Request: can't parse entities: unsupported start tag")
        if not text:
            return _refusal(400, "Bad Request: message text is empty")
        if len(seen.encode("utf-16-le")) // 2 > chars_max:
            return _refusal(400, "Bad Request: message is too long")
        kept = await self._keep(message)
        self.people.sent(message.message_id, chat_id, message.text, given)
        return web.json_response({"ok": True, "result": kept})

    def _standing_trouble(self, message: Message) -> Trouble | None:
        topic = self.always.get(f"{message.chat_id}/{message.topic_id}")
        return topic if topic is not None else self.always.get(message.chat_id)

    def _read(self, chat_id: str, text: str, given: Mapping[str, object], request: web.Request) -> Message:
        photo = given.get("photo")
        picture_bytes = len(photo.file.read()) if isinstance(photo, web.FileField) else 0
        self._next_id += 1
        return Message(
            self._next_id - 1,
            chat_id,
            text,
            request.match_info["token"],
            str(given.get("disable_notification", "")).lower() == "true",
            picture_bytes,
            topic_id=str(given.get("message_thread_id", "")),
            parse_mode=str(given.get("parse_mode", "")),
        )

    async def _trouble(self, trouble: Trouble, message: Message) -> web.Response:
        if trouble.arrives:
            await self._keep(message)
        if trouble.hang_s:
            await asyncio.sleep(trouble.hang_s)
        return _refusal(
            trouble.status, trouble.description, trouble.retry_after_s, trouble.migrate_to_chat_id
        )

    async def _keep(self, message: Message) -> dict[str, object]:
        async with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()
        if self._tell is not None:
            self._tell(message)
        numeric = message.chat_id.lstrip("-").isdigit()
        chat = {"id": int(message.chat_id) if numeric else 1, "type": "private"}
        what = {"caption": message.text} if message.picture_bytes else {"text": message.text}
        return {"message_id": message.message_id, "date": int(time.time()), "chat": chat, **what}


def _refusal(
    status: int,
    description: str,
    retry_after_s: int | None = None,
    migrate_to_chat_id: int | None = None,
) -> web.Response:
    body: dict[str, object] = {"ok": False, "error_code": status, "description": description}
    if retry_after_s is not None:
        body["parameters"] = {"retry_after": retry_after_s}
    if migrate_to_chat_id is not None:
        body["parameters"] = {"migrate_to_chat_id": migrate_to_chat_id}
    return web.json_response(body, status=status)


def _print_line(message: Message) -> None:
    shown = {name: value for name, value in asdict(message).items() if name != "token"}
    print(json.dumps(shown, ensure_ascii=False), flush=True)


async def _serve(port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with TelegramStandIn(port, _print_line) as stand_in:
        print(f"telegram stand-in at {stand_in.url}", file=sys.stderr, flush=True)
        await stop.wait()


def main() -> None:
    """Serve until told to stop, printing each message as a JSON line on stdout."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.telegram_stand_in")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    asyncio.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
