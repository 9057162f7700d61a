"""How much room the disks have on which all is kept, and when that is too little for new positions. Pure.

It must never read a disk; `disk_watch` does.
"""

from datetime import datetime
from typing import NamedTuple

from shared.codec import envelop
from shared.models import AlertRaised, Envelope
from shared.values import Severity

ROOM_AGAIN = 1.2
"""Times the minimum: a disk at its limit would be told of at every look."""


class DiskSpace(NamedTuple):
    """The disk with the least room, in MB (10⁶ bytes)."""

    path: str
    free_mb: int
    minimum_mb: int

    @property
    def is_short(self) -> bool:
        """Tell whether no position may be opened: what it needs until its end must still fit."""
        return self.free_mb < self.minimum_mb

    @property
    def measured(self) -> str:
        """Return the room in words."""
        return f"{self.free_mb} MB free on {self.path}"

    @property
    def limit(self) -> str:
        """Return the minimum in words."""
        return f"at least {self.minimum_mb} MB"

    @property
    def has_room_again(self) -> bool:
        """Tell whether there is clearly enough."""
        return self.free_mb >= self.minimum_mb * ROOM_AGAIN


def told(space: DiskSpace, producer: str, now: datetime) -> Envelope:
    """Return the word to the operator; replicas that see the same within an hour give the same one."""
    room = f"{space.free_mb} MB are free on the disk of {space.path}"
    text = (
        f"No new positions: {room}, at least {space.minimum_mb} MB are needed (PHOENIX_DISK_FREE_MIN_MB). "
        "Exits go on. Make room; entries are then taken by themselves."
        if space.is_short
        else f"Positions are opened again: {room}."
    )
    kind = "disk_space_low" if space.is_short else "disk_space_enough"
    severity = Severity.CRITICAL if space.is_short else Severity.INFO
    return envelop(
        AlertRaised(severity=severity, kind=kind, text=text),
        correlation_id="disk-space",
        causation_id=None,
        occurred_at=now,
        producer=producer,
        discriminator=(kind, now.strftime("%Y-%m-%dT%H")),
    )
