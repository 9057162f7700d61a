"""Acts from the chat, in two steps: what would happen in numbers, a button, what came of it.

Everything that decides is the desk's: who may, whether a token is still good. It must never call a service
for an act by itself, and never leave a proposal standing as if it could still be confirmed.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.notify.chat.account_views import Document
from services.notify.chat.commands import USAGE, Command, Press, button_data, request_of
from services.notify.chat.reads import ChatReads, named
from services.notify.chat.texts import Phrases
from services.notify.chat.views import pnl_of
from services.notify.chat.vocabulary import Button, Place, Pressed, Reply
from services.notify.desk import Desk
from services.notify.desk_answers import Failed, Performed, Proposal, Refused
from services.notify.people import Act, Person, Request, Why, may
from services.notify.ports import ReadsReports, TalksInChats
from services.notify.report_rows import ClosedTrade
from shared.clock import Clock
from shared.errors import DatabaseUnavailable
from shared.money import ZERO
from shared.wording import money, number

OUTCOME_WAIT_S = 8.0
"""How long the end of a close is waited for; after that its own message tells it."""
OUTCOME_LOOK_S = 0.4
STANDING_MAX = 100
"""Proposals whose end is watched; those beyond say so when they are pressed."""
LAPSE_MARGIN = timedelta(seconds=1)
"""The database's clock decides; ours may be a little ahead."""
TRADES_SINCE = timedelta(minutes=10)

STATE_SAID = {Act.PAUSE: "REDUCING", Act.RESUME: "ACTIVE", Act.HALT: "HALTED"}


@dataclass(frozen=True)
class _Standing:
    person: Person
    proposal: Proposal
    place: Place
    message_id: int
    asks: str


class ChatActs:
    """The acts an operator may set out to from the chat."""

    def __init__(
        self,
        desk: Desk,
        reads: ChatReads,
        reports: ReadsReports,
        chat: TalksInChats,
        say: Phrases,
        clock: Clock,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._reads = reads
        self._reports = reports
        self._chat = chat
        self._say = say
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._standing: deque[_Standing] = deque(maxlen=STANDING_MAX)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Wait for no outcome any more; what is in hand comes to its end at once."""
        self._stopping.set()

    async def propose(self, command: Command, person: Person, place: Place) -> None:
        """Take the first step: say what would happen and hand out the button that confirms it."""
        request = request_of(command)
        if request is None:
            await self._chat.say(place, Reply(self._say("usage", example=USAGE["close"] + " | /close all")))
            return
        found = await self._described(request) if may(person, request.act) else (request, Reply(""))
        if isinstance(found, Reply):
            await self._chat.say(place, found)
            return
        request, question = found
        proposed = await self._desk.propose(person, request)
        if isinstance(proposed, Refused):
            await self._chat.say(place, Reply(self._say(f"why_{proposed.why}")))
            return
        await self._ask(proposed, question, person, place)

    async def confirm(self, token: str, person: Person, pressed: Pressed, place: Place) -> None:
        """Take the second step and tell what came of it."""
        standing = self._find(token)
        done = await self._desk.confirm(person, token)
        if isinstance(done, Refused):
            await self._refuse(done.why, standing, pressed, place)
            return
        self._forget(standing)
        await self._chat.answer(pressed.press_id)
        if isinstance(done, Failed):
            text = self._say("unanswered" if done.may_be_done else "failed", detail=done.detail)
            await self._chat.change(place, pressed.message_id, Reply(text))
        elif done.request.act in STATE_SAID:
            text = self._say("done_state", state=STATE_SAID[done.request.act])
            await self._chat.change(place, pressed.message_id, Reply(text))
        else:
            await self._follow(done, pressed, place)

    async def withdraw(self, token: str, person: Person, pressed: Pressed, place: Place) -> None:
        """Take a proposal back."""
        standing = self._find(token)
        withdrawn = await self._desk.withdraw(person, token)
        if isinstance(withdrawn, Refused):
            await self._refuse(withdrawn.why, standing, pressed, place)
            return
        self._forget(standing)
        await self._chat.answer(pressed.press_id)
        await self._chat.change(place, pressed.message_id, Reply(self._say("withdrawn")))

    @property
    def has_lapsed(self) -> bool:
        """Whether a proposal has run out and its message does not say so yet."""
        return bool(self._standing) and self._is_over(self._standing[0])

    async def tell_lapsed(self) -> None:
        """Say under each proposal that ran out that it did; a button pressed after that is refused anyway."""
        while self.has_lapsed:
            one = self._standing[0]
            ended = await self._desk.withdraw(one.person, one.proposal.token)
            self._forget(one)  # only now: while the database is away it stands, and is tried again
            if not isinstance(ended, Refused) or ended.why is Why.EXPIRED:  # else another replica took it
                reply = Reply(one.asks, (self._say("lapsed"),))
                await self._chat.change(one.place, one.message_id, reply)

    async def _described(self, request: Request) -> tuple[Request, Reply] | Reply:
        """Return the request and what it would do in numbers, or why there is nothing to do."""
        positions, away = await self._reads.positions()
        within = (self._say(f"means_{self._kind(request)}", **await self._now(request, positions)),)
        if request.symbol is not None:
            found = named(positions, request.symbol)
            if found is not None:
                return Request(Act.CLOSE, found["symbol"]), Reply(self._close_question(found), within)
            if away is None:
                return await self._reads.not_ours_or_open(request.symbol, positions)
            return request, Reply(self._say("propose_close_blind", symbol=request.symbol), within)
        if request.act is Act.CLOSE_ALL:
            if not positions and away is None:
                return await self._reads.nothing_open()
            question = self._close_all_question(positions)
            foreign, _ = await self._reads.foreign()
            spared = ", ".join(f"{one['symbol']} {one['side']} {number(one['quantity'])}" for one in foreign)
            note = (self._say("will_not_touch", positions=spared),) if spared else ()
            return request, Reply(question, [*within, *(self._close_line(one) for one in positions), *note])
        return request, Reply(self._say(f"propose_{request.act}"), within)

    async def _now(self, request: Request, positions: Sequence[Document]) -> dict[str, object]:
        if request.act is Act.RESUME:
            return {"state": (await self._reports.account()).state}
        return {"count": len(positions)}

    @staticmethod
    def _kind(request: Request) -> str:
        return "close" if request.act is Act.CLOSE_ALL else request.act

    def _close_question(self, one: Document) -> str:
        if one["unrealised_pnl_usdt"] is None:
            return self._say("propose_close_blind", symbol=one["symbol"])
        return self._say(
            "propose_close",
            symbol=one["symbol"],
            side=one["side"],
            quantity=number(one["quantity"]),
            pnl=money(one["unrealised_pnl_usdt"], sign=True),
        )

    def _close_all_question(self, positions: Sequence[Document]) -> str:
        pnl = pnl_of(positions)
        if not positions or pnl is None:
            return self._say("propose_close_all_blind")
        return self._say("propose_close_all", count=len(positions), pnl=money(pnl, sign=True))

    @staticmethod
    def _close_line(one: Document) -> str:
        pnl = money(one["unrealised_pnl_usdt"], sign=True)
        return f"{one['symbol']} {one['side']} {number(one['quantity'])}  {pnl}"

    async def _ask(self, proposal: Proposal, question: Reply, person: Person, place: Place) -> None:
        seconds = max(0, round((proposal.expires_at - self._clock()).total_seconds()))
        buttons = (
            Button(self._say("confirm"), button_data(Press.CONFIRM, proposal.token)),
            Button(self._say("cancel"), button_data(Press.WITHDRAW, proposal.token)),
        )
        lines = [*question.lines, self._say("confirm_within", seconds=seconds)]
        message_id = await self._chat.say(place, Reply(question.title, lines, (buttons,)))
        if message_id is not None:
            self._standing.append(_Standing(person, proposal, place, message_id, question.title))

    async def _refuse(self, why: Why, standing: _Standing | None, pressed: Pressed, place: Place) -> None:
        """Tell who pressed; the message changes only if its proposal is over, not for another's press."""
        text = self._say(f"why_{why}")
        await self._chat.answer(pressed.press_id, text)
        if why in (Why.EXPIRED, Why.ROLE):
            self._forget(standing)
            asks = (standing.asks,) if standing is not None else ()
            await self._chat.change(place, pressed.message_id, Reply(text, asks))

    async def _follow(self, done: Performed, pressed: Pressed, place: Place) -> None:
        """Say that it is asked for, then how it ended if that comes soon."""
        what = done.request.symbol or self._say("all_positions")
        underway = Reply(self._say("under_way_close", what=what))
        await self._chat.change(place, pressed.message_id, underway)
        closed = await self._closed(done)
        reply = self._closed_reply(closed) if closed else Reply(self._say("done_asked", what=what))
        await self._chat.change(place, pressed.message_id, reply)

    async def _closed(self, done: Performed) -> Sequence[ClosedTrade]:
        """Return what the request closed, once all of it is closed, within `OUTCOME_WAIT_S`.

        It was asked for by now: a database that does not answer must not be told as "nothing was done".
        """
        deadline_s = self._monotonic_s() + OUTCOME_WAIT_S
        while True:
            try:
                ours, is_all = await self._closed_so_far(done)
            except DatabaseUnavailable:
                return ()
            if is_all or self._monotonic_s() >= deadline_s or self._stopping.is_set():
                return ours
            await self._pause()

    async def _closed_so_far(self, done: Performed) -> tuple[Sequence[ClosedTrade], bool]:
        trades = await self._reports.trades(self._clock() - TRADES_SINCE, symbol=done.request.symbol)
        ours = [one for one in trades if one.closed_by == done.reference]
        if not ours:
            return ours, False
        return ours, done.request.symbol is not None or not await self._reports.positions()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(OUTCOME_LOOK_S):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _closed_reply(self, closed: Sequence[ClosedTrade]) -> Reply:
        lines = [self._closed_line(one) for one in closed]
        if len(lines) == 1:
            return Reply(lines[0])
        net = money(str(sum((one.net_usdt or ZERO for one in closed), ZERO)), sign=True)
        return Reply(self._say("done_closed_many", count=len(lines), net=net), lines)

    def _closed_line(self, one: ClosedTrade) -> str:
        return self._say(
            "done_closed",
            symbol=one.symbol,
            side=one.side,
            price=number(str(one.exit_price)) if one.exit_price is not None else "?",
            net="?" if one.net_usdt is None else money(str(one.net_usdt), sign=True),
        )

    def _find(self, token: str) -> _Standing | None:
        return next((one for one in self._standing if one.proposal.token == token), None)

    def _forget(self, standing: _Standing | None) -> None:
        if standing is not None and standing in self._standing:
            self._standing.remove(standing)

    def _is_over(self, one: _Standing) -> bool:
        return self._clock() > one.proposal.expires_at + LAPSE_MARGIN
