"""Where messages go: Telegram chats and apprise URLs, each with the least severity it is told.

Pure. A URL is a secret: it must never stand in a name, a log or an error.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.notify.telling.kinds import is_loud_enough
from shared.values import Severity

CHANNELS_MAX = 10
"""Each is a loop and a row per message: more is a mistake in the setting."""
TELEGRAM = "telegram"
NAME_DIGITS = 8

_CHAT = re.compile(r"^(?:(?P<least>info|warning|critical):)?(?P<address>(?:-?\d+|@\w+)(?:/\d+)?)$")
_URL = re.compile(r"^(?:(?P<least>info|warning|critical):)?(?P<address>(?P<kind>[a-z][a-z0-9]*)://\S+)$")
_NEXT_URL = re.compile(r"[\s,]+(?=(?:(?:info|warning|critical):)?[a-z][a-z0-9]*://)")


@dataclass(frozen=True)
class Channel:
    """One receiver. `name` is stable over restarts and safe to show; `kind` is a metric's label."""

    kind: str
    name: str
    address: str
    least: Severity

    def __repr__(self) -> str:
        return f"Channel({self.name}, {self.least})"

    def takes(self, severity: Severity) -> bool:
        """Tell whether this channel is told of such a message."""
        return is_loud_enough(severity, self.least)


def telegram_chats(text: str) -> Sequence[Channel]:
    """Read chats separated by commas, each a number or @name, with `warning:` or `critical:` before it and
    `/topic` after it.

    Raises:
        ValueError: one of them is neither, or stands twice.
    """
    found = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        match = _CHAT.match(part)
        if match is None:
            raise ValueError(
                f"`{part}` is no chat: write a number (negative for groups) or @channel, separated by commas,"
                " with `warning:` or `critical:` before it for a chat that is told no less than that, and"
                " `/` and a topic's number after it for a group with topics"
            )
        found.append(
            Channel(TELEGRAM, f"{TELEGRAM}:{match['address']}", match["address"], _least(match["least"]))
        )
    return _checked(found)


def chat_of(address: str) -> tuple[str, int | None]:
    """Return the chat of an address, and the topic in it if one is named."""
    chat, _, topic = address.partition("/")
    return chat, int(topic) if topic else None


def setting_of(kind: str) -> str:
    """Return the setting that names the channels of a kind."""
    return "PHOENIX_TELEGRAM_CHAT_ID" if kind == TELEGRAM else "PHOENIX_CHANNELS"


def apprise_channels(text: str) -> Sequence[Channel]:
    """Read apprise URLs separated by spaces or commas, with `warning:` or `critical:` before those that are
    told no less than that.

    Raises:
        ValueError: one of them is no URL, or stands twice; the message does not show it.
    """
    found = []
    parts = [part for part in _NEXT_URL.split(text.strip(" ,\n\t")) if part]
    for number, part in enumerate(parts, 1):
        match = _URL.match(part)
        if match is None:
            raise ValueError(
                f"number {number} is no apprise URL (slack://…, discord://…, mailto://…, json://…; `warning:`"
                " or `critical:` may stand before it)"
            )
        hashed = hashlib.sha256(match["address"].encode()).hexdigest()[:NAME_DIGITS]
        found.append(
            Channel(match["kind"], f"{match['kind']}:{hashed}", match["address"], _least(match["least"]))
        )
    return _checked(found)


def _least(name: str | None) -> Severity:
    return Severity(name) if name else Severity.INFO


def _checked(found: Sequence[Channel]) -> Sequence[Channel]:
    names = [channel.name for channel in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]} stands twice")
    if len(found) > CHANNELS_MAX:
        raise ValueError(f"{len(found)} channels are too many; at most {CHANNELS_MAX}")
    return tuple(found)
