"""`python -m infrastructure.monitoring`: writes the dashboards' files from the tables in `boards`.

Run it after a change there; a test keeps the two equal.
"""

import sys
from pathlib import Path

from infrastructure.monitoring.boards import BOARDS
from infrastructure.monitoring.grafana_json import dashboard_text

FOLDER = Path(__file__).parent / "grafana" / "dashboards"


def files() -> dict[Path, str]:
    """Return every file of a dashboard with its text."""
    return {FOLDER / f"{board.uid.removeprefix('phoenix-')}.json": dashboard_text(board) for board in BOARDS}


def main() -> None:
    """Write the files and name them."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
