"""What NOTIFY's stories need from the outside, named for the need."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.notify.message_format import Notification
from services.notify.pacing import Answer
from shared.models import Envelope
from shared.values import Severity


@dataclass(frozen=True)
class Drops:
    """How many notifications grew too old without anybody being told so, the last of them at `until`."""

    count: int
    until: datetime | None


class KeepsNotifications(Protocol):
    """Keeps what was told and what waits."""

    async def keep(self, source: str, notification: Notification) -> bool:
        """Record that the fact came from `source` and keep its notification, together; False: one of both
        was done before.
        """
        ...


class OwesNotifications(Protocol):
    """Knows what still has to be delivered."""

    async def waiting(self) -> Sequence[Notification]:
        """Return the front of the queue: of every severity the oldest that may be sent now."""
        ...

    async def claim(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Take these for one attempt and return those that were free; the claim ends by itself."""
        ...

    async def mark_delivered(self, event_ids: Sequence[str]) -> None:
        """Record that these arrived."""
        ...

    async def mark_drops_told(self, drops: Drops) -> None:
        """Record that the number of these drops need not be told any more."""
        ...

    async def release(self, event_ids: Sequence[str]) -> None:
        """Give claimed ones back: they did not arrive."""
        ...

    async def drop(self, event_ids: Sequence[str], why: str) -> None:
        """Record that these will never arrive."""
        ...

    async def drop_old(self, severity: Severity, before: datetime) -> int:
        """Give up what happened earlier than `before`, and return how many."""
        ...

    async def untold_drops(self) -> Drops:
        """Return how many were given up for their age without a word about it."""
        ...

    async def count_waiting(self) -> int:
        """Return how many wait, those under a claim included."""
        ...


class SendsText(Protocol):
    """A chat."""

    async def send(self, text: str) -> Answer:
        """Send one message and return what became of it; it never raises for the chat's troubles."""
        ...


class TellsFact(Protocol):
    """Takes a fact in; returns when it is kept."""

    async def __call__(self, source: str, envelope: Envelope, /) -> None:
        """Tell one fact that came from `source`, a queue's name or `http`."""
        ...


class HoldsLease(Protocol):
    """The right to be the only one who sends."""

    async def hold(self) -> bool:
        """Take or renew; True while it is ours."""
        ...

    async def release(self) -> None:
        """Let another take over."""
        ...


class ObservesFacts(Protocol):
    """Counts what the facts say about the business."""

    def observe(self, envelope: Envelope) -> None:
        """Count one fact; called once per fact that is told, and for each delivery of the others."""
        ...


class ObservesDelivery(Protocol):
    """Counts what becomes of notifications."""

    def stored(self, schema: str, severity: str) -> None:
        """One notification was kept."""
        ...

    def waiting(self, count: int) -> None:
        """So many are not delivered yet."""
        ...

    def dropped(self, count: int, why: str) -> None:
        """So many will never be delivered."""
        ...

    def answered(self, answer: Answer) -> None:
        """The chat answered an attempt."""
        ...
