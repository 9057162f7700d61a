"""Drills are for paper systems: what the command refuses before it touches anything."""

import json

import pytest

from infrastructure.drill.scripts import SCRIPTS
from tests.unit.cli.conftest import Run


def test_list_names_every_drill_and_what_it_shows(run: Run) -> None:
    assert json.loads(run("drill", "list", "--json").stdout) == {
        name: script.shows for name, script in SCRIPTS.items()
    }
    shown = run("drill", "list")
    assert shown.exit_code == 0
    assert all(name in shown.output for name in SCRIPTS)


def test_an_unknown_drill_is_wrong_usage_and_the_known_ones_are_named(run: Run) -> None:
    result = run("drill", "run", "earthquake", "--yes")
    assert result.exit_code == 2
    assert "lost-answer" in result.output


@pytest.mark.parametrize("mode", ["live", "demo"])
def test_no_drill_where_the_exchange_is_not_ours(
    run: Run, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("PHOENIX_MODE", mode)
    result = run("drill", "run", "lost-answer", "--yes")
    assert result.exit_code == 1
    assert "drills are for paper systems" in result.output


def test_a_drill_asks_before_it_trades(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOENIX_MODE", "paper")
    assert run("drill", "run", "lost-answer", answer="n\n").exit_code == 1
    asked_nothing = run("drill", "run", "lost-answer", "--json")
    assert asked_nothing.exit_code == 2
    assert "--yes" in asked_nothing.output
