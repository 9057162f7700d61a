"""A test can set the clock of one running process; nothing else can."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared import clock


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    yield
    clock.make_steppable(None, "")


@pytest.fixture(autouse=True)
def read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "STEPS_READ_INTERVAL", timedelta(0))


def off_by() -> float:
    return round((clock.of_process().now() - datetime.now(UTC)).total_seconds(), 1)


def test_a_file_sets_the_clock_of_the_process_it_is_named_after(tmp_path: Path) -> None:
    clock.make_steppable(tmp_path, "execute-0")
    assert off_by() == 0
    (tmp_path / "execute-0").write_text("3600")
    assert off_by() == 3_600
    (tmp_path / "execute-0").write_text("-40 all")
    assert off_by() == -40
    (tmp_path / "execute-0").unlink()
    assert off_by() == 0


@pytest.mark.parametrize("text", ["", "soon", "1e400", "nan"])
def test_a_file_that_says_nothing_sets_nothing(tmp_path: Path, text: str) -> None:
    clock.make_steppable(tmp_path, "execute-0")
    (tmp_path / "execute-0").write_text(text)
    assert off_by() == 0


def test_only_the_worst_case_moves_the_counter(tmp_path: Path) -> None:
    clock.make_steppable(tmp_path, "risk-1")
    counted = clock.of_process().count()
    (tmp_path / "risk-1").write_text("3600")
    assert clock.of_process().count() - counted < timedelta(minutes=1)
    (tmp_path / "risk-1").write_text("3600 all")
    assert clock.of_process().count() - counted > timedelta(minutes=59)


def test_without_the_setting_no_file_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "execute-0").write_text("3600")
    assert off_by() == 0
