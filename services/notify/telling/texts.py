"""What a language is: one table of templates and words.

A line is a template over named values; a line of which a value is empty is left out. No rule lives here. A
new language is one more module like `texts_en` and one more row in `languages`; a test says what it lacks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from services.notify.telling.kinds import Kind
from shared.values import CloseReason, OutcomeKind, Side, TradingState


@dataclass(frozen=True)
class Text:
    """The templates of one kind of notification; `gist` is what a summary of many counts by."""

    title: str
    lines: tuple[str, ...] = ()
    gist: str = "{symbol}"

    def fill(self, values: Mapping[str, str]) -> tuple[str, str, str]:
        """Return title, body and gist; a template that names an unknown value is a `KeyError`."""
        body = [line.format_map(values) for line in self.lines if _has_all(line, values)]
        return self.title.format_map(values), "\n".join(body), self.gist.format_map(values)


@dataclass(frozen=True, kw_only=True)
class Language:
    """Every word NOTIFY says in one language."""

    texts: Mapping[Kind, Text]
    summaries: Mapping[Kind, str]
    """How `{count}` messages of a kind are summed up as `{parts}`."""
    sides: Mapping[Side, str]
    closes: Mapping[CloseReason, str]
    outcomes: Mapping[OutcomeKind, str]
    states: Mapping[TradingState, str]
    meanings: Mapping[TradingState, str]
    reasons: Mapping[str, str]
    """Reasons and checks by the name the services give them; an unknown one is shown as its name."""
    alerts: Mapping[str, str]
    """Titles of our own alerts by their stable name."""
    advice: Mapping[str, str]
    """What an alert means, in languages that its own text is not written in."""
    measures: tuple[tuple[str, str], ...]
    """Phrases inside measured values and limits: pattern and replacement."""
    phrases: Mapping[str, str]
    units: tuple[str, str, str, str]
    """Day, hour, minute, second."""

    def reason(self, name: str) -> str:
        """Return a reason in words; `closed:stop_loss` and the like are read part by part."""
        front, colon, rest = name.partition(":")
        if colon:
            return f"{self.reason(front)}: {self.reason(rest)}"
        closes = {close.value: words for close, words in self.closes.items()}
        return self.reasons.get(name) or closes.get(name) or name.replace("_", " ")


def _has_all(template: str, values: Mapping[str, str]) -> bool:
    return all(values[name] for _, name, _, _ in Formatter().parse(template) if name)
