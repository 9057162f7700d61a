"""Old snapshots of the account: deleted again and again, a bounded number at a time."""

import asyncio
import contextlib

import pytest

from services.execute import housekeeping
from services.execute.housekeeping import PRUNE_ROWS_MAX, Housekeeping
from tests.twins.execution import until

WRITTEN_PER_DAY_MAX = 24 * 3_600
"""One a second, the most that PHOENIX_SNAPSHOT_INTERVAL_S allows."""


class Store:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    async def prune_snapshots(self, kept_days: int, rows_max: int) -> None:
        self.asked.append((kept_days, rows_max))


async def test_what_is_old_is_deleted_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "PRUNE_INTERVAL_S", 0.001)
    store = Store()
    loop = asyncio.create_task(Housekeeping(store, 90).prune())

    await until(lambda: len(store.asked) >= 3)

    loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loop
    assert set(store.asked) == {(90, PRUNE_ROWS_MAX)}


def test_more_is_deleted_than_can_be_written() -> None:
    runs_per_day = 24 * 3_600 / housekeeping.PRUNE_INTERVAL_S
    assert runs_per_day * PRUNE_ROWS_MAX > 5 * WRITTEN_PER_DAY_MAX
