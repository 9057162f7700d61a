"""Death at a chosen moment: a process whose every call to the outside can be its last.

A `Fuse` counts the moments before and after each call. At the chosen one it raises `Killed`, and from then on
every call of that process does, so nothing that still runs in it has an effect: as after kill -9.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class Killed(BaseException):
    """The process is gone; nothing in it may catch this."""


class Fuse:
    """Counts moments; `blows_at` is the number of the last one, None for a process that lives on."""

    def __init__(self, blows_at: int | None = None) -> None:
        self.moments: list[str] = []
        self._blows_at = blows_at
        self._is_dead = False

    @property
    def has_blown(self) -> bool:
        """Whether the process died."""
        return self._is_dead

    def burn(self, moment: str) -> None:
        """Live through a moment, or die in it."""
        if self._is_dead:
            raise Killed(moment)
        self.moments.append(moment)
        if len(self.moments) == self._blows_at:
            self._is_dead = True
            raise Killed(moment)


class Mortal:
    """Stands for `inner` in a process with a fuse: every coroutine of it is a call that may be the last."""

    def __init__(self, name: str, inner: Any, fuse: Fuse) -> None:
        self._name = name
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._inner, attribute)
        if attribute == "transaction":
            return self._transaction
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            self._fuse.burn(f"before {self._name}.{attribute}")
            await asyncio.sleep(0)
            result = await found(*arguments, **named)
            self._fuse.burn(f"after {self._name}.{attribute}")
            return result

        return call

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        self._fuse.burn(f"before {self._name}.transaction")
        async with self._inner.transaction() as transaction:
            yield transaction
            self._fuse.burn(f"before {self._name}.commit")
        self._fuse.burn(f"after {self._name}.commit")
