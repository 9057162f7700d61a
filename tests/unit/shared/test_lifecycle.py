"""The runtime in one process: the order of opening and closing, readiness, what a stop does."""

import asyncio
import socket
from types import TracebackType
from typing import Self

import pytest

from shared import lifecycle, metrics
from shared.errors import BrokerUnavailable
from shared.lifecycle import Runtime
from tests.eventually import eventually


class Resource:
    """Writes down when it is opened and closed."""

    def __init__(self, name: str, story: list[str]) -> None:
        self._name = name
        self._story = story

    async def __aenter__(self) -> Self:
        self._story.append(f"open {self._name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._story.append(f"close {self._name}")

    async def ping(self) -> None:
        """Answer."""


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(name="sample", instance=1, host="trader")


def test_a_process_is_known_by_its_name_instance_and_host(runtime: Runtime) -> None:
    assert runtime.holder == "sample-1@trader"
    assert Runtime(name="sample", instance=0).holder == f"sample-0@{socket.gethostname()}"


def test_replicas_in_containers_have_different_names_though_each_is_instance_0() -> None:
    """With one name both would hold the keeper's lease: two keepers, two pollers, two feeds."""
    first, second = (Runtime(name="execute", instance=0, host=host) for host in ("1f0c9a", "8be2d4"))
    assert first.holder != second.holder


def test_a_process_that_comes_back_has_the_name_it_had() -> None:
    """Its lease is its own: it does not wait until the one of its dead self expires."""
    before, after = (Runtime(name="execute", instance=1, host="1f0c9a") for _ in range(2))
    assert before.holder == after.holder


async def test_resources_are_closed_in_reverse_after_drains_and_loops(runtime: Runtime) -> None:
    story: list[str] = []

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            story.append("loop ended")

    async def drain() -> None:
        story.append("drained")

    await runtime.open(Resource("database", story), ping_as="postgresql")
    await runtime.open(Resource("consumer", story))
    runtime.spawn("loop", loop)
    runtime.on_drain(drain)
    await asyncio.sleep(0)
    await runtime.stop()
    assert story == [
        "open database",
        "open consumer",
        "drained",
        "loop ended",
        "close consumer",
        "close database",
    ]


async def test_drains_wait_at_the_same_time_and_a_failing_one_stops_nobody(runtime: Runtime) -> None:
    """One after another, three patient consumers alone would use up the time in which a service must stop."""
    together = asyncio.Barrier(2)
    drained = 0

    async def patient() -> None:
        nonlocal drained
        await together.wait()
        drained += 1

    async def failing() -> None:
        raise BrokerUnavailable("gone")

    for drain in (patient, failing, patient):
        runtime.on_drain(drain)
    async with asyncio.timeout(1):
        await runtime.stop()
    assert drained == 2


async def test_only_what_was_opened_with_a_name_counts_for_readiness(runtime: Runtime) -> None:
    await runtime.open(Resource("database", []), ping_as="postgresql")
    await runtime.open(Resource("cache", []))
    assert await runtime.readiness() == {"postgresql": "ok"}


async def test_a_ping_without_an_answer_is_told_in_words(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "PING_TIMEOUT_S", 0.01)

    async def silent() -> None:
        await asyncio.Event().wait()

    runtime.pings["redis"] = silent
    assert await runtime.readiness() == {"redis": "no answer within 0.01 s"}


async def test_readiness_is_measured_though_nobody_asks_for_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "READINESS_INTERVAL_S", 0.01)
    gauge = metrics.READY.labels(dependency="sample_server")
    is_away = False

    async def ping() -> None:
        if is_away:
            raise BrokerUnavailable("away")

    runtime.pings["sample_server"] = ping
    runtime.spawn("readiness", runtime.keep_asking)
    await eventually(lambda: gauge._value.get() == 1)
    is_away = True
    await eventually(lambda: gauge._value.get() == 0)
    await runtime.stop()


async def test_a_stopping_process_is_not_ready_and_asks_nobody(runtime: Runtime) -> None:
    async def must_not_be_asked() -> None:
        raise AssertionError

    runtime.pings["redis"] = must_not_be_asked
    await runtime.stop()
    assert await runtime.readiness() == {"process": "stopping"}
