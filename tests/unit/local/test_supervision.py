"""Stopping a program ends it, whoever runs it: this supervisord, or nobody since the last one died."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from infrastructure.local import supervision
from infrastructure.local.layout import Layout
from infrastructure.local.supervision import Supervisor, SupervisorError

ORPHAN = psutil.Process()
"""Only looked at."""


class ScriptedSupervisor(Supervisor):
    """A supervisord that has just started a program whose earlier process lives on."""

    def __init__(self, layout: Layout, *, obeys: bool = True) -> None:
        super().__init__(layout)
        self.state = "STARTING"
        self.asked: list[str] = []
        self._obeys = obeys

    def _call(self, method: str, *arguments: object) -> Any:
        if method == "stopProcess":
            self.asked.append(str(arguments[0]))
            self.state = "STOPPED" if self._obeys else "STOPPING"
        entry = {"name": "guardian", "statename": self.state, "pid": 1, "now": 1, "start": 1, "spawnerr": ""}
        return [entry]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path, tmp_path / "postgres", "phoenix")
    made.run.mkdir(parents=True)
    return made


def test_an_orphan_that_shows_once_its_successor_was_stopped_is_stopped_too(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The successor would have ended it, and was itself ended before that."""
    orphans = [ORPHAN]
    monkeypatch.setattr(supervision, "our_process", lambda *_: orphans[0] if orphans else None)
    monkeypatch.setattr(supervision, "stop_process", lambda *_args, **_how: orphans.clear())
    supervisor = ScriptedSupervisor(layout)
    supervisor.stop(["guardian", "of nobody"], timeout_s=5)
    assert supervisor.asked == ["guardian"]
    assert orphans == []


def test_what_does_not_stop_is_named_in_time(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "our_process", lambda *_: None)
    supervisor = ScriptedSupervisor(layout, obeys=False)
    with pytest.raises(SupervisorError, match="did not stop: guardian"):
        supervisor.stop(["guardian"], timeout_s=0.05)
    assert supervisor.asked == ["guardian"], "asked once"
