"""Leverage and margin mode are true when an entry is sent; a stop that liquidation overtakes is noticed."""

from decimal import Decimal

import pytest

from services.execute.leverage_manager import FRESH_FOR, READ_EVERY, MarginMemory, why_stop_is_useless
from services.execute.order_state import EntryState
from services.execute.venue import MarginSetup, SetupEvent, VenuePosition
from shared.models import AlertRaised, OrderEnded, PositionClosed, TradeApproved
from shared.values import CloseReason, OutcomeKind, Severity, Side
from tests.twins.execution import Process, World
from tests.twins.venue import Fault, lost_answer, refused, unavailable
from tests.unit.execute.builders import BTC, NOON, approval, close_request, entry, sent, sizing
from tests.unit.execute.entries import ENTERED, ended, enter, kinds, state_of

ISOLATED_20 = MarginSetup(is_isolated=True, leverage=20)
BUFFER = Decimal("0.1")


def approved_of(name: str = "one", **changes: object) -> TradeApproved:
    return approval(name, liquidation_buffer=BUFFER, **changes)  # type: ignore[arg-type]


def alerts(world: World) -> list[str]:
    payloads = [each.payload for each in world.outbox.published]
    return [each.kind for each in payloads if isinstance(each, AlertRaised)]


def listening(process: Process, setup: MarginSetup = ISOLATED_20) -> MarginMemory:
    """Let the process have read how the symbol stands, its stream connected."""
    process.memory.listening()
    process.memory.note({BTC: setup}, process.memory.reading(), NOON)
    return process.memory


# --- true at the claim ---


@pytest.mark.parametrize("leverage", [1, 19, 125])
@pytest.mark.parametrize("isolated", [True, False])
async def test_what_somebody_set_between_two_entries_is_set_right_before_the_next(
    leverage: int, isolated: bool
) -> None:
    world = World()
    process = world.process()
    await process.flow.on_execution(sent(approved_of("one")))
    await process.flow.on_control(sent(close_request(at=world.clock())))
    world.venue.stands_at(leverage, isolated=isolated)
    second = approved_of("two", at=world.clock())
    await process.flow.on_execution(sent(second))
    assert kinds(world.told(second.signal_id)) == ENTERED
    [held] = await world.exchange.positions(BTC)
    assert held.setup == ISOLATED_20


async def test_what_is_known_to_be_fresh_is_not_asked_for() -> None:
    world = World()
    world.venue.stands_at(20)
    process = world.process()
    listening(process)
    await process.flow.on_execution(sent(approved_of()))
    for operation in ("GET symbolConfig", "POST leverage", "POST marginType"):
        assert world.venue.sent(operation) == []
    assert state_of(world, approved_of()) is EntryState.PROTECTED


@pytest.mark.parametrize("moment", ["GET ticker/bookTicker", "POST order"])
async def test_a_change_that_the_stream_tells_before_the_order_is_sent_is_set_right(moment: str) -> None:
    """After the claim the memory is looked at again; what comes even later is judged by the fill."""
    world, approved = World(), approved_of()
    world.venue.stands_at(20)
    process = world.process()
    memory = listening(process)

    def by_hand() -> None:
        world.venue.stands_at(125)
        memory.heard(SetupEvent(symbol=BTC, leverage=125))

    world.venue.just_before(moment, by_hand)
    await process.flow.on_execution(sent(approved))
    if moment == "POST order":
        assert world.held() == 0
        assert alerts(world) == ["position_margin_differs", "stop_beyond_liquidation"]
    else:
        assert kinds(world.told(approved.signal_id)) == ENTERED
        assert (await world.exchange.margin_setups())[BTC] == ISOLATED_20


async def test_a_change_between_preparation_and_claim_is_read_when_no_stream_tells_of_it() -> None:
    world, approved = World(), approved_of()
    claim = world.store.claim

    async def claim_late(signal_id: str, limit_price: Decimal | None) -> object:
        world.venue.stands_at(125)
        return await claim(signal_id, limit_price)

    world.store.claim = claim_late  # type: ignore[assignment, method-assign]
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED
    assert (await world.exchange.margin_setups())[BTC] == ISOLATED_20


@pytest.mark.parametrize("code", [-4047, -4048, -2027, -2028, -4028, -4161, -4168])
@pytest.mark.parametrize("operation", ["POST marginType", "POST leverage"])
async def test_a_refused_setting_ends_the_entry_unsent_and_is_not_remembered(
    code: int, operation: str
) -> None:
    world, approved = World(), approved_of()
    world.venue.stands_at(10, isolated=False)
    world.venue.fail(operation, refused(code, text="the exchange's words"))
    await enter(world, approved)
    [fact] = [each for each in world.told(approved.signal_id) if isinstance(each, OrderEnded)]
    assert (fact.outcome, fact.reason) == (OutcomeKind.EXPIRED, "margin_setup_refused")
    assert str(code) in fact.detail
    assert "the exchange's words" in fact.detail
    assert world.venue.sent("POST order") == []
    assert await world.store.margin_setups() == {}


async def test_no_need_to_change_the_margin_type_is_fine() -> None:
    world, approved = World(), approved_of()
    world.venue.fail("POST marginType", Fault(error=refused(-4046).error, executed=True))
    await enter(world, approved)
    assert kinds(world.told(approved.signal_id)) == ENTERED


@pytest.mark.parametrize("executed", [True, False])
async def test_the_lost_answer_of_our_own_change_is_looked_up(executed: bool) -> None:
    world, approved = World(), approved_of()
    world.venue.stands_at(125)
    world.venue.fail("POST leverage", lost_answer(executed=executed))
    await enter(world, approved)
    if executed:
        assert kinds(world.told(approved.signal_id)) == ENTERED
    else:
        assert ended(world, approved) == (OutcomeKind.EXPIRED, "margin_setup_refused")
        assert world.venue.sent("POST order") == []


async def test_a_setting_that_cannot_be_read_after_the_claim_sends_nothing() -> None:
    world, approved = World(), approved_of()
    claim = world.store.claim

    async def claim_and_lose(signal_id: str, limit_price: Decimal | None) -> object:
        world.venue.fail("GET symbolConfig", unavailable())
        return await claim(signal_id, limit_price)

    world.store.claim = claim_and_lose  # type: ignore[assignment, method-assign]
    await enter(world, approved)
    assert ended(world, approved) == (OutcomeKind.FAILED, "exchange_unavailable")
    assert world.venue.sent("POST order") == []


# --- the memory ---


def test_what_was_read_is_known_only_while_the_stream_would_tell_and_not_for_long() -> None:
    memory = MarginMemory()
    memory.note({BTC: ISOLATED_20}, memory.reading(), NOON)
    assert memory.fresh(BTC, NOON) is None
    memory.listening()
    memory.note({BTC: ISOLATED_20}, memory.reading(), NOON)
    assert memory.fresh(BTC, NOON + FRESH_FOR) == ISOLATED_20
    assert memory.fresh(BTC, NOON + FRESH_FOR * 2) is None
    memory.deaf()
    memory.listening()
    assert memory.fresh(BTC, NOON) is None


def test_all_is_read_as_soon_as_the_stream_listens_and_every_few_seconds() -> None:
    memory = MarginMemory()
    assert not memory.is_to_be_read(NOON)
    memory.listening()
    assert memory.is_to_be_read(NOON)
    memory.note_all({BTC: ISOLATED_20}, memory.reading(), NOON)
    assert not memory.is_to_be_read(NOON)
    assert memory.is_to_be_read(NOON + READ_EVERY)
    memory.deaf()
    memory.listening()
    assert memory.is_to_be_read(NOON)


def test_an_answer_older_than_what_was_heard_is_not_remembered() -> None:
    memory = MarginMemory()
    memory.listening()
    begun = memory.reading()
    memory.heard(SetupEvent(symbol=BTC, leverage=125))
    memory.note({BTC: ISOLATED_20}, begun, NOON)
    assert memory.fresh(BTC, NOON) is None
    memory.note({BTC: ISOLATED_20}, memory.reading(), NOON)
    memory.heard(SetupEvent(symbol=BTC, is_isolated=False))
    assert memory.fresh(BTC, NOON) == MarginSetup(is_isolated=False, leverage=20)
    begun = memory.reading()
    memory.deaf()
    memory.listening()
    memory.note({BTC: ISOLATED_20}, begun, NOON)
    assert memory.fresh(BTC, NOON) is None


# --- after the fill, and while it is open ---


async def test_a_position_that_would_be_liquidated_before_its_stop_is_closed_and_reported() -> None:
    """The order itself met 125x: nothing can tell before, the fill does."""
    world, approved = World(), approved_of()
    world.venue.just_before("POST order", lambda: world.venue.stands_at(125))
    await enter(world, approved)
    assert world.held() == 0
    [closed] = [each for each in world.told(approved.signal_id) if isinstance(each, PositionClosed)]
    assert closed.reason is CloseReason.UNPROTECTED
    [danger] = [
        each.payload
        for each in world.outbox.published
        if isinstance(each.payload, AlertRaised) and each.payload.kind == "stop_beyond_liquidation"
    ]
    assert danger.severity is Severity.CRITICAL
    assert "125x isolated" in danger.text


async def test_lower_leverage_than_approved_is_reported_and_kept() -> None:
    world, approved = World(), approved_of()
    world.venue.just_before("POST order", lambda: world.venue.stands_at(1))
    await enter(world, approved)
    assert world.held() == Decimal("0.1")
    assert alerts(world) == ["position_margin_differs"]


async def test_leverage_raised_while_a_position_is_open_is_reported_at_once() -> None:
    world, approved = World(), approved_of()
    process = world.process()
    await process.flow.on_execution(sent(approved))
    world.venue.stands_at(50)
    await process.flow.on_margin_change(BTC)
    await process.flow.on_margin_change(BTC)
    assert alerts(world) == ["margin_changed", "position_margin_differs"]


async def test_our_own_change_is_nobody_elses() -> None:
    world = World()
    process = world.process()
    await process.flow.on_execution(sent(approved_of()))
    await process.flow.on_margin_change(BTC)
    await process.flow.reconcile()
    assert alerts(world) == []


async def test_reconciliation_finds_what_nobody_told_of() -> None:
    world, approved = World(), approved_of()
    world.venue.just_before("POST order", lambda: world.venue.stands_at(125))
    world.venue.fail("GET v3/positionRisk", unavailable())
    await enter(world, approved)
    assert world.held() > 0
    await world.process().flow.reconcile()
    assert world.held() == 0
    assert set(alerts(world)) >= {"stop_beyond_liquidation"}


@pytest.mark.parametrize(
    ("side", "liquidation", "is_useless"),
    [
        (Side.LONG, "47700", False),  # as planned
        (Side.LONG, "47760", False),  # within what slippage does to the plan
        (Side.LONG, "48900", True),  # beyond the stop, within the buffer
        (Side.LONG, "49500", True),
        (Side.LONG, "0", False),  # never
        (Side.SHORT, "52300", False),
        (Side.SHORT, "51100", True),
        (Side.SHORT, "50500", True),
    ],
)
def test_liquidation_must_lie_beyond_the_stop_with_the_buffer_free(
    side: Side, liquidation: str, is_useless: bool
) -> None:
    plan = sizing(liquidation_price=Decimal(47_700 if side is Side.LONG else 52_300))
    stop = Decimal(49_000 if side is Side.LONG else 51_000)
    approved = approved_of(side=side, sizing=plan)
    stands = entry(EntryState.PROTECTED, approval=approved, stop_price=stop)
    held = VenuePosition(
        symbol=BTC,
        side=side,
        quantity=Decimal("0.1"),
        entry_price=Decimal(50_000),
        mark_price=Decimal(50_000),
        liquidation_price=Decimal(liquidation),
        margin_usdt=Decimal(250),
        notional_usdt=Decimal(5_000),
        unrealised_pnl_usdt=Decimal(0),
        setup=ISOLATED_20,
    )
    assert (why_stop_is_useless(stands, held) is not None) is is_useless
