"""Which known symbol somebody meant who typed another one. Pure; it must never choose for them."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SUGGESTIONS_MAX = 3
QUOTE = "USDT"


def meant(given: str, held: Iterable[str], listed: Iterable[str] = ()) -> Sequence[str]:
    """Return the symbols that `given` most likely means, the likeliest first: what is held before what is
    only listed.
    """
    found: list[str] = []
    for known in (sorted(set(held)), sorted(set(listed))):
        whole = [f"{given}{QUOTE}"] if f"{given}{QUOTE}" in known else []
        front = [symbol for symbol in known if given and symbol.startswith(given)]
        found += [*whole, *front, *get_close_matches(given, known, SUGGESTIONS_MAX)]
    return list(dict.fromkeys(found))[:SUGGESTIONS_MAX]


def did_you_mean(symbols: Sequence[str]) -> str:
    """Return the question that names them, empty when there is none."""
    return f"Did you mean {' or '.join(symbols)}?" if symbols else ""
