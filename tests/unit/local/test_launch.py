"""A program is started whatever the state of the disk, and held back when it ends again and again."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infrastructure.local import launch
from infrastructure.local.launch import PAUSES_S, QUICK_S, next_pause
from infrastructure.local.rendering import LAUNCHER


def test_a_crash_loop_slows_down_to_a_bounded_pace(tmp_path: Path) -> None:
    starts, now, pauses = tmp_path / "risk-0.starts", 1_000.0, []
    for _ in range(10):
        pauses.append(next_pause(starts, now))
        now += pauses[-1] + 1.5
    assert pauses[:2] == [0.0, 0.0], "one crash costs nothing"
    assert pauses == sorted(pauses)
    assert pauses[-3:] == [PAUSES_S[-1]] * 3
    assert PAUSES_S[-1] <= 10, "room on the disk again, or a server that is back, is used within 30 s"


def test_a_program_that_lived_is_started_again_at_once(tmp_path: Path) -> None:
    starts = tmp_path / "risk-0.starts"
    for second in range(5):
        next_pause(starts, 1_000.0 + second)
    assert next_pause(starts, 1_000.0 + 20 + QUICK_S) == 0.0


@pytest.mark.parametrize("noted", ["", "rubbish", "7", "3 99999999.0"])
def test_an_unreadable_note_or_one_from_before_the_last_boot_counts_for_nothing(
    tmp_path: Path, noted: str
) -> None:
    starts = tmp_path / "risk-0.starts"
    starts.write_text(noted)
    assert next_pause(starts, 5.0) == 0.0


def test_a_full_disk_keeps_nothing_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "open", full)
    assert next_pause(tmp_path / "risk-0.starts", 5.0) == 0.0


def test_a_program_writes_its_log_itself_and_its_number_is_noted(tmp_path: Path) -> None:
    log, pid_file = tmp_path / "risk-0.log", tmp_path / "risk-0.pid"
    log.write_text("before\n")
    command = (
        sys.executable,
        "-c",
        "import os, sys; print(os.getpid()); sys.stderr.write(sys.stdin.read() + 'end')",
    )
    launched = (sys.executable, "-I", "-S", str(LAUNCHER), "--log", str(log), "--pid-file", str(pid_file))
    starts = ("--starts", str(tmp_path / "risk-0.starts"))
    finished = subprocess.run((*launched, *starts, *command), capture_output=True, check=True, timeout=10)
    assert (finished.stdout, finished.stderr) == (b"", b"")
    assert log.read_text().split() == ["before", pid_file.read_text().strip(), "end"]


@pytest.mark.parametrize("log", ["/dev/full", "rabbitmq.log"])
def test_a_program_that_would_fail_with_its_output_never_sees_it_fail(tmp_path: Path, log: str) -> None:
    path = tmp_path / log
    launched = (sys.executable, "-I", "-S", str(LAUNCHER), "--log", str(path), "--lossy")
    program = "import os\nfor _ in range(20_000): assert os.write(1, b'line\\n') == 5"
    subprocess.run((*launched, sys.executable, "-c", program), check=True, timeout=20)
    if path.parent == tmp_path:
        deadline = time.monotonic() + 10
        while path.stat().st_size < 100_000:
            assert time.monotonic() < deadline


def test_a_log_that_cannot_be_opened_keeps_nothing_from_starting(tmp_path: Path) -> None:
    launched = (sys.executable, "-I", "-S", str(LAUNCHER), "--log", str(tmp_path / "nowhere" / "x.log"))
    program = (sys.executable, "-c", f"open({str(tmp_path / 'came')!r}, 'w')")
    subprocess.run((*launched, *program), check=True, timeout=10)
    assert (tmp_path / "came").exists()


def test_a_note_is_written_over_in_place(tmp_path: Path) -> None:
    """A file that is emptied first cannot be filled again on a full disk."""
    pid_file = tmp_path / "risk-0.pid"
    launch.overwrite(pid_file, f"{123456:<10d}\n")
    inode = pid_file.stat().st_ino
    launch.note(pid_file)
    assert (launch.former_group(pid_file), pid_file.stat().st_ino) == (os.getpid(), inode)
