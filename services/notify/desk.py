"""The operator's desk: whoever comes through the chat or the dashboard acts here, in two steps, on record.

    request ──► role ──► proposal kept, token handed out ──► confirmed, once ──► service asked ──► told

The token is used up before the service is asked: killed in between, nothing is done and the audit log shows a
confirmation without an end; the person asks again. An act is never repeated by this module, and one that was
done is never reported as failed because the record of its end could not be written.
"""

from collections.abc import Callable, Mapping

from services.notify.desk_answers import Failed, Performed, Proposal, Refused
from services.notify.people import ACTOR_CHARS_MAX, Act, Door, Person, Request, Why, may
from services.notify.ports import (
    ActsOnServices,
    KeepsAudit,
    KeepsConfirmations,
    ObservesDoors,
    Result,
    ServiceFailure,
)
from shared import logs
from shared.errors import DatabaseUnavailable
from shared.values import TradingState

STATES = {Act.PAUSE: TradingState.REDUCING, Act.RESUME: TradingState.ACTIVE, Act.HALT: TradingState.HALTED}
WHAT_CHARS_MAX = 100
"""Of what a stranger sent, no more is kept."""

_log = logs.get(__name__)


class Desk:
    """What an operator may do from afar."""

    def __init__(
        self,
        confirmations: KeepsConfirmations,
        audit: KeepsAudit,
        services: ActsOnServices,
        watch: ObservesDoors,
        new_token: Callable[[], str],
    ) -> None:
        self._confirmations = confirmations
        self._audit = audit
        self._services = services
        self._watch = watch
        self._new_token = new_token

    async def propose(self, person: Person, request: Request) -> Proposal | Refused:
        """Take the first step of an act."""
        if not may(person, request.act):
            await self._refuse(person.actor, person.door, request.act, Why.ROLE, request.symbol)
            return Refused(Why.ROLE)
        token = self._new_token()
        expires_at = await self._confirmations.propose(token, person.actor, request)
        await self._audit.record(person.actor, request.act, "proposed", {"symbol": request.symbol})
        return Proposal(request, token, expires_at)

    async def withdraw(self, person: Person, token: str) -> Request | Refused:
        """Take a proposal back: its token is worth nothing any more.

        One that was used or has expired is no attempt at anything, so only a foreign token goes on record.
        """
        used = await self._confirmations.use(token, person.actor, "withdrawn")
        if isinstance(used, Why):
            if used in (Why.NOT_YOURS, Why.UNKNOWN):
                await self._refuse(person.actor, person.door, "withdraw", used)
            return Refused(used)
        await self._audit.record(person.actor, used.act, "withdrawn", {"symbol": used.symbol})
        return used

    async def confirm(self, person: Person, token: str) -> Performed | Failed | Refused:
        """Take the second step: use the token up, then do what it stands for, once.

        Raises:
            DatabaseUnavailable: nothing was done.
        """
        used = await self._confirmations.use(token, person.actor, "confirmed")
        if isinstance(used, Why):
            await self._refuse(person.actor, person.door, "confirm", used)
            return Refused(used)
        if not may(person, used.act):  # the role was taken away between the steps
            await self._refuse(person.actor, person.door, used.act, Why.ROLE, used.symbol)
            return Refused(Why.ROLE)
        await self._audit.record(person.actor, used.act, "confirmed", {"symbol": used.symbol})
        return await self._perform(person, used)

    async def turn_away(self, door: Door, who: str, what: str, why: Why) -> None:
        """Put on record that somebody was refused before it came to an act; `who` and `what` may be anything.

        The caller bounds how often: each call is a line that is kept for ever.
        """
        await self._refuse(_legible(who, ACTOR_CHARS_MAX), door, _legible(what, WHAT_CHARS_MAX), why)

    async def _perform(self, person: Person, request: Request) -> Performed | Failed:
        try:
            reference = await self._ask(person, request)
        except ServiceFailure as failure:
            result: Result = "unanswered" if failure.may_be_done else "failed"
            await self._record_end(person, request, result, {"detail": failure.detail})
            return Failed(request, failure.detail, failure.may_be_done)
        await self._record_end(person, request, "performed", {"reference": reference})
        return Performed(request, reference)

    async def _record_end(
        self, person: Person, request: Request, result: Result, detail: Mapping[str, object]
    ) -> None:
        told = {"symbol": request.symbol, **detail}
        try:
            await self._audit.record(person.actor, request.act, result, told)
        except DatabaseUnavailable as down:
            _log.error(
                "audit_line_lost",
                actor=person.actor,
                act=request.act,
                result=result,
                detail=told,
                error=str(down),
            )

    async def _ask(self, person: Person, request: Request) -> str:
        reason = f"{request.act} from {person.door}"
        if request.act in STATES:
            await self._services.set_state(STATES[request.act], person.actor, reason)
            return ""
        return await self._services.close(request.symbol, person.actor, reason)

    async def _refuse(self, who: str, door: Door, what: str, why: Why, symbol: str | None = None) -> None:
        self._watch.refused(door, why)
        await self._audit.record(who, what, "refused", {"door": door, "why": why, "symbol": symbol})


def _legible(text: str, chars_max: int) -> str:
    """Return what the record can hold of a text: a NUL byte or half a character would stop the database."""
    return "".join(each if each.isprintable() else "?" for each in text[:chars_max])
