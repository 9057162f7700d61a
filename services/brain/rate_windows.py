"""Moving windows: at most so many takes of a key in any 60 seconds.

Pure; times are seconds of one monotonic clock. It must never grow without bound: of many keys the one
that was used longest ago is forgotten, which is in favour of its sender.
"""

from collections import OrderedDict, deque
from typing import NamedTuple

WINDOW_S = 60
KEYS_MAX = 2_000
REMEMBERED_S = 1
"""How long a full window is taken to be full without asking: another replica may give places back."""
GIVE_BACK = 0
"""As a limit: nothing is asked for; the newest take is undone."""


class Ask(NamedTuple):
    """Whether there is room for one more in the window of `key`; `limit` may be `GIVE_BACK`."""

    key: str
    limit: int


class Windows:
    """The windows of one process."""

    def __init__(self) -> None:
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def judge(self, ask: Ask, now: float) -> float:
        """Take a place and return 0, or return for how many seconds there is none. A refusal takes none."""
        taken = self._taken.setdefault(ask.key, deque())
        self._taken.move_to_end(ask.key)
        if len(self._taken) > KEYS_MAX:
            self._taken.popitem(last=False)
        while taken and taken[0] + WINDOW_S <= now:
            taken.popleft()
        if ask.limit == GIVE_BACK:
            if taken:
                taken.pop()
            return 0.0
        if len(taken) >= ask.limit:
            return taken[0] + WINDOW_S - now
        taken.append(now)
        return 0.0


class _Fullness(NamedTuple):
    until: float
    noted_at: float
    told_at: float


class FullWindows:
    """The windows that are known to be full, so that a flood is refused without asking and told once."""

    def __init__(self) -> None:
        self._full: OrderedDict[str, _Fullness] = OrderedDict()

    def wait_s(self, key: str, now: float) -> float:
        """Return for how many seconds more the window is full, 0 when that is not known for certain."""
        known = self._full.get(key)
        if known is None or known.noted_at + REMEMBERED_S <= now:
            return 0.0
        return max(known.until - now, 0.0)

    def note(self, key: str, wait_s: float, now: float) -> bool:
        """Note the answer that a window is full for so long; True when it was not told in the last 60 s."""
        known = self._full.get(key)
        is_news = known is None or known.told_at + WINDOW_S <= now
        told_at = now if known is None or is_news else known.told_at
        self._full[key] = _Fullness(now + wait_s, now, told_at)
        self._full.move_to_end(key)
        if len(self._full) > KEYS_MAX:
            self._full.popitem(last=False)
        return is_news

    def forget(self, key: str) -> None:
        """Forget that a window is full: a place in it has been given back."""
        known = self._full.get(key)
        if known is not None:
            self._full[key] = known._replace(until=known.noted_at)
