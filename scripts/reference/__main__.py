"""`python -m scripts.reference [--home DIR]`: writes the reference pages anew.

docs/CONFIGURATION.md and the generated parts of docs/ARCHITECTURE.md come from the code; docs/API.md from the
running system in that home (left alone, and said so, when nothing runs).
"""

import argparse
import sys
from pathlib import Path

from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import Failure
from scripts.phoenix_cli.installation import REPOSITORY, SERVICES, find_installation
from scripts.reference import api_page, diagrams, settings_page

DOCS = REPOSITORY / "docs"


def main() -> int:
    """Write the pages; 1 when one could not be made."""
    parser = argparse.ArgumentParser(prog="python -m scripts.reference", description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, help="home of a running system; default as for phoenix.py")
    home = parser.parse_args().home
    _write(DOCS / "CONFIGURATION.md", settings_page.page())
    architecture = DOCS / "ARCHITECTURE.md"
    _write(architecture, diagrams.renewed(architecture.read_text(encoding="utf-8")))
    try:
        with Api(find_installation(home)) as api:
            documents = [api.get(service, "/openapi.json") for service in SERVICES]
    except Failure as failure:
        sys.stderr.write(f"docs/API.md was left as it is: {failure}\n")
        return 1
    _write(DOCS / "API.md", api_page.page(documents))
    return 0


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    sys.stderr.write(f"wrote {path.relative_to(REPOSITORY)}\n")


if __name__ == "__main__":
    sys.exit(main())
