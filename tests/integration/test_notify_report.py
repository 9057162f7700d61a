"""The daily report on real servers: once over replicas and restarts, with a picture, late when it must be."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import asyncpg
import pytest

from services.notify.daily import report_writer
from services.notify.daily.numbers import DailyNumbers
from services.notify.daily.report import LATE_MAX
from services.notify.daily.report_writer import draw
from services.notify.reports import EquityPoint, Reports
from tests.eventually import eventually
from tests.integration.notify_world import SOON_S, World, none_waits, world
from tests.integration.telegram_stand_in import Trouble

__all__ = ["world"]

DRAWN_WITHIN_S = 40.0
TODAY = datetime.combine(datetime.now(UTC).date(), time(), UTC)
NOW_IS_DUE = "00:00"
if datetime.now(UTC) - TODAY > LATE_MAX - timedelta(minutes=10):  # late in the evening
    NOW_IS_DUE = f"{datetime.now(UTC) - timedelta(minutes=1):%H:%M}"


def curve(count: int) -> list[EquityPoint]:
    return [
        EquityPoint(
            taken_at=TODAY - timedelta(hours=count - number),
            wallet_usdt=Decimal(10_000 + number),
            equity_usdt=Decimal(10_000 + number),
            available_usdt=Decimal(9_000),
            open_positions=0,
        )
        for number in range(count)
    ]


@pytest.fixture
async def yesterday(world: World) -> AsyncIterator[None]:
    """Yesterday's equity in the tables that the views read, and no report of it yet."""
    admin = await asyncpg.connect(world.servers.postgres_dsn("admin"))
    await admin.execute("DELETE FROM execute.equity_snapshots")
    await admin.execute("DELETE FROM notify.daily_reports")
    await admin.executemany(
        "INSERT INTO execute.equity_snapshots VALUES ($1, $2, $2, $2, 0)",
        [(point.taken_at, point.equity_usdt) for point in curve(20)],
    )
    yield
    await admin.execute("DELETE FROM execute.equity_snapshots")
    await admin.execute("DELETE FROM notify.daily_reports")
    await admin.close()


@pytest.mark.usefixtures("yesterday")
async def test_report_with_its_picture_is_sent_once_over_two_replicas_and_a_restart(world: World) -> None:
    at = {"daily_report_at": NOW_IS_DUE}
    async with world.notify(0, **at), world.notify(1, **at):
        (text,) = await world.chat.wait_for(lambda texts: len(texts) == 1, DRAWN_WITHIN_S)
        day = (TODAY - timedelta(days=1)).date()
        assert text.startswith(f"{day}: 0.00 USDT\nNo trade closed.\n")
        assert "Equity 10,019.00 USDT (+0.19 %)" in text
        assert world.chat.messages[0].picture_bytes > 10_000
        await eventually(lambda: none_waits(world), SOON_S)
    async with world.notify(0, **at):
        made = await world.database.fetch("SELECT day FROM daily_reports")
        assert [row["day"] for row in made] == [day]
    assert await world.stored() == 1
    assert len(world.chat.messages) == 1


async def test_a_new_installation_reports_no_day_before_it(world: World) -> None:
    numbers = DailyNumbers(world.database, Reports(world.database))
    before_everything = (TODAY - timedelta(days=10_000)).date()
    assert await numbers.curve(before_everything) == []


@pytest.mark.usefixtures("yesterday")
async def test_report_goes_as_text_where_its_picture_cannot(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_writer, "DRAWER", "services.notify.no_such_module")
    async with world.notify(daily_report_at=NOW_IS_DUE, language="ko"):
        (text,) = await world.chat.wait_for(lambda texts: len(texts) == 1, DRAWN_WITHIN_S)
        assert "일일 보고" in text
        assert world.chat.messages[0].picture_bytes == 0


@pytest.mark.usefixtures("yesterday")
async def test_report_waits_for_a_chat_that_is_away(world: World) -> None:
    world.chat.answer_next_with(Trouble(500), Trouble(429, retry_after_s=1))
    async with world.notify(daily_report_at=NOW_IS_DUE):
        await world.chat.wait_for(lambda texts: len(texts) == 1, DRAWN_WITHIN_S)
        assert world.chat.messages[0].picture_bytes > 0


async def test_a_picture_that_takes_too_long_is_given_up_and_its_process_ended() -> None:
    before = asyncio.get_running_loop().time()
    assert await draw("Equity", curve(20), timeout_s=0.05) is None
    assert asyncio.get_running_loop().time() - before < 5


async def test_nothing_is_drawn_of_a_single_point() -> None:
    assert await draw("Equity", curve(1)) is None


@pytest.mark.parametrize("title", ["Equity, 30 days", "자산, 30일"])
async def test_a_flat_curve_is_a_picture_too(title: str) -> None:
    flat = [curve(1)[0], curve(2)[0]]
    picture = await draw(title, sorted(flat, key=lambda point: point.taken_at))
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
