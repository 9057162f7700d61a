"""What a process tells: one JSON line per event. Looked at from outside, as a log collector does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import logs
from shared.log_sink import LINES_WAITING_MAX, LogSink
from tests.eventually import eventually

REPOSITORY = Path(__file__).parent.parent.parent.parent

SPEAK = """
import logging
from shared import logs

log = logs.get("shared.sample")  # before it is configured, as modules do
logs.configure("sample", 3, "INFO")
log.info("order_placed", correlation_id="sig-1")
log.debug("noticed")
try:
    raise ValueError("no such symbol")
except ValueError as error:
    log.error("message_failed", exc_info=error)
logging.getLogger("asyncpg").info("a connection was opened")
for name in logs.QUIET_LIBRARIES:
    logging.getLogger(name).info("chatter")
logging.getLogger("aio_pika").warning("reconnecting")
"""

Line = dict[str, object]


@pytest.fixture(scope="module")
def told() -> list[Line]:
    spoken = subprocess.run(
        [sys.executable, "-c", SPEAK], cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=30
    )
    assert spoken.stderr == ""
    return [json.loads(line) for line in spoken.stdout.splitlines()]


def test_an_event_is_one_line_with_its_origin(told: list[Line]) -> None:
    assert told[0] | {"timestamp": ""} == {
        "action": "order_placed",
        "correlation_id": "sig-1",
        "service": "sample",
        "instance": 3,
        "level": "info",
        "module": "shared.sample",
        "timestamp": "",
    }


def test_an_exception_stays_on_the_line_of_its_event_and_shows_no_locals(told: list[Line]) -> None:
    assert told[1]["action"] == "message_failed"
    assert "ValueError: no such symbol" in str(told[1]["exception"])
    assert "locals" not in str(told[1]["exception"])


def test_libraries_are_told_in_the_same_form_and_chatty_ones_only_when_they_warn(told: list[Line]) -> None:
    assert "aio_pika" in logs.QUIET_LIBRARIES
    assert [(line["action"], line["service"], line["level"]) for line in told[2:]] == [
        ("a connection was opened", "sample", "info"),
        ("reconnecting", "sample", "warning"),
    ]


WORK = """
import logging, os, sys, warnings
from shared import logs

class Unprintable:
    def __str__(self):
        raise ValueError("no text")
    __repr__ = __str__

log = logs.get("shared.sample")
logs.configure("sample", 3, "INFO")
logs.own_the_streams()
log.info("odd", value=Unprintable(), text="\\ud800", number=2**80, keys={(1, 2): 3})
log.info("too few %s %s", 1)
log.info("circle", circle=(lambda it: it.append(it) or it)([]))
logging.getLogger("asyncpg").warning("%d", "no number")
print("printed \\ud800")
warnings.warn("look out")
for number in range(MANY):
    log.warning("order_placed", number=number, text="x" * 200)
os.write(3, b"done %d" % logs.newly_lost())
"""


def worked(stdout: int, many: int = 3) -> int:
    """Run WORK with that stdout and stderr, to its end; return how many lines it says were lost."""
    reader, writer = os.pipe()
    try:
        program = f"import os; os.dup2({writer}, 3); MANY = {many}\n{WORK}"
        arguments = [sys.executable, "-c", program]
        subprocess.run(
            arguments,
            cwd=REPOSITORY,
            stdout=stdout,
            stderr=stdout,
            pass_fds=(writer,),
            timeout=20,
            check=False,
        )
        os.set_blocking(reader, False)
        said = os.read(reader, 100).decode()
    finally:
        os.close(reader)
        os.close(writer)
    assert said.startswith("done "), "a log call ended the work"
    return int(said.removeprefix("done "))


def test_no_log_call_raises_whatever_its_arguments(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        assert worked(log.fileno()) == 3, "two calls with arguments that do not fit, and the circle"
    lines = (tmp_path / "log").read_text().splitlines()
    assert json.loads(lines[0]) | {"timestamp": ""} == json.loads(lines[0]) | {
        "timestamp": "",
        "value": "<Unprintable>",
        "number": 2**80,
    }
    assert any("look out" in line for line in lines)


def test_no_log_call_raises_when_the_disk_is_full() -> None:
    with Path("/dev/full").open("wb") as full:
        worked(full.fileno())


def test_no_log_call_raises_when_the_reader_of_the_pipe_is_gone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    worked(writer)
    os.close(writer)


def test_no_log_call_waits_for_a_reader_that_has_stopped() -> None:
    reader, writer = os.pipe()
    assert worked(writer, many=LINES_WAITING_MAX + 1_000) > 500
    os.close(reader)
    os.close(writer)


async def test_a_log_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    full = os.open("/dev/full", os.O_WRONLY)
    sink = LogSink(full)
    sink.take("lost")
    await eventually(lambda: sink.newly_lost() == 1)
    sink.fd = file
    sink.take("kept")
    sink.close()
    assert (tmp_path / "log").read_text().split() == ["kept"]
    sink.take("after the end")
    assert sink.newly_lost() == 1
