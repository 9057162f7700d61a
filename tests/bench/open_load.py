"""Open-model load: requests leave on a fixed schedule, whether or not earlier ones were answered.

Latency counts from the moment a request was *due*, so a stalled service cannot hide its stall by slowing the
load down. Runs as a process of its own (`python -m tests.bench.open_load`: a `Job` on stdin, a `Yield` on
stdout), bounded in count, connections and time, and talks to 127.0.0.1 only.
"""

import asyncio
import sys
import threading
import time
from collections import deque

import msgspec
import uvloop

from tests.bench.http_wire import NO_ANSWER, Wire, request_bytes

HOST = "127.0.0.1"
REQUESTS_MAX = 50_000
CONNECTIONS_MAX = 256
CONNECTIONS_FIRST = 4
ANSWER_TIMEOUT_S = 10.0
LEAD_S = 0.05
"""Between the end of the preparations and the first request."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send where, how often: `rate` is requests per second, one per body."""

    port: int
    path: str
    rate: float
    bodies: list[str]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request: when it was due (epoch), how late it was taken up, and answered after that.

    `latency_us` counts from when it was due and includes `late_us`.
    """

    due_us: int
    late_us: int
    latency_us: int
    status: int
    body: str


class Yield(msgspec.Struct, frozen=True, kw_only=True):
    """All answers in the order in which they were due."""

    answers: list[Answer]


class OpenLoad:
    """Sends one job."""

    def __init__(self, job: Job) -> None:
        assert 0 < len(job.bodies) <= REQUESTS_MAX, "the load must stay bounded"
        host = f"{HOST}:{job.port}"
        self._port = job.port
        self._requests = [request_bytes(host, job.path, body.encode()) for body in job.bodies]
        self._interval_ns = round(1e9 / job.rate)
        self._idle: list[Wire] = []
        self._waiting: deque[int] = deque()  # bounded by the number of requests
        self._opening: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._answers: list[Answer | None] = [None] * len(self._requests)
        self._fired_ns: dict[int, int] = {}
        self._left = len(self._requests)
        self._done = asyncio.Event()
        self._first_due_ns = 0
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    async def run(self) -> Yield:
        """Send everything on schedule and return when all is answered or its time is over."""
        for _ in range(CONNECTIONS_FIRST):
            await self._connect()
        self._first_due_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
        pacer = threading.Thread(target=self._pace, args=(asyncio.get_running_loop(),), daemon=True)
        pacer.start()
        lasts_s = LEAD_S + len(self._requests) * self._interval_ns / 1e9 + ANSWER_TIMEOUT_S
        try:
            await asyncio.wait_for(self._done.wait(), lasts_s)
        except TimeoutError:
            self._give_up()
        for wire in self._idle:
            wire.close()
        return Yield(answers=[each for each in self._answers if each is not None])

    def _pace(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fire each request when it is due: a sleeping thread is on time to ~0.1 ms, an event loop's timers
        to a whole millisecond.
        """
        for number in range(len(self._requests)):
            pause_ns = self._due_ns(number) - time.monotonic_ns()
            if pause_ns > 0:
                time.sleep(pause_ns / 1e9)
            try:
                loop.call_soon_threadsafe(self._fire, number)
            except RuntimeError:  # the loop is closed: the time was over
                return

    def _due_ns(self, number: int) -> int:
        return self._first_due_ns + number * self._interval_ns

    def _fire(self, number: int) -> None:
        self._fired_ns[number] = time.monotonic_ns()
        if self._idle:
            self._send(self._idle.pop(), number)
            return
        self._waiting.append(number)
        if self._connections < CONNECTIONS_MAX:
            task = asyncio.ensure_future(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        self._connections += 1
        try:
            _, wire = await asyncio.get_running_loop().create_connection(
                lambda: Wire(self._on_closed), HOST, self._port
            )
        except OSError:
            self._connections -= 1
            if self._waiting:
                self._record(self._waiting.popleft(), NO_ANSWER, b"")
            return
        self._take_up(wire)

    def _take_up(self, wire: Wire) -> None:
        if self._waiting:
            self._send(wire, self._waiting.popleft())
        else:
            self._idle.append(wire)

    def _send(self, wire: Wire, number: int) -> None:
        def on_answer(status: int, body: bytes) -> None:
            self._record(number, status, body)
            if status != NO_ANSWER:
                self._take_up(wire)

        wire.send(self._requests[number], on_answer)

    def _on_closed(self, wire: Wire) -> None:
        self._connections -= 1
        if wire in self._idle:
            self._idle.remove(wire)

    def _record(self, number: int, status: int, body: bytes) -> None:
        if self._answers[number] is not None:
            return
        now_ns, due_ns = time.monotonic_ns(), self._due_ns(number)
        self._answers[number] = Answer(
            due_us=(self._epoch_ns + due_ns) // 1_000,
            late_us=(self._fired_ns.get(number, now_ns) - due_ns) // 1_000,
            latency_us=(now_ns - due_ns) // 1_000,
            status=status,
            body=body.decode(errors="replace"),
        )
        self._left -= 1
        if self._left == 0:
            self._done.set()

    def _give_up(self) -> None:
        for number, answer in enumerate(self._answers):
            if answer is None:
                self._record(number, NO_ANSWER, b"")


def main() -> None:
    """Send the job on stdin, write the answers to stdout."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)

    async def send() -> Yield:
        return await OpenLoad(job).run()

    found = msgspec.json.encode(uvloop.run(send()))
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:  # PYTHONUNBUFFERED may write a part only
        output.write(found)


if __name__ == "__main__":
    main()
