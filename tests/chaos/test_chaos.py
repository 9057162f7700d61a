"""The short run of every build: one seed, every promise. The long ones are `./scripts/chaos.sh`."""

import pytest

from shared import crash_points
from tests.chaos.__main__ import run_seed, words
from tests.chaos.world import POSITIONS_MAX

SEED = 95
SIGNALS = 90
FAULTS = 45
DURATION_S = 130.0


@pytest.mark.timeout(900)
async def test_every_promise_holds_through_a_seeded_plan_of_faults() -> None:
    report = await run_seed(SEED, signals=SIGNALS, faults=FAULTS, duration_s=DURATION_S, replicas=1)
    told = words(SEED, report)
    assert not report.breaches, told
    assert report.positions_seen_max <= POSITIONS_MAX, told
    assert report.injected.total >= FAULTS * 0.9, told
    assert len(report.points_met) >= len(crash_points.POINTS) / 4, told
    assert len(report.tally.accepted) >= SIGNALS * 0.7, told
