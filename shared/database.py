"""PostgreSQL: one pool per process, transactions with time-outs, named queries kept in `.sql` files.

Foreign exceptions become `DatabaseUnavailable` here (connection gone, lock or statement time-out, deadlock,
disk full); a broken constraint or a wrong type is a programmer's or a business matter and passes through.
Every connection sees one schema only: its service's; it refuses floats for money and times without a zone.
This module must never know a table of a service, other than the mailboxes that all of them have.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import msgspec

from shared import codec
from shared.errors import DatabaseUnavailable, OperatorNeeded
from shared.supervision import within

CONNECT_TIMEOUT_S = 10.0
ACQUIRE_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 5.0
LOCK_TIMEOUT_MS = 3_000
STATEMENT_TIMEOUT_MS = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
POOL_CONNECTIONS_MAX = 10
EXPONENT_MAX = 40  # far above NUMERIC(20,8); a larger exponent would only be written out to fill the memory

Connection = Any
"""A pooled asyncpg connection; the library ships no types."""

_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shut down, starting up, statement time-out
    asyncpg.exceptions.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.exceptions.TransactionRollbackError,  # deadlock, serialization
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is not promoted yet
    asyncpg.exceptions.InvalidCachedStatementError,
    asyncpg.InternalClientError,  # a connection used in the moment in which the server ends it
    OSError,
    TimeoutError,
)
"""The library's `InterfaceError` is not among them: it is its word for wrong use (an argument too few, say),
and a consumer would wait for ever for the database to recover from that.
"""

_NOT_LET_IN = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""What PostgreSQL counts its microseconds from."""

_MICROSECOND = timedelta(microseconds=1)

_QUERY_HEADER = re.compile(r"^-- name: (?P<name>[a-z0-9_]+)\s*$", re.MULTILINE)


def load_queries(path: Path) -> Mapping[str, str]:
    """Return the queries of a `.sql` file, each opened by a line `-- name: the_name`."""
    parts = _QUERY_HEADER.split(path.read_text(encoding="utf-8"))[1:]
    queries = {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
    assert len(queries) == len(parts) // 2, f"a query name stands twice in {path.name}"
    return queries


def jsonb(value: object) -> str:
    """Return a value of the vocabulary as text for a jsonb column, money as strings, without any NUL."""
    return codec.encode_value(value).decode()


class Database:
    """A pool of connections to one service's schema."""

    def __init__(
        self,
        url: str,
        *,
        user: str,
        password: str,
        schema: str,
        name: str,
        connections_max: int | None = None,
    ) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._schema = schema
        self._name = name
        self._connections_max = connections_max or POOL_CONNECTIONS_MAX
        self._pool: asyncpg.Pool | None = None

    async def __aenter__(self) -> Self:
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                user=self._user,
                password=self._password,
                min_size=2,
                max_size=self._connections_max,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                init=_prepare,
                reset=_leave_as_it_is,
                server_settings={
                    "application_name": self._name,
                    "search_path": self._schema,
                    "timezone": "UTC",
                    "jit": "off",
                    "lock_timeout": str(LOCK_TIMEOUT_MS),
                    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
                },
            )
        except _UNAVAILABLE as error:
            raise DatabaseUnavailable(repr(error)) from error
        except _NOT_LET_IN as error:
            raise OperatorNeeded(f"the database does not let {self._user} in: {error}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        try:
            await within(COMMAND_TIMEOUT_S, self._pool.close())
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection outside a transaction: each statement commits by itself.

        Raises:
            DatabaseUnavailable: it cannot be reached, or a time-out, a deadlock or a full disk stopped it.
        """
        assert self._pool is not None, "the database is not open"
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                with _lost_in_use(connection):
                    yield connection
        except (*_UNAVAILABLE, *_NOT_LET_IN) as error:
            raise DatabaseUnavailable(repr(error)) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseUnavailable: also when the commit's answer is lost; the work must be safe to run again.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return all rows of one statement."""
        async with self.connection() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
            return rows

    async def fetch_row(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """Return the first row of one statement, or None."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetch_value(self, query: str, *arguments: object) -> Any:
        """Return the first column of the first row, or None."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> str:
        """Run one statement and return its command tag."""
        async with self.connection() as connection:
            return str(await connection.execute(query, *arguments))

    async def ping(self) -> None:
        """Raise `DatabaseUnavailable` unless the database answers."""
        await self.fetch_value("SELECT 1")


@contextmanager
def _lost_in_use(connection: Connection) -> Iterator[None]:
    """Tell a connection that died in the borrower's hands from the borrower's own mistakes."""
    try:
        yield
    except asyncpg.InterfaceError as error:
        if _is_lost(connection):
            raise DatabaseUnavailable(repr(error)) from error
        raise


def _is_lost(connection: Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # the pool has taken the dead connection away from its borrower
        return True


async def _leave_as_it_is(_: Connection) -> None:
    """Reset nothing when a connection is given back: saves a round trip per loan.

    No statement of ours leaves anything in its session (no SET, LISTEN, advisory lock or cursor that
    outlives its
    transaction), and the library still rolls back a transaction that was left open.
    """


async def _prepare(connection: Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=_as_text, decoder=msgspec.json.decode
        )
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=_decimal_text, decoder=Decimal, format="text"
    )
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=_microseconds, decoder=_moment, format="tuple"
    )


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else jsonb(value)


def _decimal_text(value: object) -> str:
    """Return money as text; a float would be stored with its noise, a NaN would pass every CHECK (x > 0)."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError(f"money is Decimal, not {type(value).__name__}")
    amount = Decimal(value)
    if not amount.is_finite() or amount.adjusted() > EXPONENT_MAX:
        raise ValueError(f"{value} is not an amount")
    return format(amount, "f")


def _microseconds(value: object) -> tuple[int]:
    """Return a moment as PostgreSQL counts; a naive one would be stored as if it were UTC."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("a time is a datetime with its zone")
    return ((value - _EPOCH) // _MICROSECOND,)


def _moment(parts: tuple[int]) -> datetime:
    return _EPOCH + timedelta(microseconds=parts[0])
