"""`dlq`: what lies in the dead-letter queues, and to put it back or throw it away, on record.

Each command says beforehand what will happen. It must never act on a letter that was not looked at, and only
after the act stands in the audit log.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from scripts.phoenix_cli.failures import EXIT_CODES_HELP, ExitCode, WrongUsage
from scripts.phoenix_cli.installation import find_installation
from scripts.phoenix_cli.output import console, failures_told, print_json

if TYPE_CHECKING:
    from scripts.phoenix_cli.dead_letters import Desk

SHOWN_DEFAULT = 20
SHOWN_MAX = 1_000
REASON_DEFAULT = "command line"

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit log.")]
QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="Such as trade_execution.")]

dlq = typer.Typer(
    help="Dead letters: messages that could not be handled and were set aside.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@dlq.command("list", epilog=EXIT_CODES_HELP)
def list_queues(context: typer.Context, as_json: AsJson = False) -> None:
    """Show every dead-letter queue: how many letters, how old, of what kind."""
    with failures_told(as_json):
        desk = _desk(context)
        found = desk.overview()
        if as_json:
            print_json(desk.overview_document(found))
        else:
            console().print(desk.overview_page(found))


@dlq.command(epilog=EXIT_CODES_HELP)
def show(
    context: typer.Context,
    queue: QueueName,
    limit: Annotated[
        int, typer.Option(min=1, max=SHOWN_MAX, help="How many, the oldest first.")
    ] = SHOWN_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show letters with their fault, and what putting each back would do. Nothing is changed."""
    with failures_told(as_json):
        desk = _desk(context)
        letters = desk.letters(queue, limit=limit)
        if as_json:
            print_json(desk.document(letters))
        else:
            console().print(desk.page(letters), soft_wrap=True)


@dlq.command(epilog=EXIT_CODES_HELP)
def replay(
    context: typer.Context,
    queue: QueueName,
    event_id: Annotated[str | None, typer.Option(help="Put back this message only.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Put back every letter.")] = False,
    yes: Yes = False,
    reason: Reason = REASON_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Put letters back into their queue, to be handled as new. An entry that is too old only expires."""
    with failures_told(as_json):
        if (event_id is not None) is everything:
            raise WrongUsage("which letters?", "Give either --event-id ID or --all.")
        desk = _desk(context)
        letters = desk.chosen(queue, event_id=event_id)
        _ask(f"Put {len(letters.found)} back into {letters.queue.name}?", desk.page(letters), yes, as_json)
        desk.record("dlq replay", letters, reason)
        done = desk.replay(letters)
        _tell("replayed", [each.name for each in done], len(letters.found), as_json)


@dlq.command(epilog=EXIT_CODES_HELP)
def purge(
    context: typer.Context,
    queue: QueueName,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="HOURS", help="Only what was parked before that.")
    ] = None,
    yes: Yes = False,
    reason: Reason = REASON_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Throw letters away for good. The audit log keeps that they were, and their ids."""
    with failures_told(as_json):
        desk = _desk(context)
        letters = desk.chosen(queue, older_than_h=older_than)
        _ask(
            f"Delete {len(letters.found)} from {letters.queue.dead} for good?",
            desk.page(letters),
            yes,
            as_json,
        )
        desk.record("dlq purge", letters, reason)
        done = desk.delete(letters)
        _tell("deleted", [each.name for each in done], len(letters.found), as_json)


def _desk(context: typer.Context) -> "Desk":
    from scripts.phoenix_cli.dead_letters import Desk  # the AMQP client: a third of every command's start

    return Desk(find_installation(context.obj))


def _ask(question: str, page: str, yes: bool, as_json: bool) -> None:
    if as_json and not yes:
        raise WrongUsage("--json does not ask", "Add --yes to act without a question.")
    if not as_json:
        console().print(page, soft_wrap=True)
    if not yes:
        typer.confirm(question, abort=True)


def _tell(what: str, names: list[str], asked: int, as_json: bool) -> None:
    """Say what was done, and fail when that is less than what was asked for."""
    if as_json:
        print_json({what: names, "left": asked - len(names)})
    else:
        console().print(f"{what}: {len(names)} of {asked}")
    if len(names) < asked:
        raise typer.Exit(ExitCode.REFUSED)
