"""Closing without a broker: our own close requests, carried out from the outbox while their queue is away.

`POST /close` stages a request and publishes it to the queue that we consume ourselves. While that queue does
not deliver (the broker is away or in alarm, the queue is dead), the request waits in our database, and
P9 may not wait with it. Carried out twice it changes nothing: the inbox knows its event. It must never take
anything but what closes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from shared import logs
from shared.errors import DependencyDown
from shared.models import CloseRequested, Envelope
from shared.supervision import Done, Failed, attempt

INTERVAL_S = 1.0

_log = logs.get(__name__)


class KnowsUnsent(Protocol):
    """The outbox."""

    async def unsent(self, schema: str) -> Sequence[Envelope]:
        """Return what of one schema is owed."""
        ...


class OwnRequests:
    """Looks every second whether a request of ours is stuck, on every replica."""

    def __init__(
        self,
        outbox: KnowsUnsent,
        handle: Callable[[Envelope], Awaitable[None]],
        is_delivering: Callable[[], Awaitable[None]],
    ) -> None:
        self._outbox = outbox
        self._handle = handle
        self._is_delivering = is_delivering
        self._done: set[str] = set()  # bounded by what is unsent, and so is the other
        self._seen: set[str] = set()

    async def watch(self) -> None:
        """Loop: carry out what the queue does not deliver."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.look()

    async def look(self) -> None:
        """Carry out each stuck request once; what fails is tried again at the next look.

        While the queue delivers, a request is stuck that nobody could send since the look before: a broker in
        alarm goes on delivering and takes in nothing.
        """
        unsent = await self._outbox.unsent(CloseRequested.SCHEMA)
        before, self._seen = self._seen, {envelope.event_id for envelope in unsent}
        self._done &= self._seen
        is_delivering = isinstance(await attempt(self._is_delivering()), Done)
        for envelope in unsent:
            is_stuck = not is_delivering or envelope.event_id in before
            if is_stuck and envelope.event_id not in self._done:
                await self._carry_out(envelope)

    async def _carry_out(self, envelope: Envelope) -> None:
        match await attempt(self._handle(envelope)):
            case Done():
                self._done.add(envelope.event_id)
                _log.warning("close_taken_from_outbox", correlation_id=envelope.correlation_id)
            case Failed(DependencyDown() as down):
                _log.warning("close_waits", correlation_id=envelope.correlation_id, why=str(down))
            case Failed(error):  # the others must not wait for this one
                _log.error("close_failed", correlation_id=envelope.correlation_id, error=repr(error))
