"""The fields of an alert as a table: under which names each may come, and how its value is read.

Pure. It must never guess a value that was sent wrongly: what does not fit says what would. What fits can be
carried by a message and kept by the database.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from services.brain.alert_body import AlertFault, AlertFields
from shared.money import ONE, ZERO, carried
from shared.values import Action

TEXT_CHARS_MAX = 128
PRICE_MIN = Decimal("0.00000001")  # what a NUMERIC(20,8) column can tell from zero
AMOUNT_MAX = Decimal(10) ** 12 - ONE
INVISIBLE = " \t\r\n\xa0\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""What copying from a page or a chat leaves at the ends of a text: blanks, and marks that nobody sees."""
STRATEGY_DEFAULT = "tradingview"
YEARS = range(2000, 2100)
"""Times outside of them are a mistake, and those at the ends of the calendar fit no other zone."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_BETWEEN_WORDS = re.compile(r"[\s_-]+")

WORDS = {
    "buy": Action.LONG,
    "long": Action.LONG,
    "sell": Action.SHORT,
    "short": Action.SHORT,
    "close": Action.EXIT,
    "exit": Action.EXIT,
    "flat": Action.EXIT,
    "flatten": Action.EXIT,
    "closeposition": Action.EXIT,
    "exitposition": Action.EXIT,
}
"""Written together; `Close Position` and `close_position` are the same. One that names a side, such as
`close_long`, is none of them: an exit closes whichever side is open."""
POSITIONS = {"long": Action.LONG, "short": Action.SHORT, "flat": Action.EXIT}


class _Unfit(Exception):
    """A value does not fit; the text says what would."""


def _number(low: Decimal, high: Decimal, wanted: str) -> Callable[[object], Decimal]:
    def read(raw: object) -> Decimal:
        text = str(raw).strip()
        if isinstance(raw, bool) or not _NUMBER.fullmatch(text):
            raise _Unfit(f"send {wanted}, as a JSON number or a string")
        value = Decimal(text)
        if not low <= value <= high:
            raise _Unfit(f"send {wanted}")
        return carried(value)

    return read


def _text(raw: object) -> str:
    if isinstance(raw, bool) or not isinstance(raw, str | int | Decimal):
        raise _Unfit("send a string")
    text = str(raw).strip(INVISIBLE)
    if len(text) > TEXT_CHARS_MAX or not text.isprintable():
        raise _Unfit(f"send at most {TEXT_CHARS_MAX} printable characters")
    return text


def _symbol(raw: object) -> str:
    return _text(raw)  # which market that is, is seen when the list is at hand


def _time(raw: object) -> datetime:
    wanted = "send an RFC 3339 time with its zone, such as 2026-01-31T12:00:00Z ({{timenow}})"
    try:
        moment = datetime.fromisoformat(_text(raw))
    except ValueError as error:
        raise _Unfit(wanted) from error
    if moment.tzinfo is None or moment.year not in YEARS:
        raise _Unfit(wanted)
    return moment.astimezone(UTC)


def _one_of(words: Mapping[str, Action]) -> Callable[[object], Action]:
    def read(raw: object) -> Action:
        word = words.get(_BETWEEN_WORDS.sub("", _text(raw).lower()))
        if word is None:
            raise _Unfit(f"send one of {', '.join(words)}")
        return word

    return read


@dataclass(frozen=True)
class Field:
    """One value of an alert: the names it may come under (first one that fits wins) and how it is read."""

    name: str
    names: tuple[str, ...]
    read: Callable[[object], object]


_positive = _number(PRICE_MIN, AMOUNT_MAX, "a price above zero, in USDT")

FIELDS = (
    Field("symbol", ("symbol", "ticker"), _symbol),
    Field("word", ("action", "side", "order_action"), _one_of(WORDS)),
    Field("position", ("market_position",), _one_of(POSITIONS)),
    Field("previous", ("prev_market_position",), _one_of(POSITIONS)),
    Field("strategy", ("strategy", "strategy_id"), _text),
    Field("confidence", ("confidence",), _number(ZERO, ONE, "a fraction between 0 and 1")),
    Field("price", ("price", "close"), _positive),
    Field("rsi", ("rsi",), _number(ZERO, Decimal(100), "an RSI between 0 and 100")),
    Field("macd", ("macd",), _number(-AMOUNT_MAX, AMOUNT_MAX, "the MACD line, in USDT")),
    Field("bar_volume", ("volume",), _number(ZERO, AMOUNT_MAX**2, "a volume of zero or more")),
    Field("alert_id", ("alert_id",), _text),
    Field("order_id", ("order_id",), _text),
    Field("contracts", ("contracts",), _text),
    # Not `time`: that is the opening of the bar, which for a daily chart is a day ago.
    Field("alert_time", ("timenow", "alert_time"), _time),
)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of an alert, each read and within its range; None where the alert said nothing."""

    symbol: str
    word: Action | None = None
    position: Action | None = None
    previous: Action | None = None
    strategy: str = STRATEGY_DEFAULT
    confidence: Decimal | None = None
    price: Decimal | None = None
    rsi: Decimal | None = None
    macd: Decimal | None = None
    bar_volume: Decimal | None = None
    alert_id: str | None = None
    order_id: str | None = None
    contracts: str | None = None
    alert_time: datetime | None = None


def read(fields: AlertFields) -> tuple[dict[str, list[object]], dict[str, AlertFault]]:
    """Return every value of each field that fits, the first to win, and what is wrong with the others."""
    found: dict[str, list[object]] = {}
    faults: dict[str, AlertFault] = {}
    for field in FIELDS:
        for name, raw in _sent_as(field, fields):
            try:
                value = _checked(field, name, raw)
            except AlertFault as fault:
                faults.setdefault(field.name, fault)
            else:
                found.setdefault(field.name, []).append(value)
        several = [name for name in field.names if name in fields.repeated]
        if several:
            values = ", ".join(map(str, fields.repeated[several[0]]))
            advice = "it stands more than once in the alert with different values; send it once"
            faults.setdefault(field.name, AlertFault(several[0], values, advice))
    return found, faults


def _sent_as(field: Field, fields: AlertFields) -> Iterator[tuple[str, object]]:
    """Yield each value of a field with the name it came under, the one that counts first."""
    for name in field.names:
        raw = fields.named.get(name)
        for value in (raw, *(each for each in fields.repeated.get(name, ()) if each != raw)):
            if value is not None and value != "":
                yield name, value


def _checked(field: Field, name: str, raw: object) -> object:
    if isinstance(raw, str) and "{{" in raw:
        raise AlertFault(name, raw, "TradingView left this placeholder unresolved; check its spelling")
    try:
        return field.read(raw)
    except _Unfit as unfit:
        raise AlertFault(name, raw, str(unfit)) from None
