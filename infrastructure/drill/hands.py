"""The hands of a drill: send an alert, arm a fault, act by hand, kill a process, and look what came of it.

For paper systems on this machine. Everything a drill arms it takes back at the end; it must never touch a
symbol that holds a position, nor a process that is not Phoenix's own.
"""

import asyncio
import math
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from infrastructure.drill.promises import EXTERNAL, Verdict, judge
from infrastructure.drill.reading import Sources, read_truth
from infrastructure.drill.truth import EntryRow, SignalRow, Truth
from infrastructure.local.ports import SERVICES
from infrastructure.local.stack import LocalStack
from shared.clock import utc_now
from shared.errors import PhoenixError

HTTP_TIMEOUT_S = 10.0
LOOK_INTERVAL_S = 0.25
CLOSE_INTERVAL_S = 2.0
PATIENCE_S = 60.0
RESEND_AFTER_S = 5.0
RESENDS_MAX = 3
"""As TradingView re-sends after a 5xx."""

NOTHING_TO_DRILL = ("rejected", "expired", "no_op")

Tell = Callable[[str], None]


class DrillFailed(Exception):
    """The drill could not be carried out; the text says why. It says nothing about the promises."""


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Where the system is, and the keys to it."""

    webhook_url: str
    execute_url: str
    webhook_secret: str = field(repr=False)
    api_key: str = field(repr=False)
    sources: Sources


class Hands:
    """What a drill script may do."""

    def __init__(
        self, doors: Doors, stack: LocalStack, http: httpx.AsyncClient, symbol: str, tell: Tell
    ) -> None:
        self.symbol = symbol
        self.begun_at: datetime = utc_now()
        self.accepted: set[str] = set()
        self._doors = doors
        self._stack = stack
        self._http = http
        self._tell = tell
        self._armed: list[int] = []

    def alert_body(self, action: str) -> dict[str, str]:
        """Return an alert that nobody has sent before."""
        return {
            "secret": self._doors.webhook_secret,
            "symbol": self.symbol,
            "action": action,
            "strategy": "drill",
            "confidence": "0.95",
            "alert_id": f"drill-{uuid4().hex}",
        }

    async def send(self, body: Mapping[str, str]) -> str:
        """Send an alert as TradingView does, 5xx again after a while, and return its signal id."""
        for attempt in range(1 + RESENDS_MAX):
            if attempt:
                await asyncio.sleep(RESEND_AFTER_S)
            answer = await self._http.post(self._doors.webhook_url, json=body)
            if answer.is_success:
                signal_id = str(answer.json()["signal_id"])
                self.accepted.add(signal_id)
                self._tell(f"alert {body['action']} {self.symbol}: accepted as {signal_id}")
                return signal_id
            if not answer.is_server_error:
                raise DrillFailed(f"the alert was refused: {answer.text}")
            self._tell(f"alert {body['action']} {self.symbol}: {answer.status_code}, to be sent again")
        raise DrillFailed("the alert was answered with 5xx four times; TradingView gives up then, too")

    async def arm(self, words: str, **fault: Any) -> None:
        """Arm a fault of the paper exchange on this drill's symbol."""
        row = await self._admin("POST", "faults", fault)
        self._armed.append(row["id"])
        self._tell(f"armed: {words}")

    async def by_hand(self, act: str, words: str, **body: Any) -> None:
        """Act on the exchange as somebody else: close, cancel, liquidate."""
        await self._admin("POST", f"hand/{act}", body)
        self._tell(words)

    async def move_price(self, share: float) -> None:
        """Move the price of this drill's symbol by a share of it."""
        quotes = (await self._admin("GET", "state"))["quotes"]
        price = float(quotes[self.symbol]["last"]) * (1 + share)
        await self._admin("POST", "price", {"symbol": self.symbol, "price": f"{price:.8f}"})
        self._tell(f"{self.symbol} moved by {share:+.1%}")

    async def kill(self, program: str) -> None:
        """End one of Phoenix's processes with SIGKILL; its supervisor starts it again."""
        await asyncio.to_thread(self._stack.kill_program, program, signal.SIGKILL)
        self._tell(f"killed {program}")

    async def restart(self, program: str) -> None:
        """Stop a server of this system and start it again."""
        self._tell(f"restarting {program}")
        await asyncio.to_thread(self._stack.restart_program, program)
        self._tell(f"{program} is back")

    async def until(self, state: str, signal_id: str) -> EntryRow:
        """Wait until the entry of a signal is in a state."""

        async def look() -> EntryRow | None:
            truth = await self.truth()
            signal = next((each for each in truth.signals if each.signal_id == signal_id), None)
            if signal is not None and signal.outcome in NOTHING_TO_DRILL:
                raise DrillFailed(f"the alert led to no position: {signal.outcome}, {signal.reason}")
            entries = (each for each in truth.entries if each.signal_id == signal_id)
            return next((each for each in entries if each.state == state), None)

        found: EntryRow = await self._eventually(look, f"{signal_id} {state}")
        self._tell(f"{signal_id} is {state}")
        return found

    async def until_foreign_is_known(self) -> None:
        """Wait until RISK counts a position on this drill's symbol that is not ours."""

        async def look() -> bool:
            reserved = (await self.truth()).reserved
            return any(each.startswith(EXTERNAL) for each in reserved)

        await self._eventually(look, f"a foreign position on {self.symbol}")
        self._tell("RISK counts the foreign position")

    async def until_ended(self, signal_id: str) -> SignalRow:
        """Wait until a signal has its outcome, whichever that is."""

        async def look() -> SignalRow | None:
            found = (each for each in (await self.truth()).signals if each.signal_id == signal_id)
            return next((each for each in found if each.outcome is not None), None)

        ended: SignalRow = await self._eventually(look, f"the outcome of {signal_id}")
        self._tell(f"{signal_id} ended as {ended.outcome} ({ended.reason})")
        return ended

    @asynccontextmanager
    async def no_file_grows(self) -> AsyncIterator[None]:
        """Let the services write to no file until the block ends, as on a full disk; no disk is touched."""
        programs = await asyncio.to_thread(self._stack.status)
        found = {each.name: each.pid for each in programs if each.pid and each.name.startswith(SERVICES)}
        self._tell(f"no file grows any more for {', '.join(found)}")
        try:
            for pid in found.values():
                _limit_files(pid, 0)
            yield
        finally:
            for pid in found.values():
                _limit_files(pid, resource.RLIM_INFINITY)
            self._tell("files may grow again")

    async def quantity(self, usdt: int) -> str:
        """Return a whole number of this drill's symbol that is worth at least so much."""
        quotes = (await self._admin("GET", "state"))["quotes"]
        return str(math.ceil(usdt / float(quotes[self.symbol]["last"])))

    async def until_restored(self, client_id: str) -> None:
        """Wait until a conditional order stands (again)."""

        async def look() -> bool:
            algos = (await self.truth()).algos
            return any(each.client_id == client_id and each.is_standing for each in algos)

        await self._eventually(look, f"{client_id} standing")
        self._tell(f"{client_id} stands")

    async def truth(self) -> Truth:
        """Return what is true of this drill's symbol since the drill began."""
        whole = await read_truth(self._doors.sources, self.accepted)
        return whole.since(self.begun_at, {self.symbol})

    async def meet_the_exchange(self) -> None:
        """Make sure, before the first alert, that the exchange is a paper exchange.

        Raises:
            DrillFailed: its side door does not answer.
        """
        try:
            await self._admin("GET", "faults")
        except httpx.HTTPError as error:
            raise DrillFailed(f"there is no paper exchange to drill on: {error!r}") from error

    async def disarm(self) -> None:
        """Take back every fault that is still armed."""
        for number in self._armed:
            with suppress(DrillFailed, httpx.HTTPError):  # spent already, or gone with a restart
                await self._admin("DELETE", f"faults/{number}")

    async def flatten(self) -> None:
        """Close what the drill opened; what resists is told, and left to the verdicts."""
        try:
            await self._eventually(self._is_flat_after_closing, f"{self.symbol} flat")
        except DrillFailed as failed:
            self._tell(f"{failed}; close it with `phoenix.py close {self.symbol}`")

    async def judge(self, unprotected_max: timedelta) -> list[Verdict]:
        """Let everything arrive, and return the verdicts."""

        async def every_promise_holds() -> bool:
            return all(each.held for each in judge(await self.truth(), unprotected_max))

        with suppress(DrillFailed):  # then the verdicts say what did not arrive
            await self._eventually(every_promise_holds, "every promise")
        return judge(await self.truth(), unprotected_max)

    async def _is_flat_after_closing(self) -> bool:
        if not (await self.truth()).positions:
            return True
        await self._http.post(
            f"{self._doors.execute_url}/close",
            json={"symbol": self.symbol, "reason": "end of a drill"},
            headers={"X-API-Key": self._doors.api_key},
        )
        await asyncio.sleep(CLOSE_INTERVAL_S)
        return False

    async def take_back(self) -> None:
        """Take back what is armed now, in the middle of a story."""
        await self.disarm()
        self._armed.clear()
        self._tell("disarmed")

    async def _admin(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        url = f"{self._doors.sources.exchange_url}/admin/{path}"
        answer = await self._http.request(method, url, json=body)
        if not answer.is_success:
            raise DrillFailed(f"the paper exchange refused {method} {path}: {answer.text}")
        return answer.json()

    async def _eventually(self, look: Callable[[], Awaitable[Any]], what: str) -> Any:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            with suppress(
                httpx.HTTPError, OSError, PhoenixError, asyncpg.PostgresError
            ):  # being started again
                if found := await look():
                    return found
            if asyncio.get_running_loop().time() > deadline:
                raise DrillFailed(f"not within {PATIENCE_S:.0f} s: {what}")
            await asyncio.sleep(LOOK_INTERVAL_S)


def _limit_files(pid: int, size_bytes: int) -> None:
    """Set how large the files of a process may grow; one that has ended has no files."""
    with suppress(ProcessLookupError):
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, most))
