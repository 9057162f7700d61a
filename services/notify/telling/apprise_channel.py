"""Slack, Discord, e-mail, webhooks and what else apprise knows: one channel per URL.

The library is synchronous, swallows every exception and answers False, and says why only in its log. Each
attempt runs in a thread of its own with a time-out here; at most one is under way per channel. A URL is a
secret: it must never reach a log or an error.
"""

import asyncio
import contextlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from urllib.parse import unquote

import apprise

from services.notify.telling.channels import Channel
from services.notify.telling.lengths import cut, split
from services.notify.telling.pacing import Answer, Barred, Delivered, Refused, Unreachable
from services.notify.telling.rendering import Written
from shared import logs
from shared.errors import OperatorNeeded
from shared.values import Severity

ATTEMPT_TIMEOUT_S = 10.0
INTERVAL_S = 1.0
"""Least time between two messages to one channel."""
WHY_CHARS_MAX = 200
SECRET_CHARS_MIN = 6
"""A shorter part of a URL is no secret worth cutting words for."""

PARTS_MAX = 5
"""A message is sent in at most so many; the last one is cut. A short message holds 160 characters."""
_FORM_REFUSED = re.compile(r"\b(?:400|413|414|422)\b|too (?:long|large)", re.IGNORECASE)
_RECEIVER_REFUSED = re.compile(r"\b(?:401|403|404|410)\b|unauthori[sz]ed|forbidden", re.IGNORECASE)
"""The library says in words what the service answered; there is nothing else to tell these apart by."""
TYPES = {
    Severity.INFO: apprise.NotifyType.INFO,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.CRITICAL: apprise.NotifyType.FAILURE,
}

_log = logs.get(__name__)


class _Complaints(logging.Handler):
    """Collects what the library logs, by thread, so that a refusal has a reason."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._by_thread: dict[int, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self._by_thread[record.thread or 0] = record.getMessage()

    def take(self) -> str:
        """Return the last complaint of the calling thread."""
        return self._by_thread.pop(threading.get_ident(), "apprise says no and not why")


_complaints = _Complaints()


class AppriseChannel:
    """One apprise URL."""

    def __init__(self, channel: Channel) -> None:
        service = apprise.Apprise.instantiate(channel.address)
        if not isinstance(service, apprise.NotifyBase):
            raise OperatorNeeded(
                f"PHOENIX_CHANNELS: apprise cannot use the URL that begins with {channel.kind}://; its"
                " documentation says how one for this service is written"
            )
        service.retry = 0
        self._name = channel.name
        self._secret = channel.address
        self._service = service
        self._under_way: asyncio.Future[Answer] | None = None
        library_log = logging.getLogger("apprise")
        library_log.propagate = False  # its lines may carry what the URL holds
        if _complaints not in library_log.handlers:
            library_log.addHandler(_complaints)

    async def send(self, message: Written) -> Answer:
        """Send one message and return what became of it; takes at most `ATTEMPT_TIMEOUT_S`."""
        if self._under_way is not None and not self._under_way.done():
            return Unreachable("an earlier attempt still hangs")
        self._under_way = _in_thread(lambda: self._notify(message))
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                answer = await asyncio.shield(self._under_way)
        except TimeoutError:
            answer = Unreachable(f"no answer within {ATTEMPT_TIMEOUT_S:.0f} s")
        if not isinstance(answer, Delivered):
            _log.warning("channel_message_not_delivered", channel=self._name, why=str(answer))
        return answer

    def _notify(self, message: Written) -> Answer:
        """Runs in a thread. What the service refuses for its form is said in the shortest one instead."""
        for title, body in self._parts(message):
            answer = self._attempt(title, body, message.severity)
            if isinstance(answer, Refused):
                answer = self._attempt("", message.least, message.severity)
                return Unreachable(answer.why) if isinstance(answer, Refused) else answer
            if not isinstance(answer, Delivered):
                return answer
        return Delivered()

    def _parts(self, message: Written) -> Sequence[tuple[str, str]]:
        """Return title and body of each message that the service is sent: within its own lengths, of which
        the library keeps none by itself.
        """
        text = "\n".join(part for part in (message.body, message.footer) if part) or message.title
        title_max, body_max = self._service.title_maxlen, self._service.body_maxlen
        if title_max > 0:
            title = cut(message.title, title_max)
            return [(title, part) for part in split(text, body_max, PARTS_MAX)]
        whole = f"{message.title}\n{text}" if text != message.title else text  # it has no titles
        return [("", part) for part in split(whole, body_max, PARTS_MAX)]

    def _attempt(self, title: str, body: str, severity: Severity) -> Answer:
        arrived = self._service.notify(body, title=title, notify_type=TYPES[severity])
        why = self._scrubbed(_complaints.take())  # also of a success: a thread's number comes again
        if arrived:
            return Delivered()
        if _FORM_REFUSED.search(why):
            return Refused(why)
        return Barred(why) if _RECEIVER_REFUSED.search(why) else Unreachable(why)

    def _scrubbed(self, why: str) -> str:
        """Cut what the URL holds out of a foreign message: each of its parts may be the secret."""
        for part in sorted(_parts(self._secret), key=len, reverse=True):
            why = why.replace(part, "***")
        return why[:WHY_CHARS_MAX]


def _parts(url: str) -> set[str]:
    _, _, rest = url.partition("://")
    for mark in "/:@?&=":
        rest = rest.replace(mark, " ")
    parts = {part for part in rest.split() if len(part) >= SECRET_CHARS_MIN}
    return {url} | parts | {unquote(part) for part in parts}  # the library tells it decoded


def _in_thread(work: Callable[[], Answer]) -> "asyncio.Future[Answer]":
    """Run `work` in a daemon thread: one that hangs must not hold up the end of the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    def run() -> None:
        answer: Answer = Unreachable("the library failed in a way of its own")
        with contextlib.suppress(Exception):  # a traceback of a thread would show the URL
            answer = work()
        with contextlib.suppress(RuntimeError):  # the process ended meanwhile
            loop.call_soon_threadsafe(settle, answer)

    threading.Thread(target=run, name="apprise", daemon=True).start()
    return future
