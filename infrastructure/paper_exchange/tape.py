"""Reads a tape file: minute bars as CSV with the columns timestamp, open, high, low, close, volume (USDT).

Knows the file format only; the bars are played by `prices`.
"""

import csv
from decimal import Decimal, InvalidOperation
from pathlib import Path

from infrastructure.paper_exchange.prices import TapeBar

TAPE_BARS_MAX = 2_000_000


class TapeError(Exception):
    """The tape file cannot be played."""


def read_tape(path: Path) -> list[TapeBar]:
    """All bars of a tape in file order; raises `TapeError` naming the line that is wrong."""
    bars: list[TapeBar] = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            if len(bars) >= TAPE_BARS_MAX:
                raise TapeError(f"{path.name} has more than {TAPE_BARS_MAX} bars")
            try:
                bars.append(TapeBar(*(Decimal(row[name]) for name in _COLUMNS)))
            except (KeyError, TypeError, InvalidOperation) as error:
                raise TapeError(f"{path.name} line {number} is not a bar") from error
    if not bars:
        raise TapeError(f"{path.name} has no bars")
    return bars


_COLUMNS = ("open", "high", "low", "close", "volume")
