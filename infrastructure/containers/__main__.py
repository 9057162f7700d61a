"""`python -m infrastructure.containers prepare|get`: writes the containers' home; shows one setting of it.

It parses and calls; exit status 0 done, 1 failed, 2 wrong usage.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from infrastructure.containers.home import HOME, container_layout
from infrastructure.containers.preparation import prepare
from infrastructure.local.settings_file import read_env_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"FAILED: {error}\n")
        return 1


def _prepare(options: argparse.Namespace) -> int:
    prepare(options.home, os.environ, highly_available=options.ha)
    sys.stdout.write(f"{options.home} is ready\n")
    return 0


def _get(options: argparse.Namespace) -> int:
    values = read_env_file(container_layout(options.home).env_file)
    if options.key not in values:
        sys.stderr.write(f"{options.key} is not set; known are: {', '.join(sorted(values))}\n")
        return 1
    sys.stdout.write(f"{values[options.key]}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infrastructure.containers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--home", type=Path, default=HOME, help=f"default {HOME}")
    commands = parser.add_subparsers(required=True, metavar="prepare|get")
    preparing = commands.add_parser(
        "prepare", help="write settings and configurations; secrets are made once"
    )
    preparing.add_argument("--ha", action="store_true", help="for docker-compose.ha.yml as well")
    preparing.set_defaults(run=_prepare)
    getting = commands.add_parser("get", help="print one setting, such as PHOENIX_WEBHOOK_SECRET")
    getting.add_argument("key", metavar="PHOENIX_KEY")
    getting.set_defaults(run=_get)
    return parser


if __name__ == "__main__":
    sys.exit(main())
