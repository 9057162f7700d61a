"""Who gets into the chat, and how often somebody may knock. Pure: monotonic seconds come in as a value.

It must never let a stranger make us write without end, into the chat or into the database.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from services.notify.chat.vocabulary import Place
from services.notify.people import Door, Person, Role

KEYS_MAX = 1_000


@dataclass(frozen=True)
class GuestList:
    """The chats we write to, the new ids of those that Telegram moved, and the people who may command."""

    chats: Collection[str]
    operators: Collection[int]
    viewers: Collection[int]
    moves: Mapping[str, str] = field(default_factory=dict)

    def person(self, user_id: int, place: Place | None) -> Person | None:
        """Return who this is; None for a stranger, and for anybody in a chat that is not ours."""
        if place is None or not (place.is_private or self._is_ours(place)):
            return None
        if user_id in self.operators:
            return Person(Door.TELEGRAM, str(user_id), Role.OPERATOR)
        if user_id in self.viewers:
            return Person(Door.TELEGRAM, str(user_id), Role.VIEWER)
        return None

    def _is_ours(self, place: Place) -> bool:
        named = f"@{place.name}".lower() if place.name is not None else None
        here = str(place.chat_id)
        return any(here in (chat, self.moves.get(chat)) or chat.lower() == named for chat in self.chats)


class Allowance:
    """So many times within so many seconds for each key; whom it has not seen for longest is forgotten."""

    def __init__(self, times: int, per_s: int) -> None:
        self._times = times
        self._per_s = per_s
        self._seen: OrderedDict[int, deque[float]] = OrderedDict()

    def allows(self, key: int, now_s: float) -> bool:
        """Tell whether `key` may once more, and count it if so."""
        times = self._seen.setdefault(key, deque(maxlen=self._times))
        self._seen.move_to_end(key)
        if len(self._seen) > KEYS_MAX:
            self._seen.popitem(last=False)
        if len(times) == self._times and now_s - times[0] < self._per_s:
            return False
        times.append(now_s)
        return True
