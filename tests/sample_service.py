"""A service without a purpose, for tests of the life cycle: what happens to it, it tells in its log.

`python -m tests.sample_service --port P`; settings choose what goes wrong.
"""

import asyncio
import time
from types import TracebackType
from typing import Literal, Self

from fastapi import FastAPI
from pydantic import Field, SecretStr

from shared import lifecycle, logs, process_watchdog
from shared.errors import BrokerUnavailable, DatabaseUnavailable, ExchangeUnavailable, OperatorNeeded
from shared.http_api import create_app
from shared.lifecycle import Runtime, run
from shared.settings import Settings

SLOW_REQUEST_S = 0.5

_log = logs.get(__name__)


class SampleSettings(Settings):
    """What the sample can be told to do."""

    trouble: Literal[
        "none",
        "dependency down",
        "operator needed",
        "hangs at start",
        "deaf loop",
        "hanging drain",
        "undying task",
        "banned",
    ] = Field("none", description="What goes wrong.")
    start_timeout_s: float = Field(90.0, gt=0, description="Replaces the life cycle's own.")
    loop_blocked_s: float = Field(15.0, gt=0, description="Replaces the watchdog's own.")
    stop_timeout_s: float = Field(10.0, gt=0, description="Replaces the life cycle's own.")
    sample_password: SecretStr = Field(min_length=8, description="A secret that must never be shown.")
    sample_list: list[int] = Field(default=[], description="A list, written as JSON.")


class Resource:
    """Something that is opened, pinged and closed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_broken = False

    async def __aenter__(self) -> Self:
        _log.info("opened", resource=self._name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _log.info("closed", resource=self._name)

    async def ping(self) -> None:
        """Raise when the resource was broken by the test."""
        if self.is_broken:
            raise BrokerUnavailable("broken by the test")


async def build(runtime: Runtime, settings: SampleSettings) -> FastAPI:
    """Open two resources, start a loop, register a drain."""
    lifecycle.STOP_TIMEOUT_S = settings.stop_timeout_s
    process_watchdog.LOOP_BLOCKED_S_MAX = settings.loop_blocked_s
    lifecycle.START_TIMEOUT_S = settings.start_timeout_s
    runtime.watchdog.begin("the start", settings.start_timeout_s)
    await runtime.open(Resource("first"), ping_as="first")
    second = await runtime.open(Resource("second"), ping_as="second")
    match settings.trouble:
        case "dependency down":
            raise DatabaseUnavailable("connection refused")
        case "operator needed":
            raise OperatorNeeded("the key may withdraw; make one that may not")
        case "undying task":
            _undying.append(asyncio.create_task(_never_end()))
            raise DatabaseUnavailable("connection refused")
        case "banned":
            await runtime.outwait(Banned(times=2).ask)
        case "hangs at start":
            await asyncio.Event().wait()
        case _:
            pass
    runtime.spawn("loop", _deaf_once if settings.trouble == "deaf loop" else _loop)
    runtime.on_drain(_hang if settings.trouble == "hanging drain" else _drain)
    app = create_app(runtime, "sample", "For tests.")

    @app.get("/slow")
    async def slow() -> str:
        _log.info("request_taken")
        await asyncio.sleep(SLOW_REQUEST_S)
        return "done"

    @app.post("/break")
    async def break_second() -> None:
        second.is_broken = True

    @app.post("/block")
    async def block() -> None:
        while True:
            time.sleep(1.0)  # noqa: ASYNC251 - the event loop stands

    @app.post("/lose")
    async def lose() -> None:
        next(each for each in asyncio.all_tasks() if each.get_name() == "loop").cancel()

    return app


class Banned:
    """An exchange that asks us to stop calling, some times, and says so in a group, as tasks together do."""

    def __init__(self, times: int) -> None:
        self._left = times

    async def ask(self) -> None:
        """Answer, or refuse."""
        self._left -= 1
        if self._left >= 0:
            raise ExceptionGroup("tasks", [ExchangeUnavailable("stop calling", retry_after_s=1.0)])


_undying: list[asyncio.Task[None]] = []


async def _never_end() -> None:
    """Swallow every cancellation, as the AMQP client's attempts to connect do."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def _loop() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        _log.info("loop_ended")


async def _deaf_once() -> None:
    """Swallow the first cancellation, as `asyncio.wait_for` may do inside a library."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        _log.info("cancellation_swallowed")
    await _loop()


async def _drain() -> None:
    _log.info("drained")


async def _hang() -> None:
    await asyncio.Event().wait()


if __name__ == "__main__":
    run("sample", SampleSettings, build)
