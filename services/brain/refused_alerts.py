"""Alerts that carried the right secret and were refused all the same: counted, and told to the trader.

Best effort, and never in the way of an answer: noting one is an addition in memory; a loop of its own hands
the news to the broker. Each reason is told at once, then at most once a minute with how many came and in
which markets. It must never keep more than one example of each reason, nor show a secret.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from services.brain.alert_body import masked
from services.brain.alert_fields import FIELDS
from services.brain.message_publisher import PRODUCER
from shared import codec, logs, metrics
from shared.clock import Clock
from shared.models import AlertRaised, Envelope
from shared.supervision import Done, Failed, attempt
from shared.values import Action, Severity

KIND = "alert_refused"
REFUSED_ACTIONS = ("entry", "exit", "unknown")
REFUSED_REASONS = (
    *dict.fromkeys(name for field in FIELDS for name in field.names),
    *(f"door_{door}" for door in ("path", "api_key", "signature", "body")),
    *("alert", "malformed", "too_large", "rate_entries", "rate_exits", "address", "method"),
)
"""All there are: names from our own tables, so that neither memory nor metrics grow by what is sent."""
TOLD_AGAIN_S = 60.0
LOOK_INTERVAL_S = 1.0
DETAIL_CHARS_MAX = 600
SYMBOLS_NAMED_MAX = 10

_log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One refused alert; `action` None: nobody knows what it asked for."""

    status: int
    reason: str
    detail: str
    action: Action | None = None
    symbol: str | None = None
    count: int = 1
    symbols: tuple[str, ...] = ()
    """Of all that were counted, the first `SYMBOLS_NAMED_MAX`."""

    @property
    def key(self) -> tuple[str, str]:
        """What it is told together with: an exit never waits for the minute of an entry to pass."""
        return self.reason, self.wanted

    @property
    def wanted(self) -> str:
        """What it asked for, for the metric."""
        if self.action is None:
            return "unknown"
        return "exit" if self.action is Action.EXIT else "entry"


class RefusedAlerts:
    """Counts refusals and tells of them."""

    def __init__(
        self,
        send: Callable[[Envelope], Awaitable[None]],
        instance: str,
        secrets: tuple[str, ...],
        clock: Clock,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._instance = instance
        self._secrets = secrets
        self._clock = clock
        self._clock_s = clock_s
        self._waiting: dict[tuple[str, str], Refusal] = {}
        self._told_at: dict[tuple[str, str], float] = {}
        self._news = asyncio.Event()

    def note(self, refusal: Refusal) -> None:
        """Count one refusal and keep it for the loop."""
        metrics.ALERTS_REFUSED.labels(reason=refusal.reason, action=refusal.wanted).inc()
        self._keep(replace(refusal, symbols=(refusal.symbol,) if refusal.symbol else ()))

    async def run(self) -> None:
        """Loop: tell what is due."""
        while True:
            await self._news.wait()
            await self.tell()
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def tell(self) -> None:
        """Tell each reason that was not told within `TOLD_AGAIN_S`; what the broker does not take waits."""
        now = self._clock_s()
        for key in [each for each in self._waiting if self._is_due(each, now)]:
            refusal = self._waiting.pop(key)
            match await attempt(self._send(self._envelope(refusal))):
                case Done():
                    self._told_at[key] = now
                case Failed(error):
                    _log.warning("refusal_not_told", reason=refusal.reason, error=repr(error))
                    self._keep(refusal)
                    return
        if not self._waiting:
            self._news.clear()

    def _is_due(self, key: tuple[str, str], now: float) -> bool:
        return now - self._told_at.get(key, -TOLD_AGAIN_S) >= TOLD_AGAIN_S

    def _keep(self, refusal: Refusal) -> None:
        before = self._waiting.get(refusal.key)
        if before is not None:
            symbols = tuple(dict.fromkeys((*before.symbols, *refusal.symbols)))[:SYMBOLS_NAMED_MAX]
            refusal = replace(refusal, count=refusal.count + before.count, symbols=symbols)
        self._waiting[refusal.key] = refusal
        self._news.set()

    def _envelope(self, refusal: Refusal) -> Envelope:
        now = self._clock()
        return codec.envelop(
            AlertRaised(
                severity=Severity.CRITICAL if _may_be_exit(refusal) else Severity.WARNING,
                kind=KIND,
                text=masked(_words_of(refusal), self._secrets),
                symbol=refusal.symbols[0] if len(refusal.symbols) == 1 else None,
            ),
            correlation_id=f"alert-{KIND}",
            causation_id=None,
            occurred_at=now,
            producer=PRODUCER,
            discriminator=(refusal.reason, now.isoformat(), self._instance),
        )


def _may_be_exit(refusal: Refusal) -> bool:
    return refusal.action in (None, Action.EXIT)


def _words_of(refusal: Refusal) -> str:
    several = "An alert" if refusal.count == 1 else f"{refusal.count} alerts"
    asked = {"exit": "an exit", "entry": "an entry"}.get(refusal.wanted, "unknown what it asked for")
    words = f"{several} with the right secret refused ({refusal.status}, {asked}): {refusal.detail}"
    if len(words) > DETAIL_CHARS_MAX:
        words = words[: DETAIL_CHARS_MAX - 1] + "…"
    if len(refusal.symbols) > 1:
        words = f"{words}\nSymbols: {', '.join(refusal.symbols)}"
    if refusal.action is Action.EXIT:
        return f"{words}\nWhat it should have closed is still open: look at the positions and close by hand."
    if refusal.action is None:
        return f"{words}\nIf it was an exit, its position is still open: look, and close by hand."
    return f"{words}\nIt was not traded, and TradingView does not send it again."
