"""The story of NOTIFY: a fact becomes a notification, kept once; a notification becomes a message in a chat.

The two halves meet only in the store: a chat that is away never holds up a fact. Both may be run twice: the
fact's id makes the first half exactly once, and its tail in the text lets a person recognise a repeat.
"""

from collections.abc import Callable, Sequence

from services.notify.message_format import Notification, describe, render
from services.notify.pacing import (
    Answer,
    Busy,
    Delivered,
    Pace,
    Refused,
    Unreachable,
    next_batch,
    start_pace,
    too_old_before,
)
from services.notify.ports import (
    Drops,
    KeepsNotifications,
    ObservesDelivery,
    ObservesFacts,
    OwesNotifications,
    SendsText,
)
from shared.clock import Clock
from shared.models import Envelope


class NotifyFlow:
    """What NOTIFY does with one fact."""

    def __init__(
        self,
        store: KeepsNotifications,
        facts: ObservesFacts,
        watch: ObservesDelivery,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._facts = facts
        self._watch = watch
        self._wake = wake

    async def tell(self, source: str, envelope: Envelope) -> None:
        """Keep the fact's notification, unless this one is not told or was kept before."""
        notification = describe(envelope)
        if notification is None:
            self._facts.observe(envelope)
            return
        if await self._store.keep(source, notification):
            self._facts.observe(envelope)
            self._watch.stored(envelope.schema, notification.severity)
            self._wake()


class DeliveryFlow:
    """What NOTIFY does to get the next message into one chat. Only the holder of the lease runs it."""

    def __init__(
        self,
        store: OwesNotifications,
        chat: SendsText,
        watch: ObservesDelivery,
        chat_id: str,
        clock: Clock,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._chat = chat
        self._watch = watch
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._chat_id = chat_id
        self._pace: Pace = start_pace(chat_id, monotonic_s())

    def take_over(self) -> None:
        """Begin to write to the chat, which another replica may have written to a moment ago."""
        self._pace = start_pace(self._chat_id, self._monotonic_s())

    @property
    def wait_s(self) -> float:
        """How long the chat must be left alone, in seconds."""
        return self._pace.wait_s(self._monotonic_s())

    async def deliver_next(self) -> bool:
        """Send at most one message, if one may leave now; False when there was nothing to send."""
        if self.wait_s > 0:
            return False
        await self._give_up_old()
        drops = await self._store.untold_drops()
        batch = await self._claimed(next_batch(await self._store.waiting()))
        if not batch and not drops.count:
            return False
        answer = await self._chat.send(render(batch, drops.count))
        self._pace = self._pace.after(answer, self._monotonic_s())
        await self._settle(batch, drops, answer)
        return True

    async def _give_up_old(self) -> None:
        for severity, before in too_old_before(self._clock()).items():
            count = await self._store.drop_old(severity, before)
            if count:
                self._watch.dropped(count, "too_old")
        self._watch.waiting(await self._store.count_waiting())

    async def _claimed(self, batch: Sequence[Notification]) -> tuple[Notification, ...]:
        """Return what of `batch` is ours now; what another replica took is told by it."""
        if not batch:
            return ()
        free = await self._store.claim([one.event_id for one in batch])
        return tuple(one for one in batch if one.event_id in free)

    async def _settle(self, batch: Sequence[Notification], drops: Drops, answer: Answer) -> None:
        """Record what became of the message. Killed before this, the claim ends and it is sent once more."""
        event_ids = [one.event_id for one in batch]
        self._watch.answered(answer)
        match answer:
            case Delivered():
                await self._store.mark_delivered(event_ids)
            case Refused(why):
                await self._store.drop(event_ids, why)
                self._watch.dropped(len(event_ids), "refused")
            case Busy() | Unreachable():
                await self._store.release(event_ids)
                return
        if drops.count:
            await self._store.mark_drops_told(drops)
