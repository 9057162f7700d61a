"""The drills that users run, on a running system: each promise is judged, and all of them hold."""

import json

import pytest

from tests.e2e.phoenix import Phoenix


@pytest.mark.parametrize("name", ["lost-answer", "stop-cancelled", "kill-execute"])
async def test_a_drill_says_that_every_promise_held(phoenix: Phoenix, name: str) -> None:
    document = json.loads(await phoenix.cli("drill", "run", name, "--yes", "--json"))

    promises = document["promises"]
    assert {each["number"] for each in promises} >= {"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P9"}
    assert [each for each in promises if not each["held"]] == []
    assert not (await phoenix.held()).positions, "what a drill opened it closes"
