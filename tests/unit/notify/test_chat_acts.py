"""Acts from the chat, with twins for everything around: what is told before, after, and in trouble."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock

import pytest

from services.notify.chat import acts as chat_acts
from services.notify.chat.acts import ChatActs
from services.notify.chat.commands import Command
from services.notify.chat.reads import ChatReads
from services.notify.chat.texts import Phrases
from services.notify.chat.vocabulary import Place, Pressed, Reply
from services.notify.desk import Desk
from services.notify.people import Door, Person, Role
from services.notify.ports import ServiceFailure
from services.notify.report_rows import ClosedTrade, ForeignPosition, OpenPosition
from shared.clock import ManualClock
from shared.errors import DatabaseUnavailable
from tests.integration.chat_samples import POSITION
from tests.twins.desk import MemoryAudit, MemoryConfirmations, Refusals, ServicesTwin
from tests.unit.notify.facts import NOON

PLACE = Place(42, is_private=True)
OPERATOR = Person(Door.TELEGRAM, "42", Role.OPERATOR)
AWAY = ServiceFailure("execute cannot be reached", may_be_done=False)

TRADE = ClosedTrade(
    signal_id="sig-a",
    strategy="trend",
    symbol="BTCUSDT",
    side="long",
    quantity=Decimal("0.19"),
    entry_price=Decimal(62_000),
    exit_price=Decimal("61983.1"),
    leverage=20,
    margin_usdt=Decimal(589),
    pnl_usdt=Decimal("-3.21"),
    fees_usdt=Decimal("9.42"),
    funding_usdt=Decimal(0),
    net_usdt=Decimal("-12.63"),
    reason="operator",
    closed_by="req-1",
    opened_at=NOON,
    protected_at=NOON,
    closed_at=NOON,
)


@dataclass
class Chat:
    """What is said and shown, in order."""

    texts: list[str] = field(default_factory=list)
    shown_to_presser: list[str] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    async def say(self, place: Place, reply: Reply) -> int | None:
        self.texts.append(reply.text)
        self.replies.append(reply)
        return len(self.texts)

    async def change(self, place: Place, message_id: int, reply: Reply) -> None:
        await self.say(place, reply)

    async def answer(self, press_id: str, text: str = "") -> None:
        self.shown_to_presser.append(text)


@dataclass
class Records:
    """Reports and the other services' answers."""

    closed: list[ClosedTrade] = field(default_factory=list)
    live: list[dict[str, Any]] = field(default_factory=lambda: [dict(POSITION)])
    services_are_away: bool = False
    is_away: bool = False

    async def get(self, service: str, path: str, **parameters: str | int) -> dict[str, Any]:
        if self.services_are_away:
            raise AWAY
        return {"positions": self.live}

    async def foreign_positions(self) -> Sequence[ForeignPosition]:
        return ()

    async def positions(self) -> Sequence[OpenPosition]:
        return []

    async def trades(
        self, since: datetime, *, symbol: str | None = None, limit: int = 1
    ) -> Sequence[ClosedTrade]:
        if self.is_away:
            raise DatabaseUnavailable("away")
        return self.closed

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked for here")


class Room:
    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.chat, self.records, self.services = Chat(), Records(), ServicesTwin()
        self.desk = Desk(
            MemoryConfirmations(self.clock), MemoryAudit(), self.services, Refusals(), lambda: "token"
        )
        say: Any = Phrases("en")
        records: Any = self.records
        reads = ChatReads(records, records, say, self.clock, "paper")
        self.acts = ChatActs(self.desk, reads, records, self.chat, say, self.clock, lambda: 0.0)

    async def propose(self, *arguments: str) -> None:
        await self.acts.propose(Command("close", arguments), OPERATOR, PLACE)

    async def confirm(self) -> str:
        pressed = Pressed(1, 42, PLACE, 1, "p", "ok:token")
        await self.acts.confirm("token", OPERATOR, pressed, PLACE)
        return self.chat.texts[-1]


@pytest.fixture
def room() -> Room:
    return Room()


async def test_a_close_ends_with_what_it_brought(room: Room) -> None:
    room.records.closed = [TRADE, replace(TRADE, closed_by="another")]
    await room.propose("BTCUSDT")
    assert await room.confirm() == "BTCUSDT long closed at 61983.1: -12.63 USDT net"


async def test_a_close_of_several_ends_with_their_sum(room: Room) -> None:
    room.records.closed = [TRADE, replace(TRADE, symbol="ETHUSDT", net_usdt=Decimal(20))]
    await room.propose("all")
    title, *lines = (await room.confirm()).splitlines()
    assert title == "2 positions closed: +7.37 USDT net"
    assert len(lines) == 2


async def test_a_close_all_names_each_and_their_sum_before(room: Room) -> None:
    room.records.live.append(dict(POSITION, symbol="ETHUSDT", unrealised_pnl_usdt="10"))
    await room.propose("all")
    assert room.chat.texts[-1].startswith("Close all 2 positions, now +6.79 USDT together?")
    assert "ETHUSDT long 0.19  +10.00" in room.chat.texts[-1]


async def test_a_close_whose_end_nobody_can_read_is_told_as_asked_for(room: Room) -> None:
    await room.propose("BTCUSDT")
    room.records.is_away = True
    assert (await room.confirm()).startswith("Asked to close BTCUSDT")


async def test_a_close_that_takes_long_is_told_as_asked_for(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_acts, "OUTCOME_WAIT_S", 0.0)
    await room.propose("BTCUSDT")
    assert (await room.confirm()).startswith("Asked to close BTCUSDT")


async def test_stopping_waits_for_no_outcome(room: Room) -> None:
    room.acts.stop()
    await room.propose("BTCUSDT")
    assert (await room.confirm()).startswith("Asked to close BTCUSDT")


async def test_closing_can_be_asked_for_without_execute_telling_marks(room: Room) -> None:
    room.records.services_are_away = True
    await room.propose("btc/usdt")
    assert room.chat.texts[-1].startswith("Close BTCUSDT?")


async def test_what_is_not_open_is_not_proposed(room: Room) -> None:
    await room.propose("ETHUSDT")
    await room.propose("*")
    assert room.chat.texts[0] == "No open position in ETHUSDT.\nOpen: BTCUSDT"
    assert room.chat.texts[1].startswith("Like this: /close BTCUSDT")
    assert all(not reply.buttons for reply in room.chat.replies)


@pytest.mark.parametrize(("may_be_done", "told"), [(False, "Not done: "), (True, "Nobody knows ")])
async def test_a_service_that_did_not_do_it_is_told(room: Room, may_be_done: bool, told: str) -> None:
    await room.propose("BTCUSDT")
    room.services.trouble = ServiceFailure("execute: away", may_be_done=may_be_done)
    assert (await room.confirm()).startswith(told)


async def test_a_proposal_that_ran_out_is_told_once_and_one_that_was_used_is_not(room: Room) -> None:
    await room.propose("BTCUSDT")
    await room.acts.tell_lapsed()
    assert len(room.chat.texts) == 1
    room.clock.advance(62)
    for _ in range(2):
        await room.acts.tell_lapsed()
    assert len(room.chat.texts) == 2
    assert room.chat.texts[-1].endswith("Expired, nothing was done.")

    await room.propose("BTCUSDT")
    await room.desk.confirm(OPERATOR, "token")  # through another replica
    room.clock.advance(62)
    before = len(room.chat.texts)
    await room.acts.tell_lapsed()
    assert len(room.chat.texts) == before


async def test_a_proposal_that_ran_out_while_the_database_was_away_is_told_when_it_is_back(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.propose("BTCUSDT")
    room.clock.advance(62)
    with monkeypatch.context() as away:
        away.setattr(room.desk, "withdraw", AsyncMock(side_effect=DatabaseUnavailable("away")))
        with pytest.raises(DatabaseUnavailable):
            await room.acts.tell_lapsed()
    await room.acts.tell_lapsed()
    assert room.chat.texts[-1].endswith("Expired, nothing was done.")
