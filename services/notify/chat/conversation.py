"""The story of the chat's incoming half: somebody types or presses, and is answered or turned away.

    update ──► who? ──► stranger: turned away ─┐
                 ├────► looks: answered        ├─► what changed something went through the desk, in two steps
                 └────► acts: proposed, confirmed, done, told

An update is taken once (the poller claims it first); what it may change is guarded by the desk's one-time
token besides. It must never answer a stranger in a group, nor carry out what was typed long ago.
"""

from collections.abc import Callable
from datetime import timedelta

from services.notify.chat.acts import ChatActs
from services.notify.chat.commands import DO, Ask, Command, Press, asked, read, read_press
from services.notify.chat.doorkeeper import Allowance, GuestList
from services.notify.chat.reads import ChatReads
from services.notify.chat.texts import Phrases
from services.notify.chat.vocabulary import Place, Pressed, Reply, Typed, Update
from services.notify.people import Door, Person, Role, Why
from services.notify.ports import ObservesChat, ObservesDoors, TalksInChats, TurnsAway
from shared.clock import Clock
from shared.errors import DatabaseUnavailable
from shared.supervision import Failed, attempt

TYPED_AGE_MAX = timedelta(minutes=2)
"""What was typed earlier is not carried out: the market it was typed for is gone."""
TOO_OLD_TOLD_PER_S = 30
COMMANDS_PER_MINUTE = 20
MINUTE_S = 60
STRANGER_HEARD_PER_S = 600
"""A stranger is put on record, and told in private, this seldom."""
STRANGERS_PER_HOUR = 60
HOUR_S = 3_600
EVERYBODY = 0


class Conversation:
    """Takes one update after the other; may be called for several at once."""

    def __init__(
        self,
        guests: GuestList,
        reads: ChatReads,
        acts: ChatActs,
        desk: TurnsAway,
        chat: TalksInChats,
        say: Phrases,
        doors: ObservesDoors,
        watch: ObservesChat,
        clock: Clock,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._guests = guests
        self._reads = reads
        self._acts = acts
        self._desk = desk
        self._chat = chat
        self._say = say
        self._doors = doors
        self._watch = watch
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._pace = Allowance(COMMANDS_PER_MINUTE, MINUTE_S)
        self._too_old_told = Allowance(1, TOO_OLD_TOLD_PER_S)
        self._stranger_heard = Allowance(1, STRANGER_HEARD_PER_S)
        self._strangers_heard = Allowance(STRANGERS_PER_HOUR, HOUR_S)

    async def take(self, update: Update, bot_name: str) -> None:
        """Answer one update; `bot_name` is what commands in groups may be addressed to."""
        match await attempt(self._take(update, bot_name)):
            case Failed(DatabaseUnavailable()):
                await self._tell_trouble(update, self._say("database_away"))
            case Failed(error):
                await self._tell_trouble(update, self._say("fault"))
                raise error

    async def _take(self, update: Update, bot_name: str) -> None:
        match update:
            case Typed():
                await self._typed(update, bot_name)
            case Pressed():
                await self._pressed(update)

    async def _typed(self, typed: Typed, bot_name: str) -> None:
        command = read(typed.text, bot_name)
        person = self._guests.person(typed.user_id, typed.place)
        if person is None:
            if command is not None or typed.place.is_private:
                await self._turn_away_who_typed(typed, command)
            return
        if command is None or not self._is_for_us(command, typed.place):
            return
        if self._clock() - typed.sent_at > TYPED_AGE_MAX:
            await self._tell_too_old(typed)
        elif self._may_go_on(person, typed.user_id, command.name in DO):
            await self._carry_out(command, person, typed.place)

    def _is_for_us(self, command: Command, place: Place) -> bool:
        """In a group, what nobody knows may be another bot's."""
        return place.is_private or command.for_us or command.name in DO or asked(command) is not None

    async def _carry_out(self, command: Command, person: Person, place: Place) -> None:
        ask = asked(command)
        if ask is not None:
            self._watch.asked(command.name)
            await self._chat.say(place, await self._reads.answer(ask, command, person))
        elif command.name in DO:
            self._watch.asked(command.name)
            await self._acts.propose(command, person, place)
        else:
            self._watch.asked("unknown")
            await self._chat.say(place, Reply(self._say("unknown_command", name=command.name)))

    async def _pressed(self, pressed: Pressed) -> None:
        person, meant = self._guests.person(pressed.user_id, pressed.place), read_press(pressed.data)
        if person is None:
            what = f"press {meant[0] if meant else '?'}"
            if await self._turn_away(pressed.user_id, pressed.place, what):
                await self._chat.answer(pressed.press_id, self._say(f"why_{Why.STRANGER}"))
            return
        place = pressed.place
        assert place is not None, "a person was recognised in it"
        if meant is None:
            await self._chat.answer(pressed.press_id, self._say(f"why_{Why.UNKNOWN}"))
            return
        press, value = meant
        is_act = press in (Press.CONFIRM, Press.WITHDRAW, Press.CLOSE)
        if not self._may_go_on(person, pressed.user_id, is_act):
            await self._chat.answer(pressed.press_id, self._say(f"why_{Why.TOO_OFTEN}"))
            return
        self._watch.asked(f"button_{press}")
        await self._carry_out_press(press, value, person, pressed, place)

    async def _carry_out_press(
        self, press: Press, value: str, person: Person, pressed: Pressed, place: Place
    ) -> None:
        match press:
            case Press.CONFIRM:
                await self._acts.confirm(value, person, pressed, place)
            case Press.WITHDRAW:
                await self._acts.withdraw(value, person, pressed, place)
            case Press.CLOSE:
                await self._chat.answer(pressed.press_id)
                await self._acts.propose(Command("close", (value,)), person, place)
            case Press.WHY:
                await self._chat.answer(pressed.press_id)
                reply = await self._reads.answer(Ask.WHY, Command(Ask.WHY, (value,)), person)
                await self._chat.say(place, reply)
            case Press.REFRESH if value in (Ask.STATUS, Ask.POSITIONS):
                reply = await self._reads.answer(Ask(value), Command(value), person)
                await self._chat.change(place, pressed.message_id, reply)
                await self._chat.answer(pressed.press_id)
            case _:
                await self._chat.answer(pressed.press_id, self._say(f"why_{Why.UNKNOWN}"))

    def _may_go_on(self, person: Person, user_id: int, is_act: bool) -> bool:
        """An operator's act is never held up: closing always works (P9)."""
        if is_act and person.role is Role.OPERATOR:
            return True
        if self._pace.allows(user_id, self._monotonic_s()):
            return True
        self._doors.refused(Door.TELEGRAM, Why.TOO_OFTEN)
        return False

    async def _tell_too_old(self, typed: Typed) -> None:
        self._watch.asked("too_old")
        if self._too_old_told.allows(typed.place.chat_id, self._monotonic_s()):
            oldest = self._clock() - TYPED_AGE_MAX
            await self._chat.say(typed.place, Reply(self._say("too_old", time=f"{oldest:%H:%M:%S}")))

    async def _turn_away_who_typed(self, typed: Typed, command: Command | None) -> None:
        what = f"/{command.name}" if command is not None else "text"
        if await self._turn_away(typed.user_id, typed.place, what) and typed.place.is_private:
            await self._chat.say(typed.place, Reply(self._say("stranger", name=typed.user_id)))

    async def _turn_away(self, user_id: int, place: Place | None, what: str) -> bool:
        """Count a stranger always; write them down only now and then, and return whether that was now."""
        now_s = self._monotonic_s()
        if not (
            self._stranger_heard.allows(user_id, now_s) and self._strangers_heard.allows(EVERYBODY, now_s)
        ):
            self._doors.refused(Door.TELEGRAM, Why.STRANGER)
            return False
        where = "" if place is None or place.is_private else f" in chat {place.chat_id}"
        await self._desk.turn_away(Door.TELEGRAM, f"telegram:{user_id}", what + where, Why.STRANGER)
        return True

    async def _tell_trouble(self, update: Update, text: str) -> None:
        """Only to people of ours: a stranger learns nothing about our troubles."""
        if self._guests.person(update.user_id, update.place) is None:
            return
        match update:
            case Typed():
                await self._chat.say(update.place, Reply(text))
            case Pressed():
                await self._chat.answer(update.press_id, text)
