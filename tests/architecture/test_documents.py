"""What the documents say exists: links, anchors, commands, files, settings; and made pages are as made."""

import json
import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from scripts.phoenix_cli.app import app
from scripts.phoenix_cli.catalogue import settings
from scripts.reference import diagrams, settings_page
from shared.topology import QUEUES
from tests.architecture.documents import COMMAND, Document, documents
from tests.architecture.source import REPOSITORY

ALL = documents()
DOCS = REPOSITORY / "docs"
RENEW = "run: python -m scripts.reference"
SETTING = re.compile(r"\bPHOENIX_[A-Z0-9_]+\b")
FILE = re.compile(
    r"(?<![\w/.-])\.?/?((?:scripts|docs|deployment|infrastructure|shared|services|tests)/[\w./-]*\w\.\w+)"
)
STARTED_WITH = ("tests/bench", "tests/chaos", "tests/e2e")
OTHERS = {"PHOENIX_KEY", "PHOENIX_X"}
"""Stand-ins for any setting."""


def _name(document: Document) -> str:
    return document.path


@pytest.mark.parametrize("document", ALL, ids=_name)
def test_every_link_leads_somewhere(document: Document) -> None:
    by_path = {(REPOSITORY / each.path).resolve(): each for each in ALL}
    lost = []
    for link in document.links:
        path, _, anchor = link.partition("#")
        target = (document.folder / path).resolve() if path else (REPOSITORY / document.path).resolve()
        page = by_path.get(target)
        if not target.exists() or (anchor and (page is None or anchor not in page.anchors)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("document", ALL, ids=_name)
def test_every_command_of_the_command_line_exists(document: Document) -> None:
    unknown = [words.strip() for words in COMMAND.findall(document.text) if not _is_command(words.split())]
    assert unknown == []


def _is_command(words: list[str]) -> bool:
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    command = group.commands.get(words[0])
    if isinstance(command, typer.core.TyperGroup):
        return len(words) < 2 or words[1] in command.commands
    return command is not None


@pytest.mark.parametrize("document", ALL, ids=_name)
def test_every_file_that_is_named_exists(document: Document) -> None:
    """A path may be shortened with {a,b} or <name>; those are not looked for."""
    named = {path for path in FILE.findall(document.text) if not re.search(r"[{<*…]|NNNN", path)}
    lost = {path for path in named if not (REPOSITORY / path).exists() and not _is_overlay(path)}
    assert lost == set()


def _is_overlay(path: str) -> bool:
    """Say yes to container files while this tree has none."""
    return path.startswith("deployment/") and not (REPOSITORY / "docker-compose.yml").exists()


@pytest.mark.parametrize("document", ALL, ids=_name)
def test_every_setting_that_is_named_exists(document: Document) -> None:
    known = {setting.key for setting in settings()} | OTHERS
    misspelt = set(re.findall(r"PHOENIX_TELEGRAM_BOT_TOKN", document.text))  # an example of just that
    named = {key for key in SETTING.findall(document.text) if not key.endswith("_")}
    assert named - known - misspelt == set()


@pytest.mark.parametrize("document", ALL, ids=_name)
def test_json_in_a_document_is_json(document: Document) -> None:
    """Examples are copied; those shortened with … are for reading."""
    for block in document.blocks("json"):
        if "…" not in block:
            json.loads(block)


def test_every_setting_has_a_unit_and_says_what_it_does() -> None:
    silent = [setting.key for setting in settings() if not setting.unit or len(setting.description) < 12]
    assert silent == []


def test_the_page_of_settings_is_as_the_classes_have_it() -> None:
    assert (DOCS / "CONFIGURATION.md").read_text(encoding="utf-8") == settings_page.page(), RENEW


def test_the_architecture_is_as_the_tables_have_it() -> None:
    page = (DOCS / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert diagrams.renewed(page) == page, RENEW


def test_a_page_without_a_place_for_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for states"):
        diagrams.renewed("nothing generated here")


def test_every_queue_has_its_consumer_in_the_page() -> None:
    assert set(diagrams.CONSUMERS) == {queue.name for queue in QUEUES}


def test_every_promise_names_code_and_tests_that_exist() -> None:
    page = (DOCS / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(P\d+)\*\* .*$", page, re.MULTILINE)
    assert rows == [f"P{number}" for number in range(1, 12)]


def test_the_first_ten_errors_are_told_with_symptom_reason_and_remedy() -> None:
    page = (DOCS / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert len(sections) >= 10
    for section in sections:
        assert "**Why" in section, section[:40]
        assert "**Do.**" in section or "and do.**" in section, section[:40]
    assert Path(DOCS / "SECURITY.md").is_file()


def test_every_setting_that_a_test_starts_a_system_with_is_read_by_somebody() -> None:
    """A misspelt one changes nothing, and the test proves something else than it says."""
    known = {setting.key for setting in settings()} | OTHERS
    unknown = {
        key: str(path.relative_to(REPOSITORY))
        for folder in STARTED_WITH
        for path in (REPOSITORY / folder).rglob("*.py")
        for key in SETTING.findall(path.read_text(encoding="utf-8"))
        if key not in known and not key.endswith("_")
    }
    assert unknown == {}
