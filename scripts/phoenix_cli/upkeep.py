"""Keeping the database up to date from the command line. Loaded only by the command that needs it."""

import asyncio

import asyncpg
from pydantic import ValidationError

from infrastructure.postgres.migrate import MigrationSettings, migrate
from scripts.phoenix_cli.failures import Refused, Unreachable
from scripts.phoenix_cli.installation import Installation
from shared.errors import OperatorNeeded


def migrate_now(installation: Installation) -> list[str]:
    """Apply the migrations that are missing and return their names.

    Raises:
        Refused: a migration failed, or an applied one was edited.
        Unreachable: the database does not answer, or it is not known where it is.
    """
    try:
        with installation.read_by_services():
            settings = MigrationSettings()  # type: ignore[call-arg]
        return asyncio.run(migrate(settings))
    except ValidationError as error:
        missing = ", ".join(str(item["loc"][0]) for item in error.errors(include_input=False))
        raise Unreachable("the database is not known", f"Not set, or not usable: {missing}.") from None
    except (OperatorNeeded, asyncpg.PostgresError) as error:
        raise Refused("migration failed", str(error)) from error
    except OSError as error:
        raise Unreachable("the database cannot be reached", str(error)) from error
