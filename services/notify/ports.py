"""What NOTIFY's stories need from the outside, named for the need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from services.notify.chat.vocabulary import Place, Polled, Reply, Trouble, Update
from services.notify.people import Door, Request, Why
from services.notify.report_rows import (
    Account,
    ClosedTrade,
    ForeignPosition,
    OpenPosition,
    Period,
    PeriodResult,
    SignalLine,
    StrategyResult,
    Totals,
)
from services.notify.telling.kinds import Lane
from services.notify.telling.message_format import Context, Notification
from services.notify.telling.pacing import Answer
from services.notify.telling.rendering import Written
from shared.errors import PhoenixError
from shared.models import Envelope
from shared.values import TradingState

SERVICES = ("brain", "risk", "execute", "notify")
"""Whom NOTIFY may ask, itself included."""


@dataclass(frozen=True)
class Drops:
    """How many notifications grew too old without anybody being told so, the last of them at `until`."""

    count: int
    until: datetime | None


class KeepsNotifications(Protocol):
    """Keeps what was told and what waits."""

    async def keep(self, source: str, notification: Notification, *, is_off: bool = False) -> bool:
        """Record that the fact came from `source`, keep its notification and queue it for every channel that
        takes it, together; False: it was kept before.
        """
        ...


class KnowsContext(Protocol):
    """Knows what makes a fact easier to judge."""

    async def context(self, signal_id: str) -> Context:
        """Return the account's equity and how the signal scored."""
        ...


class OwesNotifications(Protocol):
    """Knows what still has to be delivered to one channel."""

    async def waiting(self) -> Sequence[Notification]:
        """Return the front of the queue: of every lane the oldest that may be sent now."""
        ...

    async def picture(self, event_id: str) -> bytes | None:
        """Return the picture that goes with a notification."""
        ...

    async def claim(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Take these for one attempt and return those that were free; the claim ends by itself."""
        ...

    async def mark_delivered(self, event_ids: Sequence[str]) -> None:
        """Record that these arrived."""
        ...

    async def mark_drops_told(self, drops: Drops) -> None:
        """Record that the number of these drops need not be told any more."""
        ...

    async def release(self, event_ids: Sequence[str]) -> None:
        """Give claimed ones back: they did not arrive."""
        ...

    async def drop(self, event_ids: Sequence[str], why: str) -> None:
        """Record that these will never arrive."""
        ...

    async def drop_old(self, before: Mapping[Lane, datetime]) -> int:
        """Give up what happened earlier than its lane allows, and return how many."""
        ...

    async def untold_drops(self) -> Drops:
        """Return how many were given up for their age without a word about it."""
        ...

    async def count_waiting(self) -> int:
        """Return how many wait for channels of this kind, those under a claim included."""
        ...


class TakesMessages(Protocol):
    """A chat, or what else takes messages."""

    async def send(self, message: Written) -> Answer:
        """Send one message and return what became of it; it never raises for the channel's troubles."""
        ...


class AsksStatus(Protocol):
    """Asks the other services what only they know."""

    async def get(self, service: str, path: str) -> dict[str, Any]:
        """Return the JSON document a service answers.

        Raises:
            ServiceFailure: it refused, or did not answer.
        """
        ...


class TellsFact(Protocol):
    """Takes a fact in; returns when it is kept."""

    async def __call__(self, source: str, envelope: Envelope, /) -> None:
        """Tell one fact that came from `source`, a queue's name or `http`."""
        ...


class HoldsLease(Protocol):
    """The right to be the only one who sends."""

    async def hold(self) -> bool:
        """Take or renew; True while it is ours."""
        ...

    async def release(self) -> None:
        """Let another take over."""
        ...


class ObservesFacts(Protocol):
    """Counts what the facts say about the business."""

    def observe(self, envelope: Envelope) -> None:
        """Count one fact; called once per fact that is told, and for each delivery of the others."""
        ...


class ObservesStorage(Protocol):
    """Counts what is kept."""

    def stored(self, schema: str, severity: str) -> None:
        """One notification was kept."""
        ...


class ObservesDelivery(Protocol):
    """Counts what becomes of the notifications for one kind of channel."""

    def waiting(self, count: int) -> None:
        """So many are not delivered yet."""
        ...

    def dropped(self, count: int, why: str) -> None:
        """So many will never be delivered."""
        ...

    def answered(self, answer: Answer) -> None:
        """The chat answered an attempt."""
        ...


Result = Literal["proposed", "withdrawn", "confirmed", "performed", "failed", "unanswered", "refused"]
"""What became of an act at a door, as the audit log says it."""


class ServiceFailure(PhoenixError):
    """A service did not do what an operator asked; with `may_be_done` the answer was lost and it may have."""

    def __init__(self, detail: str, *, may_be_done: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.may_be_done = may_be_done


class KeepsConfirmations(Protocol):
    """Knows what was proposed and not confirmed yet. Only the token's hash is kept."""

    async def propose(self, token: str, actor: str, request: Request) -> datetime:
        """Keep a proposal and return when it ends."""
        ...

    async def use(self, token: str, actor: str, used_for: Literal["confirmed", "withdrawn"]) -> Request | Why:
        """Use the token up, once over all replicas, or say why it cannot be used by this actor now."""
        ...


class KeepsAudit(Protocol):
    """The append-only record of what was done, and refused, at NOTIFY's doors."""

    async def record(self, actor: str, act: str, result: Result, detail: Mapping[str, object]) -> None:
        """Append one line; returns when it is committed."""
        ...


class ActsOnServices(Protocol):
    """Asks RISK and EXECUTE for what only they do. A request that may have had an effect is not repeated."""

    async def set_state(self, state: TradingState, actor: str, reason: str) -> None:
        """Have RISK change the trading state.

        Raises:
            ServiceFailure: it refused, or did not answer.
        """
        ...

    async def close(self, symbol: str | None, actor: str, reason: str) -> str:
        """Have EXECUTE close a position, all of them when `symbol` is None; return the request's id.

        Raises:
            ServiceFailure: it refused, or did not answer.
        """
        ...


class ObservesDoors(Protocol):
    """Counts who was turned away."""

    def refused(self, door: Door, why: Why) -> None:
        """Somebody was refused at a door."""
        ...


class TurnsAway(Protocol):
    """Puts on record that somebody was refused before it came to an act."""

    async def turn_away(self, door: Door, who: str, what: str, why: Why) -> None: ...


class AsksServices(Protocol):
    """Asks the other services what only they know."""

    async def get(self, service: str, path: str, **parameters: str | int) -> dict[str, Any]:
        """Return the JSON document a service answers.

        Raises:
            ServiceFailure: it refused, or did not answer.
        """
        ...

    async def readiness(self, service: str) -> dict[str, Any]:
        """Return a service's readiness; one that does not answer is not ready."""
        ...


class ReadsReports(Protocol):
    """The committed truth, for people; see `Reports`. Every method raises `DatabaseUnavailable`."""

    async def account(self) -> Account: ...

    async def positions(self) -> Sequence[OpenPosition]: ...

    async def foreign_positions(self) -> Sequence[ForeignPosition]: ...

    async def trades(
        self, since: datetime, *, symbol: str | None = None, limit: int = ...
    ) -> Sequence[ClosedTrade]: ...

    async def signals(self, limit: int, symbol: str | None = None) -> Sequence[SignalLine]: ...

    async def find_signals(self, front: str) -> Sequence[str]: ...

    async def newest_signal(self) -> str | None: ...

    async def totals(self, since: datetime) -> Totals: ...

    async def results_by_period(self, period: Period, limit: int) -> Sequence[PeriodResult]: ...

    async def results_by_strategy(self, since: datetime, limit: int = ...) -> Sequence[StrategyResult]: ...


class TalksInChats(Protocol):
    """Answers people in a chat. What cannot be delivered is logged and lost: the person asks again."""

    async def say(self, place: Place, reply: Reply) -> int | None:
        """Send a reply, in pages if it is long; return its last message's id, None if it did not arrive."""
        ...

    async def change(self, place: Place, message_id: int, reply: Reply) -> None:
        """Put a reply in the place of a message of ours."""
        ...

    async def answer(self, press_id: str, text: str = "") -> None:
        """Answer a pressed button; with a text it is shown to who pressed it, and to nobody else."""
        ...


class ClaimsUpdates(Protocol):
    """Knows which updates of the chat were taken, over all replicas and restarts."""

    async def first_time(self, update_id: int) -> bool:
        """Take the update; False if it was taken before."""
        ...


class ObservesChat(Protocol):
    """Counts what comes in from the chat."""

    def asked(self, what: str) -> None:
        """Somebody of ours typed a command or pressed a button; `what` is one of few words."""
        ...

    def polled(self, answer: str) -> None:
        """The chat's server was asked for updates: `ok`, or why it gave none."""
        ...


class Listens(Protocol):
    """The chat's server as the poller sees it."""

    async def introduce(self, menus: Mapping[str, Sequence[tuple[str, str]]]) -> str | Trouble:
        """Register the commands and return our bot's name, or why not."""
        ...

    async def updates(self, offset: int) -> Polled:
        """Return what was typed and pressed, confirming all before `offset`."""
        ...


class TakesUpdates(Protocol):
    """Handles updates; see `Conversation` and `ChatActs`."""

    async def take(self, update: Update, bot_name: str) -> None: ...


class EndsProposals(Protocol):
    """Tells of proposals that ran out, and can be told to come to an end."""

    @property
    def has_lapsed(self) -> bool: ...

    async def tell_lapsed(self) -> None: ...

    def stop(self) -> None: ...
