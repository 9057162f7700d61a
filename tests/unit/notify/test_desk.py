"""The operator's desk: nothing without a role and a second step, nothing twice, all on record."""

from itertools import count

import pytest

from services.notify.desk import Desk
from services.notify.desk_answers import Failed, Performed, Proposal, Refused
from services.notify.desk_store import CONFIRM_WITHIN_S
from services.notify.people import Act, Door, Person, Request, Role, Why, is_symbol, may
from services.notify.ports import ServiceFailure
from shared.clock import ManualClock
from shared.errors import DatabaseUnavailable
from tests.twins.desk import MemoryAudit, MemoryConfirmations, Refusals, ServicesTwin
from tests.unit.notify.facts import NOON

OPERATOR = Person(Door.TELEGRAM, "42", Role.OPERATOR)
OTHER = Person(Door.TELEGRAM, "43", Role.OPERATOR)
VIEWER = Person(Door.TELEGRAM, "7", Role.VIEWER)
CLOSE = Request(Act.CLOSE, "BTCUSDT")
HALT = Request(Act.HALT)


class Room:
    """A desk and everything around it."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.audit = MemoryAudit()
        self.services = ServicesTwin()
        self.refusals = Refusals()
        tokens = (f"token-{number}" for number in count())
        self.desk = Desk(
            MemoryConfirmations(self.clock), self.audit, self.services, self.refusals, lambda: next(tokens)
        )

    async def proposed(self, request: Request = CLOSE) -> str:
        proposal = await self.desk.propose(OPERATOR, request)
        assert isinstance(proposal, Proposal)
        return proposal.token


@pytest.fixture
def room() -> Room:
    return Room()


async def test_a_confirmed_close_is_asked_for_once_in_the_name_of_who_confirmed_it(room: Room) -> None:
    done = await room.desk.confirm(OPERATOR, await room.proposed())

    assert done == Performed(CLOSE, "req-1")
    assert room.services.asked == [("close", "BTCUSDT", "telegram:42")]
    assert room.audit.results == [("close", "proposed"), ("close", "confirmed"), ("close", "performed")]


@pytest.mark.parametrize(
    ("act", "asked"),
    [
        (Act.PAUSE, ("state", "REDUCING", "telegram:42")),
        (Act.RESUME, ("state", "ACTIVE", "telegram:42")),
        (Act.HALT, ("state", "HALTED", "telegram:42")),
        (Act.CLOSE_ALL, ("close", None, "telegram:42")),
    ],
)
async def test_every_act_asks_its_service(room: Room, act: Act, asked: tuple[str, str | None, str]) -> None:
    await room.desk.confirm(OPERATOR, await room.proposed(Request(act)))

    assert room.services.asked == [asked]


@pytest.mark.parametrize("act", [each for each in Act if each is not Act.CLOSE])
async def test_a_viewer_is_refused_every_act_and_that_is_on_record(room: Room, act: Act) -> None:
    assert await room.desk.propose(VIEWER, Request(act)) == Refused(Why.ROLE)

    assert room.audit.results == [(act.value, "refused")]
    assert room.refusals.seen == [(Door.TELEGRAM, Why.ROLE)]
    assert not may(VIEWER, act)


async def test_a_replayed_confirmation_does_nothing_and_is_on_record(room: Room) -> None:
    token = await room.proposed()
    await room.desk.confirm(OPERATOR, token)

    assert await room.desk.confirm(OPERATOR, token) == Refused(Why.USED)
    assert len(room.services.asked) == 1
    assert room.audit.results[-1] == ("confirm", "refused")


async def test_a_proposal_of_somebody_else_stays_theirs(room: Room) -> None:
    token = await room.proposed()

    assert await room.desk.confirm(OTHER, token) == Refused(Why.NOT_YOURS)
    assert await room.desk.withdraw(OTHER, token) == Refused(Why.NOT_YOURS)
    assert room.audit.results[1:] == [("confirm", "refused"), ("withdraw", "refused")]
    assert isinstance(await room.desk.confirm(OPERATOR, token), Performed)


async def test_an_expired_proposal_does_nothing(room: Room) -> None:
    token = await room.proposed()
    room.clock.advance(CONFIRM_WITHIN_S)

    assert await room.desk.confirm(OPERATOR, token) == Refused(Why.EXPIRED)
    assert room.services.asked == []


async def test_an_invented_token_does_nothing(room: Room) -> None:
    assert await room.desk.confirm(OPERATOR, "made up \udc00") == Refused(Why.UNKNOWN)
    assert room.services.asked == []


async def test_a_withdrawn_proposal_cannot_be_confirmed(room: Room) -> None:
    token = await room.proposed()

    assert await room.desk.withdraw(OPERATOR, token) == CLOSE
    assert await room.desk.confirm(OPERATOR, token) == Refused(Why.USED)
    assert room.services.asked == []


async def test_a_role_taken_away_between_the_steps_ends_the_act(room: Room) -> None:
    token = await room.proposed(HALT)
    demoted = Person(Door.TELEGRAM, "42", Role.VIEWER)

    assert await room.desk.confirm(demoted, token) == Refused(Why.ROLE)
    assert room.services.asked == []


@pytest.mark.parametrize(("may_be_done", "result"), [(False, "failed"), (True, "unanswered")])
async def test_a_service_that_does_not_do_it_is_told_as_it_is(
    room: Room, may_be_done: bool, result: str
) -> None:
    room.services.trouble = ServiceFailure("risk: away", may_be_done=may_be_done)

    done = await room.desk.confirm(OPERATOR, await room.proposed(HALT))

    assert done == Failed(HALT, "risk: away", may_be_done)
    assert room.audit.results[-1] == ("halt", result)


async def test_without_a_record_of_the_confirmation_nothing_is_done(room: Room) -> None:
    token = await room.proposed(HALT)
    room.audit.away_for = frozenset({"confirmed"})

    with pytest.raises(DatabaseUnavailable):
        await room.desk.confirm(OPERATOR, token)
    assert room.services.asked == []


async def test_what_was_done_is_told_as_done_though_its_record_is_lost(room: Room) -> None:
    token = await room.proposed(HALT)
    room.audit.away_for = frozenset({"performed"})

    assert await room.desk.confirm(OPERATOR, token) == Performed(HALT)


async def test_what_a_stranger_sends_is_cut_and_made_legible_before_it_is_kept(room: Room) -> None:
    await room.desk.turn_away(Door.DASHBOARD, "a\0\udc00" * 100, "login\n" + "x" * 500, Why.WRONG_PASSWORD)

    [(who, what, result, _)] = room.audit.lines
    assert who.startswith("a??a??")
    assert (len(who), len(what), result) == (64, 100, "refused")
    assert what.startswith("login?")


@pytest.mark.parametrize("text", ["btcusdt", "BTC", "BTCUSDT\n", "BTC USDT", "", "A" * 41, "*", "BTC\0USDT"])
def test_forms_of_symbols(text: str) -> None:
    assert is_symbol(text) == (text == "BTC")


@pytest.mark.parametrize("text", ["WUSDT", "1000PEPEUSDT", "币安人生USDT", "BTCUSDT_260327", "A" * 40])
def test_a_symbol_has_no_shape(text: str) -> None:
    assert is_symbol(text)
