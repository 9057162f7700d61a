"""Both languages say everything, with the same values, and nothing that no page shows."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter

from services.notify.dashboard import views
from services.notify.dashboard.figures import Danger
from services.notify.dashboard.rendering import FOLDER
from services.notify.dashboard.texts import ENGLISH, translator
from services.notify.dashboard.texts_ko import KOREAN
from services.notify.people import Act, Role, Why
from services.notify.report_rows import HARD_ENDS, POSITION_WORDS
from shared.story_lines import Mark
from shared.values import Action, TradingState

RESULTS = {*views.OUTCOMES, *HARD_ENDS, *(name for name, _ in POSITION_WORDS.values())}
COMPOSED: Mapping[str, Iterable[str]] = {
    "state_": TradingState,
    "confirm_": Act,
    "danger_": Danger,
    "mark_": [mark for mark in Mark if mark],
    "may_": Role,
    "mode_": ("paper", "demo", "live"),
    "outcome_": views.OUTCOMES,
    "result_": RESULTS,
    "entries_": ("refused", "unknown"),
    "page_": views.Page,
    "span_": ("1d", "1w", "1m"),
    "limit_": ("near", "full"),
    "will_": [act for act in Act if act is not Act.CLOSE],
    "": Action,
}
"""Texts whose key is put together from a name."""

REFUSALS = [why for why in Why if why not in (Why.STRANGER, Why.FORGED_SESSION)]


def _values(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_tables_have_the_same_texts_with_the_same_values() -> None:
    assert set(ENGLISH) == set(KOREAN)
    assert {key: _values(text) for key, text in ENGLISH.items()} == {
        key: _values(text) for key, text in KOREAN.items()
    }
    assert all(KOREAN.values())


def test_every_text_that_is_put_together_exists() -> None:
    wanted = {f"{front}{name}" for front, names in COMPOSED.items() for name in names}
    wanted |= {f"refused_{why}" for why in REFUSALS}

    assert wanted - set(ENGLISH) == set()


def test_templates_and_code_name_texts_that_exist_and_leave_none_over() -> None:
    sources = [*FOLDER.rglob("*.html"), *Path(views.__file__).parent.glob("*.py")]
    read = "\n".join(path.read_text(encoding="utf-8") for path in sources if "texts" not in path.name)
    named = set(re.findall(r"""\bt\(\s*["']([\w]+)["']\s*[,)]""", read))
    composed = {f"{front}{name}" for front, names in COMPOSED.items() for name in names}
    mentioned = {key for key in ENGLISH if f'"{key}"' in read}

    assert named - set(ENGLISH) == set()
    assert set(ENGLISH) - named - composed - mentioned - {f"refused_{why}" for why in REFUSALS} == set()


def test_a_text_is_filled_in() -> None:
    assert translator("en")("naked", age="9 s") == "NAKED for 9 s"
    assert "9 s" in translator("ko")("naked", age="9 s")
