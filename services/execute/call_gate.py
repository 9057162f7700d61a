"""Whether the exchange may be called now: bans, the circuit breaker, the weight budget. Pure.

Exits first (P9): what closes or protects is held back by a ban only, because calling then prolongs the ban.
Reads go on while the breaker is open: they are few and paced, and the first that is answered closes it.
"""

from enum import IntEnum

FAILURES_MAX = 5
OPEN_S = 60.0
WEIGHT_WINDOW_S = 60.0
WEIGHT_LIMIT_1M = 2_400
"""Until the exchange has told its own."""
WEIGHT_SHARE_ENTRIES = 0.7
WEIGHT_SHARE_READS = 0.9
BAN_S_MIN = 1.0
"""A 429 without `Retry-After`."""


class Urgency(IntEnum):
    """What a call is for; the higher goes first."""

    ENTRY = 1
    READ = 2
    EXIT = 3


_WEIGHT_SHARES = {Urgency.ENTRY: WEIGHT_SHARE_ENTRIES, Urgency.READ: WEIGHT_SHARE_READS}


class CallGate:
    """What one process knows about the exchange's willingness. Times are seconds of one monotonic clock."""

    def __init__(self, weight_limit_1m: int = WEIGHT_LIMIT_1M) -> None:
        self._weight_limit_1m = weight_limit_1m
        self._weight_used = 0
        self._weighed_at = 0.0
        self._failures = 0
        self._open_until = 0.0
        self._banned_until = 0.0

    def why_closed(self, urgency: Urgency, now: float) -> str | None:
        """Return why a call must not be made, or None when it may."""
        if now < self._banned_until:
            return f"the exchange asked us to stop calling for {self._banned_until - now:.1f} s"
        if urgency is Urgency.ENTRY and now < self._open_until:
            return f"the circuit breaker is open for {self._open_until - now:.1f} s"
        share = _WEIGHT_SHARES.get(urgency)
        if share is not None and self._weight(now) >= share * self._weight_limit_1m:
            return f"request weight {self._weight_used} of {self._weight_limit_1m} is kept for exits"
        return None

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
        self._banned_until = max(self._banned_until, now + max(seconds, BAN_S_MIN))

    def allow(self, weight_limit_1m: int) -> None:
        """Note the weight per minute that the exchange allows."""
        self._weight_limit_1m = weight_limit_1m

    def weighed(self, used: int, now: float) -> None:
        """Note the weight used in this minute, from an answer's header."""
        self._weight_used, self._weighed_at = used, now

    def _weight(self, now: float) -> int:
        return self._weight_used if now - self._weighed_at < WEIGHT_WINDOW_S else 0
