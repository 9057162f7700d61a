"""Dead letters for the command line: found, told in words, recorded, put back or deleted.

The work at the broker is done by `shared.dead_letters`, the record is kept by RISK. Loaded only by the
commands that need it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from rich.console import RenderableType
from rich.markup import escape

from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.failures import Refused, Unreachable, WrongUsage
from scripts.phoenix_cli.installation import Installation
from scripts.phoenix_cli.output import table
from shared import logs, parking, topology
from shared.clock import utc_now
from shared.dead_letters import LETTERS_MAX, DeadLetters, DeadQueue, Letter
from shared.errors import BrokerUnavailable, OperatorNeeded
from shared.rabbitmq_client import Publisher

T = TypeVar("T")

NAME = "phoenix.py"
BODY_CHARS_MAX = 2_000
FAULT_CHARS_SHOWN = 90
AUDITED_IDS_MAX = 50
ENTRY_AGE_KEY = "PHOENIX_ENTRY_AGE_S_MAX"
ENTRY_AGE_S_DEFAULT = 30
LIST_COLUMNS = ("queue", "letters", "oldest", "kinds")
OUTCOME_STAYS = "Whatever is put back: the outcome of its signal stays failed (parked)."


@dataclass(frozen=True)
class Letters:
    """What was found in one dead-letter queue."""

    queue: topology.Queue
    found: Sequence[Letter]


class Desk:
    """Where the dead letters of one installation are worked on."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._amqp_url = installation.value("PHOENIX_AMQP_URL")
        given = installation.settings.get(ENTRY_AGE_KEY)
        text = "" if given is None else given.get_secret_value()
        seconds = int(text) if text.isdecimal() else ENTRY_AGE_S_DEFAULT
        self._entry_age_max = timedelta(seconds=seconds)

    # --- at the broker ---

    def overview(self) -> list[DeadQueue]:
        """Return every dead-letter queue.

        Raises:
            Unreachable: the broker does not answer.
        """
        return self._run(lambda dead: dead.overview())

    def letters(
        self,
        name: str,
        *,
        limit: int = LETTERS_MAX,
        event_id: str | None = None,
        older_than_h: float | None = None,
    ) -> Letters:
        """Return the letters of a queue that fit, at most the oldest `LETTERS_MAX`; they stay where they are.

        Raises:
            WrongUsage: there is no such queue.
            Unreachable: the broker does not answer.
        """
        queue = _queue(name)
        before = None if older_than_h is None else utc_now() - timedelta(hours=older_than_h)
        found = [
            letter
            for letter in self._run(lambda dead: dead.look(queue, limit))
            if (event_id is None or letter.event_id == event_id)
            and (before is None or (letter.since is not None and letter.since < before))
        ]
        return Letters(queue, found)

    def chosen(self, name: str, **choice: Any) -> Letters:
        """Return the letters that fit, as `letters` does.

        Raises:
            Refused: there is none.
        """
        letters = self.letters(name, **choice)
        if not letters.found:
            raise Refused("no such letter", f"`dlq show {letters.queue.name}` shows what is there.")
        return letters

    def record(self, act: str, letters: Letters, reason: str) -> None:
        """Have the act written into the audit log, before it is done.

        Raises:
            Refused, Unreachable: it is not on record, so it must not be done.
        """
        ids = [letter.name for letter in letters.found[:AUDITED_IDS_MAX]]
        detail = {"queue": letters.queue.dead, "letters": len(letters.found), "ids": ids}
        with Api(self._installation) as api:
            api.post("risk", "/audit", {"act": act, "detail": detail, "reason": reason})

    def replay(self, letters: Letters) -> list[Letter]:
        """Put the letters back and return those that were.

        Raises:
            Refused: the broker has other queues than this version knows.
            Unreachable: the broker does not answer; what was not put back stays.
        """
        keys = [letter.key for letter in letters.found]

        async def put_back(dead: DeadLetters) -> list[Letter]:
            async with Publisher(self._amqp_url, NAME) as publisher:
                return await dead.replay(letters.queue, keys, publisher)

        return self._run(put_back)

    def delete(self, letters: Letters) -> list[Letter]:
        """Delete the letters for good and return those that were. Raises as `replay` does."""
        keys = [letter.key for letter in letters.found]
        return self._run(lambda dead: dead.delete(letters.queue, keys))

    def _run(self, work: Callable[[DeadLetters], Awaitable[T]]) -> T:
        logs.speak_up_only_about_errors()

        async def with_letters() -> T:
            async with DeadLetters(self._amqp_url, NAME) as dead:
                return await work(dead)

        try:
            return asyncio.run(with_letters())
        except BrokerUnavailable as error:
            raise Unreachable("the broker does not answer", str(error)) from error
        except OperatorNeeded as error:
            raise Refused("the broker does not fit", str(error)) from error

    # --- in words ---

    @staticmethod
    def overview_page(found: Sequence[DeadQueue]) -> RenderableType:
        """Return the queues that are not empty as a table."""
        now = utc_now()
        rows = [
            (each.queue.name, each.depth, _age(each.oldest, now), ", ".join(_counts(each.kinds)))
            for each in found
            if each.depth
        ]
        return table("Dead letters", LIST_COLUMNS, rows) if rows else "[bold]Dead letters[/] none"

    @staticmethod
    def overview_document(found: Sequence[DeadQueue]) -> dict[str, Any]:
        """Return all queues as a JSON document."""
        now = utc_now()
        return {
            "queues": [
                {
                    "queue": each.queue.name,
                    "letters": each.depth,
                    "oldest_age_s": _seconds(each.oldest, now),
                    "kinds": each.kinds,
                }
                for each in found
            ]
        }

    def page(self, letters: Letters) -> str:
        """Return the letters as a page, with what putting each back would do."""
        now = utc_now()
        lines: list[str] = []
        for letter in letters.found:
            signal = f"  {letter.envelope.correlation_id}" if letter.envelope else ""
            lines += [
                f"[bold]{escape(letter.name)}[/]  {letter.kind}{escape(signal)}",
                f"  parked  {_age(letter.since, now)} ago, after {letter.attempts} attempts",
                f"  fault   {escape(_short(letter.fault))}",
                f"  replay  {escape(self._forecast(letter, now))}",
            ]
        if not lines:
            return "no dead letters"
        if letters.queue.carries_signals:
            lines.append(OUTCOME_STAYS)
        return "\n".join(lines)

    def document(self, letters: Letters) -> dict[str, Any]:
        """Return the letters as a JSON document."""
        now = utc_now()
        return {
            "queue": letters.queue.name,
            "outcome": OUTCOME_STAYS if letters.queue.carries_signals else None,
            "letters": [
                {
                    "event_id": letter.event_id,
                    "schema": letter.kind,
                    "signal_id": letter.envelope.correlation_id if letter.envelope else None,
                    "age_s": _seconds(letter.since, now),
                    "fault": letter.fault,
                    "attempts": letter.attempts,
                    "on_replay": self._forecast(letter, now),
                    "body": letter.body.decode(errors="replace")[:BODY_CHARS_MAX],
                }
                for letter in letters.found
            ],
        }

    def _forecast(self, letter: Letter, now: datetime) -> str:
        return parking.forecast(letter.envelope, letter.queue, self._entry_age_max, now)


def _queue(name: str) -> topology.Queue:
    for queue in topology.QUEUES:
        if name in (queue.name, queue.dead):
            return queue
    known = ", ".join(queue.name for queue in topology.QUEUES)
    raise WrongUsage(f"no queue is called {name}", f"There are: {known}.")


def _counts(kinds: dict[str, int]) -> list[str]:
    return [f"{number} {kind}" for kind, number in sorted(kinds.items())]


def _seconds(since: datetime | None, now: datetime) -> int | None:
    return None if since is None else int((now - since).total_seconds())


def _age(since: datetime | None, now: datetime) -> str:
    seconds = _seconds(since, now)
    return "unknown" if seconds is None else str(timedelta(seconds=seconds))


def _short(fault: str) -> str:
    return fault if len(fault) <= FAULT_CHARS_SHOWN else f"{fault[:FAULT_CHARS_SHOWN]}…"
