"""Restarts instances one after the other, so that somebody always answers.

Each is taken out of nginx, finishes what it holds, stops, starts, is waited for until it is ready and gets
requests again; then the next. Killed at any moment it leaves at most one instance that is not ready, and a
second run begins with that one. It must never touch an instance while another of its service is not ready.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from infrastructure.local.bring_up import StartError
from infrastructure.local.plan import Probe, Program, UnknownProgramError
from infrastructure.local.preparation import PreparationError
from infrastructure.local.supervision import STOP_MARGIN_S, SupervisorError

ROLL_ORDER = ("notify", "execute", "risk", "brain")
"""Who reads a message is restarted before who writes it: an old reader would refuse a new field."""

SINGLE = ("paper_exchange", "market_feed")
"""One process each: while the feed restarts there are no fresh prices and so no entries; while the paper
exchange does, the market stands still. Restarted only when named, before the services that use them."""

READY_PATIENCE_S = 15.0
"""For the other instances to be ready after this run has restarted something; before that there is none."""
POLL_S = 0.1


class RollRefused(Exception):
    """A rolling restart would do harm; nothing was touched. The message says what to do."""


class Supervises(Protocol):
    """What a rolling restart needs of the supervisor."""

    def stop(self, names: Iterable[str], *, timeout_s: float) -> None:
        """Stop programs and wait until they are gone."""

    def adopt(self, name: str) -> None:
        """Take over the rewritten configuration of a stopped program."""

    def start(self, name: str) -> None:
        """Start a program without waiting for it."""


def rollable(table: Sequence[Program], names: Iterable[str]) -> tuple[Program, ...]:
    """Return the programs to restart, in order; without names all instances of all services.

    Raises:
        UnknownProgramError: a name is none of a service, an instance, the feed or the paper exchange.
    """
    wanted = set(names) or set(ROLL_ORDER)
    families = (*SINGLE, *ROLL_ORDER)
    candidates = [program for family in families for program in table if program.family == family]
    known = {program.name for program in candidates} | set(families)
    if unknown := sorted(wanted - known):
        raise UnknownProgramError(
            f"cannot be restarted one after the other: {', '.join(unknown)}"
            f" (can be: {', '.join(sorted(known))}; for servers: ./scripts/stop.sh, then ./scripts/start.sh)"
        )
    return tuple(program for program in candidates if {program.name, program.family} & wanted)


class RollingRestart:
    """One run.

    Args:
        table: every program of the system.
        supervisor: stops and starts.
        drain: lets nginx send new requests to all instances but the named, and waits for those in work.
        answers: asks a program whether it is ready.
        bring_up: starts a program and waits until it is ready.
        tell: takes progress lines.
    """

    def __init__(
        self,
        *,
        table: Sequence[Program],
        supervisor: Supervises,
        drain: Callable[[Collection[str]], None],
        answers: Callable[[Probe], bool],
        bring_up: Callable[[Program], None],
        tell: Callable[[str], None],
    ) -> None:
        self._table = table
        self._supervisor = supervisor
        self._drain = drain
        self._answers = answers
        self._bring_up = bring_up
        self._tell = tell

    def check(self, chosen: Sequence[Program], *, with_gap: bool) -> None:
        """Refuse what would leave a service without a ready instance.

        Raises:
            RollRefused: see the message.
        """
        alone = [program.name for program in chosen if not self._others(program)]
        if alone and not with_gap:
            raise RollRefused(
                f"no second instance, so nobody answers while it restarts: {', '.join(alone)}\n"
                "Start a second one of each service (./scripts/start.sh --replicas 2), or accept the gap of\n"
                "some seconds with --with-gap: TradingView re-sends what is answered 503, and stops\n"
                "stand on the exchange meanwhile."
            )
        for program in chosen:
            family = [program, *self._others(program)]
            unready = [each.name for each in family if not self._is_ready(each)]
            healed_first = unready[0] in {each.name for each in chosen} if len(unready) == 1 else False
            if unready and not healed_first:
                raise RollRefused(_not_ready(program, unready))

    def run(self, chosen: Sequence[Program]) -> None:
        """Restart the programs, one that is not ready before the others of its service.

        Raises:
            StartError: one did not come up again, or another is not ready any more; the rest was not touched.
        """
        for number, program in enumerate(self._in_order(chosen), 1):
            self._await_others(program)
            self._tell(f"{program.name} ({number} of {len(chosen)})")
            self._restart(program)
        self._drain([])

    def _restart(self, program: Program) -> None:
        try:
            if self._others(program):
                self._drain([program.name])
            self._tell("  · gets no new requests, finishes what it holds")
            self._supervisor.stop([program.name], timeout_s=program.stop_timeout_s + STOP_MARGIN_S)
            self._supervisor.adopt(program.name)
            self._bring_up(program)
        except BaseException:
            # Interrupted, or it does not come up: the supervisor goes on trying, nginx passes it by.
            with contextlib.suppress(SupervisorError, PreparationError, OSError):
                self._supervisor.start(program.name)
                self._drain([])
            raise
        self._drain([])

    def _in_order(self, chosen: Sequence[Program]) -> list[Program]:
        """Keep the families in order; within each the one that is not ready comes first."""
        families = list(dict.fromkeys(program.family for program in chosen))
        return sorted(chosen, key=lambda each: (families.index(each.family), self._is_ready(each), each.name))

    def _await_others(self, program: Program) -> None:
        deadline = time.monotonic() + READY_PATIENCE_S
        while unready := [other.name for other in self._others(program) if not self._is_ready(other)]:
            if time.monotonic() > deadline:
                raise StartError(_not_ready(program, unready))
            time.sleep(POLL_S)

    def _others(self, program: Program) -> list[Program]:
        return [each for each in self._table if each.family == program.family and each is not program]

    def _is_ready(self, program: Program) -> bool:
        return all(map(self._answers, program.ready))


def _not_ready(program: Program, unready: Sequence[str]) -> str:
    return (
        f"{program.name} cannot be restarted while {', '.join(unready)} is not ready: nobody might answer.\n"
        "`python -m infrastructure.local status` shows its log; ./scripts/start.sh starts what is stopped."
    )
