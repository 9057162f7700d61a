"""`phoenix.py drill`: break a running paper system on purpose, and see which promises held.

It must never run where money is real: the mode is asked first, and the faults exist on the paper exchange
only.
"""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from scripts.phoenix_cli.failures import EXIT_CODES_HELP, ExitCode, WrongUsage
from scripts.phoenix_cli.installation import find_installation
from scripts.phoenix_cli.output import console, failures_told, print_json

drill = typer.Typer(
    help="Break a running paper system on purpose and see which promises hold.", no_args_is_help=True
)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@drill.command("list", epilog=EXIT_CODES_HELP)
def list_drills(as_json: AsJson = False) -> None:
    """List the drills and what each shows."""
    from scripts.phoenix_cli.drilling import drills  # the broker's and the database's clients: slow to load

    if as_json:
        print_json(drills())
        return
    table = Table("drill", "shows")
    for name, shows in drills().items():
        table.add_row(name, shows)
    console().print(table)


@drill.command("run", epilog=EXIT_CODES_HELP)
def run_drill(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which drill; `phoenix.py drill list` shows them.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Carry out one drill: it trades on the paper account, breaks something, and judges every promise."""
    from scripts.phoenix_cli.drilling import carry_out, find_script

    def tell(line: str) -> None:
        if not as_json:
            console().print(f"  {escape(line)}", soft_wrap=True)

    with failures_told(as_json):
        installation = find_installation(context.obj)
        script = find_script(name, installation)
        if as_json and not yes:
            raise WrongUsage("--json does not ask", "Add --yes to start without a question.")
        if not yes:
            typer.confirm(f"Drill: {script.shows}. It trades on the paper account. Go on?", abort=True)
        rows: list[dict[str, Any]] = [
            {
                "number": verdict.promise.number,
                "promise": verdict.promise.title,
                "held": verdict.held,
                "breaches": list(verdict.breaches),
            }
            for verdict in carry_out(script, installation, tell)
        ]
        if as_json:
            print_json({"drill": name, "promises": rows})
        else:
            _show(rows)
        if not all(row["held"] for row in rows):
            raise typer.Exit(ExitCode.REFUSED)


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table("", "promise", "held")
    for row in rows:
        found = "yes" if row["held"] else "\n".join(["NO", *map(escape, row["breaches"])])
        table.add_row(row["number"], row["promise"], found)
    console().print(table)
