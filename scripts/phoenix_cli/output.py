"""What a command prints: words for people, or exactly one JSON document for scripts. Knows no command."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.phoenix_cli.failures import Failure
from shared.wording import DASH, number

WIDTH_WITHOUT_TERMINAL = 140


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


def _is_number(text: str) -> bool:
    if text == DASH:
        return True
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True
