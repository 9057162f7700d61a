"""The dashboard's acts: propose, then confirm or withdraw, each a post that is meant.

Who may act is the desk's to say; a post that does not come from a page of its session is refused before that.
"""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from services.notify.dashboard import acting, numerals, replies, views
from services.notify.dashboard.gate import Gate, Visitor
from services.notify.dashboard.rendering import Rendering
from services.notify.dashboard.sources import Sources
from services.notify.dashboard.texts import translator
from services.notify.desk import Desk
from services.notify.desk_answers import Performed, Proposal, Refused
from services.notify.desk_store import CONFIRM_WITHIN_S
from services.notify.people import Act, Why, is_symbol
from services.notify.people import Request as Asked
from shared.clock import Clock
from shared.http_api import Problem

ACTS = "/dashboard/acts"
NEEDED = ("account", "positions", "marks")
"""What a confirmation says in numbers is made of these."""
FORBIDDEN = 403


class ActRoutes:
    """Takes an operator's acts."""

    def __init__(
        self,
        gate: Gate,
        desk: Desk,
        sources: Sources,
        rendering: Rendering,
        language: str,
        clock: Clock,
    ) -> None:
        self._gate = gate
        self._desk = desk
        self._sources = sources
        self._rendering = rendering
        self._language = language
        self._clock = clock

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.post(ACTS)(self.propose)
        router.post(f"{ACTS}/confirm")(self.confirm)
        router.post(f"{ACTS}/withdraw")(self.withdraw)
        return router

    async def propose(self, request: Request) -> Response:
        """Take the first step and return the dialog for the second."""
        found = await self._meant(request, "propose")
        if isinstance(found, Response):
            return found
        visitor, form = found
        answer = await self._desk.propose(visitor.person, _asked(form))
        if isinstance(answer, Refused):
            return self._toast(request, acting.told(answer, self._t(request)), FORBIDDEN)
        return await self._dialog(request, answer)

    async def confirm(self, request: Request) -> Response:
        """Take the second step and tell what became of it."""
        found = await self._meant(request, "confirm")
        if isinstance(found, Response):
            return found
        visitor, form = found
        result = await self._desk.confirm(visitor.person, form.get("token", ""))
        status = FORBIDDEN if isinstance(result, Refused) else 200
        if isinstance(result, Performed) and result.reference:
            outcome = await self._sources.close_outcome(result.reference)
            if outcome is not None:
                return self._toast(request, acting.closed(result, outcome, self._t(request)))
        return self._toast(request, acting.told(result, self._t(request)), status)

    async def withdraw(self, request: Request) -> Response:
        """Take a proposal back."""
        found = await self._meant(request, "withdraw")
        if isinstance(found, Response):
            return found
        visitor, form = found
        t = self._t(request)
        answer = await self._desk.withdraw(visitor.person, form.get("token", ""))
        if isinstance(answer, Refused):
            return self._toast(request, acting.told(answer, t), FORBIDDEN)
        told = acting.Told(t("withdrawn", what=acting.title_of(answer, t)), "changed")
        return self._toast(request, told)

    async def _meant(self, request: Request, what: str) -> Response | tuple[Visitor, Mapping[str, str]]:
        form = await replies.form_of(request)
        visitor = await self._gate.visitor(request)
        if visitor is None:
            return replies.to_login(request)
        if not await self._gate.is_meant(request, visitor, replies.csrf_given(request, form), what):
            return self._toast(request, acting.told(Refused(Why.CROSS_SITE), self._t(request)), FORBIDDEN)
        if not self._gate.may_try(visitor):
            return self._toast(request, acting.told(Refused(Why.ROLE), self._t(request)), FORBIDDEN)
        return visitor, form

    async def _dialog(self, request: Request, proposal: Proposal) -> Response:
        await self._sources.look((*NEEDED, "foreign"))
        now, t = self._clock(), self._t(request)
        account = self._sources.account.seen.value
        seen = [getattr(self._sources, name).seen for name in NEEDED]
        ages = [each.age_s(now) for each in seen if each.is_stale(now)]
        asked = proposal.request
        text = self._rendering.html(
            "confirm.html",
            replies.language_of(request, self._language),
            title=acting.title_of(asked, t),
            lines=acting.consequences(
                asked,
                views.held(self._sources, now) or (),
                self._sources.foreign.seen.value or (),
                account.equity_usdt if account else None,
                t,
            ),
            stale_since=t("stale_numbers", age=_oldest(ages)) if ages else None,
            seconds=int(CONFIRM_WITHIN_S),
            token=proposal.token,
            label=acting.title_of(asked, t),
            look=acting.look_of(asked.act),
        )
        return replies.html(text)

    def _toast(self, request: Request, told: acting.Told, status: int = 200) -> Response:
        language = replies.language_of(request, self._language)
        text = self._rendering.html("toast.html", language, text=told.text, tone=told.tone)
        # Whatever was asked for with another place in mind, this goes where results are told.
        return replies.html(text, status, **{"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"})

    def _t(self, request: Request) -> acting.Translator:
        return translator(replies.language_of(request, self._language))


def _asked(form: Mapping[str, str]) -> Asked:
    act, symbol = form.get("act", ""), form.get("symbol", "")
    is_whole = is_symbol(symbol) if act == Act.CLOSE else not symbol
    if act not in set(Act) or not is_whole:
        raise Problem(422, "no such act", f"Known acts: {', '.join(Act)}; close needs a symbol.")
    return Asked(Act(act), symbol or None)


def _oldest(ages: list[float | None]) -> str:
    known = [age for age in ages if age is not None]
    return numerals.duration(max(known)) if len(known) == len(ages) else numerals.duration(None)
