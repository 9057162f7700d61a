"""Makes what a standby needs at the primary: a role that may replicate, and a slot.

`python -m infrastructure.postgres.replication` uses the settings of the migrations; running it again changes
nothing but the role's password. It must never touch the schema.
"""

import asyncio
import os
import sys

import asyncpg
from pydantic import Field, SecretStr

from infrastructure.postgres.migrate import ADMIN_ROLE, CONNECT_TIMEOUT_S, MigrationSettings

ROLE = "phoenix_replication"
SLOT = "standby"


class ReplicationSettings(MigrationSettings):
    """The settings of the migrations and the password of the role."""

    replication_db_password: SecretStr = Field(description=f"Password of the database role {ROLE}.")


async def allow_replication(settings: ReplicationSettings) -> None:
    """Create role and slot where they are missing."""
    connection = await asyncpg.connect(
        settings.postgres_url,
        user=ADMIN_ROLE,
        password=settings.admin_db_password.get_secret_value(),
        timeout=CONNECT_TIMEOUT_S,
        server_settings={"application_name": "phoenix replication"},
    )
    try:
        exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE)
        statement = await connection.fetchval(
            "SELECT format($1, $2::text, $3::text)",
            f"{'ALTER' if exists else 'CREATE'} ROLE %I REPLICATION LOGIN PASSWORD %L",
            ROLE,
            settings.replication_db_password.get_secret_value(),
        )
        await connection.execute(statement)
        await connection.execute(
            "SELECT pg_create_physical_replication_slot($1)"
            " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)",
            SLOT,
        )
    finally:
        await connection.close()


def main() -> int:
    """Prepare the database named by the settings; 0 on success, 78 with the reason on stderr."""
    try:
        settings = ReplicationSettings()  # type: ignore[call-arg]
        asyncio.run(allow_replication(settings))
    except (ValueError, OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"replication is not prepared: {error}\n")
        return os.EX_CONFIG
    sys.stdout.write(f"role {ROLE} and slot {SLOT} are there\n")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
