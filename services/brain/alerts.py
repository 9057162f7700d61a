"""From the fields of an alert to a `Signal`.

Pure. It must never check a secret nor keep one in the signal. A bad field of an entry is refused with its
name, what came and what to do. An exit needs its symbol and nothing else (P9): its bad fields are dropped,
and that is said.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from services.brain.alert_body import (
    AlertFault,
    AlertFields,
    MalformedBody,
    masked,
    text_without_secrets,
    without_secrets,
)
from services.brain.alert_fields import FIELDS, WORDS, Alert, read
from shared import ids
from shared.symbols import ADVICE, NoSymbol, symbol_of, why_not_traded
from shared.values import Action, Signal


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


def signal_from(fields: AlertFields, receipt: Receipt) -> Signal:
    """Return the signal that the alert's fields ask for.

    Raises:
        AlertFault: a field is missing, unfit, unresolved, or contradicts another.
        MalformedBody: not a JSON object, and not surely an exit either.
    """
    fields = without_secrets(fields, receipt.secrets)
    found, faults = read(fields)
    if _is_exit(found):
        alert = _alert_of(found, faults, receipt.known_symbols)
        action, dropped = Action.EXIT, _dropped(fields, faults, receipt)
    else:
        alert = _entry(fields, found, faults, receipt.known_symbols)
        action, dropped = _direction(alert), ()
    alert_text = text_without_secrets(fields.sent, receipt.secrets)
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
        dropped=dropped or msgspec.UNSET,
    )


def wanted(fields: AlertFields, secrets: tuple[str, ...]) -> tuple[Action | None, str | None]:
    """Return what a refused alert asked for and in which market, as far as that can be read."""
    found, _ = read(without_secrets(fields, secrets))
    symbols = _symbols(found.get("symbol", ()), ())
    said = [*found.get("position", ()), *found.get("word", ())]
    action = (
        Action.EXIT if _is_exit(found) else next((each for each in said if isinstance(each, Action)), None)
    )
    return action, symbols[0] if symbols else None


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


def _is_exit(found: Mapping[str, list[object]]) -> bool:
    """Tell whether anything in the alert says that the position ends: that side of a doubt is safe."""
    return Action.EXIT in found.get("word", ()) or Action.EXIT in found.get("position", ())[:1]


def _alert_of(
    found: Mapping[str, list[object]], faults: Mapping[str, AlertFault], known: Collection[str]
) -> Alert:
    """Return the alert that the fitting values make; only its symbol cannot be done without."""
    first = {name: values[0] for name, values in found.items()}
    symbols = _symbols(found.get("symbol", ()), known)
    fault = faults.get("symbol")
    if not symbols and "symbol" in first:
        raise AlertFault("symbol", first["symbol"], ADVICE)
    if not symbols or (fault is not None and len(set(symbols)) > 1):
        raise fault or AlertFault("symbol", None, 'add "symbol": "{{ticker}}" to the alert message')
    return Alert(**(first | {"symbol": symbols[0]}))  # type: ignore[arg-type]  # each reader returns its field's type


def _symbols(sent: Iterable[object], known: Collection[str]) -> list[str]:
    symbols = []
    for text in sent:
        with suppress(NoSymbol):
            symbols.append(symbol_of(str(text), known))
    return symbols


def _entry(
    fields: AlertFields,
    found: Mapping[str, list[object]],
    faults: Mapping[str, AlertFault],
    known: Collection[str],
) -> Alert:
    """Return the alert of an entry, which must be whole: money is put at stake on what it says."""
    if fields.fault is not None:
        raise MalformedBody(fields.fault)
    for field in FIELDS:
        if field.name in faults:
            raise faults[field.name]
    alert = _alert_of(found, faults, known)
    if known and alert.symbol not in known:  # else RISK judges it; an exit is never held up (P9)
        raise AlertFault("symbol", alert.symbol, why_not_traded(alert.symbol))
    return alert


def _dropped(fields: AlertFields, faults: Mapping[str, AlertFault], receipt: Receipt) -> tuple[str, ...]:
    """Return in words what an exit was carried out without."""
    told = [] if fields.fault is None else [f"{fields.fault}; only what an exit needs was read from it"]
    told += [str(fault) for fault in faults.values()]
    return tuple(masked(each, receipt.secrets) for each in told)


def _direction(alert: Alert) -> Action:
    """Return which way an entry goes; the position a strategy holds afterwards says more than its order."""
    word, position = alert.word, alert.position
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
