"""The story of NOTIFY: a fact becomes a notification, kept once; a notification becomes a message.

The two halves meet only in the store: a channel that is away never holds up a fact, nor another channel. Both
may be run twice: the fact's id makes the first half exactly once, and its tail in the text lets a person
recognise a repeat.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from services.notify.ports import (
    Drops,
    KeepsNotifications,
    KnowsContext,
    ObservesDelivery,
    ObservesFacts,
    ObservesStorage,
    OwesNotifications,
    TakesMessages,
)
from services.notify.telling.kinds import Kind, Lane, Level
from services.notify.telling.message_format import NOTHING_KNOWN, Context, Notification, describe
from services.notify.telling.pacing import (
    Answer,
    Barred,
    Busy,
    Delivered,
    Pace,
    Refused,
    Unreachable,
    next_batch,
    start_pace,
    too_old_before,
)
from services.notify.telling.rendering import Written, render
from services.notify.telling.texts import Language
from shared.clock import Clock
from shared.models import Envelope, PositionOpened


class NotifyFlow:
    """What NOTIFY does with one fact."""

    def __init__(
        self,
        store: KeepsNotifications,
        background: KnowsContext,
        facts: ObservesFacts,
        watch: ObservesStorage,
        wake: Callable[[], None],
        words: Language,
        levels: Mapping[Kind, Level],
    ) -> None:
        self._store = store
        self._background = background
        self._facts = facts
        self._watch = watch
        self._wake = wake
        self._words = words
        self._levels = levels

    async def tell(self, source: str, envelope: Envelope) -> None:
        """Keep the fact's notification, unless this one is not told or was kept before."""
        notification = describe(envelope, self._words, await self._known_about(envelope))
        if notification is None:
            self._facts.observe(envelope)
            return
        level = self._levels.get(notification.kind, Level.ON)
        wanted = replace(notification, is_silent=level is Level.SILENT)
        if await self._store.keep(source, wanted, is_off=level is Level.OFF):
            self._facts.observe(envelope)
            self._watch.stored(envelope.schema, wanted.severity)
            self._wake()

    async def _known_about(self, envelope: Envelope) -> Context:
        """Only an opened position is told with what is known beside the fact."""
        if isinstance(envelope.payload, PositionOpened):
            return await self._background.context(envelope.payload.signal_id)
        return NOTHING_KNOWN


class DeliveryFlow:
    """What NOTIFY does to get the next message into one channel. Only the holder of the lease runs it."""

    def __init__(
        self,
        queue: OwesNotifications,
        channel: TakesMessages,
        watch: ObservesDelivery,
        interval_s: float,
        clock: Clock,
        monotonic_s: Callable[[], float],
        words: Language,
    ) -> None:
        self._queue = queue
        self._channel = channel
        self._watch = watch
        self._interval_s = interval_s
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._words = words
        self._pace: Pace = start_pace(interval_s, monotonic_s())

    def take_over(self) -> None:
        """Begin to write to the channel, which another replica may have written to a moment ago."""
        self._pace = start_pace(self._interval_s, self._monotonic_s())

    @property
    def wait_s(self) -> float:
        """How long the channel must be left alone, in seconds."""
        return self._pace.wait_s(self._monotonic_s())

    async def deliver_next(self) -> bool:
        """Send at most one message, if one may leave now; False when there was nothing to send."""
        if self.wait_s > 0:
            return False
        await self._give_up_old()
        drops = await self._queue.untold_drops()
        lets_routine = self._pace.lets_routine(self._monotonic_s())
        batch = await self._claimed(next_batch(await self._queue.waiting(), with_routine=lets_routine))
        if not batch and not (drops.count and lets_routine):
            return False
        answer = await self._channel.send(await self._written(batch, drops))
        lane = batch[0].lane if batch else Lane.ROUTINE
        self._pace = self._pace.after(answer, self._monotonic_s(), lane)
        await self._settle(batch, drops, answer)
        return True

    async def _written(self, batch: Sequence[Notification], drops: Drops) -> Written:
        message = render(batch, self._words, drops.count)
        if [one.kind for one in batch] == [Kind.DAILY_REPORT]:
            return replace(message, picture=await self._queue.picture(batch[0].event_id))
        return message

    async def _give_up_old(self) -> None:
        count = await self._queue.drop_old(too_old_before(self._clock()))
        if count:
            self._watch.dropped(count, "too_old")
        self._watch.waiting(await self._queue.count_waiting())

    async def _claimed(self, batch: Sequence[Notification]) -> tuple[Notification, ...]:
        """Return what of `batch` is ours now; what another replica took is told by it."""
        if not batch:
            return ()
        free = await self._queue.claim([one.event_id for one in batch])
        return tuple(one for one in batch if one.event_id in free)

    async def _settle(self, batch: Sequence[Notification], drops: Drops, answer: Answer) -> None:
        """Record what became of the message. Killed before this, the claim ends and it is sent once more."""
        event_ids = [one.event_id for one in batch]
        self._watch.answered(answer)
        match answer:
            case Delivered():
                await self._queue.mark_delivered(event_ids)
            case Refused(why):
                await self._queue.drop(event_ids, why)
                self._watch.dropped(len(event_ids), "refused")
            case Busy() | Unreachable() | Barred():
                await self._queue.release(event_ids)
                return
        if drops.count:
            await self._queue.mark_drops_told(drops)
