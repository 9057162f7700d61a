"""What a process tells: one JSON line per event. Looked at from outside, as a log collector does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared import logs

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
