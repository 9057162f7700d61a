"""Notifications to chat messages: one by itself, or many in one, as plain text and as HTML for Telegram.

Pure. It must never let a text from outside become markup.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from services.notify.telling.kinds import Kind, Lane
from services.notify.telling.message_format import Notification, shortened
from services.notify.telling.texts import Language
from shared.values import Severity

MESSAGE_CHARS_MAX = 4_000
"""Telegram refuses more than 4096 after its markup is read; one character may count as two there."""
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

    @property
    def plain(self) -> str:
        """The whole as text."""
        return shortened(
            "\n".join(part for part in (self.title, self.body, self.footer) if part), MESSAGE_CHARS_MAX
        )

    @property
    def html(self) -> str:
        """The whole in Telegram's HTML, with everything from outside escaped."""
        room = MESSAGE_CHARS_MAX - len(self.title) - len(self.footer) - 2
        body = escape(shortened(self.body, max(1, room)), quote=False)
        parts = (_tagged("b", self.title), body, _tagged("i", self.footer))
        return "\n".join(part for part in parts if part)


def render(batch: Sequence[Notification], words: Language, dropped: int = 0) -> Written:
    """Return one message: a notification, or many in one, and how many were `dropped` before."""
    lost = words.phrases["dropped"].format(count=dropped) if dropped else ""
    if not batch:
        return Written(lost, "", is_silent=True)
    if len(batch) == 1:
        (one,) = batch
        body = "\n\n".join(part for part in (one.body, lost) if part)
        return Written(MARKS[one.severity] + one.title, body, _footer(one), one.is_silent, one.severity)
    worst = max((one.severity for one in batch), key=list(Severity).index)
    is_few = batch[0].lane is not Lane.ROUTINE or len(batch) <= LISTED_MAX
    lines = _listed(batch) if is_few else _summed_up(batch, words)
    title = MARKS[worst] + words.phrases["digest"].format(count=len(batch), when=_when(batch))
    body = "\n".join(part for part in (*lines, lost) if part)
    return Written(title, body, words.phrases["digest_all"], all(one.is_silent for one in batch), worst)


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
