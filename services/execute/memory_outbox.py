"""A transaction in memory, and the messages owed, for replay, simulation and tests (P11).

It keeps what a transaction promises, all or nothing, and nothing else: never to be used where a restart
matters.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from shared.models import Envelope

K = TypeVar("K")
V = TypeVar("V")


class Journal:
    """What a transaction in memory has written, so that it can be taken back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Write one row."""
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def take_back(self) -> None:
        """Undo every write, newest first."""
        while self._undo:
            self._undo.pop()()


class MemoryOutbox:
    """The messages owed, in order; implements `OwesMessages`. What is staged again stays as it was."""

    def __init__(self) -> None:
        self.staged: dict[str, Envelope] = {}
        self.published: list[Envelope] = []

    async def stage(self, connection: Journal, envelopes: Sequence[Envelope]) -> None:
        """Write the envelopes in the caller's transaction."""
        for each in envelopes:
            if each.event_id not in self.staged:
                connection.put(self.staged, each.event_id, each)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Publish committed envelopes."""
        self.published.extend(envelopes)

    def sweep(self) -> None:
        """Publish what a crash left behind."""
        sent = {each.event_id for each in self.published}
        self.published.extend(each for each in self.staged.values() if each.event_id not in sent)
