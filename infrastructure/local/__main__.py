"""`python -m infrastructure.local start|roll|stop|status|env`: the local stack from the command line.

It parses, calls `LocalStack` and prints; exit status 0 done, 1 failed, 2 wrong usage, 3 refused and nothing
touched, 130 interrupted.
"""

import argparse
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from infrastructure.local.bring_up import StartError
from infrastructure.local.layout import HOME_DEFAULT, REPOSITORY, MissingServerError
from infrastructure.local.monitoring import FAMILY as MONITORING
from infrastructure.local.plain_paths import HomeError
from infrastructure.local.plan import UnknownProgramError
from infrastructure.local.ports import REPLICAS_MAX
from infrastructure.local.preparation import PreparationError
from infrastructure.local.report import status_table, summary
from infrastructure.local.rolling import RollRefused
from infrastructure.local.settings_file import PORT_BASE_KEY
from infrastructure.local.stack import LocalStack
from infrastructure.local.supervision import SupervisorError
from shared.errors import OperatorNeeded

NOT_OVERRIDES = frozenset({PORT_BASE_KEY, "PHOENIX_HOME", "PHOENIX_ENV_FILE"})
"""These steer the stack itself; every other PHOENIX_* of the shell counts as a setting for this run."""

EXIT_REFUSED = 3
EXIT_INTERRUPTED = 130

FAILURES = (
    HomeError, StartError, PreparationError, MissingServerError, SupervisorError, OperatorNeeded, OSError,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (UnknownProgramError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        _say("\nInterrupted. What came up keeps running; ./scripts/stop.sh stops it.")
        return EXIT_INTERRUPTED
    except RollRefused as error:
        _say(f"\nREFUSED: {error}")
        return EXIT_REFUSED
    except FAILURES as error:
        _say(f"\nFAILED: {error}")
        return 1


def _start(options: argparse.Namespace) -> int:
    stack = _stack()
    overrides = _settings_of_shell(os.environ) | dict(options.env)
    without = [*options.without, *([MONITORING] if options.no_monitoring else [])]
    started = time.monotonic()
    _say(f"Starting Phoenix 95 in {stack.layout.home}")
    if overrides:
        _say(f"Settings for this run only: {', '.join(sorted(overrides))}")
    try:
        stack.start(only=options.only, without=without, replicas=options.replicas, overrides=overrides)
    except StartError:
        _say("What came up keeps running; ./scripts/stop.sh stops it.")
        raise
    _say(f"Ready after {time.monotonic() - started:.1f} s")
    partial = bool(options.only or options.without)
    whole = summary(stack.layout, stack.settings(), stack.ports, is_watched=not options.no_monitoring)
    _show(status_table(stack.status()) if partial else whole)
    return 0


def _roll(options: argparse.Namespace) -> int:
    stack = _stack()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the instance in hand comes back either way
    started = time.monotonic()
    _say(f"Restarting Phoenix 95 in {stack.layout.home}, one instance after the other")
    stack.roll(options.names, with_gap=options.with_gap)
    _say(f"Done after {time.monotonic() - started:.1f} s")
    _show(status_table(stack.status()))
    return 0


def _stop(_options: argparse.Namespace) -> int:
    stack = _stack()
    stopped = stack.stop()
    _say(f"Stopped: {', '.join(stopped)}" if stopped else "Nothing was running.")
    return 0


def _status(options: argparse.Namespace) -> int:
    programs = _stack().status()
    if options.json:
        _show(json.dumps([asdict(program) for program in programs], indent=2))
    else:
        _show(status_table(programs))
    running = [program for program in programs if program.state != "STOPPED"]
    return 0 if running and all(program.ready for program in running) else 1


def _env(_options: argparse.Namespace) -> int:
    stack = _stack()
    files = ":".join(str(path) for path in stack.env_files())
    _show(f"export PHOENIX_HOME={shlex.quote(str(stack.layout.home))}")
    _show(f"export PHOENIX_ENV_FILE={shlex.quote(files)}")
    return 0


def _stack() -> LocalStack:
    base = os.environ.get(PORT_BASE_KEY)
    return LocalStack(
        Path(os.environ.get("PHOENIX_HOME") or HOME_DEFAULT),
        port_base=int(base) if base else None,
        user_env_file=REPOSITORY / ".env",
        tell=_say,
    )


def _say(line: str) -> None:
    """Report progress, beside the output proper."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:  # nobody listens any more (`start.sh 2>&1 | head`): a start or stop in hand goes on
        sys.stderr = _nowhere()


def _show(text: str) -> None:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError:
        sys.stdout = _nowhere()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _settings_of_shell(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in the shell; a service reads their names whatever the case, so we do too."""
    named = {key.upper(): value for key, value in environment.items()}
    return {k: v for k, v in named.items() if k.startswith("PHOENIX_") and k not in NOT_OVERRIDES}


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.startswith("PHOENIX_"):
        raise argparse.ArgumentTypeError(f"{text!r} is not PHOENIX_KEY=VALUE")
    return key, value


def _replicas(text: str) -> int:
    count = int(text)
    if not 1 <= count <= REPLICAS_MAX:
        raise argparse.ArgumentTypeError(f"1..{REPLICAS_MAX} instances are possible")
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infrastructure.local", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(required=True, metavar="start|roll|stop|status|env")
    start = commands.add_parser("start", help="bring everything up and wait until it is ready")
    start.add_argument(
        "--replicas", type=_replicas, metavar="N", help="instances of each service, 1..4 (default 1)"
    )
    start.add_argument("--only", type=_names, default=[], metavar="A,B", help="start these programs only")
    start.add_argument("--without", type=_names, default=[], metavar="A,B", help="leave these programs out")
    start.add_argument(
        "--no-monitoring", action="store_true", help="leave Prometheus, Alertmanager and node exporter out"
    )
    start.add_argument(
        "--env",
        type=_assignment,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting for this run only",
    )
    start.set_defaults(run=_start)
    roll = commands.add_parser("roll", help="restart instances one after the other, each out of nginx first")
    roll.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="services (brain) or instances (brain-0); market_feed and paper_exchange only when named",
    )
    roll.add_argument(
        "--with-gap",
        action="store_true",
        help="restart also what has no second instance; nobody answers meanwhile",
    )
    roll.set_defaults(run=_roll)
    commands.add_parser("stop", help="stop everything").set_defaults(run=_stop)
    status = commands.add_parser("status", help="show every program")
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_status)
    commands.add_parser("env", help="print how to reach this system's settings").set_defaults(run=_env)
    return parser


if __name__ == "__main__":
    sys.exit(main())
