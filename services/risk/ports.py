"""What RISK's flow needs from the world, named for the need. Nothing here knows PostgreSQL, RabbitMQ or
Redis.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from services.risk.account import Account
from services.risk.limits import Decision
from services.risk.position_manager import Book, Reservation
from services.risk.profiles import Limits
from services.risk.proposal import Market, Proposal
from shared.models import Envelope
from shared.signal_order import Moment

Transaction = Any
"""A handle of the store that is open; what it is, only the store knows."""


class Loaded(NamedTuple):
    """The book and what the operator changed about the limits, read at one moment."""

    book: Book
    overrides: Mapping[str, str]


class Decided(NamedTuple):
    """One decision to record; an approval reserves."""

    proposal: Proposal
    decision: Decision
    reserved: Reservation | None


class KeepsBook(Protocol):
    """Keeps account, reservations, decisions and limits. Writes of one transaction stand or fall together."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction: committed when the block ends, rolled back when it raises."""
        ...

    async def first_time(self, tx: Transaction, queue: str, event_id: str) -> bool:
        """Record that a message is handled; False when it was handled before."""
        ...

    async def take(
        self, tx: Transaction, queue: str, proposed: Sequence[tuple[str, str]]
    ) -> dict[str, str | None]:
        """Record that messages (event id, signal id) are handled; return the event ids to decide on, each
        with the position that its signal had closed while it was undecided.

        A message that was handled before, or whose signal was decided before, is not among them.
        """
        ...

    async def lock(self, tx: Transaction) -> tuple[Account, datetime]:
        """Return the account, locked until the transaction ends: only one replica decides at a time (P5).

        And the time, by the database's clock, at which it was locked.
        """
        ...

    async def read_account(self, tx: Transaction) -> tuple[Account, datetime]:
        """Return the account without holding up anybody, and the time by the database's clock."""
        ...

    async def load(
        self, tx: Transaction, account: Account, limits: Limits, now: datetime, also: Collection[str] = ()
    ) -> Loaded:
        """Return the book; `also` names signals whose reservation is wanted even when it is released.

        Approvals are counted up to one more than `limits`, or the operator's change of them, allow.
        """
        ...

    async def record(self, tx: Transaction, decided: Sequence[Decided], epoch: int, now: datetime) -> None:
        """Record decisions, each with its reservation when it is an approval."""
        ...

    async def give_back(self, tx: Transaction, queue: str, event_ids: Sequence[str]) -> None:
        """Record that messages taken in this transaction are not handled yet: they may be taken again."""
        ...

    async def record_closing(self, tx: Transaction, signal_id: str, closes: str) -> None:
        """Remember which position a signal had closed that is not decided yet."""
        ...

    async def forget_closings(self, tx: Transaction, signal_ids: Sequence[str]) -> None:
        """Forget that: the signals are decided."""
        ...

    async def record_exit(self, symbol: str, moment: Moment) -> None:
        """Remember that a symbol, or `EVERY_SYMBOL`, is to be closed."""
        ...

    async def save_account(self, tx: Transaction, account: Account) -> None:
        """Replace the account."""
        ...

    async def save_reservations(
        self, tx: Transaction, reservations: Iterable[Reservation], now: datetime
    ) -> None:
        """Insert or replace reservations; `now` is when those just released were released."""
        ...

    async def save_overrides(self, tx: Transaction, overrides: Mapping[str, str], changed_by: str) -> None:
        """Keep limits that an operator changed."""
        ...

    async def audit(self, tx: Transaction, actor: str, act: str, detail: object) -> None:
        """Append what an operator did; never changed afterwards."""
        ...


class ViewsMarket(Protocol):
    """Knows prices, instruments and how symbols move together."""

    async def view(self, symbol: str, beside: Collection[str], now: datetime) -> Market:
        """Return the market of a symbol, and its correlations with the symbols already held."""
        ...


class OwesMessages(Protocol):
    """Commits messages with the state that implies them, and sends them after."""

    async def stage(self, connection: Transaction, envelopes: Sequence[Envelope]) -> None:
        """Write the messages in the caller's transaction."""
        ...

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Send committed messages; what fails is sent later without the caller."""
        ...
