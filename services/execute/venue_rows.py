"""Lists of the exchange, row by row: what cannot be read is set aside by name, and the rest is used. Pure.

One bad row is one symbol's trouble. What must not be taken for "nothing held" is named, so that whoever
judges money can tell "not there" from "not known". It must never guess a value.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")

UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, OverflowError)
"""What reading a payload of another shape raises; `decimal.InvalidOperation` is an ArithmeticError."""
WHY_CHARS_MAX = 120
NAME_CHARS_MAX = 40


class BadRow(NamedTuple):
    """One row that could not be read; `symbol` is None when it does not say whose it is."""

    symbol: str | None
    why: str


class Rows(NamedTuple, Generic[T]):
    """What a list holds, and what of it could not be read."""

    values: tuple[T, ...]
    bad: tuple[BadRow, ...] = ()

    def may_hide(self, symbol: str) -> bool:
        """Tell whether a row that could not be read may be about this symbol."""
        return any(row.symbol is None or row.symbol == symbol for row in self.bad)


def read_rows(rows: Iterable[Any], parse: Callable[[Any], T]) -> Rows[T]:
    """Parse each row by itself."""
    values: list[T] = []
    bad: list[BadRow] = []
    for row in rows:
        try:
            values.append(parse(row))
        except UNREADABLE as error:
            bad.append(BadRow(name_of(row), why_unreadable(error)))
    return Rows(tuple(values), tuple(bad))


def name_of(row: object) -> str | None:
    """Return the symbol that a row names, None when it names none."""
    symbol = row.get("symbol") if isinstance(row, Mapping) else None
    return symbol[:NAME_CHARS_MAX] if isinstance(symbol, str) and symbol else None


def why_unreadable(error: Exception) -> str:
    """Return in words what was wrong with a row."""
    what = f"no {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)
    return f"{what or type(error).__name__}"[:WHY_CHARS_MAX]


def told(bad: Iterable[BadRow]) -> str:
    """Return the bad rows as one line of a log or an error."""
    return "; ".join(f"{row.symbol or 'a row without a symbol'}: {row.why}" for row in bad)
