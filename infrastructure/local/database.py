"""The first steps inside the private PostgreSQL: create the database, then let the migrations run.

It knows how to call `psql` and `python -m infrastructure.postgres.migrate`; the schema is not its business.
"""

import importlib.util
import subprocess
from collections.abc import Mapping

from infrastructure.local.bring_up import StartError, log_tail
from infrastructure.local.layout import REPOSITORY, Binaries, Layout
from infrastructure.local.ports import Ports
from infrastructure.local.preparation import ADMIN_ROLE, DATABASE, basic_environment

MIGRATIONS_MODULE = "infrastructure.postgres.migrate"
CREATE_TIMEOUT_S = 30
MIGRATE_TIMEOUT_S = 120

CREATE_DATABASE = (
    f"SELECT 'CREATE DATABASE {DATABASE}'"  # noqa: S608 - constants of this project
    f" WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}')\\gexec\n"
)


def prepare_database(
    layout: Layout, ports: Ports, binaries: Binaries, admin_password: str, environment: Mapping[str, str]
) -> None:
    """Create the database if there is none and bring its schemas and roles up to date.

    Raises:
        StartError: psql or a migration failed.
    """
    log = layout.log_of("migrate")
    psql = [
        str(binaries.postgres_bin / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
        "-p", str(ports.of("postgres")), "-U", ADMIN_ROLE, "-d", "postgres",
    ]  # fmt: skip
    steps = [(psql, {"PGPASSWORD": admin_password}, CREATE_DATABASE, CREATE_TIMEOUT_S)]
    if _has_migrations():
        migrate = [str(binaries.python), "-m", MIGRATIONS_MODULE]
        steps.append((migrate, dict(environment), "", MIGRATE_TIMEOUT_S))
    with log.open("w", encoding="utf-8") as output:
        for command, extra, text, timeout_s in steps:
            finished = subprocess.run(
                command,
                cwd=REPOSITORY,
                env=basic_environment() | extra,
                input=text,
                text=True,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
            if finished.returncode:
                output.flush()
                raise StartError(f"the database could not be prepared\n{log_tail(log)}\nLog: {log}")


def _has_migrations() -> bool:
    try:
        return importlib.util.find_spec(MIGRATIONS_MODULE) is not None
    except ModuleNotFoundError:
        return False
