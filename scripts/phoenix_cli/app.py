"""The commands and their options. Each one finds the installation, asks the services, and prints the answer.

It must never decide anything about trading: that is what the services are for.
"""

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.markup import escape

from scripts.phoenix_cli import care, closing, insight, outcomes, proposing
from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.config import config
from scripts.phoenix_cli.dlq import dlq
from scripts.phoenix_cli.drill import drill
from scripts.phoenix_cli.failures import EXIT_CODES_HELP, ExitCode, WrongUsage
from scripts.phoenix_cli.installation import find_installation
from scripts.phoenix_cli.output import console, failures_told, print_json

WATCH_INTERVAL_S = 2.0
REQUEST_PREFIX = "req-"
REASON_DEFAULT = "command line"

app = typer.Typer(
    help="Phoenix 95: what it does, why, and how to make it stop.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables, secrets among them
)
care.add_to(app)
proposing.add_to(app)
closing.add_to(app)
app.add_typer(config, name="config")
app.add_typer(dlq, name="dlq")
app.add_typer(drill, name="drill")


class AlertAction(StrEnum):
    """What an alert may ask for."""

    BUY = "buy"
    SELL = "sell"
    LONG = "long"
    SHORT = "short"
    CLOSE = "close"
    EXIT = "exit"


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number") from None
    if not value.is_finite():
        raise typer.BadParameter(f"{text!r} is not a number")
    return value


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit log.")]
Number = Annotated[Decimal | None, typer.Option(parser=_decimal, metavar="NUMBER")]


@app.callback()
def choose_home(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Directory with phoenix.env. Default: $PHOENIX_HOME, then ./.phoenix."),
    ] = None,
) -> None:
    """Phoenix 95: what it does, why, and how to make it stop."""
    context.obj = home


def _api(context: typer.Context) -> Api:
    return Api(find_installation(context.obj))


@app.command(epilog=EXIT_CODES_HELP)
def status(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay, and show it anew again and again.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.5, max=60, metavar="SECONDS", help="How often --watch looks.")
    ] = WATCH_INTERVAL_S,
    as_json: AsJson = False,
) -> None:
    """Show services, trading state, equity, positions, limits, queues and the last signals."""
    with failures_told(as_json), _api(context) as api:
        if watch and as_json:
            raise WrongUsage("--watch is for people", "Call `status --json` again and again instead.")
        if watch:
            from scripts.phoenix_cli.watching import live_status  # rich's live display

            with suppress(KeyboardInterrupt):
                live_status(api, interval)
            return
        document = insight.status(api)
        if as_json:
            print_json(document)
        else:
            console().print(insight.show_status(document))
        if not document["ready"]:
            raise typer.Exit(ExitCode.REFUSED)


@app.command(epilog=EXIT_CODES_HELP)
def positions(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the open positions with their stops."""
    with failures_told(as_json), _api(context) as api:
        document = api.get("execute", "/positions")
        if as_json:
            print_json(document)
        else:
            console().print(insight.show_positions(document["positions"]))
            console().print(insight.show_foreign(document))


@app.command(epilog=EXIT_CODES_HELP)
def why(
    context: typer.Context,
    signal: Annotated[
        str, typer.Argument(help="Signal id, a unique front of one, `last`, or a close (req-…).")
    ],
    as_json: AsJson = False,
) -> None:
    """Tell the story of a signal: every factor, gate, check, order, fill and fee."""
    with failures_told(as_json), _api(context) as api:
        if signal.startswith(REQUEST_PREFIX):
            request = api.get("execute", f"/closes/{signal}")
            _print(as_json, request, "\n".join(closing.show_request(request)))
            return
        document = insight.find_story(api, signal)
        if as_json:
            print_json(document)
        else:
            console().print(insight.story_page(document), soft_wrap=True)


@app.command(epilog=EXIT_CODES_HELP)
def signal(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="Such as BTCUSDT.")],
    action: Annotated[AlertAction, typer.Argument(help="What the alert asks for.")],
    confidence: Number = None,
    price: Number = None,
    rsi: Number = None,
    macd: Number = None,
    strategy: Annotated[str, typer.Option(help="Name of the strategy.")] = "cli",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome, up to 10 s.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send an alert through the front door, as TradingView does. Each call is an alert of its own."""
    given = {"confidence": confidence, "price": price, "rsi": rsi, "macd": macd}
    alert = {"symbol": symbol, "action": action.value, "strategy": strategy, "alert_id": f"cli-{uuid4().hex}"}
    alert |= {name: str(value) for name, value in given.items() if value is not None}
    with failures_told(as_json), _api(context) as api:
        answer = api.send_alert(alert)
        if not wait:
            _print(as_json, answer, str(answer["signal_id"]))
            return
        outcome = outcomes.await_outcome(api, str(answer["signal_id"]))
        words = f"{outcome['outcome']}: {outcome['reason']}" if outcome else "no outcome yet"
        _print(as_json, answer | {"outcome": outcome}, f"{answer['signal_id']}  {words}")
        if outcome is None or outcome["outcome"] not in outcomes.GOOD:
            raise typer.Exit(ExitCode.REFUSED)


@app.command(epilog=EXIT_CODES_HELP)
def pause(context: typer.Context, reason: Reason = REASON_DEFAULT, as_json: AsJson = False) -> None:
    """Take no new entries; exits go on (REDUCING)."""
    _set_state(context, "REDUCING", reason, as_json)


@app.command(epilog=EXIT_CODES_HELP)
def halt(context: typer.Context, reason: Reason = REASON_DEFAULT, as_json: AsJson = False) -> None:
    """Stop trading until somebody resumes; exits go on (HALTED)."""
    _set_state(context, "HALTED", reason, as_json)


@app.command(epilog=EXIT_CODES_HELP)
def resume(context: typer.Context, reason: Reason = REASON_DEFAULT, as_json: AsJson = False) -> None:
    """Trade again (ACTIVE)."""
    _set_state(context, "ACTIVE", reason, as_json)


@app.command("migrate", epilog=EXIT_CODES_HELP)
def migrate_database(context: typer.Context, as_json: AsJson = False) -> None:
    """Bring the database up to date; running it again changes nothing."""
    from scripts.phoenix_cli.upkeep import migrate_now  # a third of the start-up time of every command

    with failures_told(as_json):
        applied = migrate_now(find_installation(context.obj))
        words = f"applied: {', '.join(applied)}" if applied else "database is up to date"
        _print(as_json, {"applied": applied}, words)


def _set_state(context: typer.Context, state: str, reason: str, as_json: bool) -> None:
    with failures_told(as_json), _api(context) as api:
        answer = api.post("risk", "/update", {"state": state, "reason": reason})
        title, lines = insight.headline(insight.status(api))
        _print(as_json, answer, "\n".join([f"trading is {answer['state']}", title, *lines]))


def _print(as_json: bool, document: Any, words: str) -> None:
    if as_json:
        print_json(document)
    else:
        console().print(escape(words), soft_wrap=True)
