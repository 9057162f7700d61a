"""The switchboard: which faults are armed, whom each strikes next, and how often each has struck.

Knows matching, arming and counting. Must never carry a fault out, and must never touch the core: an exchange
without armed faults behaves as if this did not exist, at the cost of one look at `armed`.

Faults live in memory only: a restarted exchange is a healthy one. Every fault ends by itself, after an hour
at the latest.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from random import Random
from typing import NamedTuple

from infrastructure.paper_exchange.fault_kinds import FaultKind, Stage
from infrastructure.paper_exchange.fault_orders import ANY, FOR_MS_MAX, TIMES_MAX, FaultError, FaultOrder
from infrastructure.paper_exchange.values import Payload

ARMED_MAX = 100
PAST_KEPT = 500
SIGHTS_MAX = 10_000
_DIGITS = "0123456789"

Clock = Callable[[], int]


class FaultState(StrEnum):
    """Life of a fault: ARMED, then one of the others."""

    ARMED = "armed"
    SPENT = "spent"
    EXPIRED = "expired"
    HEALED = "healed"


class Seen(NamedTuple):
    """What a fault is matched with: one request, one order, one row of an answer, or one event.

    `operation` is a handler's or an event's name, `route` a request's method and path. `sheltered` says that
    throttling does not concern it; `reduces` that it is an order which only reduces a position.
    """

    operation: str = ""
    route: str = ""
    symbol: str = ""
    client_id: str = ""
    sheltered: bool = False
    reduces: bool = False


@dataclass(slots=True)
class Fault:
    """One fault that was armed; times in ms of the machine's clock, which no skew touches."""

    number: int
    order: FaultOrder
    armed_ms: int
    until_ms: int
    times: int
    dice: Random
    fired: int = 0
    last_fired_ms: int = 0
    state: FaultState = FaultState.ARMED
    sights: dict[int, int] = field(default_factory=dict)
    """For hidden things: id → the time until which it is hidden (0: it is not)."""

    @property
    def kind(self) -> FaultKind:
        """What goes wrong."""
        return self.order.kind

    def fits(self, seen: Seen) -> bool:
        """Whether its matcher means this."""
        order = self.order
        return (
            order.operation in (None, ANY, seen.operation, seen.route)
            and order.symbol in (None, seen.symbol)
            and (order.role is None or plays(seen.client_id, order.role))
            and not (seen.sheltered and order.kind is FaultKind.THROTTLED)
            and not (seen.reduces and order.kind is FaultKind.PARTIAL_FILL and order.role is None)
        )

    def falls(self) -> bool:
        """Throw the dice, if it has any."""
        probability = self.order.probability
        return probability is None or Decimal(self.dice.random()) < probability

    def has_shown_all(self, now_ms: int) -> bool:
        """Whether it has hidden as much as it may, and all of that can be seen again."""
        hides = self.order.hide_ms is not None
        return hides and self.fired >= self.times and now_ms >= max(self.sights.values())

    def row(self) -> Payload:
        """What it is and what it has done, as JSON values; `left` is None for what lasts for a time."""
        left = max(0, self.times - self.fired) if self.state is FaultState.ARMED else 0
        return {
            "id": self.number,
            "state": self.state.value,
            "fired": self.fired,
            "left": None if self.order.row.stage is Stage.SPELL else left,
            "armedTime": self.armed_ms,
            "untilTime": self.until_ms,
            "lastFiredTime": self.last_fired_ms,
            "fault": self.order.told(),
        }


class Switchboard:
    """All faults of one exchange. `clock` is the machine's; the exchange's own may be skewed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._armed: dict[int, Fault] = {}
        self._past: deque[Fault] = deque(maxlen=PAST_KEPT)
        self._totals: dict[FaultKind, int] = {}
        self._number = 0
        self._skew_ms = 0

    @property
    def armed(self) -> bool:
        """Whether anything can go wrong at all: the one question on the hot path."""
        return bool(self._armed)

    @property
    def count(self) -> int:
        """How many faults are armed."""
        self._sweep(self._clock())
        return len(self._armed)

    def has(self, kind: FaultKind) -> bool:
        """Whether a fault of this kind is armed."""
        return any(fault.kind is kind for fault in self._armed.values())

    def armed_of(self, kind: FaultKind) -> list[Fault]:
        """The armed faults of this kind, the oldest first."""
        self._sweep(self._clock())
        return [fault for fault in self._armed.values() if fault.kind is kind]

    def exchange_ms(self) -> int:
        """The time as the exchange tells it."""
        if self._armed:
            self._sweep(self._clock())
            return self._clock() + self._skew_ms
        return self._clock()

    # -- arming and healing ------------------------------------------------------------------------

    def arm(self, order: FaultOrder) -> Fault:
        """Arm a checked fault; raises `FaultError` when too many are armed.

        Without `times` it strikes once, but as often as it can when a probability or a duration was given.
        """
        now_ms = self._clock()
        self._sweep(now_ms)
        if len(self._armed) >= ARMED_MAX:
            raise FaultError(f"{ARMED_MAX} faults are armed: heal some first")
        self._number += 1
        open_ended = order.probability is not None or order.for_ms is not None or order.skew_ms is not None
        fault = Fault(
            number=self._number,
            order=order,
            armed_ms=now_ms,
            until_ms=now_ms + (order.for_ms or FOR_MS_MAX),
            times=order.times or (TIMES_MAX if open_ended else 1),
            dice=Random(order.seed or 0),
        )
        self._armed[fault.number] = fault
        if fault.kind is FaultKind.CLOCK_SKEW:
            self.fire(fault)
            self._set_skew()
        return fault

    def heal(self, number: int | None = None) -> list[Fault]:
        """End one fault, or all; returns those that were armed."""
        self._sweep(self._clock())
        found = [each for each in self._armed.values() if number in (None, each.number)]
        for fault in found:
            self._retire(fault, FaultState.HEALED)
        return found

    def end(self, fault: Fault) -> None:
        """End a fault that has done all it can do."""
        self._retire(fault, FaultState.SPENT)

    # -- striking ----------------------------------------------------------------------------------

    def find(self, kinds: frozenset[FaultKind], seen: Seen) -> Fault | None:
        """The oldest armed fault of these kinds that strikes here. Whoever carries it out must `fire` it."""
        self._sweep(self._clock())
        for fault in self._armed.values():
            if fault.kind in kinds and fault.fits(seen) and fault.falls():
                return fault
        return None

    def fire(self, fault: Fault) -> None:
        """Count a strike; the last one spends the fault, except where it lasts for a time."""
        fault.fired += 1
        fault.last_fired_ms = self._clock()
        self._totals[fault.kind] = self._totals.get(fault.kind, 0) + 1
        stage = fault.order.row.stage
        if fault.fired >= fault.times and stage not in (Stage.SPELL, Stage.READ):
            self._retire(fault, FaultState.SPENT)

    def strike(self, kinds: frozenset[FaultKind], seen: Seen) -> Fault | None:
        """Find and fire."""
        fault = self.find(kinds, seen)
        if fault is not None:
            self.fire(fault)
        return fault

    def hides(self, kind: FaultKind, seen: Seen, number: int, age_ms: int) -> bool:
        """Whether a thing that came into being `age_ms` ago is hidden from this look.

        A fault decides once about each thing, and counts it once however often it is looked for.
        """
        now_ms = self._clock()
        self._sweep(now_ms)
        born_ms = now_ms - age_ms
        return any(
            self._hides(fault, number, born_ms)
            for fault in tuple(self._armed.values())
            if fault.kind is kind and fault.fits(seen) and born_ms >= fault.armed_ms
        )

    def _hides(self, fault: Fault, number: int, born_ms: int) -> bool:
        until_ms = fault.sights.get(number)
        if until_ms is None:
            if len(fault.sights) >= SIGHTS_MAX:
                return False
            visible_ms = born_ms + (fault.order.hide_ms or 0)
            strikes = self._clock() < visible_ms and fault.fired < fault.times and fault.falls()
            until_ms = fault.sights[number] = visible_ms if strikes else 0
            if strikes:
                self.fire(fault)
        return self._clock() < until_ms

    # -- reading -----------------------------------------------------------------------------------

    def report(self) -> Payload:
        """What is armed, what was, and how often each kind has struck since the exchange started."""
        self._sweep(self._clock())
        return {
            "armed": [fault.row() for fault in self._armed.values()],
            "past": [fault.row() for fault in self._past],
            "fired": {kind.value: count for kind, count in sorted(self._totals.items())},
        }

    # -- inside ------------------------------------------------------------------------------------

    def _sweep(self, now_ms: int) -> None:
        for fault in tuple(self._armed.values()):
            if now_ms >= fault.until_ms:
                spent = fault.fired >= fault.times
                self._retire(fault, FaultState.SPENT if spent else FaultState.EXPIRED)
            elif fault.has_shown_all(now_ms):
                self._retire(fault, FaultState.SPENT)

    def _retire(self, fault: Fault, state: FaultState) -> None:
        if self._armed.pop(fault.number, None) is not None:
            fault.state = state
            fault.sights.clear()
            self._past.append(fault)
            if fault.kind is FaultKind.CLOCK_SKEW:
                self._set_skew()

    def _set_skew(self) -> None:
        """The youngest armed skew counts."""
        skews = [
            each.order.skew_ms or 0 for each in self._armed.values() if each.kind is FaultKind.CLOCK_SKEW
        ]
        self._skew_ms = skews[-1] if skews else 0


def plays(client_id: str, role: str) -> bool:
    """Whether a client id ends in this role: `-c1` means exactly that, `-c` also `-c1`, `-c2`, …"""
    return client_id.endswith(role) or client_id.rstrip(_DIGITS).endswith(role)
