"""A pid file is believed only while the process that wrote it lives."""

import os
from pathlib import Path

import psutil
import pytest

from infrastructure.local.leftovers import live_process


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "redis.pid"


def test_the_process_that_wrote_the_file_is_found(pid_file: Path) -> None:
    pid_file.write_text(f"{os.getpid()}\nmore lines, as PostgreSQL writes\n")
    process = live_process(pid_file)
    assert process is not None
    assert process.pid == os.getpid()


def test_a_process_younger_than_the_file_is_a_stranger_with_a_reused_number(pid_file: Path) -> None:
    pid_file.write_text(str(os.getpid()))
    long_ago = psutil.Process().create_time() - 3600
    os.utime(pid_file, (long_ago, long_ago))
    assert live_process(pid_file) is None


@pytest.mark.parametrize("content", ["", "\n", "no number\n", "999999999\n"])
def test_a_file_without_a_living_process_gives_nothing(pid_file: Path, content: str) -> None:
    pid_file.write_text(content)
    assert live_process(pid_file) is None


def test_no_file_gives_nothing(pid_file: Path) -> None:
    assert live_process(pid_file) is None
