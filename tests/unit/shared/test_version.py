"""The version that is shown is the one that was released."""

import tomllib
from pathlib import Path

from shared.version import VERSION

REPOSITORY = Path(__file__).parent.parent.parent.parent


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION
