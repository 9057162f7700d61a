"""What passes through a chat: what people type and press, what is answered, and how long that may be.

Pure, and no chat's own words: the adapter translates. Lengths are counted as Telegram does, in UTF-16 units.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.notify.telling.lengths import CUT, cut, utf16_units
from services.notify.telling.pacing import Barred, Busy, Refused, Unreachable

MESSAGE_UNITS_MAX = 4_096
LINE_UNITS_MAX = 1_000
PAGES_MAX = 3
BUTTON_ROWS_MAX = 12
CALLBACK_BYTES_MAX = 64


@dataclass(frozen=True)
class Place:
    """The chat in which something happened; `name` is a public one's, without @, `topic_id` is a topic's."""

    chat_id: int
    is_private: bool
    name: str | None = None
    topic_id: int | None = None


@dataclass(frozen=True)
class Typed:
    """Somebody wrote a message."""

    update_id: int
    user_id: int
    place: Place
    text: str
    sent_at: datetime


@dataclass(frozen=True)
class Pressed:
    """Somebody pressed a button under a message of ours; without `place` the message is out of reach."""

    update_id: int
    user_id: int
    place: Place | None
    message_id: int
    press_id: str
    data: str


Update = Typed | Pressed


@dataclass(frozen=True)
class PolledElsewhere:
    """Another bot instance asks with the same token, or a webhook is set."""

    why: str


@dataclass(frozen=True)
class Fetched:
    """One update as it came; `update` is None for what we did not ask for."""

    update_id: int
    update: Update | None


Trouble = Busy | Unreachable | Barred | Refused
Polled = Sequence[Fetched] | Trouble | PolledElsewhere


@dataclass(frozen=True)
class Button:
    """A button under a message; `data` comes back when it is pressed."""

    label: str
    data: str

    def __post_init__(self) -> None:
        assert fits_button(self.data)


def fits_button(data: str) -> bool:
    """Tell whether a button can carry this."""
    return 0 < len(data.encode()) <= CALLBACK_BYTES_MAX


@dataclass(frozen=True)
class Reply:
    """One answer: a title, which is shown bold, lines, and rows of buttons."""

    title: str
    lines: Sequence[str] = ()
    buttons: Sequence[Sequence[Button]] = ()

    @property
    def text(self) -> str:
        """The message as it arrives."""
        return "\n".join((self.title, *self.lines))


def units(text: str) -> int:
    """Return the length of a text as Telegram counts it."""
    return utf16_units(text)


def pages(reply: Reply) -> tuple[Reply, ...]:
    """Return the reply as messages that fit, at most `PAGES_MAX`; the last one has the buttons and says what
    is missing.
    """
    reply = replace(
        reply,
        title=_cut(reply.title),
        lines=[_cut(line) for line in reply.lines],
        buttons=reply.buttons[:BUTTON_ROWS_MAX],
    )
    whole = _split(reply)
    if len(whole) > PAGES_MAX:
        missing = sum(len(page.lines) for page in whole[PAGES_MAX:])
        last = whole[PAGES_MAX - 1]
        whole = [*whole[: PAGES_MAX - 1], replace(last, lines=[*last.lines, f"{CUT} +{missing}"])]
    bare = [replace(page, buttons=()) for page in whole[:-1]]
    return (*bare, replace(whole[-1], buttons=reply.buttons))


def first_page(reply: Reply) -> Reply:
    """Return what fits into one message, for where there can be only one; it keeps the buttons."""
    front, *others = pages(reply)
    if not others:
        return front
    return replace(front, lines=[*front.lines, CUT], buttons=reply.buttons[:BUTTON_ROWS_MAX])


def _split(reply: Reply) -> list[Reply]:
    room = MESSAGE_UNITS_MAX - units(reply.title) - len(f"\n{CUT} +9999")
    found: list[Reply] = []
    lines: list[str] = []
    used = 0
    for line in reply.lines:
        cost = units(line) + 1
        if lines and used + cost > room:
            found.append(Reply(reply.title, lines))
            lines, used = [], 0
        lines.append(line)
        used += cost
    return [*found, Reply(reply.title, lines)]


def _cut(text: str) -> str:
    """Return one line within its bound."""
    return cut(text, LINE_UNITS_MAX)
