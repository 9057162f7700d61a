"""The runbook's commands exist: at night nobody wants to learn that one was renamed."""

import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main

from infrastructure.local.layout import REPOSITORY
from infrastructure.local.ports import OFFSETS, PORT_BASE_DEFAULT
from infrastructure.local.rendering import GUARDIAN
from scripts.phoenix_cli.app import app
from tests.unit.local.test_monitoring import whole_table

RUNBOOK = (REPOSITORY / "docs" / "RUNBOOK.md").read_text(encoding="utf-8")
OF_THE_MACHINE = {"df", "du", "free", "kill", "ps", "sudo", "timedatectl", "top", "docker", "promtool"}
OF_OTHERS = {"/-/ready", "/api/v1/rules", "/api/v1/alerts"}
"""Pages of Prometheus and Alertmanager."""

SERVED = set(
    re.findall(
        r'"(/[a-z_]+)[/"{]',
        "\n".join(
            path.read_text(encoding="utf-8")
            for folder in ("services", "shared", "infrastructure/paper_exchange")
            for path in (REPOSITORY / folder).rglob("*.py")
        ),
    )
) | {"/docs"}


def commands() -> list[str]:
    """Return everything in the runbook that looks like a command line."""
    spans = {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", RUNBOOK)}
    known = ("phoenix.py ", "./scripts/", "curl ", "tail ", ".venv/bin/python ", *OF_THE_MACHINE)
    return sorted(span for span in spans if span.split()[0] in OF_THE_MACHINE or span.startswith(known[:5]))


def test_there_are_commands() -> None:
    assert len(commands()) > 40


@pytest.mark.parametrize("line", [each for each in commands() if each.startswith("phoenix.py")])
def test_a_command_of_the_cli_exists_with_its_options(line: str) -> None:
    command: Any = typer.main.get_command(app)  # typer has a click of its own
    words = shlex.split(line)[1:]
    while hasattr(command, "commands"):
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    known = {name for each in command.params if each.param_type_name == "option" for name in each.opts}
    assert {word for word in words if word.startswith("--")} <= known
    needed = [each for each in command.params if each.required and each.param_type_name == "argument"]
    assert len([word for word in words if not word.startswith("--")]) >= len(needed)


@pytest.mark.parametrize("line", [each for each in commands() if "/scripts/" in each])
def test_a_script_exists_and_knows_its_options(line: str) -> None:
    words = shlex.split(line)
    text = (REPOSITORY / words[0]).read_text(encoding="utf-8")
    assert all(word in text for word in words if word.startswith("--"))


@pytest.mark.parametrize("line", [each for each in commands() if each.startswith("tail")])
def test_a_log_is_one_of_a_program(line: str) -> None:
    path = Path(shlex.split(line)[-1])
    assert path.parent == Path(".phoenix/logs")
    assert path.stem in {program.name for program in whole_table()} | {GUARDIAN}


@pytest.mark.parametrize("line", [each for each in commands() if each.startswith(".venv")])
def test_a_module_can_be_run(line: str) -> None:
    assert shlex.split(line)[1:] == ["-m", "infrastructure.local", "status"]


@pytest.mark.parametrize("address", sorted(set(re.findall(r"http://127\.0\.0\.1:\d+[^\s`)]*", RUNBOOK))))
def test_an_address_is_served(address: str) -> None:
    parts = urlsplit(address)
    assert (parts.port or 0) - PORT_BASE_DEFAULT in OFFSETS.values()
    front = "/" + parts.path.split("/")[1]
    assert front in SERVED or parts.path in OF_OTHERS
