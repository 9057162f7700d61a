"""A service without a purpose, for tests of the life cycle: what happens to it, it tells in its log.

`python -m tests.sample_service --port P`; settings choose what goes wrong.
"""

import asyncio
from types import TracebackType
from typing import Literal, Self

from fastapi import FastAPI
from pydantic import Field, SecretStr

from shared import lifecycle, logs
from shared.errors import BrokerUnavailable, DatabaseUnavailable, OperatorNeeded
from shared.http_api import create_app
from shared.lifecycle import Runtime, run
from shared.settings import Settings

SLOW_REQUEST_S = 0.5

_log = logs.get(__name__)


class SampleSettings(Settings):
    """What the sample can be told to do."""

    trouble: Literal[
        "none", "dependency down", "operator needed", "hangs at start", "deaf loop", "hanging drain"
    ] = Field("none", description="What goes wrong.")
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
    await runtime.open(Resource("first"), ping_as="first")
    second = await runtime.open(Resource("second"), ping_as="second")
    match settings.trouble:
        case "dependency down":
            raise DatabaseUnavailable("connection refused")
        case "operator needed":
            raise OperatorNeeded("the key may withdraw; make one that may not")
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

    return app


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
