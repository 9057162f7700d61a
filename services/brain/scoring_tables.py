"""The numbers of the score as data: every row of DESIGN 6.1 and 6.2, and the three kinds of table they stand
in.

Pure. A table answers with a value and with the row that applied, so that a decision can be read back (P10).
It must never combine factors; `signal_analyzer` does.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from shared.money import plain
from shared.values import RiskLevel


@dataclass(frozen=True)
class Row:
    """What a table answered: the value, and in words the row that gave it."""

    value: Decimal
    rule: str


class Table(Protocol):
    """Anything that turns one number into a value and a rule."""

    def look_up(self, number: Decimal) -> Row:
        """Return the row for `number`."""
        ...


@dataclass(frozen=True)
class Bands:
    """Nested closed intervals, narrowest first: the first that holds the number applies."""

    rows: tuple[tuple[str, str, str], ...]  # low, high, value
    otherwise: str

    def look_up(self, number: Decimal) -> Row:
        """Return the first band around `number`."""
        for low, high, value in self.rows:
            if Decimal(low) <= number <= Decimal(high):
                return Row(Decimal(value), f"{low}–{high}")
        return Row(Decimal(self.otherwise), "otherwise")


@dataclass(frozen=True)
class Steps:
    """Thresholds from high to low: the first that the number exceeds applies."""

    rows: tuple[tuple[str, str], ...]  # above, value
    otherwise: str

    def look_up(self, number: Decimal) -> Row:
        """Return the highest step below `number`."""
        for above, value in self.rows:
            if number > Decimal(above):
                return Row(Decimal(value), f"> {above}")
        return Row(Decimal(self.otherwise), "otherwise")


@dataclass(frozen=True)
class Endings:
    """Last digits of the integer part, tried in order: round prices are where everybody's orders lie."""

    rows: tuple[tuple[str, str], ...]  # ending, value
    otherwise: str

    def look_up(self, number: Decimal) -> Row:
        """Return the first ending of `number`'s integer part."""
        digits = plain(number).partition(".")[0]
        for ending, value in self.rows:
            if digits.endswith(ending):
                return Row(Decimal(value), f"ends {ending}")
        return Row(Decimal(self.otherwise), "otherwise")


# 6.1 technical
TECHNICAL_RSI = Bands((("40", "60", "1.10"), ("30", "70", "1.05"), ("20", "80", "0.95")), "0.80")
TECHNICAL_MACD = Steps((("0.04", "0.90"), ("0.02", "1.10"), ("0.01", "1.05"), ("0.002", "1.00")), "0.95")
TECHNICAL_PRICE = Endings((("0000", "0.95"), ("5000", "0.97"), ("000", "0.98")), "1")

# 6.1 phoenix
TREND_RSI = Bands((("35", "65", "0.25"), ("25", "75", "0.15"), ("15", "85", "0.05")), "-0.15")
VOLUME = Steps(
    (
        ("500000000", "0.95"),
        ("100000000", "1.0"),
        ("10000000", "0.95"),
        ("1000000", "0.85"),
        ("0", "0.7"),
    ),
    "0.3",
)
SPREAD_OF_RISK = Steps((("10", "0.9"), ("5", "1.0"), ("2", "1.05")), "1.1")

# 6.1 market
MARKET_WIN_RATE = Steps((("0.8", "1.0"), ("0.6", "0.9"), ("0.4", "0.7")), "0.5")
MARKET_EXPERIENCE = Steps((("9", "1"),), "0.8")

# 6.2 adjustment
ADJUST_RSI = Bands((("30", "70", "1.1"), ("20", "80", "0.9"), ("10", "90", "0.7")), "0.5")
ADJUST_VOLUME = Steps((("100000000", "1.2"), ("10000000", "1.1"), ("1000000", "1.0"), ("0", "0.85")), "0.8")
ADJUST_PRICE = Endings((("0000", "0.9"), ("5000", "0.9"), ("000", "0.95"), ("500", "0.95")), "1")
ADJUST_MOMENTUM = Steps((("0.02", "0.7"), ("0.01", "0.8"), ("0.002", "0.9")), "1")


@dataclass(frozen=True)
class Danger:
    """A level of risk: reached outside the RSI band or above the momentum."""

    level: RiskLevel
    rsi_low: Decimal
    rsi_high: Decimal
    momentum: Decimal

    def applies(self, rsi: Decimal, momentum: Decimal) -> bool:
        """Tell whether the market is this dangerous."""
        return not self.rsi_low <= rsi <= self.rsi_high or momentum > self.momentum


DANGERS = (
    Danger(RiskLevel.CRITICAL, Decimal(10), Decimal(90), Decimal("0.04")),
    Danger(RiskLevel.HIGH, Decimal(20), Decimal(80), Decimal("0.02")),
    Danger(RiskLevel.MEDIUM, Decimal(30), Decimal(70), Decimal("0.01")),
)
