"""The command line with a Phoenix to talk to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from scripts.phoenix_cli.app import app
from tests.unit.cli.phoenix_stand_in import SECRETS, PhoenixStandIn, serving

Run = Callable[..., Result]


@pytest.fixture
def phoenix() -> Iterator[PhoenixStandIn]:
    """Give services that answer as the contract says."""
    with serving() as stand_in:
        yield stand_in


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """A command may set up logging for its process, which is here the one of all tests."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def run(phoenix: PhoenixStandIn, tmp_path: Path, logging_restored: None) -> Run:
    """Run a command against `phoenix`; whatever it prints, no secret is in it."""
    home = phoenix.write_home(tmp_path / "home")

    def run_command(*arguments: str, answer: str | None = None) -> Result:
        result = CliRunner().invoke(app, ["--home", str(home), *arguments], input=answer)
        assert not any(secret in result.output for secret in SECRETS), "a secret was printed"
        return result

    return run_command
