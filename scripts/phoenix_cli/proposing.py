"""The commands that put a trade forward: `analyze` (a score, no effect) and `trade` (a manual proposal).

A proposal enters RISK's queue like an alert's; it must never go around RISK.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import EXIT_CODES_HELP, ExitCode, WrongUsage
from scripts.phoenix_cli.installation import find_installation
from scripts.phoenix_cli.outcomes import GOOD, await_outcome
from scripts.phoenix_cli.output import cell, console, failures_told, print_json, table
from shared.symbols import NoSymbol, symbol_of
from shared.wording import short

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Confidence = Annotated[float, typer.Option(min=0, max=1, help="How sure, 0..1.")]
CONFIDENCE_DEFAULT = 0.8


class Direction(StrEnum):
    """Which way to enter."""

    BUY = "buy"
    SELL = "sell"


SIDES = {Direction.BUY: "long", Direction.SELL: "short"}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (analyze, trade):
        app.command(epilog=EXIT_CODES_HELP)(command)


def analyze(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="Such as BTCUSDT.")],
    action: Annotated[Direction, typer.Argument(help="Which way.")],
    confidence: Confidence = CONFIDENCE_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Score an entry as if an alert had come: every factor and gate, and nothing is traded."""
    alert = {"symbol": symbol, "action": action.value, "confidence": str(confidence)}
    with failures_told(as_json), Api(find_installation(context.obj)) as api:
        document = api.post("brain", "/analyze", alert)
        if as_json:
            print_json(document)
        else:
            console().print(_page(document["analysis"]))
        if not _passes(document["analysis"]):
            raise typer.Exit(ExitCode.REFUSED)


def trade(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="Such as BTCUSDT.")],
    action: Annotated[Direction, typer.Argument(help="Which way.")],
    confidence: Confidence = CONFIDENCE_DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait for the outcome: 0 then means proposed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Propose a trade by hand. RISK sizes it and may refuse it; 0 means that the position is open."""
    with failures_told(as_json), Api(find_installation(context.obj)) as api:
        if as_json and not yes:
            raise WrongUsage("--json does not ask", "Add --yes to propose without a question.")
        market = _market(symbol)
        if not yes:
            typer.confirm(f"Propose to {action.value} {market}?", abort=True)
        body = {"symbol": market, "side": SIDES[action], "confidence": str(confidence)}
        answer = api.post("execute", "/trade", body)
        outcome = None if no_wait else await_outcome(api, str(answer["signal_id"]))
        words = f"proposed: {answer['signal_id']}"
        if not no_wait:
            answer |= {"outcome": outcome}
            words += f"  {outcome['outcome']}: {outcome['reason']}" if outcome else "  no outcome yet"
        if as_json:
            print_json(answer)
        else:
            console().print(escape(words), soft_wrap=True)
        if not no_wait and (outcome is None or outcome["outcome"] not in GOOD):
            raise typer.Exit(ExitCode.REFUSED)


def _market(text: str) -> str:
    try:
        return symbol_of(text)
    except NoSymbol as unfit:
        raise WrongUsage(f"{text!r} names no market", str(unfit)) from None


def _passes(analysis: Mapping[str, Any]) -> bool:
    return all(Decimal(gate["value"]) >= Decimal(gate["minimum"]) for gate in analysis["gates"])


def _page(analysis: Mapping[str, Any]) -> RenderableType:
    factors = [
        (each["name"], each["input"], each["rule"], short(each["value"])) for each in analysis["factors"]
    ]
    gates = [
        (each["name"], short(each["value"]), short(each["minimum"]), _verdict(each))
        for each in analysis["gates"]
    ]
    return Group(
        table("Factors", ("factor", "input", "rule", "value"), factors),
        "",
        table("Gates", ("gate", "value", "at least", ""), gates),
        "",
        f"price {cell(analysis['price'])}, risk level {analysis['risk_level']}, "
        f"score {short(analysis['phoenix95_score'])}, final {short(analysis['final_confidence'])}",
    )


def _verdict(gate: Mapping[str, str]) -> str:
    return "passed" if Decimal(gate["value"]) >= Decimal(gate["minimum"]) else "not passed"
