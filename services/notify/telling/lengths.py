"""Lengths of messages in UTF-16 units, the unit in which Telegram counts, and texts cut or split to fit.

Pure. It must never cut a character in two: half of one makes the whole text unreadable for the server.
"""

from collections.abc import Sequence

CUT = "…"


def utf16_units(text: str) -> int:
    """Return the length of a text; a character beyond the basic plane, such as most emoji, counts as two."""
    return len(text) + sum(character > "\uffff" for character in text)


def cut(text: str, units_max: int) -> str:
    """Return `text`, with an ellipsis at its end where it is longer than `units_max` (≥ 1)."""
    if utf16_units(text) <= units_max:
        return text
    return _front(text, units_max - 1) + CUT


def split(text: str, units_max: int, parts_max: int) -> Sequence[str]:
    """Return `text` in at most `parts_max` parts that fit, at ends of lines where possible; the last one is
    cut when there is more.
    """
    parts: list[str] = []
    rest = text
    while len(parts) < parts_max - 1 and utf16_units(rest) > units_max:
        part = _front(rest, units_max)
        line_end = part.rfind("\n")
        if line_end > len(part) // 2:
            part = part[:line_end]
        parts.append(part)
        rest = rest[len(part) :].removeprefix("\n")
    return [*parts, cut(rest, units_max)]


def _front(text: str, units_max: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += 2 if character > "\uffff" else 1
        if used > units_max:
            return text[:index]
    return text
