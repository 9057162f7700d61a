#!/usr/bin/env python3
"""Phoenix 95 on the command line: `python scripts/phoenix.py --help`.

This file only makes sure that the imports are there: started by a Python without them, it starts itself again
with the repository's virtual environment. The commands are in `phoenix_cli`.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
NEEDED = ("asyncpg", "dotenv", "httpx", "msgspec", "pydantic_settings", "rich", "typer")
EXIT_NOT_READY = 1


def has_imports() -> bool:
    """Tell whether this Python can run the commands."""
    return sys.version_info >= (3, 11) and all(find_spec(name) is not None for name in NEEDED)


def start_again_in_venv() -> None:
    """Replace this process by one of the repository's virtual environment; returns only if it cannot."""
    python = VENV / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(python, [str(python), *sys.argv])  # noqa: S606 - our own interpreter, our own arguments


def main() -> None:
    """Run the command line."""
    if not has_imports():
        start_again_in_venv()
        sys.stderr.write("The Python packages are missing. Run ./scripts/start.sh once: it installs them.\n")
        sys.exit(EXIT_NOT_READY)
    sys.path.insert(0, str(REPOSITORY))
    from scripts.phoenix_cli.app import app  # only now is it known to be importable

    app()


if __name__ == "__main__":
    main()
