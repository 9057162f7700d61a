"""The fault table: every kind of trouble, how often and how long, and how it is made and taken back.

Each kind disturbs a running system from outside, as the world does; none reaches into a process. It must
never judge what comes of it.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from shared import crash_points
from tests.chaos.plan import Fault, FaultKind
from tests.chaos.world import World

OWN_PROGRAMS = ("brain", "risk", "execute", "notify")
SEVERED_S = (2.0, 8.0)
FROZEN_S = (2.0, 12.0)

Inject = Callable[[World, Fault], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One row of the table."""

    kind: FaultKind
    inject: Inject


@dataclass
class Injected:
    """What was really done, for the report."""

    counts: dict[str, int] = field(default_factory=dict)

    def note(self, kind: str) -> None:
        """Count one injection."""
        self.counts[kind] = self.counts.get(kind, 0) + 1

    @property
    def total(self) -> int:
        """All injections."""
        return sum(self.counts.values())


def instance(world: World, service: str, fault: Fault) -> str:
    """Return the replica of a service that the fault's dice choose."""
    return f"{service}-{int(fault.dice * world.replicas)}"


def _kill(service: str, *, has_replicas: bool) -> Inject:
    async def inject(world: World, fault: Fault) -> None:
        program = instance(world, service, fault) if has_replicas else service
        await world.signal(program, signal.SIGKILL)

    return inject


def _freeze(service: str, *, has_replicas: bool) -> Inject:
    async def inject(world: World, fault: Fault) -> None:
        program = instance(world, service, fault) if has_replicas else service
        await world.freeze(program, fault.seconds)

    return inject


def _restart(server: str) -> Inject:
    async def inject(world: World, _: Fault) -> None:
        await world.restart(server)

    return inject


def _link(name: str, how: str) -> Inject:
    async def inject(world: World, fault: Fault) -> None:
        link = world.links[name]
        if how == "delay":
            link.delay(0.05 + 0.4 * fault.dice)
        else:
            getattr(link, how)()
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            link.heal()

    return inject


async def _close_broker_connections(world: World, _: Fault) -> None:
    base = world.settings["PHOENIX_AMQP_MANAGEMENT_URL"]
    for connection in (await world.http.get(f"{base}/api/connections")).json():
        await world.http.delete(f"{base}/api/connections/{connection['name']}")


def _crash(point: str) -> Inject:
    async def inject(world: World, fault: Fault) -> None:
        """Arm the point and leave it armed: whoever comes by next meets it."""
        if fault.dice < 0.75:
            (world.crash_points / point).write_text("KILL")
            return
        (world.crash_points / point).write_text("STOP")

    return inject


def _programs() -> list[Trouble]:
    rows = []
    for service in OWN_PROGRAMS:
        rows += [
            _row(f"kill {service}", 2, (0, 0), _kill(service, has_replicas=True)),
            _row(f"freeze {service}", 1, FROZEN_S, _freeze(service, has_replicas=True)),
        ]
    for program in ("market_feed", "paper_exchange", "nginx"):
        rows.append(_row(f"kill {program}", 1, (0, 0), _kill(program, has_replicas=False)))
    rows.append(_row("freeze market_feed", 1, FROZEN_S, _freeze("market_feed", has_replicas=False)))
    return rows


def _servers() -> list[Trouble]:
    return [
        _row("restart rabbitmq", 1, (0, 0), _restart("rabbitmq")),
        _row("kill rabbitmq", 1, (0, 0), _kill("rabbitmq", has_replicas=False)),
        _row("freeze rabbitmq", 1, SEVERED_S, _freeze("rabbitmq", has_replicas=False)),
        _row("close broker connections", 2, (0, 0), _close_broker_connections),
        _row("restart postgres", 1, (0, 0), _restart("postgres")),
        _row("kill postgres", 1, (0, 0), _kill("postgres", has_replicas=False)),
        _row("restart redis", 1, (0, 0), _restart("redis")),
        _row("kill redis", 1, (0, 0), _kill("redis", has_replicas=False)),
    ]


def _links() -> list[Trouble]:
    return [
        _row(f"{how} {name}", 1, SEVERED_S, _link(name, how))
        for name in ("amqp", "postgres", "redis", "exchange")
        for how in ("cut", "hold", "delay")
    ]


def _crashes() -> list[Trouble]:
    return [_row(f"crash {point}", 1, (0, 0), _crash(point)) for point in crash_points.POINTS]


def _row(name: str, weight: int, seconds: tuple[float, float], inject: Inject) -> Trouble:
    return Trouble(kind=FaultKind(name=name, weight=weight, seconds=seconds), inject=inject)


TROUBLES: Mapping[str, Trouble] = {
    each.kind.name: each for each in (*_programs(), *_servers(), *_links(), *_crashes())
}
"""Every kind by its name."""
