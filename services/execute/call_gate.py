"""Whether the exchange may be called now: bans, the circuit breaker, the budgets it grants. Pure.

Exits first (P9): what closes or protects is held back by a ban only, because calling then prolongs the ban;
and when a ban is over, it goes before everything else. Reads go on while the breaker is open: they are few
and paced, and the first that is answered closes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

FAILURES_MAX = 5
OPEN_S = 60.0
BAN_S_MIN = 1.0
"""A 429 without `Retry-After`."""


class Urgency(IntEnum):
    """What a call is for; the higher goes first."""

    REPORT = 0  # what only completes the books
    ENTRY = 1
    READ = 2
    EXIT = 3


class Budget(StrEnum):
    """What the exchange counts and limits: request weight by address, orders by account."""

    WEIGHT_1M = "weight_1m"
    ORDERS_1M = "orders_1m"
    ORDERS_10S = "orders_10s"


WINDOWS_S: Mapping[Budget, float] = {
    Budget.WEIGHT_1M: 60.0,
    Budget.ORDERS_1M: 60.0,
    Budget.ORDERS_10S: 10.0,
}
LIMITS: Mapping[Budget, int] = {
    Budget.WEIGHT_1M: 2_400,
    Budget.ORDERS_1M: 1_200,
    Budget.ORDERS_10S: 300,
}
"""Until the exchange has told its own."""
SHARES: Mapping[Budget, Mapping[Urgency, float]] = {
    Budget.WEIGHT_1M: {Urgency.REPORT: 0.6, Urgency.ENTRY: 0.7, Urgency.READ: 0.9},
    Budget.ORDERS_1M: {Urgency.ENTRY: 0.7},
    Budget.ORDERS_10S: {Urgency.ENTRY: 0.7},
}
"""How much of each budget may be used up before a call of this urgency waits; an exit never waits for one."""
AFTER_BAN_S: Mapping[Urgency, float] = {Urgency.REPORT: 10.0, Urgency.ENTRY: 6.0, Urgency.READ: 1.0}
"""How long after a ban others wait: what holds an exit in hand looks again at least every 5 s."""


REPORT_SHARE = 0.1
"""How much of the request weight one process may spend on what only completes the books, minute by minute."""
REPORT_BURST = 2.5
"""How many minutes' worth of that it may spend at once: ten positions that end together cost 400 of 2 400."""


class Pace:
    """A budget that refills evenly, `per_minute`, and keeps at most `REPORT_BURST` minutes of it."""

    def __init__(self, per_minute: float) -> None:
        self._per_minute = per_minute
        self._left = self._most
        self._at: float | None = None

    @property
    def _most(self) -> float:
        return self._per_minute * REPORT_BURST

    def allow(self, per_minute: float) -> None:
        """Take over another budget; what is left of the former one stays."""
        self._per_minute = per_minute
        self._left = min(self._left, self._most)

    def wait_s(self, amount: int, now: float) -> float:
        """Return how long to wait until `amount` may be spent, s; what is above all of it waits for all."""
        self._refill(now)
        lacking = min(amount, self._most) - self._left
        return max(0.0, lacking * 60.0 / self._per_minute)

    def spend(self, amount: int, now: float) -> None:
        """Note that it was spent."""
        self._refill(now)
        self._left -= amount

    def _refill(self, now: float) -> None:
        passed_s = 0.0 if self._at is None else max(0.0, now - self._at)
        self._left = min(self._most, self._left + passed_s * self._per_minute / 60.0)
        self._at = now


@dataclass(frozen=True)
class _Used:
    amount: int
    told_at: float


class CallGate:
    """What one process knows about the exchange's willingness. Times are seconds of one monotonic clock."""

    def __init__(self, limits: Mapping[Budget, int] = LIMITS) -> None:
        self._limits = dict(limits)
        self._used: dict[Budget, _Used] = {}
        self._failures = 0
        self._open_until = 0.0
        self._banned_until: float | None = None

    def why_closed(self, urgency: Urgency, now: float) -> str | None:
        """Return why a call must not be made, or None when it may."""
        if (wait_s := self.ban_left_s(urgency, now)) > 0:
            return f"the exchange asked us to stop calling for {wait_s:.1f} s"
        if urgency <= Urgency.ENTRY and now < self._open_until:
            return f"the circuit breaker is open for {self._open_until - now:.1f} s"
        for budget, shares in SHARES.items():
            share, used = shares.get(urgency), self._used_of(budget, now)
            if share is not None and used >= share * self._limits[budget]:
                return f"{budget}: {used} of {self._limits[budget]}, the rest is kept for exits"
        return None

    def ban_left_s(self, urgency: Urgency, now: float) -> float:
        """Return how long a ban still holds calls of this urgency, s; 0 without one."""
        if self._banned_until is None:
            return 0.0
        return max(0.0, self._banned_until + AFTER_BAN_S.get(urgency, 0.0) - now)

    def is_open(self, now: float) -> bool:
        """Tell whether the circuit breaker holds entries back."""
        return now < self._open_until

    def answered(self) -> None:
        """Note an answer, of whatever content: the exchange is there."""
        self._failures, self._open_until = 0, 0.0

    def failed(self, now: float) -> None:
        """Note a call without a usable answer. Half-open, one more failure is enough to open again."""
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._open_until = now + OPEN_S

    def banned(self, now: float, seconds: float) -> None:
        """Note that the exchange asked to stop calling."""
        self._banned_until = max(self._banned_until or now, now + max(seconds, BAN_S_MIN))

    def allow(self, limits: Mapping[Budget, int]) -> None:
        """Note the limits that the exchange tells."""
        self._limits |= limits

    def used(self, budget: Budget, amount: int, now: float) -> None:
        """Note how much of a budget is used up, from an answer's header."""
        self._used[budget] = _Used(amount, now)

    def _used_of(self, budget: Budget, now: float) -> int:
        used = self._used.get(budget)
        return 0 if used is None or now - used.told_at >= WINDOWS_S[budget] else used.amount
