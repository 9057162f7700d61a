"""Request weight and order counters in fixed windows, as the response headers report them.

Knows windows and limits. Must never know what a request does.
"""

from dataclasses import dataclass, field

from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.values import Payload

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
ADDRESSES_MAX = 1_000


@dataclass(slots=True)
class Window:
    """A counter that starts again with every window."""

    length_ms: int
    started_ms: int = 0
    used: int = 0

    def add(self, amount: int, now_ms: int) -> int:
        """Count; returns the total of the current window."""
        started = now_ms - now_ms % self.length_ms
        if started != self.started_ms:
            self.started_ms, self.used = started, 0
        self.used += amount
        return self.used

    def rest_s(self, now_ms: int) -> int:
        """Whole seconds until the next window."""
        return (self.started_ms + self.length_ms - now_ms) // 1000 + 1


@dataclass(slots=True)
class Limits:
    """The limits of one exchange: weight per address, orders per account."""

    weight_1m: int
    orders_10s: int
    orders_1m: int
    _weights: dict[str, Window] = field(default_factory=dict)
    _ten_seconds: Window = field(default_factory=lambda: Window(TEN_SECONDS_MS))
    _minute: Window = field(default_factory=lambda: Window(MINUTE_MS))

    def count_request(self, address: str, weight: int, now_ms: int) -> int:
        """Count the weight of a request; returns what the address has used this minute."""
        if address not in self._weights and len(self._weights) >= ADDRESSES_MAX:
            self._weights.clear()
        return self._weights.setdefault(address, Window(MINUTE_MS)).add(weight, now_ms)

    def check_request(self, used: int) -> None:
        """Refuse (-1003) beyond the weight limit."""
        if used > self.weight_1m:
            raise ApiError(-1003, self.weight_1m)

    def count_order(self, now_ms: int) -> tuple[int, int]:
        """Count an order; returns the counts of 10 s and of the minute."""
        return self._ten_seconds.add(1, now_ms), self._minute.add(1, now_ms)

    def check_order(self, counts: tuple[int, int]) -> None:
        """Refuse (-1015) beyond the order limits."""
        if counts[0] > self.orders_10s:
            raise ApiError(-1015, self.orders_10s, "10 SECOND")
        if counts[1] > self.orders_1m:
            raise ApiError(-1015, self.orders_1m, "1 MINUTE")

    def retry_after_s(self, code: int, now_ms: int) -> int:
        """Seconds after which a refused client may come back."""
        return (
            self._ten_seconds if code == -1015 else Window(MINUTE_MS, now_ms - now_ms % MINUTE_MS)
        ).rest_s(now_ms)

    def rows(self) -> list[Payload]:
        """The limits as exchangeInfo lists them."""
        return [
            _row("REQUEST_WEIGHT", "MINUTE", 1, self.weight_1m),
            _row("ORDERS", "MINUTE", 1, self.orders_1m),
            _row("ORDERS", "SECOND", 10, self.orders_10s),
        ]


def _row(kind: str, interval: str, number: int, limit: int) -> Payload:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
