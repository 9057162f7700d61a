"""The database adapter on a real PostgreSQL: what it refuses, what it translates, how it comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TypeAlias

import asyncpg
import pytest

from shared import database as database_module
from shared.database import Database
from shared.errors import DatabaseUnavailable, OperatorNeeded
from tests.contract.samples import SIZING
from tests.eventually import eventually
from tests.servers import Role, Servers

pytestmark = pytest.mark.servers

SERVICES: tuple[Role, ...] = ("brain", "risk", "execute", "feed", "notify")

Admin: TypeAlias = asyncpg.Connection  # the library ships no types


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with _as(servers, "feed") as opened:
        yield opened


@pytest.fixture
async def admin(servers: Servers) -> AsyncIterator[Admin]:
    connection = await asyncpg.connect(servers.postgres_dsn())
    yield connection
    await connection.close()


class TestValues:
    """What goes in comes out, or is refused before it is stored wrongly."""

    @pytest.mark.parametrize("text", ["0.1", "-0.00000001", "123456789012.12345678", "0", "1E+3", "0E-8"])
    async def test_money_comes_back_exactly(self, database: Database, text: str) -> None:
        found = await database.fetch_value("SELECT $1::numeric", Decimal(text))
        assert isinstance(found, Decimal)
        assert found == Decimal(text)

    async def test_arrays_of_money_come_back_exactly(self, database: Database) -> None:
        amounts = [Decimal("0.1"), Decimal(-3), None]
        assert await database.fetch_value("SELECT $1::numeric[]", amounts) == amounts

    @pytest.mark.parametrize("value", [0.1, 0.1 + 0.2, True, "0.1"])
    async def test_money_that_is_not_decimal_is_refused(self, database: Database, value: object) -> None:
        with pytest.raises(asyncpg.DataError, match="money is Decimal"):
            await database.fetch_value("SELECT $1::numeric", value)

    @pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+999999999"])
    async def test_money_that_is_no_amount_is_refused(self, database: Database, text: str) -> None:
        with pytest.raises(asyncpg.DataError, match="is not an amount"):
            await database.fetch_value("SELECT $1::numeric", Decimal(text))

    async def test_a_time_without_a_zone_is_refused(self, database: Database) -> None:
        naive = datetime(2026, 3, 2, 14, 30)  # noqa: DTZ001 - the mistake under test
        with pytest.raises(asyncpg.DataError, match="a datetime with its zone"):
            await database.fetch_value("SELECT $1::timestamptz", naive)

    @pytest.mark.parametrize(
        "moment",
        [
            datetime(2026, 3, 2, 14, 30, 0, 123456, tzinfo=UTC),
            datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 3, 2, 23, 30, tzinfo=timezone(timedelta(hours=9))),
        ],
    )
    async def test_a_time_means_the_same_moment_to_the_server(
        self, database: Database, moment: datetime
    ) -> None:
        row = await database.fetch_row(
            "SELECT $1::timestamptz AS same, to_char($1::timestamptz, 'YYYY-MM-DD HH24:MI:SS.US') AS shown",
            moment,
        )
        assert row is not None
        assert row["same"] == moment
        assert row["same"].utcoffset() == timedelta(0)
        assert row["shown"] == moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    async def test_the_servers_own_time_is_read_with_its_zone(self, database: Database) -> None:
        now = await database.fetch_value("SELECT clock_timestamp()")
        assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)

    async def test_values_of_the_vocabulary_are_kept_as_json_with_money_as_text(
        self, database: Database
    ) -> None:
        found = await database.fetch_value("SELECT $1::jsonb", SIZING)
        assert found["quantity"] == "0.199"
        assert found["leverage"] == 20


class TestErrors:
    """Only what waiting can heal is told as `DatabaseUnavailable`."""

    async def test_a_lock_that_is_not_given_is_unavailable(
        self, servers: Servers, admin: Admin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "LOCK_TIMEOUT_MS", 50)
        async with _as(servers, "feed") as database, admin.transaction():
            await admin.execute("LOCK TABLE feed.leases")
            with pytest.raises(DatabaseUnavailable, match="lock timeout"):
                await database.execute("SELECT count(*) FROM leases")

    async def test_a_statement_that_takes_too_long_is_unavailable(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "STATEMENT_TIMEOUT_MS", 50)
        async with _as(servers, "feed") as database:
            with pytest.raises(DatabaseUnavailable, match="statement timeout"):
                await database.execute("SELECT pg_sleep(5)")
            await database.ping()

    async def test_a_transaction_left_idle_is_unavailable(
        self, servers: Servers, admin: Admin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "IDLE_IN_TRANSACTION_TIMEOUT_MS", 50)
        async with _as(servers, "feed") as database:

            async def idle() -> None:
                async with database.transaction() as connection:
                    pid = await connection.fetchval("SELECT pg_backend_pid()")
                    await eventually(_is_gone(admin, pid))
                    await connection.execute("SELECT 1")

            with pytest.raises(DatabaseUnavailable):
                await idle()
            await database.ping()

    async def test_no_free_connection_is_unavailable(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "ACQUIRE_TIMEOUT_S", 0.05)
        async with _as(servers, "feed", connections_max=2) as database:
            async with database.connection(), database.connection():
                with pytest.raises(DatabaseUnavailable):
                    await database.ping()
            await database.ping()

    async def test_a_deadlock_is_unavailable_for_one_and_goes_well_for_the_other(
        self, database: Database, admin: Admin
    ) -> None:
        await admin.execute("DELETE FROM feed.leases")
        await admin.execute("INSERT INTO feed.leases VALUES ('a', 'x', 1, now()), ('b', 'x', 1, now())")
        both_hold_one = asyncio.Barrier(2)

        async def touch(first: str, second: str) -> None:
            async with database.transaction() as connection:
                await connection.execute("UPDATE leases SET epoch = 2 WHERE name = $1", first)
                await both_hold_one.wait()
                await connection.execute("UPDATE leases SET epoch = 2 WHERE name = $1", second)

        results = await asyncio.gather(touch("a", "b"), touch("b", "a"), return_exceptions=True)
        assert [type(each) for each in results if each is not None] == [DatabaseUnavailable]
        await admin.execute("DELETE FROM feed.leases")

    @pytest.mark.parametrize(
        ("query", "arguments", "error"),
        [
            ("SELECT $1::int", ("text",), asyncpg.DataError),
            ("SELECT $1::int, $2::int", (1,), asyncpg.InterfaceError),
            ("SELECT 1/0", (), asyncpg.DivisionByZeroError),
            ("SELEKT", (), asyncpg.PostgresSyntaxError),
            ("SELECT * FROM no_such_table", (), asyncpg.UndefinedTableError),
            ("INSERT INTO leases VALUES ('n', 'h', NULL, now())", (), asyncpg.NotNullViolationError),
        ],
    )
    async def test_a_mistake_of_ours_is_not_taken_for_a_lost_database(
        self, database: Database, query: str, arguments: tuple[object, ...], error: type[Exception]
    ) -> None:
        """A consumer would otherwise wait for ever for the database to come back."""
        with pytest.raises(error):
            await database.execute(query, *arguments)
        with pytest.raises(error):
            async with database.transaction() as connection:
                await connection.execute(query, *arguments)

    async def test_a_wrong_password_needs_the_operator_and_is_not_shown(self, servers: Servers) -> None:
        wrong = Database(
            servers.postgres_url, user="phoenix_feed", password="mistyped", schema="feed", name="test"
        )
        with pytest.raises(OperatorNeeded, match="phoenix_feed") as refused:
            await wrong.__aenter__()
        assert "mistyped" not in str(refused.value)

    async def test_a_server_that_is_not_there_is_unavailable(self, servers: Servers) -> None:
        away = Database(
            "postgresql://127.0.0.1:1/phoenix", user="phoenix_feed", password="", schema="feed", name="test"
        )
        with pytest.raises(DatabaseUnavailable):
            await away.__aenter__()


class TestComingBack:
    """A connection that dies fails the work in hand and nothing after it."""

    async def test_a_backend_killed_inside_a_transaction(self, database: Database, admin: Admin) -> None:
        async def work() -> None:
            async with database.transaction() as connection:
                await _kill(admin, await connection.fetchval("SELECT pg_backend_pid()"))
                await connection.execute("SELECT 1")

        with pytest.raises(DatabaseUnavailable):
            await work()
        await database.ping()

    async def test_a_backend_killed_before_the_commit_is_answered(
        self, database: Database, admin: Admin
    ) -> None:
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as connection:
                await _kill(admin, await connection.fetchval("SELECT pg_backend_pid()"))
        await database.ping()

    async def test_idle_connections_killed_between_two_uses(self, database: Database, admin: Admin) -> None:
        for _ in range(10):  # some are used in the very moment in which the server ends them
            for pid in await eventually(lambda: _two_backends(database)):
                await _kill(admin, pid)
            await eventually(_answers(database))

    async def test_the_server_killed_and_started_again(self, servers: Servers, database: Database) -> None:
        await asyncio.to_thread(servers.kill, "postgres")
        await eventually(lambda: _refuses(database))
        await asyncio.to_thread(servers.start, "postgres")
        await eventually(_answers(database))

    async def test_an_exception_in_the_block_rolls_everything_back(self, database: Database) -> None:
        async def fail() -> None:
            async with database.transaction() as connection:
                await connection.execute("INSERT INTO inbox VALUES ('test', 'rolled back', now())")
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        assert await database.fetch("SELECT FROM inbox WHERE event_id = 'rolled back'") == []

    async def test_a_cancelled_statement_leaves_a_usable_pool(self, database: Database) -> None:
        for _ in range(20):
            task = asyncio.create_task(database.execute("SELECT pg_sleep(60)"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await database.ping()


class TestPrivileges:
    """Each role reads and writes its own schema and nothing else."""

    @pytest.mark.parametrize("service", SERVICES)
    async def test_a_service_sees_its_own_schema_first_and_only(
        self, servers: Servers, service: Role
    ) -> None:
        async with _as(servers, service) as database:
            assert await database.fetch_value("SELECT current_schemas(false)") == [service]
            await database.fetch("SELECT * FROM outbox LIMIT 1")

    @pytest.mark.parametrize("service", SERVICES)
    @pytest.mark.parametrize("other", SERVICES)
    async def test_no_service_can_read_or_write_the_tables_of_another(
        self, servers: Servers, service: Role, other: Role
    ) -> None:
        if service == other:
            return
        async with _as(servers, service) as database:
            for statement in (
                f"SELECT * FROM {other}.outbox",
                f"INSERT INTO {other}.inbox VALUES ('q', 'e', now())",
                f"DELETE FROM {other}.leases",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await database.execute(statement)

    @pytest.mark.parametrize("service", SERVICES)
    async def test_no_service_can_change_the_schema(self, servers: Servers, service: Role) -> None:
        async with _as(servers, service) as database:
            for statement in (
                "CREATE TABLE mine (n int)",
                "CREATE TABLE public.mine (n int)",
                "ALTER TABLE outbox ADD COLUMN n int",
                "DROP TABLE outbox",
                "TRUNCATE outbox",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await database.execute(statement)

    async def test_the_audit_log_can_only_grow(self, servers: Servers) -> None:
        async with _as(servers, "risk") as database:
            for statement in (
                "DELETE FROM audit_log",
                "UPDATE audit_log SET at = now()",
                "TRUNCATE audit_log",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await database.execute(statement)

    async def test_no_role_of_a_service_is_more_than_a_login(self, admin: Admin) -> None:
        rows = await admin.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'phoenix\\_%' AND rolname <> 'phoenix_admin'"
            " AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls OR rolreplication)"
        )
        assert rows == []


@asynccontextmanager
async def _as(
    servers: Servers, service: Role, *, connections_max: int | None = None
) -> AsyncIterator[Database]:
    opened = Database(
        servers.postgres_url,
        user=f"phoenix_{service}",
        password=servers.password(service),
        schema=service,
        name="test",
        connections_max=connections_max,
    )
    async with opened:
        yield opened


async def _kill(admin: Admin, pid: int) -> None:
    await admin.execute("SELECT pg_terminate_backend($1)", pid)
    await eventually(_is_gone(admin, pid))


def _is_gone(admin: Admin, pid: int) -> Callable[[], "asyncio.Future[bool]"]:
    return lambda: asyncio.ensure_future(
        admin.fetchval("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $1", pid)
    )


async def _refuses(database: Database) -> bool:
    return not await _answers(database)()


async def _two_backends(database: Database) -> list[int]:
    """Return the process ids behind two connections of the pool; empty while it still meets dead ones."""
    try:
        async with database.connection() as one, database.connection() as other:
            return [await each.fetchval("SELECT pg_backend_pid()") for each in (one, other)]
    except DatabaseUnavailable:
        return []


def _answers(database: Database) -> Callable[[], "asyncio.Future[bool]"]:
    async def look() -> bool:
        try:
            await database.ping()
        except DatabaseUnavailable:
            return False
        return True

    return lambda: asyncio.ensure_future(look())
