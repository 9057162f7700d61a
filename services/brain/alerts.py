"""From the text of an alert to a `Signal`: reading, checking and normalising, as a table of fields.

Pure. It knows every name and form in which TradingView users send a value; it must never check a secret, keep
one in the signal, or guess a value that was sent wrongly: a bad field is refused with its name, what came and
what to do.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from services.brain.alert_body import AlertFault, text_without_secrets
from shared import ids
from shared.money import ONE, ZERO
from shared.values import Action, Signal

TEXT_CHARS_MAX = 128
PRICE_MIN = Decimal("0.00000001")  # what a NUMERIC(20,8) column can tell from zero
AMOUNT_MAX = Decimal(10) ** 12 - ONE
STRATEGY_DEFAULT = "tradingview"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9]{2,20}USDT", re.ASCII)
_PERPETUAL_ENDINGS = (".P", "PERP")

WORDS = {
    "buy": Action.LONG,
    "long": Action.LONG,
    "sell": Action.SHORT,
    "short": Action.SHORT,
    "close": Action.EXIT,
    "exit": Action.EXIT,
    "flat": Action.EXIT,
}
POSITIONS = {"long": Action.LONG, "short": Action.SHORT, "flat": Action.EXIT}


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The circumstances in which an alert came in, and what its fields are measured against.

    `known_symbols` empty means: not known yet, take any that looks like one. `secrets` are cut out of the
    kept text.
    """

    received_at: datetime
    instance: str
    known_symbols: Collection[str]
    confidence_default: Decimal
    dedupe_window_s: int
    secrets: tuple[str, ...]

    @property
    def mark(self) -> str:
        """Tell this receipt from every other one."""
        return f"{self.received_at.isoformat()}@{self.instance}"


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
        return value

    return read


def _text(raw: object) -> str:
    if isinstance(raw, bool) or not isinstance(raw, str | int | Decimal):
        raise _Unfit("send a string")
    text = str(raw).strip()
    if len(text) > TEXT_CHARS_MAX or not text.isprintable():
        raise _Unfit(f"send at most {TEXT_CHARS_MAX} printable characters")
    return text


def _symbol(raw: object) -> str:
    symbol = _text(raw).upper().rpartition(":")[2]
    for ending in _PERPETUAL_ENDINGS:
        symbol = symbol.removesuffix(ending)
    if not _SYMBOL.fullmatch(symbol):
        raise _Unfit("send a USDT perpetual such as BTCUSDT, BTCUSDT.P or BINANCE:BTCUSDT.P ({{ticker}})")
    return symbol


def _time(raw: object) -> datetime:
    wanted = "send an RFC 3339 time with its zone, such as 2026-01-31T12:00:00Z ({{timenow}})"
    try:
        moment = datetime.fromisoformat(_text(raw))
    except ValueError as error:
        raise _Unfit(wanted) from error
    if moment.tzinfo is None:
        raise _Unfit(wanted)
    return moment


def _one_of(words: Mapping[str, Action]) -> Callable[[object], Action]:
    def read(raw: object) -> Action:
        word = words.get(_text(raw).lower())
        if word is None:
            raise _Unfit(f"send one of {', '.join(words)}")
        return word

    return read


@dataclass(frozen=True)
class Field:
    """One value of an alert: the names it may come under (first one found wins) and how it is read."""

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


def signal_from(fields: Mapping[str, object], receipt: Receipt) -> Signal:
    """Return the signal that the alert's fields ask for.

    Raises:
        AlertFault: a field is missing, unfit, unresolved, or contradicts another.
    """
    alert = _read(fields)
    action = _action(alert)
    known = receipt.known_symbols
    if action is not Action.EXIT and known and alert.symbol not in known:  # an exit is never held up (P9)
        raise AlertFault("symbol", alert.symbol, "this exchange does not list it; check the chart's symbol")
    alert_text = text_without_secrets(fields, receipt.secrets)
    key, is_unique = dedupe_key(alert, action, alert_text)
    return Signal(
        signal_id=ids.signal_id(key if is_unique else f"{key}\x1f{receipt.mark}"),
        dedupe_key=key,
        dedupe_window_s=None if is_unique else receipt.dedupe_window_s,
        strategy=alert.strategy,
        symbol=alert.symbol,
        action=action,
        confidence=receipt.confidence_default if alert.confidence is None else alert.confidence,
        price=alert.price,
        rsi=alert.rsi,
        macd=alert.macd,
        bar_volume=alert.bar_volume,
        alert_time=alert.alert_time,
        received_at=receipt.received_at,
        alert_text=alert_text,
    )


def dedupe_key(alert: Alert, action: Action, alert_text: str) -> tuple[str, bool]:
    """Return what makes the alert the same as another, and whether that holds for ever.

    An order id alone is no proof: TradingView's `strategy.order.id` is a name ("Long") that comes back with
    every trade. Without an alert id or a time the key therefore holds for a window only.
    """
    if alert.alert_id is not None:
        return f"alert:{ids.digest(alert.strategy, alert.alert_id)}", True
    parts = (alert.strategy, alert.symbol, alert.order_id or "", action.value, alert.contracts or "")
    if alert.alert_time is not None:
        return f"order:{ids.digest(*parts, alert.alert_time.astimezone(UTC).isoformat())}", True
    if alert.order_id is not None:
        return f"order:{ids.digest(*parts)}", False
    return f"body:{ids.digest(alert_text)}", False


def _read(fields: Mapping[str, object]) -> Alert:
    found: dict[str, object] = {}
    for field in FIELDS:
        for name in field.names:
            raw = fields.get(name)
            if raw is None or raw == "":
                continue
            found[field.name] = _checked(field, name, raw)
            break
    if "symbol" not in found:
        raise AlertFault("symbol", None, 'add "symbol": "{{ticker}}" to the alert message')
    return Alert(**found)  # type: ignore[arg-type]  # each reader of the table returns its field's type


def _checked(field: Field, name: str, raw: object) -> object:
    if isinstance(raw, str) and "{{" in raw:
        raise AlertFault(name, raw, "TradingView left this placeholder unresolved; check its spelling")
    try:
        return field.read(raw)
    except _Unfit as unfit:
        raise AlertFault(name, raw, str(unfit)) from None


def _action(alert: Alert) -> Action:
    """Return what the alert asks for; the position a strategy holds afterwards says more than its order."""
    word, position = alert.word, alert.position
    if Action.EXIT in (word, position):
        return Action.EXIT
    if word is None and position is None:
        raise AlertFault("action", None, f"send one of {', '.join(WORDS)}, or market_position")
    if word is None or position is None or word is position:
        chosen = position or word
        assert chosen is not None
        return chosen
    if alert.previous is position:
        raise AlertFault(
            "action", word.value, "the order only reduces a position; send close to close all of it"
        )
    raise AlertFault(
        "action", word.value, f"it contradicts market_position {position.value}; send one of them"
    )
