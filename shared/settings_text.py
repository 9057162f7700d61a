"""The text of a settings file as every reader of it sees it: services, the start, the command line. Pure.

A file is `KEY=value` lines in UTF-8, with `#` for comments, quotation marks around what has blanks, and
`export` before a key if somebody likes that; python-dotenv's grammar decides. Names may be written in small
letters, as in the environment. Values are taken as they are: nothing is put in for `${…}`. What cannot be
read is a fault with its line and a remedy; it must never be passed over in silence, and never be shown: it
may be a secret.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO

from dotenv.parser import Binding, parse_stream

PREFIX = "PHOENIX_"

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@+=,%{}\[\]*?&()!~^<>|;-]*")
_REFERENCE = re.compile(r"\$\{\w+\}|\$\(\w")
_CURLY_QUOTES = "“”„‘’‚"

_FORMS = (
    (re.compile(r"\s*(;|//|--|REM\b)", re.I), "this is no comment", "Begin comments with #."),
    (
        re.compile(r"\s*(set\s|setx\s|\$env:)", re.I),
        "this is a command of a shell",
        "Write KEY=value, with nothing before the key.",
    ),
    (
        re.compile(r"\s*[\w.]+-[\w.-]*\s*="),
        "the name has other characters than letters, digits and _",
        "Write it with _ instead.",
    ),
    (
        re.compile(r"\s*(-\s*)?['\"]?\w+['\"]?\s*:", re.I),
        "this is YAML",
        "Write KEY=value, with = instead of the colon.",
    ),
    (
        re.compile(r"\s*(export\s+)?[\w.-]+\s*=\s*(['\"]).*\2\s*[^#\s]", re.I),
        "something follows the closing quotation mark",
        "Write the value once more between quotation marks, with \\ before those that belong to it.",
    ),
    (
        re.compile(r"\s*(export\s+)?[\w.-]+\s*=\s*['\"]", re.I),
        "a quotation mark is not closed, so the lines below belong to it",
        "Close it on the same line.",
    ),
)


@dataclass(frozen=True)
class Entry:
    """One assignment: its name in capitals, its value, and the line on which it begins."""

    key: str
    value: str
    line: int


@dataclass(frozen=True)
class Fault:
    """What cannot be read, or is worth a look: where, what, and what to do.

    `is_serious` says that a setting of ours may be meant: a service does not start with that.
    """

    line: int
    said: str
    do: str
    is_serious: bool = True


@dataclass(frozen=True)
class SettingsText:
    """What a file says."""

    entries: tuple[Entry, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def values(self) -> dict[str, str]:
        """The value of every name; of a name that is set twice, the last."""
        return {entry.key: entry.value for entry in self.entries}

    @property
    def lines(self) -> dict[str, int]:
        """The line of every value."""
        return {entry.key: entry.line for entry in self.entries}


class UnreadableText(ValueError):
    """The bytes are no text that can be read; carries the fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"line {fault.line}: {fault.said}. {fault.do}")
        self.fault = fault


def decoded(data: bytes) -> str:
    """Return the text of a file, without the mark that Windows editors put before UTF-8.

    Raises:
        UnreadableText: it is in another encoding.
    """
    remedy = "Save the file as UTF-8 (Notepad: Save as; PowerShell: Out-File -Encoding utf8)."
    if data.startswith(_UTF16_MARKS) or b"\0" in data:
        raise UnreadableText(Fault(1, "the file is saved as UTF-16, or is no text", remedy))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableText(Fault(line, "a character is not in UTF-8", remedy)) from None


def parsed(text: str) -> SettingsText:
    """Return what the text of a file says."""
    entries: list[Entry] = []
    faults: list[Fault] = []
    for binding in parse_stream(StringIO(text)):
        line = binding.original.line + _blank_lines_before(binding.original.string)
        if (fault := _fault(binding, line)) is not None:
            faults.append(fault)
        if binding.key is None or binding.value is None or _NAME.fullmatch(binding.key) is None:
            continue
        entries.append(Entry(binding.key.upper(), binding.value, line))
        faults += _notes(entries)
    return SettingsText(tuple(entries), tuple(faults))


def merged(text: str, values: Iterable[tuple[str, str]]) -> str:
    """Return the text with changed values replaced in place and new names appended; comments stay."""
    wanted = dict(values)
    before = parsed(text).values
    pieces = []
    for binding in parse_stream(StringIO(text)):
        key = (binding.key or "").upper()
        is_changed = binding.value is not None and key in wanted and before.get(key) != wanted[key]
        pieces.append(f"{assignment(key, wanted[key])}\n" if is_changed else binding.original.string)
    body = "".join(pieces)
    if body and not body.endswith("\n"):
        body += "\n"
    return body + "".join(f"{assignment(key, value)}\n" for key, value in wanted.items() if key not in before)


def assignment(key: str, value: str) -> str:
    """Return a line that is read back as exactly this value."""
    if _PLAIN_VALUE.fullmatch(value):
        return f"{key}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def _blank_lines_before(original: str) -> int:
    """Count the line ends that the grammar counts to an assignment, before it."""
    return original[: len(original) - len(original.lstrip())].count("\n")


def _fault(binding: Binding, line: int) -> Fault | None:
    """Return what is wrong with a piece of the file; None when it is an assignment or a comment."""
    text = binding.original.string
    is_ours = PREFIX.rstrip("_") in text.upper()
    if binding.error or (binding.key is not None and _NAME.fullmatch(binding.key) is None):
        said, do = _form(text)
        return Fault(line, said, do, is_ours)
    if binding.key is None:
        return None
    if binding.value is None:
        return Fault(line, "there is no = after the name", "Write KEY=value, or delete the line.", is_ours)
    if binding.value[:1] and binding.value[0] in _CURLY_QUOTES:
        return Fault(line, "the quotation marks are curly", "Write ' or \" instead.", is_ours)
    return None


def _form(text: str) -> tuple[str, str]:
    """Return what a piece that is no assignment seems to be, and what to write instead."""
    for form, said, do in _FORMS:
        if form.match(text):
            return said, do
    return "this is no KEY=value", "Write KEY=value, or begin a comment with #."


def _notes(entries: list[Entry]) -> list[Fault]:
    """Return what is worth a look about the newest entry."""
    newest = entries[-1]
    if not newest.key.startswith(PREFIX):
        return []
    notes = [
        Fault(newest.line, f"{newest.key} is set on line {entry.line} too", "The last one counts.", False)
        for entry in entries[:-1]
        if entry.key == newest.key
    ]
    if _REFERENCE.search(newest.value):
        notes.append(
            Fault(newest.line, f"{newest.key} names a variable", "It is not replaced: write it out.", False)
        )
    return notes[-1:]
