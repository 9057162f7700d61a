"""Numbers and durations as a trader reads them: aligned, with their sign, a dash where unknown. Pure.

It must never round a number that is held against a limit; what is shown here decides nothing.
"""

from datetime import datetime
from decimal import Decimal

from shared.money import ZERO
from shared.wording import DASH, number

MINUS = "−"
MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 86_400

PRICE_PLACES = ((Decimal(1_000), 2), (Decimal(10), 3), (ZERO, 5))
"""Prices from here on are shown with so many places: a column of them stays aligned."""


def usdt(amount: Decimal | None, *, sign: bool = False) -> str:
    """Return an amount with two places."""
    return DASH if amount is None else _minus(format(amount, "+,.2f" if sign else ",.2f"))


def percent(fraction: Decimal | None, *, sign: bool = False, places: int = 2) -> str:
    """Return a fraction of 1 as a percentage."""
    if fraction is None:
        return DASH
    return _minus(format(fraction * 100, f"{'+' if sign else ''},.{places}f")) + " %"


def price(value: Decimal | None) -> str:
    """Return a price with the places that its size asks for."""
    if value is None:
        return DASH
    places = next(places for least, places in PRICE_PLACES if abs(value) >= least)
    return _minus(format(value, f",.{places}f"))


def quantity(value: Decimal | None) -> str:
    """Return a quantity without trailing zeros."""
    return DASH if value is None else number(str(value))


def multiple(value: Decimal | None) -> str:
    """Return a multiple of the risk, such as +1.25 R."""
    return DASH if value is None else _minus(format(value, "+.2f")) + " R"


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return DASH
    whole = max(0, int(seconds))
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} m {whole % MINUTE_S} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} m"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def clock_text(moment: datetime) -> str:
    """Return a moment as text for who has no script: its time in UTC."""
    return f"{moment:%H:%M:%S} UTC"


def tone(amount: Decimal | None) -> str:
    """Return `up`, `down` or `flat`."""
    if amount is None or amount == ZERO:
        return "flat"
    return "up" if amount > ZERO else "down"


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
