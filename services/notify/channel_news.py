"""What a channel says of itself becomes news for the others: barred, usable again, moved to another id.

The sender that notices only puts it down here; a loop of its own makes the fact of it, which takes the way
of every fact. It must never hold up a sender. A move is kept in the database first: after a restart the new
id is known, whatever the setting says.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.notify.alarms import AlarmBook
from services.notify.ports import TellsFact
from services.notify.telling.channels import TELEGRAM, Channel, setting_of
from services.notify.telling.pacing import Answer, Barred, Delivered
from services.notify.telling.texts import Language
from shared import logs
from shared.clock import Clock
from shared.codec import envelop
from shared.database import Database, load_queries
from shared.models import AlertRaised, Envelope
from shared.supervision import Failed, attempt, within
from shared.values import Severity

SOURCE = "channels"
BARRED = "channel_barred"
MOVED = "telegram_chat_moved"
RESOLVED = " resolved"
NEWS_MAX = 100
RETRY_S = 1.0
REFRESH_S = 30.0
"""How soon a move that another replica noticed is known here."""

_SQL = load_queries(Path(__file__).parent / "channels.sql")
_log = logs.get(__name__)


class ChannelNews:
    """Collects what is new about the channels of this replica, and tells it."""

    def __init__(self, database: Database, alarms: AlarmBook, words: Language, clock: Clock) -> None:
        self._database = database
        self._alarms = alarms
        self._words = words
        self._clock = clock
        self._is_barred: dict[str, bool] = {}
        self.moves: dict[str, str] = {}
        """The new id of every chat that moved, by its old one; kept up to date by `tell`."""
        self._news: deque[Envelope] = deque(maxlen=NEWS_MAX)
        self._is_there_news = asyncio.Event()

    async def refresh(self) -> None:
        """Read the moves that any replica recorded."""
        rows = await self._database.fetch(_SQL["moves"])
        self.moves |= {row["old_id"]: row["new_id"] for row in rows}

    async def take_over_moved(self, channels: Sequence[Channel]) -> None:
        """Let a chat that is set up by its new id have what still waits under its old one, and remind of
        those that are set up by the old one.
        """
        names = {channel.name for channel in channels}
        for old, new in self.moves.items():
            if f"{TELEGRAM}:{old}" in names:
                self._remind(old, new)
            elif f"{TELEGRAM}:{new}" in names:
                await self._database.execute(_SQL["rename_waiting"], f"{TELEGRAM}:{old}", f"{TELEGRAM}:{new}")

    async def moved(self, old: str, new: str) -> None:
        """Record that a chat has a new id, and let the operator know."""
        self.moves[old] = new
        await self._database.execute(_SQL["move"], old, new)
        self._remind(old, new)

    def _remind(self, old: str, new: str) -> None:
        text = self._words.phrases["chat_moved"].format(old=old, new=new)
        self._put(Severity.WARNING, MOVED, text, old, new)

    def answered(self, channel: Channel, answer: Answer) -> None:
        """Take note of a channel's answer: only a change is news."""
        was_barred = self._is_barred.get(channel.name)
        if isinstance(answer, Barred) and was_barred is not True:
            self._is_barred[channel.name] = True
            text = self._words.phrases["barred"].format(
                channel=channel.name, why=answer.why, setting=setting_of(channel.kind)
            )
            self._put(Severity.WARNING, BARRED, text, channel.name, self._clock().isoformat())
        elif isinstance(answer, Delivered) and was_barred is not False:
            self._is_barred[channel.name] = False  # at first as well: an earlier process may have found it
            text = self._words.phrases["unbarred"].format(channel=channel.name)
            self._put(Severity.INFO, BARRED + RESOLVED, text, channel.name, self._clock().isoformat())

    async def tell(self, tell: TellsFact) -> None:
        """Loop: tell what is new, in its order; what could not be kept is tried again."""
        while True:
            while self._news:
                match await attempt(self._tell_one(tell, self._news[0])):
                    case Failed(error):
                        _log.warning("channel_news_waits", error=repr(error))
                        await asyncio.sleep(RETRY_S)
                    case _:
                        self._news.popleft()
            self._is_there_news.clear()
            await attempt(within(REFRESH_S, self._is_there_news.wait()))
            await attempt(self.refresh())

    async def _tell_one(self, tell: TellsFact, envelope: Envelope) -> None:
        fact = envelope.payload
        assert isinstance(fact, AlertRaised)
        if fact.kind == MOVED or await self._alarms.note_own(envelope):
            await tell(SOURCE, envelope)

    def _put(self, severity: Severity, kind: str, text: str, *discriminator: str) -> None:
        fact = AlertRaised(severity=severity, kind=kind, text=text, symbol=None)
        self._news.append(
            envelop(
                fact,
                correlation_id=f"channel-{discriminator[0]}",
                causation_id=None,
                occurred_at=self._clock(),
                producer="notify",
                discriminator=discriminator,
            )
        )
        self._is_there_news.set()


def moved_address(channel: Channel, moves: Mapping[str, str]) -> str:
    """Return where a channel's messages go: a Telegram chat that moved, by its new id."""
    if channel.kind != TELEGRAM:
        return channel.address
    chat, slash, topic = channel.address.partition("/")
    return moves.get(chat, chat) + slash + topic
