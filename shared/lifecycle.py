"""A service's life: open what it needs, serve, and on SIGTERM stop in an order that loses nothing.

Each service builds itself on a `Runtime`: resources are opened in order and closed in reverse, each may
register a ping (so `/ready` costs nothing to keep true), loops are supervised. Start is recovery: there is no
other crash path; a service that cannot open what it needs exits and its supervisor starts it again. It must
never know what a service does.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import uvicorn
import uvloop
from fastapi import FastAPI

from shared import clock, crash_points, logs, metrics
from shared.entrance import Entrance
from shared.errors import DependencyDown, ExchangeUnavailable, OperatorNeeded, PhoenixError
from shared.http_protocol import ProblemProtocol
from shared.process_watchdog import ProcessWatchdog
from shared.settings import Settings, load
from shared.supervision import Done, Failed, Pulse, attempt, end, keep_running, within

R = TypeVar("R")
S = TypeVar("S", bound=Settings)

PING_TIMEOUT_S = 2.0
HTTP_DRAIN_S = 3
KEEP_ALIVE_S = 75  # longer than nginx keeps its end open, so that nginx never writes to a closed connection
START_TIMEOUT_S = 90.0
"""A start that has not come to its end then never will: the process ends and is started again."""
WAIT_S_MAX = 15.0
"""How long a start sleeps at once while the exchange wants no calls."""
STOP_TIMEOUT_S = 10.0
END_TIMEOUT_S = 3.0
"""For what the interpreter does after the last line of ours: tasks and threads that libraries left behind."""
LAG_INTERVAL_S = 1.0
READINESS_INTERVAL_S = 10.0
BAN_PAUSE_S_MIN = 1.0
LOOPS = "loops"
"""Among the dependencies: the background loops, none of which may have ended or be stuck."""
EXIT_CONFIGURATION = 78  # sysexits EX_CONFIG: restarting will not help
EXIT_DEPENDENCY = 75  # sysexits EX_TEMPFAIL: restarting will

Ping = Callable[[], Awaitable[None]]

_log = logs.get(__name__)


@dataclass
class Runtime:
    """What one running process is made of."""

    name: str
    instance: int
    mode: str = "paper"
    host: str = field(default_factory=socket.gethostname)
    pings: dict[str, Ping] = field(default_factory=dict)
    notes: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    """What is worth a look though the process is ready: a part of its work that it goes on without."""
    stopping: bool = False
    _resources: AsyncExitStack = field(default_factory=AsyncExitStack)
    _drains: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    _loops: dict[asyncio.Task[None], Pulse] = field(default_factory=dict)
    watchdog: ProcessWatchdog = field(default_factory=ProcessWatchdog)
    on_wait: Callable[[str], None] = field(default=lambda _: None)

    @property
    def holder(self) -> str:
        """The name of this process in leases, connection lists and messages.

        It must differ between any two that run at the same time, or both believe to hold one lease:
        containers are all instance 0, each on a host of its own. It must not differ after a restart: who
        comes back takes its own lease at once instead of waiting until it expires.
        """
        return f"{self.name}-{self.instance}@{self.host}"

    async def open(self, resource: AbstractAsyncContextManager[R], ping_as: str | None = None) -> R:
        """Enter `resource` until the process stops; with `ping_as` its `ping` counts for readiness."""
        opened = await self._resources.enter_async_context(resource)
        if ping_as is not None:
            self.pings[ping_as] = opened.ping  # type: ignore[attr-defined]
        return opened

    def spawn(
        self, name: str, loop: Callable[[], Awaitable[None]], *, quiet_s_max: float | None = None
    ) -> None:
        """Run `loop` in the background until the process stops, started again whenever it fails.

        With `quiet_s_max` it has to call `supervision.came_round` that often, or it counts as lost.
        """
        pulse = Pulse(quiet_s_max)
        self._loops[asyncio.create_task(keep_running(name, loop, pulse), name=name)] = pulse

    async def outwait(self, work: Callable[[], Awaitable[R]]) -> R:
        """Do `work` of the start, again after each wait that the exchange asks for (418, 429).

        Meanwhile the process is alive and not ready: ending instead would start it again and again, and each
        start costs the request weight that we have no more.
        """
        pause_s = BAN_PAUSE_S_MIN
        while True:
            try:
                return await work()
            except (ExchangeUnavailable, ExceptionGroup) as raised:
                error = _first_of_all(raised)
                if not isinstance(error, ExchangeUnavailable) or error.retry_after_s <= 0:
                    raise error from raised
                _log.warning("start_waits", error=str(error), retry_after_s=error.retry_after_s)
                self.on_wait(str(error))
                await self._sleep(max(error.retry_after_s, pause_s))
                pause_s = min(pause_s * 2, WAIT_S_MAX)

    async def _sleep(self, seconds: float) -> None:
        while seconds > 0:
            self.watchdog.begin("the start", START_TIMEOUT_S)
            await asyncio.sleep(min(seconds, WAIT_S_MAX))
            seconds -= WAIT_S_MAX

    def on_drain(self, drain: Callable[[], Awaitable[None]]) -> None:
        """Call `drain` first when the process stops: take in nothing new, finish what is in hand.

        All drains run at the same time, so that their patience does not add up beyond `STOP_TIMEOUT_S`.
        """
        self._drains.append(drain)

    async def readiness(self) -> dict[str, str]:
        """Return each dependency with `ok` or what is wrong; the process is ready when all are ok."""
        if self.stopping:
            return {"process": "stopping"}
        answers = await asyncio.gather(*(self._ask(ping) for ping in self.pings.values()))
        found = dict(zip(self.pings, answers, strict=True))
        if self._loops:
            found[LOOPS] = self._look_at_loops()
        for dependency, answer in found.items():
            metrics.READY.labels(dependency=dependency).set(1 if answer == "ok" else 0)
        return found

    def _look_at_loops(self) -> str:
        lost = [task.get_name() for task, pulse in self._loops.items() if task.done() or pulse.is_overdue]
        return f"lost: {', '.join(sorted(lost))}" if lost else "ok"

    def degraded(self) -> dict[str, str]:
        """Return what the process goes on without, by name; empty when there is nothing."""
        found = {name: note() for name, note in self.notes.items()}
        return {name: said for name, said in found.items() if said is not None}

    async def keep_asking(self) -> None:
        """Loop: look at readiness, so that its metric is true also where nobody asks for `/ready`."""
        while True:
            await self.readiness()
            await asyncio.sleep(READINESS_INTERVAL_S)

    @staticmethod
    async def _ask(ping: Ping) -> str:
        match await attempt(within(PING_TIMEOUT_S, ping())):
            case Done():
                return "ok"
            case Failed(TimeoutError()):
                return f"no answer within {PING_TIMEOUT_S} s"
            case Failed(error):
                return str(error) or repr(error)

    async def stop(self) -> None:
        """Drain, end the loops, close the resources in reverse."""
        self.stopping = True
        await asyncio.gather(*(attempt(drain()) for drain in self._drains))
        await end(self._loops)
        await self._resources.aclose()


def _first_of_all(error: Exception) -> Exception:
    """Return the one error that several tasks met, or the first of them; the group itself hides its kind."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def run(name: str, settings_kind: type[S], build: Callable[[Runtime, S], Awaitable[FastAPI]]) -> None:
    """Run one service instance: `python -m services.<name> --port P --instance I`. Returns by `sys.exit`."""
    arguments = _arguments(name)
    try:
        settings = load(settings_kind)
    except OperatorNeeded as error:
        sys.exit(_refuse(f"{name}: {error}"))
    logs.configure(name, arguments.instance, settings.log_level)
    logs.own_the_streams()
    crash_points.enable(settings.crash_points)
    clock.make_steppable(settings.clock_steps, f"{name}-{arguments.instance}")
    runtime = Runtime(name=name, instance=arguments.instance, mode=settings.mode)
    runtime.watchdog.start()
    runtime.watchdog.begin("the start", START_TIMEOUT_S)
    sys.exit(uvloop.run(_serve(runtime, settings, build, arguments.host, arguments.port)))


def _arguments(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--instance", type=int, default=0, help="which replica this is, from 0")
    return parser.parse_args()


def _refuse(text: str) -> int:
    sys.stderr.write(text + "\n")
    return EXIT_CONFIGURATION


async def _serve(
    runtime: Runtime, settings: S, build: Callable[[Runtime, S], Awaitable[FastAPI]], host: str, port: int
) -> int:
    runtime.watchdog.watch_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait())
    entrance = Entrance(runtime.mode)
    server = _server(entrance, host, port)
    opened: list[asyncio.Task[None]] = []

    def open_early(reason: str) -> None:
        entrance.waits_for = reason
        if not opened:
            opened.append(asyncio.create_task(server.serve()))

    runtime.on_wait = open_early
    building = asyncio.ensure_future(build(runtime, settings))
    await asyncio.wait({building, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not building.done():  # asked to stop while a server it needs does not answer
        building.cancel()
    try:
        entrance.app = await building
    except asyncio.CancelledError:
        return await _give_up(runtime, os.EX_OK)
    except DependencyDown as error:
        _log.error("start_failed", error=str(error))
        return await _give_up(runtime, EXIT_DEPENDENCY)
    except PhoenixError as error:  # nothing that trying again would change
        _log.error("start_refused", error=str(error))
        return await _give_up(runtime, EXIT_CONFIGURATION)
    runtime.spawn("event_loop_lag", _measure_lag)
    runtime.spawn("readiness", runtime.keep_asking)
    serving = opened[0] if opened else asyncio.create_task(server.serve())
    runtime.watchdog.done()
    _log.info("service_started", port=port)
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    _log.info("service_stopping")
    _begin_to_stop(runtime)
    runtime.stopping = True
    server.should_exit = True
    finished = await attempt(within(STOP_TIMEOUT_S, _finish(serving, runtime)))
    _log.info("service_stopped", clean=isinstance(finished, Done))
    runtime.watchdog.begin("the end", END_TIMEOUT_S)
    return 0 if stop.is_set() else 1


async def _give_up(runtime: Runtime, code: int) -> int:
    _begin_to_stop(runtime)
    await attempt(within(STOP_TIMEOUT_S, runtime.stop()))
    runtime.watchdog.begin("the end", END_TIMEOUT_S)
    return code


def _begin_to_stop(runtime: Runtime) -> None:
    """From here on the process ends, whatever hangs: a cancellation may be swallowed, a thread stay."""
    runtime.watchdog.begin("the stop", STOP_TIMEOUT_S + END_TIMEOUT_S)


async def _finish(serving: "asyncio.Task[None]", runtime: Runtime) -> None:
    await attempt(serving)
    await runtime.stop()


def _server(app: Entrance, host: str, port: int) -> "_Server":
    return _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=ProblemProtocol,
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=HTTP_DRAIN_S,
            timeout_keep_alive=KEEP_ALIVE_S,
            proxy_headers=False,  # who is at the other end stays visible; whom to believe is a setting
        )
    )


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the runtime decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signals alone."""
        yield


async def _measure_lag() -> None:
    clock = asyncio.get_running_loop().time
    while True:
        before = clock()
        await asyncio.sleep(LAG_INTERVAL_S)
        metrics.LOOP_LAG_SECONDS.set(max(0.0, clock() - before - LAG_INTERVAL_S))
        metrics.LOG_LINES_LOST.inc(logs.newly_lost())
