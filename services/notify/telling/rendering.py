"""Notifications to chat messages: one by itself, or many in one, as plain text and as HTML for Telegram.

Pure. It must never let a text from outside become markup.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from services.notify.telling.kinds import Kind, Lane
from services.notify.telling.lengths import cut, utf16_units
from services.notify.telling.message_format import Notification, shortened
from services.notify.telling.texts import Language
from shared.values import Severity

MESSAGE_UNITS_MAX = 4_096
"""Telegram refuses more UTF-16 units than this after its markup is read."""
CAPTION_UNITS_MAX = 1_024
"""What goes below a picture."""
EVENT_TAIL_CHARS = 6
PARTS_MAX = 5
"""A summary names this many reasons and counts the rest."""

LISTED_MAX = 3
"""So few routine messages are listed one by one; more are summed up."""
LINE_CHARS_MAX = 200

MARKS = {Severity.INFO: "", Severity.WARNING: "⚠️ ", Severity.CRITICAL: "🚨 "}


@dataclass(frozen=True)
class Written:
    """One message as a channel gets it: a heading, the rest, and whether it comes without sound."""

    title: str
    body: str
    footer: str = ""
    is_silent: bool = False
    severity: Severity = Severity.INFO
    picture: bytes | None = None  # PNG
    instead: str = "Phoenix 95"
    """What is said where the receiver takes this message in no other form; nothing of it is from outside."""

    @property
    def plain(self) -> str:
        """The whole as text; what is too long loses the end of its body, never its footer."""
        return "\n".join(part for part in self._parts() if part)

    @property
    def html(self) -> str:
        """The whole in Telegram's HTML, with everything from outside escaped."""
        title, body, footer = self._parts()
        parts = (_tagged("b", title), escape(body, quote=False), _tagged("i", footer))
        return "\n".join(part for part in parts if part)

    @property
    def least(self) -> str:
        """The shortest form: that there is a message, when, and where to read it."""
        return "\n".join(part for part in (MARKS[self.severity] + self.instead, self.footer) if part)

    @property
    def fits_below_picture(self) -> bool:
        """Whether the whole can be the caption of a picture."""
        return utf16_units(self.plain) <= CAPTION_UNITS_MAX

    def _parts(self) -> tuple[str, str, str]:
        title = cut(self.title, CAPTION_UNITS_MAX)
        room = MESSAGE_UNITS_MAX - utf16_units(title) - utf16_units(self.footer) - 2
        return title, cut(self.body, room), self.footer


def render(batch: Sequence[Notification], words: Language, dropped: int = 0) -> Written:
    """Return one message: a notification, or many in one, and how many were `dropped` before."""
    lost = words.phrases["dropped"].format(count=dropped) if dropped else ""
    instead = words.phrases["unshowable"]
    if not batch:
        return Written(lost, "", is_silent=True, instead=instead)
    if len(batch) == 1:
        (one,) = batch
        body = "\n\n".join(part for part in (one.body, lost) if part)
        return Written(
            MARKS[one.severity] + one.title,
            body,
            _footer(one),
            one.is_silent,
            one.severity,
            instead=instead,
        )
    worst = max((one.severity for one in batch), key=list(Severity).index)
    is_few = batch[0].lane is not Lane.ROUTINE or len(batch) <= LISTED_MAX
    lines = _listed(batch) if is_few else _summed_up(batch, words)
    title = MARKS[worst] + words.phrases["digest"].format(count=len(batch), when=_when(batch))
    body = "\n".join(part for part in (*lines, lost) if part)
    is_silent = all(one.is_silent for one in batch)
    return Written(title, body, words.phrases["digest_all"], is_silent, worst, instead=instead)


def _listed(batch: Sequence[Notification]) -> list[str]:
    """One line for each: nothing that matters disappears in a sum. Equal ones stand once, counted."""
    counted = Counter(shortened(MARKS[one.severity] + _brief(one), LINE_CHARS_MAX) for one in batch)
    return [f"{title} ×{count}" if count > 1 else title for title, count in counted.items()]


def _brief(one: Notification) -> str:
    """A routine message in one line, with the number that its first line of text begins with."""
    first = one.body.partition("\n")[0]
    return f"{one.title} – {first}" if first and one.kind is Kind.DECISION_REJECTED else one.title


def _summed_up(batch: Sequence[Notification], words: Language) -> list[str]:
    """One line for each kind, by what its messages have in common, the most frequent first."""
    gists: dict[Kind, Counter[str]] = {}
    for one in batch:
        gists.setdefault(one.kind, Counter())[one.gist] += 1
    by_count = sorted(gists.items(), key=lambda item: -item[1].total())
    return [
        words.summaries[kind].format(count=counted.total(), parts=_parts(counted, words))
        for kind, counted in by_count
    ]


def _parts(counted: Counter[str], words: Language) -> str:
    told = counted.most_common(PARTS_MAX)
    rest = counted.total() - sum(count for _, count in told)
    parts = [f"{count} {gist}" if count > 1 or len(counted) > 1 else gist for gist, count in told]
    if rest:
        parts.append(words.phrases["more_parts"].format(count=rest))
    return ", ".join(parts)


def _when(batch: Sequence[Notification]) -> str:
    times = sorted(one.occurred_at for one in batch)
    since, until = f"{times[0]:%H:%M}", f"{times[-1]:%H:%M}"
    return since if since == until else f"{since}–{until}"


def _footer(one: Notification) -> str:
    """When it happened, and the tail of the fact's id: with it a repeat is recognised as one."""
    return f"{one.occurred_at:%H:%M:%S} UTC · {one.event_id[-EVENT_TAIL_CHARS:]}"


def _tagged(tag: str, text: str) -> str:
    return f"<{tag}>{escape(text, quote=False)}</{tag}>" if text else ""
