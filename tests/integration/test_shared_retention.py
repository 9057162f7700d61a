"""What is older than it is kept is deleted; what is younger, open, or still needed stays. On a real one."""

from pathlib import Path

import asyncpg
import pytest

from infrastructure.postgres.migrate import MigrationSettings, migrate, migrations
from services.brain.store import retention as brain_retention
from services.execute.bar_store import BarStore
from services.execute.store import retention as execute_retention
from services.risk.store import retention as risk_retention
from shared.database import Database
from shared.retention import Kept, Retention

pytestmark = pytest.mark.servers

SIGNALS_DAYS, TRADES_DAYS, EQUITY_DAYS = 365, 3_650, 180


async def admin_of(settings: MigrationSettings) -> asyncpg.Connection:
    return await asyncpg.connect(
        settings.postgres_url, user="phoenix_admin", password=settings.admin_db_password.get_secret_value()
    )


def database_of(settings: MigrationSettings, service: str) -> Database:
    """Return what the service itself connects with: its role may not drop a table."""
    return Database(
        settings.postgres_url,
        user=f"phoenix_{service}",
        password=settings.password(service),
        schema=service,
        name="test",
    )


async def keep(settings: MigrationSettings, service: str, kinds: tuple[Kept, ...]) -> None:
    async with database_of(settings, service) as database:
        await Retention(database, kinds).apply()


async def test_signals_that_ended_long_ago_go_with_all_that_is_known_of_them(
    empty: MigrationSettings,
) -> None:
    await migrate(empty)
    admin = await admin_of(empty)
    for name, days, outcome in (("old", 400, "rejected"), ("waits", 400, None), ("young", 300, "opened")):
        await admin.execute(
            """INSERT INTO brain.signals (signal_id, origin, strategy, symbol, action, confidence,
            received_at, signal)
            VALUES ($1, 'alert', 's', 'BTCUSDT', 'long', 0.8, now() - make_interval(days => $2), '{}')""",
            name,
            days,
        )
        await admin.execute("INSERT INTO brain.signal_keys VALUES ($1, $2, now(), NULL)", f"key-{name}", name)
        await admin.execute("INSERT INTO brain.duplicates VALUES ($1, $2, now())", f"again-{name}", name)
        await admin.execute("INSERT INTO brain.open_positions VALUES ($1, 'BTCUSDT', 1, false)", name)
        if outcome is not None:
            await admin.execute("INSERT INTO brain.outcomes VALUES ($1, $2, 'r', now())", name, outcome)
    await admin.execute(
        "INSERT INTO brain.outcomes VALUES ('never-read', 'failed', 'parked', now() - interval '400 days')"
    )

    await keep(empty, "brain", brain_retention(SIGNALS_DAYS))

    for table, column in (
        ("signals", "signal_id"),
        ("signal_keys", "signal_id"),
        ("duplicates", "duplicate_of"),
        ("open_positions", "signal_id"),
    ):
        rows = await admin.fetch(f"SELECT {column} AS name FROM brain.{table} ORDER BY 1")
        assert [row["name"] for row in rows] == ["waits", "young"], table
    assert [row["signal_id"] for row in await admin.fetch("SELECT signal_id FROM brain.outcomes")] == [
        "young"
    ]
    await admin.close()


async def test_the_newest_thousand_trades_stay_however_old_they_are(
    empty: MigrationSettings,
) -> None:
    await migrate(empty)
    admin = await admin_of(empty)
    await admin.execute(
        """INSERT INTO brain.closed_trades
        SELECT 't' || n, 's', 'BTCUSDT', 0.01, 1, now() - make_interval(days => 400 + n)
        FROM generate_series(1, 1100) AS n"""
    )
    await keep(empty, "brain", brain_retention(SIGNALS_DAYS))
    assert await admin.fetchval("SELECT count(*) FROM brain.closed_trades") == 1_000
    assert await admin.fetchval("SELECT count(*) FROM brain.closed_trades WHERE signal_id = 't1000'") == 1
    await admin.close()


async def test_decisions_and_released_reservations_go_and_an_open_one_stays(
    empty: MigrationSettings,
) -> None:
    await migrate(empty)
    admin = await admin_of(empty)
    for name, days in (("old", 400), ("young", 300)):
        await admin.execute(
            """INSERT INTO risk.decisions VALUES
            ($1, 'BTCUSDT', 'long', false, 'rejected', 'r', '[]', NULL, 1,
            now() - make_interval(days => $2))""",
            name,
            days,
        )
        for state in ("open", "released"):
            await admin.execute(
                """INSERT INTO risk.reservations (signal_id, strategy, symbol, side, state, quantity,
                entry_price, notional_usdt, margin_usdt, risk_usdt, reserved_at, valid_until, released_at,
                released_because)
                VALUES ($1 || $2::text, 's', 'BTCUSDT', 'long', $2::text::risk.reservation_state, 1, 1, 1, 1,
                1, now(), now(),
                CASE WHEN $2::text = 'released' THEN now() - make_interval(days => $3) END,
                CASE WHEN $2::text = 'released' THEN 'r' END)""",
                name,
                state,
                days,
            )
    await keep(empty, "risk", risk_retention(SIGNALS_DAYS))
    assert await admin.fetchval("SELECT string_agg(signal_id, ',') FROM risk.decisions") == "young"
    kept = await admin.fetch("SELECT signal_id FROM risk.reservations ORDER BY 1")
    assert [row["signal_id"] for row in kept] == ["oldopen", "youngopen", "youngreleased"]
    await admin.close()


async def test_trades_stay_for_years_and_then_go_with_orders_and_fills(
    empty: MigrationSettings,
) -> None:
    await migrate(empty)
    admin = await admin_of(empty)
    for name, days, state in (
        ("old", 3_700, "closed"),
        ("held", 3_700, "protected"),
        ("young", 3_000, "closed"),
    ):
        await admin.execute(
            """INSERT INTO execute.entries (signal_id, client_id, strategy, symbol, side, state, approval,
            trading_epoch, valid_until, signal_received_at, claimed_at, quantity, filled_quantity, created_at)
            VALUES ($1, 'c' || $1, 's', $1, 'long', $3::text::execute.entry_state, '{}', 1, now(), now(),
            now(), 1, 1, now() - make_interval(days => $2))""",
            name,
            days,
            state,
        )
        await admin.execute(
            """INSERT INTO execute.orders (client_id, signal_id, role, symbol, side, order_type, status)
            VALUES ('o' || $1, $1, 'e', 'BTCUSDT', 'buy', 'LIMIT', 'FILLED')""",
            name,
        )
        await admin.execute(
            "INSERT INTO execute.fills VALUES ('BTCUSDT', $1, $1, '1', 'buy', 1, 1, 0, 0, now())", name
        )
    await keep(empty, "execute", execute_retention(TRADES_DAYS, EQUITY_DAYS))
    for table in ("entries", "orders", "fills"):
        rows = await admin.fetch(f"SELECT signal_id FROM execute.{table} ORDER BY 1")
        assert [row["signal_id"] for row in rows] == ["held", "young"], table
    await admin.close()


async def test_what_was_recorded_before_there_were_months_is_kept_in_order_and_shown(
    empty: MigrationSettings, tmp_path: Path
) -> None:
    for each in migrations():
        if each.number < 14:
            (tmp_path / f"{each.name}.sql").write_text(each.sql)
    await migrate(empty, tmp_path)
    admin = await admin_of(empty)
    await admin.execute(
        """INSERT INTO brain.story (event_id, correlation_id, schema, producer, occurred_at, payload)
        SELECT 'e' || n, 'c', 's', 'p', now() + make_interval(days => n), '{}'
        FROM generate_series(-200, 200, 50) AS n"""
    )
    await admin.execute("INSERT INTO feed.bars VALUES ('BTCUSDT', now() - interval '1 year', 1, 1, 1, 1, 1)")
    newest = await admin.fetchval("SELECT max(id) FROM brain.story")

    await migrate(empty)

    assert await admin.fetchval("SELECT count(*) FROM brain.story") == 9
    assert await admin.fetchval("SELECT count(*) FROM reporting.bars") == 1
    again = """INSERT INTO brain.story (event_id, correlation_id, schema, producer, occurred_at, payload)
               VALUES ('next', 'c', 's', 'p', now(), '{}') ON CONFLICT DO NOTHING RETURNING id"""
    assert await admin.fetchval(again) == newest + 1
    await admin.close()


async def test_months_that_are_over_are_dropped_and_the_coming_ones_are_there_in_time(
    empty: MigrationSettings,
) -> None:
    await migrate(empty)
    admin = await admin_of(empty)
    # An installation that has run for years: its first month ended long ago.
    oldest = await admin.fetchval("SELECT min(relname) FROM pg_class WHERE relname ~ '^equity_snapshots_y'")
    await admin.execute(
        f"""ALTER TABLE execute.equity_snapshots DETACH PARTITION execute.{oldest};
        ALTER TABLE execute.{oldest} RENAME TO equity_snapshots_y2020m01;
        ALTER TABLE execute.equity_snapshots ATTACH PARTITION execute.equity_snapshots_y2020m01
        FOR VALUES FROM (MINVALUE) TO ('2020-02-01 00:00Z')"""
    )
    await admin.execute(
        """INSERT INTO execute.equity_snapshots SELECT at, 1, 1, 1, 0
        FROM unnest(ARRAY['2020-01-15 00:00Z', now(), now() + interval '20 days',
        now() + interval '400 days'])
        AS at"""
    )

    await keep(empty, "execute", execute_retention(TRADES_DAYS, EQUITY_DAYS))

    rows = await admin.fetch(
        "SELECT tableoid::regclass::text AS month FROM execute.equity_snapshots ORDER BY taken_at"
    )
    assert len(rows) == 3, "the row of 2020 is gone with its month"
    assert rows[-1]["month"] == "execute.equity_snapshots_outside"
    assert rows[0]["month"].startswith("execute.equity_snapshots_y")
    await admin.close()


async def test_bars_of_another_year_find_a_place_and_are_deleted_when_old(
    empty: MigrationSettings,
) -> None:
    await migrate(empty)
    admin = await admin_of(empty)
    await admin.execute("INSERT INTO feed.bars VALUES ('BTCUSDT', '2022-01-01 00:00Z', 1, 1, 1, 1, 1)")
    assert await admin.fetchval("SELECT count(*) FROM feed.bars") == 1
    async with database_of(empty, "feed") as database:
        await BarStore(database).prune(90)
    assert await admin.fetchval("SELECT count(*) FROM feed.bars") == 0
    await admin.close()
