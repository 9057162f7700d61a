"""The loads: each sends alerts on schedule from a process of its own and reports what became of them."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import count

import msgspec

from infrastructure.local.layout import REPOSITORY
from tests.bench.alerts import entry_alert, stale_alert
from tests.bench.open_load import ANSWER_TIMEOUT_S, Answer, Job, Yield
from tests.bench.private_system import PrivateSystem, symbol
from tests.bench.samples import Summary, summary

WEBHOOK_PATH = "/webhook/tradingview"
GENERATOR_MARGIN_S = 30.0
"""What starting the generator may take on a busy machine."""

_numbers = count(1)


async def send(port: int, path: str, rate: float, bodies: Sequence[str]) -> list[Answer]:
    """Let the generator send `bodies` at `rate` per second.

    Raises:
        RuntimeError: the generator failed.
        TimeoutError: it did not come back.
    """
    job = Job(port=port, path=path, rate=rate, bodies=list(bodies))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.open_load",
        cwd=REPOSITORY, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    lasts_s = len(bodies) / rate + ANSWER_TIMEOUT_S + GENERATOR_MARGIN_S
    try:
        output, _ = await asyncio.wait_for(process.communicate(msgspec.json.encode(job)), lasts_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return msgspec.json.decode(output, type=Yield).answers


def stale_alerts(system: PrivateSystem, number: int) -> list[str]:
    """Return alerts that BRAIN takes in and ends at once, each another one."""
    secret, now = system.settings["PHOENIX_WEBHOOK_SECRET"], datetime.now(UTC)
    return [stale_alert(secret, symbol(0), _alert_id(), now) for _ in range(number)]


def entry_alerts(system: PrivateSystem, symbols: Sequence[str], rate: float) -> list[str]:
    """Return one entry per symbol, each made when it is due."""
    secret, now = system.settings["PHOENIX_WEBHOOK_SECRET"], datetime.now(UTC)
    return [
        entry_alert(secret, name, _alert_id(), now + timedelta(seconds=number / rate))
        for number, name in enumerate(symbols)
    ]


def latency(answers: Sequence[Answer]) -> Summary:
    """Return the latency of what was answered 200; all else is failed."""
    good = [each.latency_us / 1_000 for each in answers if each.status == HTTPStatus.OK]
    return summary(good, failed=len(answers) - len(good))


def lateness(answers: Sequence[Answer]) -> Summary:
    """Return how late requests left the generator."""
    return summary([each.late_us / 1_000 for each in answers])


def due_us_by_signal(answers: Sequence[Answer]) -> dict[str, int]:
    """Return when each accepted signal was due, by its id."""
    read: Callable[[Answer], str] = lambda answer: json.loads(answer.body)["signal_id"]  # noqa: E731
    return {read(each): each.due_us for each in answers if each.status == HTTPStatus.OK}


def _alert_id() -> str:
    return f"bench-{next(_numbers)}"
