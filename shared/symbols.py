"""The one reader of symbols: from what somebody calls a market to the exchange's own name of it.

Pure. A name is judged by lists (what the exchange lists, what we hold), never by its shape: exchanges list
`WUSDT`, `1000PEPEUSDT` and `币安人生USDT`. What is refused here could be no name at all: nothing, too long,
or with characters that our own addresses, lists and filters give a meaning. It must never choose between two
markets: every spelling it takes means one.
"""

import re
import unicodedata
from collections.abc import Collection

SYMBOL_CHARS_MAX = 40
"""Twice the longest that Binance lists."""
QUOTE = "USDT"
"""What the contracts that are traded here are quoted in."""

_PERPETUAL_ENDINGS = (".P", "PERP")
_FOREIGN = frozenset("*,:;/\\<>{}[]()\"'`?#%&=|$@!^~+")
_DELIVERY = re.compile(r"_\d{6}$", re.ASCII)


class NoSymbol(ValueError):
    """A text could be the name of no market."""


ADVICE = "send the name of a market such as BTCUSDT, BTCUSDT.P or BINANCE:BTCUSDT.P ({{ticker}})"


def symbol_of(text: str, known: Collection[str] = ()) -> str:
    """Return the exchange's name of the market that `text` means.

    Of all its spellings the one that is `known` wins, however odd; with none known the plainest is returned.

    Raises:
        NoSymbol: it could be the name of no market.
    """
    spellings = _spellings(text[: 4 * SYMBOL_CHARS_MAX])
    for spelling in spellings:
        if spelling in known:
            return spelling
    plainest = spellings[-1]
    if not could_be(plainest):
        raise NoSymbol(ADVICE)
    return plainest


def could_be(name: str) -> bool:
    """Tell whether an exchange could list a market under this very name."""
    return (
        0 < len(name) <= SYMBOL_CHARS_MAX
        and name.isprintable()
        and not any(each.isspace() or each in _FOREIGN for each in name)
    )


def why_not_traded(symbol: str) -> str:
    """Say why a symbol that is not on the list is not, as far as its name shows, and what to do."""
    if _DELIVERY.search(symbol):
        perpetual = _DELIVERY.sub("", symbol)
        return f"this is a delivery contract; only perpetuals are traded here, such as {perpetual}"
    if not symbol.endswith(QUOTE):
        return f"only perpetuals quoted in {QUOTE} are traded here; check the chart's symbol"
    return "the exchange does not list it, or PHOENIX_FEED_SYMBOLS leaves it out; check the chart's symbol"


def _spellings(text: str) -> tuple[str, ...]:
    """Return what a text may mean, the most literal first: as it is, in capitals, then without what charts
    and libraries put around a name (`BINANCE:`, `.P`, `PERP`, `BTC/USDT:USDT`).
    """
    literal = unicodedata.normalize("NFC", text.strip())
    capitals = literal.upper()
    before, _, after = capitals.rpartition(":")
    bare = before if "/" in before else after
    for ending in _PERPETUAL_ENDINGS:
        bare = bare.removesuffix(ending) or bare
    return literal, capitals, bare, bare.replace("/", "").replace("-", "")
