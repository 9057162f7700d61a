"""No position is opened on a disk that is nearly full, and the operator hears when that begins and ends."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.risk.correlation import Correlations
from services.risk.disk_space import DiskSpace, told
from services.risk.disk_watch import DiskWatch
from services.risk.entry_blocks import blocks_of
from services.risk.limits import decide
from services.risk.status import Reading
from shared import metrics
from shared.models import AlertRaised
from shared.values import Severity
from tests.eventually import eventually
from tests.unit.risk.builders import NOW, case


def test_an_entry_is_refused_below_the_minimum_and_says_which_disk() -> None:
    decision = decide(case(disk=DiskSpace("/data", 249, 250)))
    assert (decision.is_approved, decision.reason) == (False, "disk_space_low")
    assert (decision.checks[-1].measured, decision.checks[-1].limit) == (
        "249 MB free on /data",
        "at least 250 MB",
    )


@pytest.mark.parametrize("disk", [None, DiskSpace("/data", 250, 250), DiskSpace("/data", 0, 0)])
def test_with_room_or_without_a_watch_it_is_judged_like_any_other(disk: DiskSpace | None) -> None:
    assert decide(case(disk=disk)).is_approved


def test_it_is_shown_among_what_refuses_every_entry() -> None:
    reading = Reading(case().book, case().limits, Correlations(), NOW, DiskSpace("/data", 249, 250))
    assert {"reason": "disk_space_low", "measured": "249 MB free on /data", "limit": "at least 250 MB"} in (
        blocks_of(reading, {})
    )


def test_the_operator_is_told_once_by_all_replicas_and_again_when_there_is_room() -> None:
    low, room = DiskSpace("/data", 10, 250), DiskSpace("/data", 400, 250)
    assert told(low, "risk", NOW).event_id == told(low, "risk", NOW.replace(microsecond=9)).event_id
    words = [told(space, "risk", NOW).payload for space in (low, room)]
    assert [(word.kind, word.severity) for word in words if isinstance(word, AlertRaised)] == [
        ("disk_space_low", Severity.CRITICAL),
        ("disk_space_enough", Severity.INFO),
    ]


def test_room_again_is_clearly_more_than_too_little() -> None:
    assert not DiskSpace("/data", 255, 250).has_room_again
    assert DiskSpace("/data", 300, 250).has_room_again


def test_the_fullest_disk_counts_and_a_directory_that_is_not_there_does_not(tmp_path: Path) -> None:
    paths = [str(tmp_path), str(tmp_path / "none"), "/proc"]
    watch = DiskWatch(paths, 250, database=None, outbox=None, clock=lambda: NOW)  # type: ignore[arg-type]
    seen = watch.look()
    assert seen is not None
    assert (seen.path, seen.free_mb) == ("/proc", 0)


def test_without_a_setting_a_small_disk_may_be_nine_tenths_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = DiskWatch(["/data"], None, database=None, outbox=None, clock=lambda: NOW)  # type: ignore[arg-type]
    for size_mb, minimum_mb in ((420, 42), (2_000, 200), (100_000, 250)):
        disk = SimpleNamespace(f_frsize=1_000, f_blocks=size_mb * 1_000, f_bavail=100_000)
        monkeypatch.setattr(os, "statvfs", lambda _path, disk=disk: disk)
        assert watch.look() == DiskSpace("/data", 100, minimum_mb)


@pytest.mark.parametrize(("harm", "shown"), [(None, 1), (OSError("no answer"), 0)])
async def test_room_is_shown_while_somebody_can_look_and_absent_otherwise(
    monkeypatch: pytest.MonkeyPatch, harm: OSError | None, shown: int
) -> None:
    """A zero from before would end the alarm of a disk that fails because it is full."""
    looks: list[str] = []

    def statvfs(path: str) -> SimpleNamespace:
        looks.append(path)
        if harm is not None:
            raise harm
        return SimpleNamespace(f_frsize=1_000, f_blocks=10_000_000, f_bavail=9_000_000)

    def samples() -> list[int]:
        gauges = (metrics.DISK_SHORT, metrics.DISK_FREE_BYTES)
        return [len(family.samples) for gauge in gauges for family in gauge.collect()]

    metrics.DISK_SHORT.set(0)
    metrics.DISK_FREE_BYTES.set(1)
    monkeypatch.setattr(os, "statvfs", statvfs)
    watch = DiskWatch(["/data"], 250, database=None, outbox=None, clock=lambda: NOW)  # type: ignore[arg-type]
    looking = asyncio.create_task(watch.keep())
    try:
        await eventually(lambda: looks and samples() == [shown, shown], what="the gauges as they were seen")
    finally:
        looking.cancel()
