"""The one replica that listens to the chat: holds a lease, asks for updates, hands each on once.

Killed at any point, another replica goes on: Telegram keeps an update until it is confirmed, and a row says
which ones were taken. It must never handle an update it did not claim, nor stand still while a handler works.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from services.notify.chat.vocabulary import Fetched, PolledElsewhere, Trouble
from services.notify.ports import (
    ClaimsUpdates,
    EndsProposals,
    HoldsLease,
    Listens,
    ObservesChat,
    TakesUpdates,
)
from services.notify.telling.pacing import Busy, Unreachable, backoff_s
from shared import logs
from shared.errors import DatabaseUnavailable
from shared.lease import RENEW_INTERVAL_S
from shared.supervision import Failed, attempt, within

LEASE_NAME = "telegram_poller"
LOOK_INTERVAL_S = 1.0
"""How soon a replica notices that the one that listened is gone."""
ELSEWHERE_PAUSE_S = 10.0
HANDLERS_MAX = 16
HANDLER_TIMEOUT_S = 45.0
DRAIN_S = 7.0
"""Less than a process has for stopping; a confirmed act takes a few seconds at most."""

_log = logs.get(__name__)


class Poller:
    """The loop that listens, one replica at a time."""

    def __init__(
        self,
        door: Listens,
        lease: HoldsLease,
        claims: ClaimsUpdates,
        conversation: TakesUpdates,
        acts: EndsProposals,
        watch: ObservesChat,
        menus: Mapping[str, Sequence[tuple[str, str]]],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._door = door
        self._lease = lease
        self._claims = claims
        self._conversation = conversation
        self._acts = acts
        self._watch = watch
        self._menus = menus
        self._monotonic_s = monotonic_s
        self._bot_name: str | None = None
        self._offset = 0
        self._failures = 0
        self._next_poll_at_s = 0.0
        self._told: str | None = None
        self._was_holder = False
        self._handlers: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(HANDLERS_MAX)
        self._lapsing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Loop until stopped. A failure (the database's) is the supervisor's."""
        while not self._stopping.is_set():
            self._tell_lapsed()
            if not await self._is_holder():
                await self._rest(LOOK_INTERVAL_S)
                continue
            wait_s = self._next_poll_at_s - self._monotonic_s()
            if wait_s > 0:
                await self._rest(min(wait_s, RENEW_INTERVAL_S))
            elif self._bot_name is None:
                await self._introduce()
            else:
                await self._poll(self._bot_name)
        await asyncio.Event().wait()  # drained: the runtime cancels this loop

    async def drain(self) -> None:
        """Take nothing further, let what is in hand come to its end, and let another replica go on."""
        self._stopping.set()
        self._acts.stop()
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=DRAIN_S)
        for task in self._handlers:
            task.cancel()
        try:
            await self._lease.release()
        except DatabaseUnavailable as down:
            _log.warning("telegram_poller_lease_left_to_expire", error=str(down))

    async def _is_holder(self) -> bool:
        is_holder = await self._lease.hold()
        if is_holder != self._was_holder:
            _log.info("telegram_poller_changed", is_holder=is_holder)
            self._was_holder = is_holder
        return is_holder

    async def _introduce(self) -> None:
        answer = await self._unless_stopped(self._door.introduce(self._menus))
        if isinstance(answer, str):
            self._bot_name = answer
            self._settle("ok", None)
        elif answer is not None:
            self._stand_back(answer)

    async def _poll(self, bot_name: str) -> None:
        polled = await self._unless_stopped(self._door.updates(self._offset))
        if polled is None:
            return
        if not isinstance(polled, Sequence):
            self._stand_back(polled)
            return
        self._settle("ok", None)
        # All before the offset is confirmed now. It is not kept: after a quiet week Telegram begins anew with
        # any number, and what is below an old offset would be thrown away.
        self._offset = 0
        for one in polled:
            if self._stopping.is_set():
                return
            await self._take(one, bot_name)
            self._offset = one.update_id + 1  # confirmed by the next poll, and not before it was claimed

    async def _take(self, fetched: Fetched, bot_name: str) -> None:
        if fetched.update is None:
            return
        await self._slots.acquire()
        try:
            is_ours = await self._claims.first_time(fetched.update_id)
        except BaseException:
            self._slots.release()
            raise
        if not is_ours:
            self._slots.release()
            return
        work = self._conversation.take(fetched.update, bot_name)
        self._start(self._handle(work, fetched.update_id), holds_slot=True)

    async def _handle(self, work: Awaitable[None], update_id: int) -> None:
        match await attempt(within(HANDLER_TIMEOUT_S, work)):
            case Failed(error):
                _log.error("chat_update_failed", update_id=update_id, error=repr(error), exc_info=error)

    def _start(self, work: Coroutine[Any, Any, None], *, holds_slot: bool) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        if holds_slot:
            task.add_done_callback(lambda _: self._slots.release())
        return task

    def _tell_lapsed(self) -> None:
        """Runs on every replica: a proposal is watched by the one that made it."""
        if self._acts.has_lapsed and (self._lapsing is None or self._lapsing.done()):
            self._lapsing = self._start(self._handle(self._acts.tell_lapsed(), 0), holds_slot=False)

    async def _unless_stopped(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what `work` returns, None when we are to stop before."""
        asked, stopped = asyncio.create_task(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({asked, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else None
        finally:
            for task in (asked, stopped):
                task.cancel()

    def _stand_back(self, answer: Trouble | PolledElsewhere) -> None:
        self._failures += 1
        match answer:
            case Busy(retry_after_s):
                pause_s, name = retry_after_s, "busy"
            case PolledElsewhere():
                pause_s, name = ELSEWHERE_PAUSE_S, "polled_elsewhere"
            case _:
                pause_s = backoff_s(self._failures)
                name = "unreachable" if isinstance(answer, Unreachable) else "refused"
        self._next_poll_at_s = self._monotonic_s() + pause_s
        self._settle(name, answer)

    def _settle(self, name: str, answer: Trouble | PolledElsewhere | None) -> None:
        """Count the answer; log when it is another one than before."""
        self._watch.polled(name)
        if name == "ok":
            self._failures = 0
        if name == self._told:
            return
        self._told = name
        if answer is None:
            _log.info("telegram_poll_ok")
        else:
            _log.warning(
                "telegram_poll_failed", answer=name, why=repr(answer), what_to_do=TO_DO.get(name, "")
            )

    async def _rest(self, wait_s: float) -> None:
        try:
            await within(wait_s, self._stopping.wait())
        except TimeoutError:
            return


TO_DO: Mapping[str, str] = {
    "polled_elsewhere": "another program polls with this token, or a webhook is set: stop it",
    "refused": "check PHOENIX_TELEGRAM_BOT_TOKEN",
}
