"""What a command prints: words for people, or exactly one JSON document for scripts. Knows no command."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.phoenix_cli.failures import Failure

WIDTH_WITHOUT_TERMINAL = 140
DASH = "–"
STORED_PLACES = 8
SIGNIFICANT_DIGITS = 6

_LONG_NUMBER = re.compile(rf"\d+\.\d{{{STORED_PLACES + 1},}}")


def console() -> Console:
    """Return a console on stdout; wide enough not to cut tables when the output is not a terminal."""
    is_terminal = sys.stdout.isatty()
    return Console(width=None if is_terminal else WIDTH_WITHOUT_TERMINAL, highlight=False)


def print_json(document: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(document, ensure_ascii=False, indent=2))


@contextmanager
def failures_told(as_json: bool) -> Iterator[None]:
    """Tell a failure in the form that was asked for, and leave with its exit code."""
    try:
        yield
    except Failure as failure:
        if as_json:
            print_json(
                {"error": {"title": failure.title, "detail": failure.detail, "status": failure.status}}
            )
        else:
            Console(stderr=True, highlight=False).print(
                f"[bold red]{escape(failure.title)}[/]\n{escape(failure.detail)}", soft_wrap=True
            )
        raise typer.Exit(int(failure.code)) from None


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table; what looks like a number is set to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    shown = [[cell(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        is_number = bool(shown) and all(_is_number(row[index]) for row in shown)
        made.add_column(column, justify="right" if is_number else "left", no_wrap=True)
    for row in shown:
        made.add_row(*(escape(value) for value in row))
    return made


def cell(value: object) -> str:
    """Return a value as a person reads it: numbers without trailing zeros, nothing as a dash."""
    if value is None or value == "":
        return DASH
    return number(value) if isinstance(value, str) else str(value)


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


def money(amount: str | None, sign: bool = False) -> str:
    """Return an amount in USDT with two places, with its sign when asked for."""
    if amount is None:
        return DASH
    return format(Decimal(amount), "+,.2f" if sign else ",.2f")


def seconds(age: object) -> str:
    """Return an age in seconds with one place."""
    return DASH if age is None else f"{Decimal(str(age)):.1f}"


def percent(fraction: str | None, places: int = 2) -> str:
    """Return a fraction of 1 as a percentage."""
    return DASH if fraction is None else f"{Decimal(fraction) * 100:.{places}f} %"


def _cut(value: Decimal) -> str:
    digits = max(SIGNIFICANT_DIGITS, value.adjusted() + 1)
    return format(Context(prec=digits, rounding=ROUND_DOWN).plus(value), "f")


def _is_number(text: str) -> bool:
    if text == DASH:
        return True
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True
