"""The dashboard's pages, its login, its files and its stream.

It translates between HTTP and the parts of the dashboard; it must never act (`act_routes` does).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from services.notify.config import NotifySettings
from services.notify.dashboard import replies, settings_view, views
from services.notify.dashboard.assets import PREFIX, Assets
from services.notify.dashboard.gate import Gate, Visitor
from services.notify.dashboard.hub import Hub
from services.notify.dashboard.rendering import Rendering
from services.notify.dashboard.sources import Sources
from services.notify.dashboard.stream import EventStream, Mailbox
from services.notify.dashboard.texts import translator
from services.notify.dashboard.views import OUTCOMES, Page, View
from services.notify.people import Why
from services.notify.ports import ServiceFailure
from services.notify.telling.languages import STORIES
from shared.errors import DatabaseUnavailable
from shared.http_api import Problem
from shared.story import tell

SIGNAL_ID_CHARS_MAX = 80
REFUSAL_STATUS = {Why.WRONG_PASSWORD: 401, Why.TOO_OFTEN: 429, Why.CROSS_SITE: 403}
FULL_RETRY_AFTER_S = 30


@dataclass(frozen=True)
class Dashboard:
    """What the routes are made of."""

    settings: NotifySettings
    gate: Gate
    sources: Sources
    rendering: Rendering
    hub: Hub[View]
    assets: Assets


class PageRoutes:
    """Answers everything that changes nothing, and the login."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._its = dashboard

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.get(f"{PREFIX}/{{digest}}/{{name:path}}")(self.asset)
        router.get(replies.LOGIN)(self.login_page)
        router.post(replies.LOGIN)(self.log_in)
        router.post("/dashboard/logout")(self.log_out)
        router.get("/dashboard/session")(self.session)
        router.get("/dashboard/events")(self.events)
        router.get("/dashboard/signals/{signal_id}")(self.story)
        router.get("/dashboard")(self.page)
        router.get("/dashboard/{page}")(self.page)
        return router

    async def asset(self, digest: str, name: str) -> Response:
        """Return a file of the pages."""
        found = self._its.assets.response(digest, name)
        if found is None:
            raise Problem(404, "no such file", f"{name} is no file of the dashboard.")
        return found

    async def login_page(self, request: Request, to: str = replies.HOME) -> Response:
        """Return the login, or the page itself to whoever is logged in."""
        if await self._its.gate.visitor(request) is not None:
            return replies.to_page(replies.own_address(to))
        return self._login(request, to, "operator", None)

    async def log_in(self, request: Request) -> Response:
        """Begin a session."""
        form = await replies.form_of(request)
        name, to = form.get("name", ""), replies.own_address(form.get("to", replies.HOME))
        outcome = await self._its.gate.log_in(request, name, form.get("password", ""))
        if isinstance(outcome, Why):
            return self._login(request, to, name, outcome)
        response = replies.to_page(to)
        hours, is_secure = self._its.settings.dashboard_session_hours, self._its.gate.is_behind_tls(request)
        replies.set_session(response, outcome, hours=hours, is_secure=is_secure)
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session, and the streams that live by it."""
        visitor = await self._its.gate.visitor(request)
        response = replies.to_page(replies.LOGIN)
        if visitor is None:
            return response
        given = replies.csrf_given(request, await replies.form_of(request))
        if not await self._its.gate.is_meant(request, visitor, given, "logout"):
            text = translator(self._language(request))("refused_cross_site")
            raise Problem(403, "not from this page", text)
        await self._its.gate.log_out(visitor)
        self._its.hub.end_session(visitor.key)
        replies.forget_session(response)
        return response

    async def session(self, request: Request) -> Response:
        """Tell a page whether it is still logged in; asking counts as using the session."""
        is_live = await self._its.gate.visitor(request) is not None
        return Response(status_code=204 if is_live else 401, headers=dict(replies.HEADERS))

    async def events(self, request: Request) -> Response:
        """Return the stream of a page's changes."""
        visitor = await self._its.gate.visitor(request)
        if visitor is None:
            return Response(status_code=401, headers=dict(replies.HEADERS))
        if self._its.hub.is_full(for_operator=visitor.is_operator):
            headers = {**replies.HEADERS, "Retry-After": str(FULL_RETRY_AFTER_S)}
            return Response(status_code=503, headers=headers)
        view = self._view(request, visitor, request.query_params.get("page", Page.OVERVIEW.value))
        mailbox = Mailbox(view, visitor.key, visitor.expires_at)
        self._its.hub.join(mailbox)
        headers = {**replies.HEADERS, "X-Accel-Buffering": "no"}
        return EventStream(mailbox, lambda: self._its.hub.leave(mailbox), headers)

    async def page(self, request: Request, page: str = Page.OVERVIEW.value) -> Response:
        """Return a whole page."""
        visitor = await self._its.gate.visitor(request)
        if visitor is None:
            return replies.to_login(request)
        if page not in views.TABS:
            raise Problem(404, "no such page", f"The dashboard has no page {page!r}.")
        view = self._view(request, visitor, page)
        extra = await self._extra(view)
        view = extra.pop("view", view)
        return replies.html(await self._its.rendering.page(view, **self._frame(view, visitor), **extra))

    async def story(self, request: Request, signal_id: str) -> Response:
        """Return a signal's story: a panel for a page's script, else a page of its own."""
        visitor = await self._its.gate.visitor(request)
        if visitor is None:
            return replies.to_login(request)
        view = self._view(request, visitor, Page.STORY.value)
        told = await self._story(signal_id[:SIGNAL_ID_CHARS_MAX], view.language)
        if replies.is_from_script(request):
            text = self._its.rendering.html("story.html", view.language, view=view, is_panel=True, **told)
            return replies.html(text)
        frame = self._frame(view, visitor)
        return replies.html(await self._its.rendering.page(view, is_panel=False, **frame, **told))

    async def _story(self, signal_id: str, language: str) -> Mapping[str, Any]:
        try:
            document = await self._its.sources.story(signal_id)
            chapters = tell(document, STORIES[language])
        except ServiceFailure as failure:
            return {"signal_id": signal_id, "title": signal_id, "fault": failure.detail, "chapters": []}
        return {"signal_id": signal_id, "title": chapters[0].title, "fault": None, "chapters": chapters}

    async def _extra(self, view: View) -> dict[str, Any]:
        if view.page is Page.SYSTEM:
            return {"settings": settings_view.groups_of(self._its.settings)}
        if view.page not in (Page.CHART, Page.SIGNALS):
            return {}
        symbols = await self._symbols()
        if view.page is Page.SIGNALS:
            return {"symbols": symbols, "outcomes": OUTCOMES}
        if view.symbol is None:
            chosen = await self._first_symbol(symbols)
            view = View(view.page, view.language, view.is_operator, chosen)
        return {"symbols": symbols, "view": view}

    async def _symbols(self) -> list[str]:
        try:
            return list(await self._its.sources.symbols())
        except DatabaseUnavailable:
            return []  # the page says of each part that nothing is known

    async def _first_symbol(self, symbols: list[str]) -> str | None:
        held = (await self._its.sources.positions.look()).value or ()
        return next((each.symbol for each in held), symbols[0] if symbols else None)

    def _frame(self, view: View, visitor: Visitor) -> Mapping[str, Any]:
        asked = {"page": view.page.value, "symbol": view.symbol, "outcome": view.outcome}
        query = urlencode({name: value for name, value in asked.items() if value})
        return {
            "visitor": visitor,
            "mode": self._its.settings.mode,
            "events_url": f"/dashboard/events?{query}",
        }

    def _view(self, request: Request, visitor: Visitor, page: str) -> View:
        outcome = request.query_params.get("outcome", "")
        return View(
            page=Page(page) if page in set(Page) else Page.OVERVIEW,
            language=self._language(request),
            is_operator=visitor.is_operator,
            symbol=views.symbol_of(request.query_params.get("symbol", "")),
            outcome=outcome if outcome in OUTCOMES else None,
        )

    def _language(self, request: Request) -> str:
        return replies.language_of(request, self._its.settings.language)

    def _login(self, request: Request, to: str, name: str, why: Why | None) -> Response:
        language = self._language(request)
        text = self._its.rendering.html(
            "login.html",
            language,
            view=View(Page.OVERVIEW, language, is_operator=False),
            to=replies.own_address(to),
            name=name,
            refusal=None if why is None else translator(language)(f"refused_{why}"),
            mode=self._its.settings.mode,
        )
        return replies.html(text, 200 if why is None else REFUSAL_STATUS[why])
