"""The command that closes: what is held is looked at first, the outcome is waited for, the exit code says it.

It must never report as closed what only was asked for.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.markup import escape

from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import EXIT_CODES_HELP, ExitCode, Failure, Unreachable, WrongUsage
from scripts.phoenix_cli.installation import find_installation
from scripts.phoenix_cli.output import console, failures_told, print_json
from shared.suggestions import did_you_mean, meant
from shared.symbols import NoSymbol, symbol_of
from shared.wording import money, short

ALL = "all"
CLOSE_WAIT_S = 30.0
CLOSE_POLL_S = 0.2

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Held:
    """What is open: ours and not ours; None while EXECUTE does not tell."""

    ours: Sequence[Document] | None
    foreign: Sequence[Document]

    @property
    def symbols(self) -> list[str]:
        """The symbols of our positions."""
        return [each["symbol"] for each in self.ours or ()]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EXIT_CODES_HELP)(close)


def close(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="Such as BTCUSDT, or `all`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the request.")] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait for the outcome: 0 then means asked for.")
    ] = False,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Also if the position was not opened by Phoenix.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Close the position of a symbol, or all, at the market; 0 means that it is gone."""
    with failures_told(as_json), Api(find_installation(context.obj)) as api:
        held = _held(api)
        wanted = None if symbol.lower() == ALL else _read(symbol, held)
        if as_json and not yes:
            raise WrongUsage("--json does not ask", "Add --yes to close without a question.")
        if foreign and wanted is None:
            raise WrongUsage(
                "--foreign needs a symbol", "What is not ours is closed by its symbol, one at a time."
            )
        if not yes:
            question = f"Close {wanted} at the market, although NOT opened by Phoenix?"
            typer.confirm(question if foreign else _question(wanted, held), abort=True)
        body: dict[str, Any] = {"symbol": wanted} | ({"foreign": True} if foreign else {})
        answer = api.post("execute", "/close", body | ({"reason": reason} if reason else {}))
        if no_wait:
            _show(as_json, answer, [f"close requested: {answer['request_id']}"])
            return
        outcome = _await_end(api, str(answer["request_id"]))
        gone = {each["symbol"] for each in (outcome or {}).get("positions", ()) if each["state"] == "closed"}
        left = [each for each in _held(api).foreign if each["symbol"] not in gone]  # seen some seconds ago
        others = [each for each in left if wanted in (None, each["symbol"])]
        _show(as_json, {**answer, "outcome": outcome, "not_ours": others}, _lines(wanted, outcome, others))
        if outcome is None or outcome["state"] != "done" or (wanted is not None and others):
            raise typer.Exit(ExitCode.REFUSED)


def show_request(found: Document) -> list[str]:
    """Return what became of a close that was asked for, in lines."""
    what = found["symbol"] or "all positions"
    first = f"close of {what}, asked for by {found['requested_by']} at {found['requested_at'][:19]} UTC"
    return [f"{first}: {found['state']}", *_lines(found["symbol"], found, ())]


def _held(api: Api) -> Held:
    try:
        found = api.get("execute", "/positions")
    except Failure:
        return Held(None, ())  # the request itself says why it cannot be asked
    return Held(found["positions"], found.get("foreign_positions") or ())


def _read(typed: str, held: Held) -> str:
    known = {*held.symbols, *(each["symbol"] for each in held.foreign)}
    try:
        return symbol_of(typed, known)
    except NoSymbol as error:
        raise WrongUsage(f"{typed!r} is no symbol", f"{error}. {_open(held)}") from None


def _question(wanted: str | None, held: Held) -> str:
    foreign = [each for each in held.foreign if wanted in (None, each["symbol"])]
    note = f" Not touched, because not ours: {_named(foreign)}." if foreign else ""
    if wanted is None:
        return f"Close ALL positions ({', '.join(held.symbols) or 'none'}) at the market?{note}"
    if held.ours is not None and wanted not in held.symbols:
        offer = did_you_mean(meant(wanted, held.symbols))
        return f"No position of ours in {wanted}. {offer} {_open(held)}{note} Ask for the close all the same?"
    return f"Close {wanted} at the market?{note}"


def _await_end(api: Api, request_id: str) -> Document | None:
    """Return what became of the request, as it is at the end or when the time is over; None: nobody tells."""
    deadline_s = time.monotonic() + CLOSE_WAIT_S
    found: Document | None = None
    while True:
        try:
            found = api.get("execute", f"/closes/{request_id}")
        except Unreachable:
            pass  # it may come back before the time is over
        except Failure:
            return None
        if (found is not None and found["state"] == "done") or time.monotonic() >= deadline_s:
            return found
        time.sleep(CLOSE_POLL_S)


def _lines(wanted: str | None, outcome: Document | None, others: Sequence[Document]) -> list[str]:
    if outcome is None:
        return ["EXECUTE does not tell what became of it: look at the positions."]
    lines = [_closed(each) for each in outcome["positions"] if each["state"] == "closed"]
    if outcome["state"] != "done":
        names = ", ".join(outcome["still_open"]) or "not known"
        again = f"`why {outcome['request_id']}` tells how it goes on"
        lines.append(f"NOT CLOSED YET (still open: {names}); {again}")
    elif not lines:
        lines.append(f"nothing to close: no position of ours {f'in {wanted}' if wanted else 'is open'}")
    if others:
        lines.append(
            f"NOT CLOSED, because not ours: {_named(others)}. Close it at the exchange, or with --foreign."
        )
    return lines


def _closed(one: Document) -> str:
    net = one["net_pnl_usdt"]
    result = "result not known yet" if net is None else f"{money(net, sign=True)} USDT"
    what = f"{one['symbol']} {one['side']} {short(one['quantity'])}"
    return f"closed {what} at {short(one['exit_price'])}: {result}"


def _named(positions: Sequence[Document]) -> str:
    return ", ".join(f"{each['symbol']} {each['side']} {short(each['quantity'])}" for each in positions)


def _open(held: Held) -> str:
    return f"Open: {', '.join(held.symbols) or 'none'}."


def _show(as_json: bool, document: Document, lines: Sequence[str]) -> None:
    if as_json:
        print_json(document)
    else:
        console().print(escape("\n".join(lines)), soft_wrap=True)
