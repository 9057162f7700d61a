"""The loop that empties one channel's queue while this replica holds the lease of its kind.

It must never hold up a fact, another channel, or the process's end.
"""

import asyncio

from services.notify.flow import DeliveryFlow
from services.notify.ports import HoldsLease
from shared import logs
from shared.errors import DatabaseUnavailable
from shared.lease import RENEW_INTERVAL_S
from shared.supervision import attempt, within

POLL_INTERVAL_S = 1.0
"""How soon a notification that another replica kept is noticed."""
DRAIN_S = 6.0
"""The message in hand is waited for this long when the process stops."""

_log = logs.get(__name__)


class Sender:
    """Sends what waits for one channel, one replica at a time."""

    def __init__(self, name: str, flow: DeliveryFlow, lease: HoldsLease) -> None:
        self._name = name
        self._flow = flow
        self._lease = lease
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    def wake(self) -> None:
        """Say that a notification was kept."""
        self._woken.set()

    async def run(self) -> None:
        """Loop until stopped: hold the lease, send what may leave, wait. A failure is the supervisor's."""
        was_holder = False
        while not self._stopping:
            is_holder = await self._lease.hold()
            if is_holder != was_holder:
                _log.info("channel_lease_changed", channel=self._name, is_holder=is_holder)
                was_holder = is_holder
                self._flow.take_over()
            if is_holder and await self._deliver():
                continue
            await self._rest(self._flow.wait_s if is_holder else 0.0)
        await asyncio.Event().wait()  # drained: the runtime cancels this loop

    async def drain(self) -> None:
        """Begin no further message, wait for the one in hand, and let another replica go on."""
        self._stopping = True
        self._woken.set()
        await attempt(within(DRAIN_S, self._idle.wait()))
        try:
            await self._lease.release()
        except DatabaseUnavailable as down:
            _log.warning("channel_lease_left_to_expire", channel=self._name, error=str(down))

    async def _deliver(self) -> bool:
        self._idle.clear()
        try:
            return await self._flow.deliver_next()
        finally:
            self._idle.set()

    async def _rest(self, wait_s: float) -> None:
        """Wait for the channel's pace, or for news; never longer than the lease allows."""
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, RENEW_INTERVAL_S))
            return
        self._woken.clear()
        await attempt(within(POLL_INTERVAL_S, self._woken.wait()))
