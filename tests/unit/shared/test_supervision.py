"""What becomes of work: done, failed, cancelled; and loops that go on whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared import supervision
from shared.errors import DatabaseUnavailable
from shared.supervision import Done, Failed, attempt, end, keep_running, within
from tests.eventually import eventually


async def _fail() -> None:
    raise ValueError("no")


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _be_woken_by_a_dying_connection() -> None:
    """As the AMQP client does it: the future that is waited for is cancelled, not the waiter."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    await future


async def test_work_that_ends_is_done_and_work_that_raises_failed() -> None:
    async def answer() -> int:
        return 42

    assert await attempt(answer()) == Done(42)
    match await attempt(_fail()):
        case Failed(ValueError()):
            pass
        case other:
            pytest.fail(f"{other}")


async def test_a_cancelled_error_that_nobody_asked_for_is_a_failure() -> None:
    match await attempt(_be_woken_by_a_dying_connection()):
        case Failed(asyncio.CancelledError()):
            pass
        case other:
            pytest.fail(f"{other}")


async def test_a_cancellation_that_was_asked_for_passes_through() -> None:
    task = asyncio.create_task(_attempted(_for_ever))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_time_limit_around_an_attempt_is_not_taken_for_a_failure_inside() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await attempt(_for_ever())


async def test_work_within_its_time_is_returned_and_beyond_it_raises() -> None:
    async def answer() -> int:
        return 42

    assert await within(1, answer()) == 42
    with pytest.raises(TimeoutError):
        await within(0.01, _for_ever())


async def test_a_cancellation_that_arrives_as_the_work_completes_is_not_swallowed() -> None:
    """With `asyncio.wait_for` of Python 3.11 the task would go on, and a stop would never end."""
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def pass_the_gate() -> None:
        await gate

    async def go_on() -> None:
        await within(60, pass_the_gate())
        await asyncio.sleep(60)

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    gate.set_result(None)
    task.cancel()
    await asyncio.wait([task], timeout=1)
    assert task.cancelled()


async def test_a_task_that_swallows_its_cancellation_is_cancelled_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervision, "CANCEL_AGAIN_S", 0.01)
    heard = 0

    async def deaf() -> None:
        nonlocal heard
        while heard < 3:
            try:
                await _for_ever()
            except asyncio.CancelledError:
                heard += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await end([task])
    assert heard == 3


@pytest.mark.parametrize("ending", [_fail, _be_woken_by_a_dying_connection, lambda: asyncio.sleep(0)])
async def test_a_loop_that_fails_or_ends_is_started_again(
    ending: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "RESTART_DELAY_S_MIN", 0.001)
    starts = 0

    async def loop() -> None:
        nonlocal starts
        starts += 1
        await ending()

    running = asyncio.create_task(keep_running("test", loop))
    await eventually(lambda: starts >= 3)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (DatabaseUnavailable("away"), ("warning", "loop_waits", False)),
        (ValueError("no"), ("error", "loop_failed", True)),
    ],
)
async def test_a_server_that_is_away_is_told_in_a_line_and_a_fault_with_its_traceback(
    failure: Exception, told: tuple[str, str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dozen loops fail every few seconds without the database; their tracebacks would hide the rest."""
    lines: list[tuple[str, str, bool]] = []

    class Log:
        def warning(self, event: str, **fields: object) -> None:
            lines.append(("warning", event, "exc_info" in fields))

        def error(self, event: str, **fields: object) -> None:
            lines.append(("error", event, "exc_info" in fields))

    async def loop() -> None:
        raise failure

    monkeypatch.setattr(supervision, "_log", Log())
    running = asyncio.create_task(keep_running("test", loop))
    await eventually(lambda: bool(lines))
    running.cancel()
    await asyncio.wait([running])
    assert lines[0] == told


async def test_a_loop_that_fails_again_and_again_is_started_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def note(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 8:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", note)
    with pytest.raises(asyncio.CancelledError):
        await keep_running("test", _fail)
    expected = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert all(0.8 * base <= each <= 1.2 * base for each, base in zip(slept, expected, strict=True))


async def _attempted(work: Callable[[], Awaitable[None]]) -> None:
    await attempt(work())
