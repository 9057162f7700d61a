"""Turns: what waits together is handled together; a failure hits only whom it concerns."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import DatabaseUnavailable, MessageFault
from shared.supervision import within
from shared.turns import ITEMS_PER_TURN_MAX, Turns


async def test_what_arrives_during_a_turn_is_handled_together_in_the_next() -> None:
    turns: list[list[int]] = []
    entered, leave = asyncio.Event(), asyncio.Event()

    async def handle(items: Sequence[int]) -> list[int]:
        turns.append(list(items))
        entered.set()
        await leave.wait()
        return [each * 10 for each in items]

    subject = Turns(handle)
    first = asyncio.create_task(subject.take(1))
    await entered.wait()
    count = ITEMS_PER_TURN_MAX + 5
    rest = [asyncio.create_task(subject.take(number)) for number in range(2, 2 + count)]
    await asyncio.sleep(0)
    leave.set()
    assert await first == 10
    assert await asyncio.gather(*rest) == [number * 10 for number in range(2, 2 + count)]
    assert [len(each) for each in turns] == [1, ITEMS_PER_TURN_MAX, 5]
    assert await subject.take(7) == 70  # idle in between, it turns again


async def test_fault_of_one_item_does_not_fail_its_neighbours() -> None:
    async def handle(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise MessageFault("13 cannot be handled")
        return list(items)

    subject = Turns(handle)
    answers = await asyncio.gather(*(subject.take(number) for number in (12, 13, 14)), return_exceptions=True)
    assert answers[0] == 12
    assert isinstance(answers[1], MessageFault)
    assert answers[2] == 14


async def test_missing_dependency_fails_the_whole_turn_at_once() -> None:
    calls: list[int] = []

    async def handle(items: Sequence[int]) -> list[int]:
        calls.append(len(items))
        raise DatabaseUnavailable("gone")

    subject = Turns(handle)
    answers = await asyncio.gather(*(subject.take(number) for number in range(3)), return_exceptions=True)
    assert all(isinstance(each, DatabaseUnavailable) for each in answers)
    assert calls == [3]


async def test_cancelled_caller_disturbs_nobody_else() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def handle(items: Sequence[int]) -> list[int]:
        entered.set()
        await leave.wait()
        return list(items)

    subject = Turns(handle)
    impatient, patient = (asyncio.create_task(subject.take(number)) for number in (1, 2))
    await entered.wait()
    impatient.cancel()
    leave.set()
    assert await patient == 2
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_wrong_number_of_results_fails_the_turn_and_leaves_nobody_waiting() -> None:
    async def handle(items: Sequence[int]) -> list[int]:
        return [each for each in items if each != 13]

    subject = Turns(handle)
    work = (subject.take(number) for number in (12, 13, 14))
    answers = await within(5, asyncio.gather(*work, return_exceptions=True))
    assert answers[0] == 12
    assert isinstance(answers[1], RuntimeError)
    assert answers[2] == 14
    assert await subject.take(7) == 7
