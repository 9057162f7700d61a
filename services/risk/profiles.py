"""RISK's limits: their names, ranges and units as one table, and the profiles that give them values.

Fractions are shares of equity unless the unit says otherwise. A limit from the profile may be overridden by
the settings and, on top, by the operator at run time; every override passes `with_changes`. It must never
judge a trade (`limits` does).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from shared.money import carried, plain
from shared.symbols import NoSymbol, symbol_of
from shared.values import RiskLevel, Value

D = Decimal

UNLIMITED = 0
"""As a value of the entry counts: not counted at all. Only the bench profile uses it."""


class Profile(StrEnum):
    """The named sets of limits that ship with Phoenix."""

    MISSION = "mission"
    BALANCED = "balanced"
    BENCH = "bench"


class OnOpposite(StrEnum):
    """What a signal against the standing position does."""

    CLOSE = "close"  # flatten the position, open nothing
    REVERSE = "reverse"  # flatten it and open the other side
    IGNORE = "ignore"


class Limits(Value, frozen=True, kw_only=True):
    """Every number RISK decides by; the defaults are the profile `mission`."""

    symbols_allowed: tuple[str, ...] = ()
    on_opposite: OnOpposite = OnOpposite.CLOSE
    risk_level_max: RiskLevel = RiskLevel.HIGH
    signal_age_max_s: Decimal = D(30)
    price_drift_max: Decimal = D("0.005")
    market_data_age_max_s: Decimal = D(5)
    account_data_age_max_s: Decimal = D(10)
    leverage_max: int = 20
    kelly_scale: Decimal = D("0.20")
    position_margin_max: Decimal = D("0.15")
    risk_per_trade_max: Decimal = D("0.02")
    stop_distance: Decimal = D("0.02")
    take_profit_distance: Decimal = D("0.02")
    liquidation_buffer: Decimal = D("0.10")
    probe_risk: Decimal = D("0.0025")
    probes_per_day_max: int = 2
    positions_max: int = 10
    portfolio_risk_max: Decimal = D("0.10")
    daily_loss_max: Decimal = D("0.05")
    drawdown_max: Decimal = D("0.15")
    entries_per_day_max: int = 100
    entries_per_minute_max: int = 10


PROFILES: Mapping[Profile, Limits] = {
    Profile.MISSION: Limits(),
    Profile.BALANCED: Limits(
        risk_per_trade_max=D("0.01"), portfolio_risk_max=D("0.04"), daily_loss_max=D("0.05")
    ),
    # Counts and portfolio limits are lifted and positions are tiny, so that load alone is measured.
    Profile.BENCH: Limits(
        risk_level_max=RiskLevel.CRITICAL,
        price_drift_max=D(1),
        market_data_age_max_s=D(60),
        account_data_age_max_s=D(60),
        kelly_scale=D("0.004"),
        probe_risk=D("0.00002"),
        probes_per_day_max=1_000_000,
        positions_max=100_000,
        portfolio_risk_max=D(1_000),
        daily_loss_max=D(1),
        drawdown_max=D(1),
        entries_per_day_max=UNLIMITED,
        entries_per_minute_max=UNLIMITED,
    ),
}


class LimitSpec(NamedTuple):
    """How one limit is read: its unit, its closed range (None for names), what it does."""

    unit: str
    low: Decimal | None
    high: Decimal | None
    about: str


SPECS: Mapping[str, LimitSpec] = {
    "symbols_allowed": LimitSpec(
        "symbols", None, None, "symbols that may be entered, comma-separated; empty = all listed"
    ),
    "on_opposite": LimitSpec(
        "choice", None, None, "close | reverse | ignore a signal against the standing position"
    ),
    "risk_level_max": LimitSpec(
        "choice", None, None, "worst market still entered: low | medium | high | critical"
    ),
    "signal_age_max_s": LimitSpec("s", D(1), D(3_600), "an older entry expires"),
    "price_drift_max": LimitSpec(
        "fraction of price", D("0.0001"), D(1), "price moved further since the alert: expires"
    ),
    "market_data_age_max_s": LimitSpec("s", D(1), D(60), "no entry on an older tick"),
    "account_data_age_max_s": LimitSpec("s", D(5), D(60), "no entry on an older account snapshot"),
    "leverage_max": LimitSpec("x", D(1), D(125), "lowered where the symbol's brackets or the stop demand it"),
    "kelly_scale": LimitSpec("share of Kelly", D("0.0001"), D(1), "margin fraction = scale × Kelly fraction"),
    "position_margin_max": LimitSpec("fraction of equity", D("0.0001"), D(1), "margin of one position"),
    "risk_per_trade_max": LimitSpec(
        "fraction of equity", D("0.00001"), D("0.5"), "loss at the stop, fees included"
    ),
    "stop_distance": LimitSpec("fraction of price", D("0.001"), D("0.5"), "entry to stop-loss"),
    "take_profit_distance": LimitSpec("fraction of price", D("0.001"), D(5), "entry to take-profit"),
    "liquidation_buffer": LimitSpec(
        "share of the way to liquidation", D(0), D("0.9"), "kept free between stop and liquidation"
    ),
    "probe_risk": LimitSpec("fraction of equity", D("0.00001"), D("0.02"), "loss at the stop of a probe"),
    "probes_per_day_max": LimitSpec("count", D(0), D(1_000_000), "probes in a UTC day"),
    "positions_max": LimitSpec("count", D(1), D(100_000), "reserved and open positions"),
    "portfolio_risk_max": LimitSpec("fraction of equity", D("0.001"), D(1_000), "combined loss at the stops"),
    "daily_loss_max": LimitSpec(
        "fraction of the day's first equity", D("0.001"), D(1), "no entry from this loss on"
    ),
    "drawdown_max": LimitSpec("fraction of peak equity", D("0.001"), D(1), "no entry from this drawdown on"),
    "entries_per_day_max": LimitSpec("count", D(0), D(10_000), "approvals in a UTC day; 0 = not limited"),
    "entries_per_minute_max": LimitSpec("count", D(0), D(1_000), "approvals in 60 s; 0 = not limited"),
}


class LimitFault(ValueError):
    """A limit's name or value cannot be used; the text says why."""


def with_changes(limits: Limits, changes: Mapping[str, object]) -> Limits:
    """Return `limits` with `changes` by name; values may be numbers or their text.

    Raises:
        LimitFault: an unknown name, or a value out of its range.
    """
    parsed: dict[str, Any] = {name: parse(name, value) for name, value in changes.items()}
    return msgspec.structs.replace(limits, **parsed) if parsed else limits


def parse(name: str, value: object) -> object:
    """Return the value of limit `name` in its own type.

    Raises:
        LimitFault: an unknown name, or a value out of its range.
    """
    if name not in SPECS:
        raise LimitFault(f"there is no limit {name!r}; known are: {', '.join(SPECS)}")
    return _READERS[name](name, str(value).strip())


def as_text(value: object) -> str:
    """Return a limit's value as it is stored and shown; `parse` reads it back."""
    if isinstance(value, tuple):
        return ",".join(value)
    return plain(value) if isinstance(value, Decimal) else str(value)


def _decimal(name: str, text: str) -> Decimal:
    spec = SPECS[name]
    try:
        number = D(text)
    except InvalidOperation:
        raise LimitFault(f"{name}: {text!r} is not a number") from None
    assert spec.low is not None
    assert spec.high is not None
    if not number.is_finite() or not spec.low <= number <= spec.high:
        raise LimitFault(f"{name}: {text} is outside {plain(spec.low)}..{plain(spec.high)} {spec.unit}")
    return carried(number)


def _integer(name: str, text: str) -> int:
    number = _decimal(name, text)
    if number != number.to_integral_value():
        raise LimitFault(f"{name}: {text} is not a whole number")
    return int(number)


def _symbols(name: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({symbol_of(part) for part in text.split(",") if part.strip()}))
    except NoSymbol as unfit:
        raise LimitFault(f"{name}: {unfit}") from None


def _choice(kind: type[StrEnum]) -> Callable[[str, str], StrEnum]:
    def read(name: str, text: str) -> StrEnum:
        try:
            return kind(text.lower())
        except ValueError:
            raise LimitFault(f"{name}: {text!r} is none of {', '.join(kind)}") from None

    return read


def _reader(name: str) -> Callable[[str, str], object]:
    default = getattr(PROFILES[Profile.MISSION], name)
    if isinstance(default, StrEnum):
        return _choice(type(default))
    if isinstance(default, tuple):
        return _symbols
    return _integer if isinstance(default, int) else _decimal


_READERS: Mapping[str, Callable[[str, str], object]] = {name: _reader(name) for name in SPECS}
