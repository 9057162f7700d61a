"""Crash points do nothing in a running system, and exactly what was asked of them in a test."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared import crash_points
from shared.settings import Settings
from tests.architecture.source import PRODUCTION, modules

REACH_AND_SAY = """
import sys
from pathlib import Path
from shared import crash_points
crash_points.enable(Path(sys.argv[1]) if sys.argv[1] else None)
crash_points.reach("execute.claimed")
print("went on")
"""


def reach(directory: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", REACH_AND_SAY, str(directory)], capture_output=True, text=True, check=False
    )


def test_without_the_setting_an_armed_point_is_passed(tmp_path: Path) -> None:
    (tmp_path / "execute.claimed").write_text("KILL")
    assert reach("").stdout == "went on\n"
    assert (tmp_path / "execute.claimed").exists()


def test_a_point_that_is_not_armed_is_passed(tmp_path: Path) -> None:
    (tmp_path / "risk.committed").write_text("KILL")
    assert reach(tmp_path).stdout == "went on\n"


def test_an_armed_point_kills_whoever_reaches_it_once(tmp_path: Path) -> None:
    (tmp_path / "execute.claimed").write_text("KILL")
    killed = reach(tmp_path)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    assert len(list(tmp_path.glob("execute.claimed.met.*"))) == 1
    assert reach(tmp_path).stdout == "went on\n"


def test_points_are_refused_where_money_is_real() -> None:
    told = dict.fromkeys(("amqp_url", "redis_url", "postgres_url"), "x") | {"api_key": "k" * 16}
    assert Settings.model_validate(told | {"crash_points": "/tmp/points"}).crash_points
    with pytest.raises(ValidationError, match="PHOENIX_CRASH_POINTS"):
        Settings.model_validate(told | {"crash_points": "/tmp/points", "mode": "live"})


def test_every_point_of_the_table_is_reached_somewhere() -> None:
    called = re.compile(r'crash_points\.reach\(f?"([^"]+)"\)')
    reached = {point for module in modules(*PRODUCTION) for point in called.findall(module.text)}
    by_queue = {point for point in crash_points.POINTS if point.endswith((".taken", ".handled"))}
    assert reached - set(crash_points.POINTS) == {"{self._queue.name}.taken", "{self._queue.name}.handled"}
    assert set(crash_points.POINTS) - by_queue <= reached
