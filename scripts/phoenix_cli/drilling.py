"""Carrying out a drill from the command line. Loaded only by the commands that need it."""

import asyncio
from collections.abc import Callable

import asyncpg
import httpx
from aio_pika.exceptions import AMQPError

from infrastructure.drill.hands import Doors, DrillFailed
from infrastructure.drill.promises import Verdict
from infrastructure.drill.reading import Sources
from infrastructure.drill.scripts import SCRIPTS, Script, run
from infrastructure.local.stack import LocalStack
from infrastructure.local.supervision import SupervisorError
from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import Refused, Unreachable, WrongUsage
from scripts.phoenix_cli.installation import Installation
from shared.errors import PhoenixError

PAPER = "paper"
SYMBOLS_TRIED = ("LINKUSDT", "DOTUSDT", "AVAXUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BTCUSDT", "ETHUSDT")


def drills() -> dict[str, str]:
    """Return every drill with what it shows."""
    return {name: script.shows for name, script in SCRIPTS.items()}


def find_script(name: str, installation: Installation) -> Script:
    """Return a drill that may be carried out here.

    Raises:
        WrongUsage: there is no such drill.
        Refused: the system does not trade on paper.
        Unreachable: it does not run.
    """
    script = SCRIPTS.get(name)
    if script is None:
        raise WrongUsage(f"there is no drill {name!r}", f"Known are: {', '.join(SCRIPTS)}.")
    with Api(installation) as api:
        ready = api.readiness("execute")
    if not ready["reached"]:
        raise Unreachable("EXECUTE does not answer", "A drill needs a running system: ./scripts/start.sh")
    if ready.get("mode") != PAPER:  # asked of who trades: files may say what is not yet, or no longer, so
        raise Refused("drills are for paper systems", "This one trades elsewhere; nothing was done.")
    return script


def carry_out(script: Script, installation: Installation, tell: Callable[[str], None]) -> list[Verdict]:
    """Carry out a drill on a flat symbol and return the verdicts.

    Raises:
        Refused: it could not be carried out to its end, or no symbol is flat.
        Unreachable: the system went away.
    """
    symbol = _flat_symbol(installation)
    stack = LocalStack(installation.home)
    try:
        return asyncio.run(run(script, _doors(installation), stack, symbol, tell))
    except (DrillFailed, SupervisorError) as error:
        raise Refused("the drill could not be carried out", str(error)) from error
    except (httpx.HTTPError, OSError, AMQPError, asyncpg.PostgresError, PhoenixError) as error:
        raise Unreachable("the system went away during the drill", repr(error)) from error


def _flat_symbol(installation: Installation) -> str:
    with Api(installation) as api:
        held = {each["symbol"] for each in api.get("execute", "/positions")["positions"]}
    free = [symbol for symbol in SYMBOLS_TRIED if symbol not in held]
    if not free:
        raise Refused("no symbol is free", "Every symbol that drills use holds a position: close one first.")
    return free[0]


def _doors(installation: Installation) -> Doors:
    return Doors(
        webhook_url=f"{installation.url('public')}/webhook/tradingview",
        execute_url=installation.url("execute"),
        webhook_secret=installation.value("PHOENIX_WEBHOOK_SECRET"),
        api_key=installation.value("PHOENIX_API_KEY"),
        sources=Sources(
            postgres_url=installation.value("PHOENIX_POSTGRES_URL"),
            admin_password=installation.value("PHOENIX_ADMIN_DB_PASSWORD"),
            amqp_url=installation.value("PHOENIX_AMQP_URL"),
            exchange_url=installation.value("PHOENIX_EXCHANGE_BASE_URL"),
            installation=installation.value("PHOENIX_INSTALLATION"),
        ),
    )
