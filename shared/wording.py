"""Numbers and durations as a person reads them, from the decimal strings of our own documents. Pure.

It must never round a number up: what missed a limit must not look as if it reached it.
"""

import re
from datetime import timedelta
from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation

from shared.money import CENT

DASH = "–"
STORED_PLACES = 8
SIGNIFICANT_DIGITS = 6
UNITS_S = (86_400, 3_600, 60, 1)

_LONG_NUMBER = re.compile(rf"\d+\.\d{{{STORED_PLACES + 1},}}")


def number(text: str) -> str:
    """Return a decimal string without exponent and trailing zeros; any other text as it is.

    What has more places than an amount of money is a computed number: it is cut short, and never rounded up,
    so that what missed a limit does not look as if it reached it.
    """
    try:
        plain = format(Decimal(text), "f")
    except InvalidOperation:
        return text
    short = readable(plain)
    return short.rstrip("0").rstrip(".") if "." in short else short


def readable(text: str) -> str:
    """Return a text with its long computed numbers cut to `SIGNIFICANT_DIGITS`."""
    return _LONG_NUMBER.sub(lambda found: _cut(Decimal(found.group())), text)


def short(text: str | None) -> str:
    """Return a number cut to `SIGNIFICANT_DIGITS`, whole digits kept, for tables; nothing as a dash."""
    return DASH if text is None else number(_cut(Decimal(text)))


def seconds(age: object) -> str:
    """Return an age in seconds with one place."""
    return DASH if age is None else f"{Decimal(str(age)):.1f}"


def money(amount: str | None, sign: bool = False) -> str:
    """Return an amount in USDT with two places, with its sign when asked for."""
    if amount is None:
        return DASH
    return signed(Decimal(amount)) if sign else cents(Decimal(amount))


def cents(amount: Decimal) -> str:
    """Return an amount with two places."""
    return format(amount.quantize(CENT), ",f")


def signed(amount: Decimal) -> str:
    """Return an amount with its sign and two places; nothing has no sign."""
    rounded = amount.quantize(CENT)
    return format(abs(rounded), ",f") if rounded == 0 else format(rounded, "+,f")


def percent(fraction: str | None, places: int = 2) -> str:
    """Return a fraction of 1 as a percentage."""
    return DASH if fraction is None else f"{Decimal(fraction) * 100:.{places}f} %"


def duration(length: timedelta, units: tuple[str, str, str, str]) -> str:
    """Return a length of time in its two largest units, such as `1 h 12 min`; `units`: day to second."""
    left = max(0, int(length.total_seconds()))
    parts = []
    for unit_s, unit in zip(UNITS_S, units, strict=True):
        count, left = divmod(left, unit_s)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or f"0{units[-1]}"


def _cut(value: Decimal) -> str:
    digits = max(SIGNIFICANT_DIGITS, value.adjusted() + 1)
    return format(Context(prec=digits, rounding=ROUND_DOWN).plus(value), "f")
