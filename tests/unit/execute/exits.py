"""What tests of closing do again and again: enter, close, look at the last thing told."""

from typing import TypeVar

from shared.models import (
    Message,
    PositionOpened,
    TradeApproved,
)
from tests.twins.execution import World
from tests.unit.execute.builders import BTC, approval, close_request, sent

M = TypeVar("M", bound=Message)


async def entered(world: World, *names: str, symbol: str = BTC) -> TradeApproved:
    approved = approval(*names, at=world.clock(), symbol=symbol)
    await world.process().flow.on_execution(sent(approved))
    assert isinstance(world.told(approved.signal_id)[-1], PositionOpened)
    return approved


def last(world: World, story: str, kind: type[M]) -> M:
    message = world.told(story)[-1]
    assert isinstance(message, kind), message
    return message


async def close(world: World, name: str = "exit", **changes: object) -> str:
    request = close_request(name, at=world.clock(), **changes)
    await world.process().flow.on_control(sent(request))
    return request.signal_id
