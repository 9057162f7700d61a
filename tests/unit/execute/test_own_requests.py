"""Close requests of our own are carried out without a broker, once, and one that fails holds up no other."""

from collections.abc import Sequence

from services.execute.own_requests import OwnRequests
from shared.errors import BrokerUnavailable, ExchangeUnavailable
from shared.models import Envelope
from tests.unit.execute.builders import close_request, sent

FIRST, SECOND = sent(close_request("one")), sent(close_request("two"))


class World:
    def __init__(self, *stuck: Envelope) -> None:
        self.stuck = list(stuck)
        self.is_away = True
        self.failing: set[str] = set()
        self.handled: list[str] = []
        self.made = OwnRequests(self, self.handle, self.ping)

    async def unsent(self, schema: str) -> Sequence[Envelope]:
        assert schema == FIRST.schema
        return self.stuck

    async def ping(self) -> None:
        if self.is_away:
            raise BrokerUnavailable("away")

    async def handle(self, envelope: Envelope) -> None:
        if envelope.event_id in self.failing:
            raise ExchangeUnavailable("away as well")
        self.handled.append(envelope.event_id)


async def test_a_request_that_its_queue_does_not_deliver_is_carried_out_once() -> None:
    world = World(FIRST)
    for _ in range(3):
        await world.made.look()
    assert world.handled == [FIRST.event_id]


async def test_one_that_fails_is_tried_again_and_holds_up_no_other() -> None:
    world = World(FIRST, SECOND)
    world.failing = {FIRST.event_id}
    await world.made.look()
    assert world.handled == [SECOND.event_id]
    world.failing = set()
    await world.made.look()
    assert world.handled == [SECOND.event_id, FIRST.event_id]


async def test_what_the_queue_delivers_is_left_to_it() -> None:
    world = World(FIRST)
    world.is_away = False
    await world.made.look()
    assert world.handled == []


async def test_what_a_broker_in_alarm_does_not_take_in_is_carried_out_at_the_second_look() -> None:
    world = World(FIRST)
    world.is_away = False
    for _ in range(3):
        await world.made.look()
    assert world.handled == [FIRST.event_id]
