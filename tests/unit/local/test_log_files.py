"""Logs are bounded, and the beginning of an incident is still there when somebody comes to look."""

import errno
import shutil
from pathlib import Path

import pytest

from infrastructure.local import log_files
from infrastructure.local.log_files import COPIES, OLDEST_KEPT_S, bound_one


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log_files, "BYTES_MAX", 10)
    return tmp_path / "risk-0.log"


def copies(log: Path) -> list[str]:
    paths = [log.with_name(f"{log.name}.{number}") for number in range(1, COPIES + 2)]
    return [path.read_text() if path.exists() else "" for path in paths]


def storm(log: Path, *texts: str, later_s: float = 0.0) -> None:
    for text in texts:
        with log.open("a") as file:  # as its writer does: it appends
            file.write(text.ljust(12, "."))
        bound_one(log, log.stat().st_mtime + later_s)


def test_a_small_log_is_left_alone(log: Path) -> None:
    log.write_text("short")
    bound_one(log, 0.0)
    assert (log.read_text(), copies(log)[0]) == ("short", "")


def test_a_writer_goes_on_in_the_emptied_file(log: Path) -> None:
    with log.open("a") as writer:
        writer.write("first line..")
        writer.flush()
        bound_one(log, 0.0)
        writer.write("next")
    assert log.read_text() == "next"
    assert copies(log)[0] == "first line.."


def test_in_a_storm_the_beginning_is_kept_and_the_newest(log: Path) -> None:
    storm(log, *(f"part {number}" for number in range(10)))
    kept = [text.rstrip(".") for text in copies(log)]
    assert kept == ["part 9", "part 1", "part 0", ""]


def test_after_a_day_the_beginning_makes_room(log: Path) -> None:
    storm(log, "part 0", "part 1", "part 2")
    storm(log, "part 3", later_s=OLDEST_KEPT_S + 60)
    assert [text.rstrip(".") for text in copies(log)] == ["part 3", "part 2", "part 1", ""]


def test_on_a_full_disk_a_log_may_grow_to_the_double_and_is_then_emptied(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    storm(log, "one")
    assert log.read_text().startswith("one")
    storm(log, "two")
    assert log.read_text() == ""
    assert not list(log.parent.glob("*.new"))
