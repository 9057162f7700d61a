"""What a story is made of: chapters of marked lines. Pure values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Payload = Mapping[str, Any]


class Mark(StrEnum):
    """What a line says about what it tells."""

    NONE = ""
    GOOD = "good"
    CHANGED = "changed"
    BAD = "bad"


@dataclass(frozen=True)
class Line:
    """One line of a chapter."""

    text: str
    mark: Mark = Mark.NONE


@dataclass(frozen=True)
class Chapter:
    """One thing that happened, `at_ms` after the alert (None: not a moment)."""

    title: str
    at_ms: int | None
    lines: Sequence[Line] = field(default_factory=tuple)


Narration = tuple[str, Sequence[Line]]
"""A title and its lines."""
