"""One contract, two keepers: the store on PostgreSQL and its twin in memory must not be told apart."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.brain.memory import MemoryRecords
from services.brain.outcomes import ClosedTrade, Outcome, PositionChange
from services.brain.ports import RecordsSignals
from services.brain.store import BrainStore
from shared.clock import utc_now
from shared.database import Database
from shared.values import Action, OutcomeKind, Signal
from tests.integration.brain_world import TABLES
from tests.unit.brain.builders import NOON, received, signal

pytestmark = pytest.mark.servers


@pytest.fixture(params=["PostgreSQL", "memory"])
async def records(request: pytest.FixtureRequest) -> AsyncIterator[RecordsSignals]:
    if request.param == "memory":
        yield MemoryRecords(utc_now)
        return
    servers = request.getfixturevalue("servers")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(
                servers.postgres_url,
                user="phoenix_brain",
                password=servers.password("brain"),
                schema="brain",
                name="contract",
            )
        )
        for table in TABLES:
            await database.execute(f"DELETE FROM {table}")
        yield BrainStore(database)


def windowed(name: str, after_s: int = 0) -> Signal:
    moment = NOON + timedelta(seconds=after_s)
    return signal(name, dedupe_key="body:1", dedupe_window_s=60, received_at=moment)


async def claims(records: RecordsSignals, made: Signal) -> bool:
    async with records.transaction() as tx:
        return await records.claim_key(tx, made)


async def test_message_is_handled_once_per_queue(records: RecordsSignals) -> None:
    async with records.transaction() as tx:
        assert await records.first_time(tx, "a", "evt-1")
        assert not await records.first_time(tx, "a", "evt-1")
        assert await records.first_time(tx, "b", "evt-1")


async def test_key_without_a_window_is_held_for_ever(records: RecordsSignals) -> None:
    assert await claims(records, signal())
    assert not await claims(records, signal(received_at=NOON + timedelta(days=365)))


async def test_windowed_key_is_taken_again_when_its_window_has_passed(records: RecordsSignals) -> None:
    assert await claims(records, windowed("a"))
    assert not await claims(records, windowed("b", 59))
    assert await claims(records, windowed("c", 60))
    assert not await claims(records, windowed("d", 61))
    assert not await claims(records, windowed("received early, handled late", 1))


async def test_what_a_failed_transaction_wrote_is_gone(records: RecordsSignals) -> None:
    async def killed() -> None:
        async with records.transaction() as tx:
            await records.first_time(tx, "a", "evt-1")
            await records.claim_key(tx, signal())
            await records.move_positions(tx, [change(1, is_open=True)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await killed()
    assert await claims(records, signal())
    assert await records.open_positions() == 0
    async with records.transaction() as tx:
        assert await records.first_time(tx, "a", "evt-1")


async def test_signal_has_one_outcome_and_the_first_one_stays(records: RecordsSignals) -> None:
    async with records.transaction() as tx:
        opened, failed = outcome(OutcomeKind.OPENED), outcome(OutcomeKind.FAILED)
        assert await records.record_outcomes(tx, [(opened, NOON), (failed, NOON), (opened, NOON)]) == [opened]
        assert await records.record_outcomes(tx, [(failed, NOON)]) == []


async def test_outcome_that_needs_a_recorded_signal_waits_for_none(records: RecordsSignals) -> None:
    needs = Outcome(signal_id=signal().signal_id, kind=OutcomeKind.NO_OP, reason="", only_if_recorded=True)
    async with records.transaction() as tx:
        assert await records.record_outcomes(tx, [(needs, NOON)]) == []
        await records.record_signal(tx, signal(), None)
        [recorded] = await records.record_outcomes(tx, [(needs, NOON)])
    assert (recorded.signal_id, recorded.kind) == (needs.signal_id, OutcomeKind.NO_OP)


async def test_outcome_that_does_not_count_makes_way_for_the_next(records: RecordsSignals) -> None:
    needs = Outcome(signal_id="sig-1", kind=OutcomeKind.NO_OP, reason="", only_if_recorded=True)
    opened = outcome(OutcomeKind.OPENED)
    async with records.transaction() as tx:
        assert await records.record_outcomes(tx, [(needs, NOON), (opened, NOON)]) == [opened]


async def test_repetitions_of_every_write_are_harmless(records: RecordsSignals) -> None:
    made = windowed("a")
    await claims(records, made)
    for _ in range(2):
        async with records.transaction() as tx:
            await records.record_signal(tx, made, None)
            await records.record_duplicate(tx, made)
            await records.record_duplicate(tx, windowed("b", 1))
            await records.tell(tx, [(made.signal_id, received(made)), ("sig-other", received(made))])
            await records.book_trade(tx, trade("a", 1))
    assert (await records.closed_returns(10))[0] == 1


async def test_exit_supersedes_the_entries_of_its_strategy_and_symbol_that_were_made_before_it(
    records: RecordsSignals,
) -> None:
    made, came = NOON + timedelta(seconds=2), NOON + timedelta(seconds=3)
    leave = signal("exit", action=Action.EXIT, alert_time=made, received_at=came)
    timeless = signal("timeless", action=Action.EXIT, symbol="ETHUSDT", alert_time=None, received_at=came)
    from_the_future = signal(
        "future", action=Action.EXIT, symbol="ADAUSDT", alert_time=NOON + timedelta(days=1), received_at=came
    )
    async with records.transaction() as tx:
        for each in (leave, timeless, from_the_future, signal("entry", symbol="BNBUSDT", alert_time=came)):
            await records.record_signal(tx, each, None)

    async def superseded(born_after_s: int, **changes: str) -> bool:
        return await records.is_superseded(signal(**changes), NOON + timedelta(seconds=born_after_s))

    assert [await superseded(after_s) for after_s in (0, 1, 2, 3)] == [True, True, False, False]
    assert not await superseded(0, strategy="another")
    assert not await superseded(0, symbol="ETHUSDT")
    assert not await superseded(0, symbol="BNBUSDT")
    assert not await superseded(0, symbol="ADAUSDT")


def change(version: int, *, is_open: bool) -> PositionChange:
    return PositionChange(signal_id="sig-1", symbol="BTCUSDT", version=version, is_open=is_open)


def outcome(kind: OutcomeKind) -> Outcome:
    return Outcome(signal_id="sig-1", kind=kind, reason="because")


def trade(name: str, hour: int) -> ClosedTrade:
    return ClosedTrade(
        signal_id=name,
        strategy="ema_cross",
        symbol="BTCUSDT",
        return_fraction=Decimal(hour) / 100,
        net_pnl_usdt=Decimal(hour),
        closed_at=NOON + timedelta(hours=hour),
        reason="stop_loss",
        closed_by=None,
    )


@pytest.mark.parametrize("versions", [(1, 2), (2, 1), (1, 1)])
async def test_position_that_is_gone_never_comes_back(
    records: RecordsSignals, versions: tuple[int, int]
) -> None:
    opened, closed = versions
    for changes in (
        [change(opened, is_open=True), change(closed, is_open=False)],
        [change(closed, is_open=False), change(opened, is_open=True)],
    ):
        for together in (changes[:1], changes[1:], changes):
            async with records.transaction() as tx:
                await records.move_positions(tx, together)
        assert await records.open_positions() == 0


async def test_changes_of_several_positions_are_noted_together(records: RecordsSignals) -> None:
    names = ("sig-b", "sig-a", "sig-b", "sig-c")
    changes = [
        PositionChange(signal_id=name, symbol="BTCUSDT", version=number, is_open=number != 2)
        for number, name in enumerate(names)
    ]
    async with records.transaction() as tx:
        await records.move_positions(tx, changes)
    assert await records.open_positions() == 2


async def test_newest_trades_come_first_and_all_are_counted(records: RecordsSignals) -> None:
    async with records.transaction() as tx:
        for name, hour in (("b", 2), ("c", 3), ("a", 1), ("d", 3)):
            await records.book_trade(tx, trade(name, hour))
    assert await records.closed_returns(3) == (4, [Decimal("0.03"), Decimal("0.03"), Decimal("0.02")])


async def test_overdue_signals_are_those_without_an_outcome(records: RecordsSignals) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    async with records.transaction() as tx:
        for name in ("a", "b"):
            await records.record_signal(tx, signal(name), None)
        ended = Outcome(signal_id=signal("a").signal_id, kind=OutcomeKind.OPENED, reason="")
        await records.record_outcomes(tx, [(ended, NOON)])
    found = await records.overdue(before, datetime.now(UTC) + timedelta(minutes=1))
    assert found is not None
    assert (found.count, found.oldest_signal_id) == (1, signal("b").signal_id)
    assert await records.overdue(before - timedelta(hours=1), before) is None


async def test_only_windowed_keys_are_forgotten(records: RecordsSignals) -> None:
    await claims(records, signal("kept"))
    await claims(records, windowed("a"))
    assert await records.forget_windowed_keys(NOON) == 0
    assert await records.forget_windowed_keys(NOON + timedelta(seconds=1)) == 1
    assert await claims(records, windowed("b", 1))
    assert not await claims(records, signal("kept"))
