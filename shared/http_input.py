"""What a request may bring along, as types for its body: symbols, numbers, words.

Pure. What is needed to act is refused when it is unfit; what is only for the record is mended and kept, so
that no reason, name or number holds up an exit (P9) or makes a message that nobody can read or keep.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from shared.money import carried
from shared.storable import storable
from shared.symbols import symbol_of

REMARK_CHARS_MAX = 200
REASON_CHARS_MAX = 500


def _symbol(text: str) -> str:
    return symbol_of(text)


def words(chars_max: int) -> Callable[[object], str]:
    """Return a reader of a text for the record: mended, cut, and empty when it is none."""

    def read(given: object) -> str:
        return storable(given)[:chars_max] if isinstance(given, str) else ""

    return read


SymbolName = Annotated[str, AfterValidator(_symbol)]
"""A market, however it is spelt, as the exchange names it."""

Number = Annotated[Decimal, AfterValidator(carried)]
"""A number as messages carry it; its field has a limit of its own."""

Remark = Annotated[str, BeforeValidator(words(REMARK_CHARS_MAX))]
"""A text that is only for the record."""

Reason = Annotated[str, BeforeValidator(words(REASON_CHARS_MAX)), Field(min_length=1)]
"""Why a person did something: it must be given, and is mended and cut for the record."""
