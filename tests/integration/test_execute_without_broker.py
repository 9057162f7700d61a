"""EXECUTE starts, protects, reconciles and closes without a broker, and tells all of it when there is one."""

import pytest

from services.execute.order_state import EntryState
from shared.ids import OrderRole
from shared.models import PositionClosed
from tests.eventually import eventually
from tests.integration.execute_world import World, paper, world
from tests.servers import free_port_base
from tests.unit.execute.builders import BTC

pytestmark = pytest.mark.servers

__all__ = ["paper", "world"]


async def test_positions_are_looked_after_and_closed_without_a_broker(world: World) -> None:
    async with world.execute():
        await world.tick()
        approved = await world.approve()
        await eventually(lambda: _is(world, approved.signal_id, EntryState.PROTECTED), 20, what="a position")
        await eventually(world.is_settled, what="everything is told")
    stop = next(each for each in world.standing() if each.endswith(f"-{OrderRole.STOP_LOSS.value}"))
    async with world.by_hand() as hand:
        await hand.cancel_algo(stop)
    with free_port_base() as nobody:
        async with world.execute(amqp_url=f"amqp://nobody:no@127.0.0.1:{nobody}/") as client:
            assert (await client.get("/health")).status_code == 200
            ready = await client.get("/ready")
            assert ready.status_code == 503
            assert "rabbitmq" in ready.json()["dependencies"]["rabbitmq"]
            await eventually(lambda: stop in world.standing(), 20, what="its stop is placed again")
            asked = await client.post("/close", json={"symbol": BTC})
            assert asked.status_code == 202
            await eventually(lambda: _is(world, approved.signal_id, EntryState.CLOSED), 20, what="closed")
            assert world.held() == 0
            assert world.standing() == set()
    async with world.execute():
        await world.hears(approved.signal_id, PositionClosed)
        await eventually(world.is_settled, what="nothing is owed any more")


async def _is(world: World, signal_id: str, state: EntryState) -> bool:
    return await world.state_of(signal_id) == state.value
