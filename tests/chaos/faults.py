"""The fault table: every kind of trouble, how often and how long, and how it is made and taken back.

Each kind disturbs a running system from outside, as the world does; none reaches into a process. It must
never judge what comes of it.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from shared import crash_points
from tests.chaos.plan import Fault, FaultKind
from tests.chaos.world import World
from tests.eventually import eventually

OWN_PROGRAMS = ("brain", "risk", "execute", "notify")
SEVERED_S = (2.0, 8.0)
FROZEN_S = (2.0, 12.0)
POSITION_WAIT_S = 20.0
FULL_S = (3.0, 8.0)
LASTING_S = (8.0, 25.0)
CLOCK_S = (5.0, 20.0)
CLOCK_STEPS_S = (40, -40, 3_600, -3_600, 86_400)
TIMES_MANY = 100_000
BROKER_ALARM_BYTES = 100 * 1024 * 1024
"""Half of what RabbitMQ is told to keep free (`disk_free_limit`)."""

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
        _row("kill the supervisor", 1, (0, 0), _kill_supervisor, is_in_every_plan=True),
    ]


def _links() -> list[Trouble]:
    return [
        _row(f"{how} {name}", 1, SEVERED_S, _link(name, how))
        for name in ("amqp", "postgres", "redis", "exchange")
        for how in ("cut", "hold", "delay")
    ]


def _full(name: str, left_bytes: int) -> Inject:
    async def inject(world: World, fault: Fault) -> None:
        disk = world.disks[name]
        await asyncio.to_thread(disk.fill, left_bytes)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            disk.free()

    return inject


def _disks() -> list[Trouble]:
    """RabbitMQ is brought below its limit, not to the last byte: its own queues may not survive that."""
    return [
        _row("disk full: logs", 1, FULL_S, _full("logs", 0), is_in_every_plan=True),
        _row("disk full: postgres", 1, FULL_S, _full("postgres", 0), is_in_every_plan=True),
        _row("disk full: redis", 1, FULL_S, _full("redis", 0), is_in_every_plan=True),
        _row("disk low: rabbitmq", 1, FULL_S, _full("rabbitmq", BROKER_ALARM_BYTES), is_in_every_plan=True),
    ]


def _clock(service: str) -> Inject:
    async def inject(world: World, fault: Fault) -> None:
        """Set one process's clock, ahead or back, and after a while right again."""
        step_s = CLOCK_STEPS_S[int(fault.dice * len(CLOCK_STEPS_S))]
        assert world.clock_steps is not None, "this world's clocks cannot be set"
        clock = world.clock_steps / f"{service}-0"
        clock.write_text(str(step_s), encoding="ascii")
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            clock.unlink(missing_ok=True)

    return inject


def _clocks() -> list[Trouble]:
    return [
        _row(f"clock of {service} is set", 1, CLOCK_S, _clock(service), is_in_every_plan=True)
        for service in (*OWN_PROGRAMS, "market_feed")
    ]


async def _kill_supervisor(world: World, _: Fault) -> None:
    """Its programs end or go on, it comes back or not: the promises are judged."""
    world.kill_supervisor()


def _crashes() -> list[Trouble]:
    return [_row(f"crash {point}", 1, (0, 0), _crash(point)) for point in crash_points.POINTS]


EXCHANGE_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "entry executed, 503 unknown": {"kind": "unknown_503", "operation": "place_order", "role": "-e"},
    "entry lost, 503 unknown": {
        "kind": "unknown_503", "operation": "place_order", "role": "-e", "executed": False,
    },
    "entry executed, -1007": {"kind": "backend_timeout", "operation": "place_order", "role": "-e"},
    "entry executed, -1006": {"kind": "unexpected_response", "operation": "place_order", "role": "-e"},
    "entry executed, 408": {"kind": "http_408", "operation": "place_order", "role": "-e"},
    "entry executed, reset": {"kind": "connection_reset", "operation": "place_order", "role": "-e"},
    "entry lost, reset": {
        "kind": "connection_reset", "operation": "place_order", "role": "-e", "executed": False,
    },
    "entry unavailable": {"kind": "service_unavailable", "operation": "place_order", "role": "-e"},
    "entry internal error": {"kind": "internal_error", "operation": "place_order", "role": "-e"},
    "entry throttled": {"kind": "throttled", "operation": "place_order"},
    "entry refused": {"kind": "refused", "operation": "place_order", "role": "-e", "code": -2019},
    "entry answered late": {"kind": "delay", "operation": "place_order", "role": "-e", "delay_ms": 7_000},
    "entry carried out late": {
        "kind": "delay", "operation": "place_order", "role": "-e", "delay_ms": 7_000,
        "execution": "at_end_unchecked",
    },
    "entry arrives late": {
        "kind": "delay", "operation": "place_order", "role": "-e", "delay_ms": 3_000, "execution": "at_end",
    },
    "entry fills in part": {"kind": "partial_fill", "share": "0.4", "times": 3},
    "stop would trigger": {"kind": "refused", "operation": "place_algo", "role": "-s", "code": -2021},
    "stop refused twice": {
        "kind": "refused", "operation": "place_algo", "role": "-s", "code": -4045, "times": 2,
    },
    "stop placed, 503 unknown": {"kind": "unknown_503", "operation": "place_algo", "role": "-s"},
    "target lost, reset": {
        "kind": "connection_reset", "operation": "place_algo", "role": "-t", "executed": False,
    },
    "close executed, 503 unknown": {"kind": "unknown_503", "operation": "place_order", "role": "-c"},
    "close unavailable": {"kind": "service_unavailable", "operation": "place_order", "role": "-c"},
    "cancel executed, reset": {"kind": "connection_reset", "operation": "cancel_algo"},
    "429": {"kind": "too_many_requests", "retry_after_s": 2},
    "418": {"kind": "banned", "retry_after_s": 4},
    "orders invisible": {"kind": "hidden_order", "hide_ms": 2_000, "times": 5},
    "stops invisible": {"kind": "hidden_algo", "hide_ms": 3_000, "times": 5},
    "fills invisible": {"kind": "hidden_fill", "hide_ms": 3_000, "times": 10},
    "user stream silent": {"kind": "stream_silent", "for_ms": 15_000},
    "user stream gap": {"kind": "stream_gap", "for_ms": 5_000},
    "user stream dropped": {"kind": "stream_drop"},
    "user events twice": {"kind": "stream_duplicate", "times": 10},
    "user events late": {"kind": "stream_late", "delay_ms": 2_000, "times": 5},
    "listen key expired": {"kind": "listen_key_expired"},
    "market silent": {"kind": "market_silent", "for_ms": 12_000},
    "clock ahead": {"kind": "clock_skew", "skew_ms": 4_000, "for_ms": 10_000},
    "clock behind": {"kind": "clock_skew", "skew_ms": -4_000, "for_ms": 10_000},
}  # fmt: skip
"""What the exchange does wrong: bodies for its switchboard."""


LASTING_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "fills refused": {"kind": "refused", "operation": "user_trades", "code": -1102, "msg": "refused"},
    "fills unavailable": {"kind": "service_unavailable", "operation": "user_trades"},
    "income refused": {"kind": "refused", "operation": "income", "code": -1102, "msg": "refused"},
    "account unavailable": {"kind": "service_unavailable", "operation": "account"},
    "positions unavailable": {"kind": "service_unavailable", "operation": "position_risk"},
    "conditional orders unavailable": {"kind": "service_unavailable", "operation": "open_algos"},
    "targets refused": {"kind": "refused", "operation": "place_algo", "role": "-t", "code": -4045},
    "closes refused": {"kind": "refused", "operation": "place_order", "role": "-c", "code": -2019},
    "cancels refused": {"kind": "refused", "operation": "cancel_algo", "code": -1102, "msg": "refused"},
    "rules unavailable": {"kind": "service_unavailable", "operation": "exchange_info"},
}
"""What the exchange does wrong again and again until it is taken back."""


def _lasting(body: Mapping[str, Any]) -> Inject:
    async def inject(world: World, fault: Fault) -> None:
        armed = await world.admin("POST", "faults", {**body, "times": TIMES_MANY})
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            with suppress(AssertionError):  # a restart of the exchange has healed it
                await world.admin("DELETE", f"faults/{armed['id']}")

    return inject


def _exchange_for_a_while() -> list[Trouble]:
    return [
        _row(f"exchange for a while: {name}", 1, LASTING_S, _lasting(body))
        for name, body in LASTING_FAULTS.items()
    ]


def _exchange() -> list[Trouble]:
    return [_row(f"exchange: {name}", 1, (0, 0), _armed(body)) for name, body in EXCHANGE_FAULTS.items()] + [
        _row(f"by hand: {act}", 1, (0, 0), _by_hand(act))
        for act in ("close", "liquidate", "adl", "settle", "cancel stop", "cancel target")
    ]


def _armed(body: Mapping[str, Any]) -> Inject:
    async def inject(world: World, _: Fault) -> None:
        await world.admin("POST", "faults", body)

    return inject


def _by_hand(act: str) -> Inject:
    async def inject(world: World, fault: Fault) -> None:
        """Do something to the first position that there is: by the owner elsewhere, or by the exchange."""
        state = await eventually(lambda: _state_with_position(world), POSITION_WAIT_S)
        symbol = str(next(each["symbol"] for each in state["positions"] if float(each["positionAmt"])))
        if not act.startswith("cancel"):
            await world.admin("POST", f"hand/{act}", {"symbol": symbol})
            return
        role = "-s" if act == "cancel stop" else "-t"
        for algo in state["openAlgoOrders"]:
            if algo["symbol"] == symbol and algo["clientAlgoId"].endswith(role):
                await world.admin("POST", "hand/cancel", {"client_id": algo["clientAlgoId"]})

    return inject


async def _state_with_position(world: World) -> Any:
    state = await world.admin("GET", "state")
    has_position = any(float(each["positionAmt"]) for each in state["positions"])
    return state if has_position else None


def _row(
    name: str, weight: int, seconds: tuple[float, float], inject: Inject, *, is_in_every_plan: bool = False
) -> Trouble:
    kind = FaultKind(name=name, weight=weight, seconds=seconds, is_in_every_plan=is_in_every_plan)
    return Trouble(kind=kind, inject=inject)


ON_A_DISK = "disk "
"""How the kinds begin that need disks of their own."""

TROUBLES: Mapping[str, Trouble] = {
    each.kind.name: each
    for each in (
        *_programs(),
        *_servers(),
        *_disks(),
        *_clocks(),
        *_links(),
        *_exchange(),
        *_exchange_for_a_while(),
        *_crashes(),
    )
}
"""Every kind by its name."""
