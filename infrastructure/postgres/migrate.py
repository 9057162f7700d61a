"""Applies the numbered SQL files to PostgreSQL, each once, in order, in a transaction of its own.

`NNNN_pre_*.sql` runs before new code starts and must suit the old code as well (expand); `NNNN_post_*.sql`
runs when
no old code is left (contract). An applied file must never be edited: its checksum is kept and compared.
`python -m infrastructure.postgres.migrate` brings a database up to date; running it again changes nothing.
"""

import asyncio
import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.errors import OperatorNeeded
from shared.settings import ENV_PREFIX, FileSettings

MIGRATIONS = Path(__file__).parent / "migrations"
ADMIN_ROLE = "phoenix_admin"
SERVICES = ("brain", "risk", "execute", "feed", "notify")
ADVISORY_LOCK = 9_500_001  # one migration at a time, held by the session while it works
CONNECT_TIMEOUT_S = 10.0
LOCK_TIMEOUT_MS = 30_000

_FILE_NAME = re.compile(r"^(?P<number>\d{4})_(?P<phase>pre|post)_(?P<why>[a-z0-9_]+)\.sql$")

_HISTORY = """
CREATE TABLE IF NOT EXISTS public.schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationSettings(FileSettings):
    """Where the database is, and the passwords its roles get."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="ignore")

    postgres_url: str = Field(description="postgresql://host:port/database")
    admin_db_password: SecretStr = Field(description="Password of phoenix_admin, who owns the schema.")
    brain_db_password: SecretStr
    risk_db_password: SecretStr
    execute_db_password: SecretStr
    feed_db_password: SecretStr
    notify_db_password: SecretStr

    def password(self, service: str) -> str:
        """Return the database password of one service."""
        secret: SecretStr = getattr(self, f"{service}_db_password")
        return secret.get_secret_value()


@dataclass(frozen=True)
class Migration:
    """One numbered SQL file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """A digest of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Return the migrations in order.

    Raises:
        OperatorNeeded: a file name does not fit, or a number stands twice.
    """
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.match(path.name)
        if match is None:
            raise OperatorNeeded(f"{path.name} is not named NNNN_pre_why.sql or NNNN_post_why.sql")
        number = int(match["number"])
        if number in found:
            raise OperatorNeeded(f"migration number {number} stands twice")
        found[number] = Migration(number, path.stem, path.read_text(encoding="utf-8"))
    return [found[number] for number in sorted(found)]


async def migrate(settings: MigrationSettings, folder: Path = MIGRATIONS) -> list[str]:
    """Create the roles, apply what is missing, and return the names of what was applied.

    Raises:
        OperatorNeeded: an applied file was edited afterwards.
    """
    connection = await asyncpg.connect(
        settings.postgres_url,
        user=ADMIN_ROLE,
        password=settings.admin_db_password.get_secret_value(),
        timeout=CONNECT_TIMEOUT_S,
        server_settings={"lock_timeout": str(LOCK_TIMEOUT_MS), "application_name": "phoenix migrate"},
    )
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
        await _ensure_roles(connection, settings)
        await connection.execute(_HISTORY)
        return await _apply_missing(connection, migrations(folder))
    finally:
        await connection.close()


async def _apply_missing(connection: asyncpg.Connection, wanted: list[Migration]) -> list[str]:
    rows = await connection.fetch("SELECT number, name, checksum FROM public.schema_migrations")
    applied = {row["number"]: row for row in rows}
    names: list[str] = []
    for migration in wanted:
        before = applied.get(migration.number)
        if before is not None:
            if before["checksum"] != migration.checksum:
                raise OperatorNeeded(
                    f"{migration.name} was edited after it had been applied; write a new migration"
                )
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO public.schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
        names.append(migration.name)
    return names


async def _ensure_roles(connection: asyncpg.Connection, settings: MigrationSettings) -> None:
    """Create each service's role, or give it the password of the settings; names and passwords are quoted
    by the server.
    """
    for service in SERVICES:
        role = f"phoenix_{service}"
        exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
        statement = await connection.fetchval(
            "SELECT format($1, $2::text, $3::text)",
            "ALTER ROLE %I LOGIN PASSWORD %L" if exists else "CREATE ROLE %I LOGIN PASSWORD %L",
            role,
            settings.password(service),
        )
        await connection.execute(statement)


def main() -> int:
    """Migrate the database named by the settings; 0 on success, 1 with the reason on stderr."""
    try:
        settings = MigrationSettings()  # type: ignore[call-arg]
        names = asyncio.run(migrate(settings))
    except (OperatorNeeded, ValueError, OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"migration failed: {error}\n")
        return os.EX_CONFIG
    sys.stdout.write(f"applied: {', '.join(names)}\n" if names else "database is up to date\n")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
