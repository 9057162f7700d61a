"""Migrations on a real PostgreSQL: each file once, in order, whole or not at all, by one runner at a time."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from infrastructure.postgres.migrate import MigrationSettings, migrate, migrations
from shared.errors import OperatorNeeded

pytestmark = pytest.mark.servers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_pre_first.sql").write_text("CREATE TABLE first (n int); INSERT INTO first VALUES (1);")
    (tmp_path / "0002_pre_second.sql").write_text("CREATE TABLE second (n int);")
    return tmp_path


async def test_our_migrations_bring_an_empty_database_up_and_a_second_run_changes_nothing(
    empty: MigrationSettings,
) -> None:
    assert await migrate(empty) == [each.name for each in migrations()]
    assert await migrate(empty) == []


async def test_only_what_is_missing_is_applied(empty: MigrationSettings, folder: Path) -> None:
    await migrate(empty, folder)
    (folder / "0003_post_third.sql").write_text("DROP TABLE second;")
    assert await migrate(empty, folder) == ["0003_post_third"]


async def test_an_applied_file_that_was_edited_is_refused(empty: MigrationSettings, folder: Path) -> None:
    await migrate(empty, folder)
    (folder / "0001_pre_first.sql").write_text("CREATE TABLE first (n bigint);")
    with pytest.raises(OperatorNeeded, match="0001_pre_first was edited"):
        await migrate(empty, folder)


async def test_runners_at_the_same_time_apply_each_file_once(empty: MigrationSettings, folder: Path) -> None:
    results = await asyncio.gather(*(migrate(empty, folder) for _ in range(4)))
    assert sorted(results) == [[], [], [], ["0001_pre_first", "0002_pre_second"]]
    assert await _value(empty, "SELECT count(*) FROM first") == 1


async def test_a_file_that_fails_leaves_nothing_of_itself_behind(
    empty: MigrationSettings, folder: Path
) -> None:
    broken = folder / "0003_pre_broken.sql"
    broken.write_text("CREATE TABLE half (n int); INSERT INTO no_such_table VALUES (1);")
    with pytest.raises(asyncpg.UndefinedTableError):
        await migrate(empty, folder)
    assert await _value(empty, "SELECT to_regclass('half') IS NULL")
    assert await _value(empty, "SELECT max(number) FROM schema_migrations") == 2
    broken.write_text("CREATE TABLE half (n int);")
    assert await migrate(empty, folder) == ["0003_pre_broken"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("0002_pre_again.sql", "number 2 stands twice"),
        ("0003_later_third.sql", "is not named"),
        ("third.sql", "is not named"),
    ],
)
def test_a_file_name_that_does_not_fit_is_refused(folder: Path, name: str, complaint: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(OperatorNeeded, match=complaint):
        migrations(folder)


async def _value(settings: MigrationSettings, query: str) -> object:
    connection = await asyncpg.connect(
        settings.postgres_url, user="phoenix_admin", password=settings.admin_db_password.get_secret_value()
    )
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_what_one_channel_was_sent_is_kept_when_deliveries_get_their_own_table(
    empty: MigrationSettings, tmp_path: Path
) -> None:
    for each in migrations():
        if each.number < 9:
            (tmp_path / f"{each.name}.sql").write_text(each.sql)
    await migrate(empty, tmp_path)
    await _value(
        empty,
        """
        INSERT INTO notify.notifications (event_id, correlation_id, kind, severity, title, body, occurred_at,
                                          attempts, delivered_at, dropped_at, dropped_because)
        VALUES ('sent', 's', 'alert', 'critical', 't', 'b', now(), 2, now(), NULL, NULL),
               ('given-up', 's', 'alert', 'info', 't', 'b', now(), 0, NULL, now(), 'too_old'),
               ('no-channel', 's', 'alert', 'info', 't', 'b', now(), 0, NULL, now(), 'no_channel'),
               ('waits', 's', 'alert', 'warning', 't', 'b', now(), 1, NULL, NULL, NULL)
        """,
    )
    await migrate(empty)
    kept = "SELECT string_agg(event_id || ' ' || lane || ' ' || attempts, ', ' ORDER BY event_id DESC)"
    assert await _value(empty, f"{kept} FROM notify.deliveries") == "sent danger 2, given-up routine 0"
    untold = (
        "SELECT count(*) FROM notify.deliveries WHERE dropped_because = 'too_old' AND drop_told_at IS NULL"
    )
    assert await _value(empty, untold) == 0
    # What newer code keeps without naming the old columns waits for nobody who knows only those.
    await _value(
        empty,
        "INSERT INTO notify.notifications"
        " (event_id, correlation_id, kind, severity, title, body, occurred_at)"
        " VALUES ('new', 's', 'alert_info', 'info', 't', 'b', now())",
    )
    waiting = "SELECT string_agg(event_id, ' ') FROM notify.notifications WHERE"
    assert await _value(empty, f"{waiting} delivered_at IS NULL AND dropped_at IS NULL") == "waits"
