"""What scripts/test.sh runs: every tier, once, to its end, whatever fails beside it."""

import asyncio
import signal
import sys

import psutil
import pytest

from tests.__main__ import LANES, REPOSITORY, TIERS, Lane, Run, Step, main, steps_of
from tests.eventually import eventually

LANE = Lane("lane", ("unit",))


def does(name: str, code: str) -> Step:
    return Step(name, ("-c", code))


def test_every_tier_is_in_one_lane() -> None:
    """A tier that nobody runs is green for ever."""
    tests = REPOSITORY / "tests"
    folders = {path.relative_to(tests).parts[0] for path in tests.rglob("test_*.py")}
    assert sorted(folders) == sorted(TIERS)
    asked = [word for lane in LANES for step in steps_of(lane, ()) for word in step.words]
    assert [word for word in asked if word.startswith("tests/")] == [f"tests/{tier}" for tier in TIERS]


def test_asked_for_some_tiers_it_runs_these_only() -> None:
    steps = [step for lane in LANES for step in steps_of(lane, ["integration", "e2e", "unit"])]
    assert [step.words[2:] for step in steps] == [("tests/unit", "tests/integration"), ("tests/e2e",)]


def test_a_tier_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unit", "unti"]) == 2
    assert "no such tier: unti" in capsys.readouterr().out


async def test_after_a_failure_the_rest_runs_and_every_failure_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run()
    bad = does("bad", "import sys; print('FAILED tests/x.py::test_y - oh'); sys.exit(1)")
    await run.lane(LANE, [bad, does("good", "print('here')"), does("worse", "1/0")])
    assert run.failed == ["bad", "worse"]
    assert run.failed_tests == ["FAILED tests/x.py::test_y - oh"]
    assert "lane | here" in capsys.readouterr().out


async def test_stopped_it_lets_what_runs_tidy_up_and_starts_nothing_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What runs would otherwise leave its servers and their data behind."""
    run, told = Run(), ""
    hangs = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "signal.alarm(60)\nprint('up')\ntry: signal.pause()\nfinally: print('tidied')"
    )
    lane = asyncio.create_task(run.lane(LANE, [does("patient", hangs), does("never", "print('never')")]))

    def is_up() -> bool:
        nonlocal told
        told += capsys.readouterr().out
        return "lane | up" in told

    await eventually(is_up)
    run.stop()
    await lane
    told += capsys.readouterr().out
    assert "lane | tidied" in told
    assert "never" not in told


async def test_killed_it_takes_what_runs_with_it() -> None:
    program = (
        "import asyncio; from tests.__main__ import Run, Lane, Step\n"
        "code = 'import os, signal; print(os.getpid()); signal.alarm(60); signal.pause()'\n"
        "asyncio.run(Run().lane(Lane('lane', ()), [Step('hangs', ('-c', code))]))"
    )
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    assert runner.stdout is not None
    await runner.stdout.readline()
    pid = int((await runner.stdout.readline()).decode().split("| ")[1])
    runner.send_signal(signal.SIGKILL)
    await runner.wait()
    await eventually(lambda: not psutil.pid_exists(pid))
