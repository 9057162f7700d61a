"""The commands of the local stack do their work whether or not anybody reads what they say."""

import io
import sys

import pytest

from infrastructure.local import __main__ as command


class Gone(io.StringIO):
    """A pipe whose reader has left, or a full disk."""

    def flush(self) -> None:
        raise BrokenPipeError


def test_reader_that_left_ends_no_start_and_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setattr(sys, "stdout", Gone())
    for _ in range(2):
        command._say("brain-0 is ready")
        command._show("a table")
