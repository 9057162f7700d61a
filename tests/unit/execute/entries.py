"""What tests of opening do again and again: enter, and look at what was told and recorded."""

from services.execute.order_state import EntryState
from shared.models import (
    Message,
    OrderEnded,
    OrderFilled,
    OrderPlaced,
    PositionOpened,
    ProtectionPlaced,
    TradeApproved,
)
from shared.values import OutcomeKind
from tests.twins.execution import World
from tests.unit.execute.builders import (
    sent,
)

ENTERED = [OrderPlaced, OrderFilled, ProtectionPlaced, PositionOpened]


def kinds(messages: list[Message]) -> list[type[Message]]:
    return [type(each) for each in messages]


def state_of(world: World, approved: TradeApproved) -> EntryState:
    return world.store.entries[approved.signal_id].state


def ended(world: World, approved: TradeApproved) -> tuple[OutcomeKind, str]:
    [fact] = [each for each in world.told(approved.signal_id) if isinstance(each, OrderEnded)]
    return fact.outcome, fact.reason


async def enter(world: World, approved: TradeApproved) -> None:
    await world.process().flow.on_execution(sent(approved))
