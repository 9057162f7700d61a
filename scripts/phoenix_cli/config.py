"""`config`: are the settings usable, what is at odds among them, and what is in force from where.

It must never show a secret.
"""

from typing import Annotated

import typer

from scripts.phoenix_cli import checkup
from scripts.phoenix_cli.failures import EXIT_CODES_HELP, ExitCode
from scripts.phoenix_cli.installation import find_installation
from scripts.phoenix_cli.output import console, failures_told, print_json, table

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

config = typer.Typer(
    help="Settings: are they usable, and which are in force.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@config.command(epilog=EXIT_CODES_HELP)
def check(
    context: typer.Context,
    unread: Annotated[
        bool, typer.Option("--unread", help="Only what stands in the files and has no effect.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the settings of every service with its own rules, and say what is at odds among them."""
    from scripts.phoenix_cli import settings_check  # every service's settings: slow to load

    with failures_told(as_json):
        look = settings_check.unread if unread else settings_check.check
        findings = look(find_installation(context.obj))
        if as_json:
            print_json(checkup.as_document(findings))
        else:
            if findings or not unread:
                console().print(checkup.as_page(findings), soft_wrap=True)
        if not checkup.is_well(findings):
            raise typer.Exit(ExitCode.REFUSED)


@config.command(epilog=EXIT_CODES_HELP)
def show(
    context: typer.Context,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not at its default.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting in force and where it comes from; secrets as ***."""
    from scripts.phoenix_cli import settings_check

    with failures_told(as_json):
        installation = find_installation(context.obj)
        rows = [
            (setting, value, source)
            for setting, value, source in settings_check.in_force(installation)
            if not changed or source != "default"
        ]
        if as_json:
            told = {
                setting.key: {"value": value, "source": source, "read_by": list(setting.readers)}
                for setting, value, source in rows
            }
            print_json({"settings": told, "faults": [str(each) for each in installation.faults]})
        else:
            columns = ("setting", "value", "unit", "from")
            shown = [(setting.key, value, setting.unit, source) for setting, value, source in rows]
            console().print(table("Settings in force", columns, shown))
            if installation.faults:
                console().print(
                    checkup.as_page(list(settings_check.unreadable(installation))), soft_wrap=True
                )
