"""The commands for looking after a running Phoenix: `doctor metrics monitor version bench`.

Each only looks; `bench` measures a private system of its own.
"""

import platform
import subprocess
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.markup import escape

from scripts.phoenix_cli import checkup
from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import EXIT_CODES_HELP, ExitCode, WrongUsage
from scripts.phoenix_cli.installation import REPOSITORY, SERVICES, find_installation
from scripts.phoenix_cli.output import cell, console, failures_told, print_json

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
GIT_TIMEOUT_S = 5.0
FACT_STYLES = {"warning": "yellow", "danger": "bold red", "critical": "bold red", "error": "bold red"}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (doctor, metrics, monitor, version):
        app.command(epilog=EXIT_CODES_HELP)(command)
    app.command(
        epilog=EXIT_CODES_HELP, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
    )(bench)


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Look at everything Phoenix needs and say what is wrong and what to do; works when it is down, too."""
    from scripts.phoenix_cli.doctor import examine  # the clients of every server

    with failures_told(as_json):
        findings = examine(find_installation(context.obj))
        if as_json:
            print_json(checkup.as_document(findings))
        else:
            console().print(checkup.as_page(findings), soft_wrap=True)
        if not checkup.is_well(findings):
            raise typer.Exit(ExitCode.REFUSED)


def metrics(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the important numbers of every service: counts, and how long things took."""
    from scripts.phoenix_cli import watching

    with failures_told(as_json), Api(find_installation(context.obj)) as api:
        document = watching.metrics_of(api)
        if as_json:
            print_json(document)
        else:
            console().print(watching.show_metrics(document))


def monitor(
    context: typer.Context,
    programs: Annotated[
        list[str] | None, typer.Argument(help="With --logs: whose, such as execute-0; default: the services.")
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Follow the logs instead of the messages.")] = False,
) -> None:
    """Follow what happens, as it happens: every message to the operator, or the logs. Ctrl+C ends it."""
    from scripts.phoenix_cli import watching

    screen = console()
    with failures_told(as_json=False), suppress(KeyboardInterrupt):
        installation = find_installation(context.obj)
        if logs:
            watching.follow_logs(
                installation,
                programs or [],
                lambda program, line: screen.print(watching.log_line(program, line), soft_wrap=True),
            )
        elif programs:
            raise WrongUsage("programs have logs", "Add --logs to follow them.")
        else:
            with Api(installation) as api:
                watching.follow_facts(api, lambda fact: screen.print(_fact_line(fact), soft_wrap=True))


def version(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the version of this code, of Python, and the mode of what runs."""
    with failures_told(as_json), Api(find_installation(context.obj)) as api:
        found = api.readiness(SERVICES[0])
        document = {
            "phoenix95": project_version(),
            "commit": _commit(),
            "python": platform.python_version(),
            "running": bool(found["reached"]),
            "mode": found.get("mode"),
        }
        if as_json:
            print_json(document)
            return
        state = f"running, mode {document['mode']}" if document["running"] else "not running"
        console().print(
            f"Phoenix 95 {document['phoenix95']} ({cell(document['commit'])}), "
            f"Python {document['python']}, {state}"
        )


def bench(context: typer.Context) -> None:
    """Measure a private system on free ports beside its budgets; options as of scripts/bench.sh."""
    script = REPOSITORY / "scripts" / "bench.sh"
    with failures_told(as_json=False):
        if not script.is_file():
            raise WrongUsage("there is no bench here", "It belongs to a checkout; a container has none.")
        raise typer.Exit(subprocess.call([str(script), *context.args]))


def project_version() -> str:
    """Return the version in pyproject.toml; an image may lack the file."""
    path = REPOSITORY / "pyproject.toml"
    if not path.is_file():
        return "without a version"
    return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"])


def _commit() -> str | None:
    """Return the short commit of the repository, None outside of one (a container has none)."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _fact_line(fact: Mapping[str, Any]) -> str:
    style = FACT_STYLES.get(str(fact.get("severity", "")).lower(), "")
    at = str(fact.get("occurred_at") or "")
    told = escape(" · ".join([str(fact.get("title") or ""), *str(fact.get("body") or "").splitlines()]))
    return f"[dim]{escape(at)}[/] " + (f"[{style}]{told}[/]" if style else told)
