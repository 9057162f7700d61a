"""docs/EXECUTION.md says what the tables say: a page that is wrong at night is worse than none."""

import re
from pathlib import Path

from prometheus_client import REGISTRY

from services.execute import explained
from services.execute.error_classes import ErrorKind
from services.execute.order_state import TRANSITIONS, EntryState
from services.execute.reconciliation import CorrectionKind
from shared import metrics  # noqa: F401 - registers them
from shared.values import CloseReason

ROOT = Path(explained.__file__).parents[2]
PAGE = (ROOT / "docs" / "EXECUTION.md").read_text(encoding="utf-8")


def test_generated_parts_are_up_to_date() -> None:
    assert explained.renewed(PAGE) == PAGE, "run: python -m services.execute.explained"


def test_every_transition_is_explained_and_no_other_one() -> None:
    edges = {(state, after) for state, following in TRANSITIONS.items() for after in following}
    assert set(explained.WHEN) == edges
    assert {state for edge in edges for state in edge} == set(EntryState)


def test_every_kind_of_error_is_explained() -> None:
    assert set(explained.WHAT_WE_DO) == set(ErrorKind)


def test_every_correction_is_named() -> None:
    assert {each for each in CorrectionKind if f"`{each}`" not in PAGE} == set()


def test_what_the_exchange_ends_by_itself_is_named() -> None:
    for reason in (CloseReason.LIQUIDATION, CloseReason.ADL, CloseReason.SETTLEMENT):
        assert reason.value in PAGE.lower()


def test_metrics_and_log_lines_that_are_named_exist() -> None:
    known = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    known |= {family.name for family in REGISTRY.collect()}
    named = set(re.findall(r"phoenix_[a-z_]+", PAGE))
    assert {each for each in named if each not in known and each.removesuffix("_total") not in known} == set()
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "services/execute").glob("*.py"))
    logged = re.findall(r"`([a-z_]+)`", PAGE.partition("in the logs")[2])
    assert len(logged) == 7
    assert [each for each in logged if f'"{each}"' not in code] == []


def test_tests_that_are_named_exist() -> None:
    named = set(re.findall(r"test_[a-z_]+", PAGE))
    found = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert named - found == set()
