"""`doctor`: looks at everything Phoenix needs and says in red and green what is so and what to do.

Works when the system is down, and says so. It changes nothing. Loaded only by its command.
"""

from collections.abc import Callable, Iterable

from scripts.phoenix_cli import doctor_doors, doctor_machine, doctor_servers, settings_check
from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.checkup import Colour, Finding, red
from scripts.phoenix_cli.installation import SERVICES, Installation


def examine(installation: Installation) -> list[Finding]:
    """Return everything that was found, in the order in which it is best mended."""
    findings = [
        *doctor_machine.disk(installation.home),
        *doctor_machine.memory(),
        *doctor_machine.python_and_packages(),
        *doctor_machine.server_programs(),
        *_worth_telling(settings_check.check(installation)),
    ]
    if not _known(installation):
        return [*findings, *doctor_machine.ports(installation, runs=False)]
    with Api(installation) as api:
        services, runs = doctor_doors.services(api)
        findings += doctor_machine.ports(installation, runs=runs)
        if not runs:
            findings.append(red("phoenix", "no service answers", "It is down: ./scripts/start.sh starts it."))
        looks: tuple[Callable[[], Iterable[Finding]], ...] = (
            lambda: doctor_servers.database(installation),
            lambda: doctor_servers.redis_server(installation),
            lambda: doctor_servers.broker(api, installation),
            lambda: services,
            lambda: doctor_doors.webhook(api),
            lambda: doctor_doors.trading(api),
            lambda: doctor_doors.exchange(api),
            lambda: doctor_doors.paper_exchange(installation),
            lambda: doctor_doors.telegram(installation),
            lambda: doctor_servers.monitoring(installation),
        )
        return findings + [finding for look in looks for finding in look()]


def _known(installation: Installation) -> bool:
    return all(installation.text(f"PHOENIX_{name.upper()}_URL") for name in SERVICES)


def _worth_telling(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out what `config check` is for: the limits at odds with one another, and Telegram twice."""
    return [
        each for each in findings if each.subject not in {"limits", "telegram"} or each.colour is Colour.RED
    ]
