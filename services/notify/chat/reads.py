"""What can be looked at from the chat: each question is asked of who knows the answer, and said in short.

The services know live numbers, the reports know what was committed; where a service does not answer, the
report stands in and the reply says so. It reads only.
"""

import asyncio
import platform
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.notify.chat.account_views import Document, close_request, foreign_position
from services.notify.chat.commands import (
    DO,
    MENU,
    NEWEST,
    NUMBERS,
    USAGE,
    Ask,
    Command,
    bare_symbol,
    number_of,
)
from services.notify.chat.texts import Phrases
from services.notify.chat.views import ChatViews
from services.notify.chat.vocabulary import Reply
from services.notify.people import Person, Role
from services.notify.ports import SERVICES, AsksServices, ReadsReports, ServiceFailure
from services.notify.report_rows import Period
from shared.clock import Clock
from shared.headline import Headline, Situation, headline_of
from shared.money import plain
from shared.version import VERSION

PERIODS: Mapping[Ask, tuple[Period, int]] = {
    Ask.DAILY: (Period.DAY, 14),
    Ask.WEEKLY: (Period.WEEK, 12),
    Ask.MONTHLY: (Period.MONTH, 12),
}
"""Which periods, and how many of them."""

STRATEGIES_SHOWN = 20
ID_FRONT = "sig-"
REQUEST_FRONT = "req-"
_ID = re.compile(r"[a-z0-9-]{1,60}")


class ChatReads:
    """Answers every `Ask`."""

    def __init__(
        self, services: AsksServices, reports: ReadsReports, say: Phrases, clock: Clock, mode: str
    ) -> None:
        self._services = services
        self._reports = reports
        self._say = say
        self._clock = clock
        self._mode = mode
        self._views = ChatViews(say)
        periods = dict.fromkeys(PERIODS, self._periods)
        self._answers: Mapping[Ask, Callable[[Command], Awaitable[Reply]]] = {
            Ask.STATUS: self._status,
            Ask.POSITIONS: self._positions,
            Ask.POSITION: self._position,
            Ask.WHY: self._why,
            Ask.SIGNALS: self._signals,
            Ask.PROFIT: self._profit,
            **periods,
            Ask.PERFORMANCE: self._performance,
            Ask.BALANCE: self._balance,
            Ask.RISK: self._risk,
            Ask.LIMITS: self._limits,
            Ask.HEALTH: self._health,
            Ask.VERSION: self._version,
        }

    async def answer(self, ask: Ask, command: Command, person: Person) -> Reply:
        """Return the answer to what was asked.

        Raises:
            DatabaseUnavailable: nobody could answer.
        """
        if ask in (Ask.HELP, Ask.START):
            return self.help(person)
        try:
            return await self._answers[ask](command)
        except ServiceFailure as failure:
            return Reply(failure.detail)

    def help(self, person: Person) -> Reply:
        """Return who asks and what they may type."""
        say = self._say
        name = "operator" if person.role is Role.OPERATOR else "viewer"
        lines = [say(f"you_{name}", name=person.name), ""]
        lines += [f"{USAGE.get(ask, f'/{ask}')} – {say(f'about_{ask}')}" for ask in MENU if ask not in DO]
        lines += ["", say("for_operators")]
        lines += [f"{USAGE.get(act, f'/{act}')} – {say(f'about_{act}')}" for act in DO]
        return Reply(say("help_title"), lines)

    async def positions(self) -> tuple[Sequence[Document], str | None]:
        """Return the open positions, and why their marks are missing if EXECUTE does not tell them."""
        try:
            return (await self._services.get("execute", "/positions"))["positions"], None
        except ServiceFailure as failure:
            return [_as_document(asdict(one)) for one in await self._reports.positions()], failure.detail

    async def foreign(self) -> tuple[Sequence[Document], Sequence[Document]]:
        """Return the positions and the orders on the account that are not ours; EXECUTE's newest record of
        the positions stands in while it does not answer.
        """
        try:
            found = await self._services.get("execute", "/positions")
            return found.get("foreign_positions") or (), found.get("foreign_orders") or ()
        except ServiceFailure:
            return [_as_document(asdict(one)) for one in await self._reports.foreign_positions()], ()

    async def _status(self, _: Command) -> Reply:
        (risk, risk_away), (positions, marks_away), (foreign, _orders) = await asyncio.gather(
            self._account(), self.positions(), self.foreign()
        )
        headline = await self._headline(None if risk_away else risk, risk_away, positions, foreign)
        reply = self._views.status(risk, positions, foreign, headline, self._mode)
        return self._views.noted(reply, risk_away or marks_away)

    async def _headline(
        self,
        risk: Document | None,
        risk_fault: str | None,
        positions: Sequence[Document],
        foreign: Sequence[Document],
    ) -> Headline:
        readiness = await asyncio.gather(*(self._services.readiness(service) for service in SERVICES))
        return headline_of(
            Situation(
                risk=risk,
                readiness=dict(zip(SERVICES, readiness, strict=True)),
                positions=positions,
                foreign=foreign,
                alarms=await self._alarms(),
                faults={"risk": risk_fault or ""},
            )
        )

    async def _alarms(self) -> Sequence[Document]:
        try:
            found: Sequence[Document] = (await self._services.get("notify", "/alarms"))["alarms"]
        except ServiceFailure:
            return ()  # its readiness says that it does not answer
        return found

    async def _account(self) -> tuple[Document, str | None]:
        try:
            return await self._services.get("risk", "/status"), None
        except ServiceFailure as failure:
            return await self._recorded_account(), failure.detail

    async def _recorded_account(self) -> Document:
        account = await self._reports.account()
        now, taken_at = self._clock(), account.snapshot_taken_at
        age_s = None if taken_at is None else str(int((now - taken_at).total_seconds()))
        pnl_usdt, drawdown = account.day_pnl_usdt(now), account.drawdown
        return _as_document(asdict(account)) | {
            "snapshot_age_s": age_s,
            "drawdown": None if drawdown is None else str(drawdown),
            "day_pnl_usdt": None if pnl_usdt is None else str(pnl_usdt),
        }

    async def _positions(self, _: Command) -> Reply:
        (positions, away), (foreign, orders) = await asyncio.gather(self.positions(), self.foreign())
        reply = self._views.positions(positions, self._clock(), foreign, orders)
        return self._views.noted(reply, away)

    async def _position(self, command: Command) -> Reply:
        symbol = bare_symbol(command.arguments[0]) if command.arguments else None
        if symbol is None:
            return self._usage(Ask.POSITION)
        positions, away = await self.positions()
        found = named(positions, symbol)
        if found is None:
            return await self.not_ours_or_open(symbol, positions)
        risk_usdt = {one.signal_id: one.risk_usdt for one in await self._reports.positions()}
        at_risk = risk_usdt.get(found["signal_id"])
        whole = dict(found) | {"risk_usdt": None if at_risk is None else plain(at_risk)}
        return self._views.noted(self._views.position(whole, self._clock()), away)

    def not_open(self, symbol: str, positions: Sequence[Document]) -> Reply:
        """Return that there is no such position, and which there are."""
        others = ", ".join(one["symbol"] for one in positions)
        lines = (self._say("open_are", symbols=others),) if others else ()
        return Reply(self._say("not_open", symbol=symbol), lines)

    async def not_ours_or_open(self, symbol: str, positions: Sequence[Document]) -> Reply:
        """Return that no position of ours is open in a symbol, or the one there that is not ours."""
        foreign, _ = await self.foreign()
        other = named(foreign, symbol)
        return self.not_open(symbol, positions) if other is None else foreign_position(other, self._say)

    async def nothing_open(self) -> Reply:
        """Return that nothing of ours is open, and what is open and not ours."""
        foreign, orders = await self.foreign()
        return self._views.positions((), self._clock(), foreign, orders)

    async def _why(self, command: Command) -> Reply:
        given = command.arguments[0].lower() if command.arguments else NEWEST
        if given == NEWEST:
            newest = await self._reports.newest_signal()
            found: Sequence[str] = () if newest is None else (newest,)
        elif given.startswith(REQUEST_FRONT) and _ID.fullmatch(given):
            path = f"/closes/{given}"
            return close_request(await self._services.get("execute", path), self._say)
        elif _ID.fullmatch(given):
            front = given if given.startswith(ID_FRONT) else ID_FRONT + given
            found = await self._reports.find_signals(front)
        else:
            return self._usage(Ask.WHY)
        if not found:
            return Reply(self._say("no_signals") if given == NEWEST else self._say("no_signal", front=given))
        if len(found) > 1 and given not in found:
            return Reply(self._say("many_signals", front=given))
        signal_id = given if given in found else found[0]
        return self._views.why(await self._services.get("brain", f"/signals/{signal_id}"))

    async def _signals(self, command: Command) -> Reply:
        count = number_of(command, Ask.SIGNALS)
        if count is None:
            return self._usage(Ask.SIGNALS)
        return self._views.signals(await self._reports.signals(count))

    async def _profit(self, command: Command) -> Reply:
        days = number_of(command, Ask.PROFIT)
        if days is None:
            return self._usage(Ask.PROFIT)
        since = self._since(days)
        strategies = await self._reports.results_by_strategy(since, STRATEGIES_SHOWN)
        return self._views.profit(await self._reports.totals(since), strategies, days)

    async def _periods(self, command: Command) -> Reply:
        ask = Ask(command.name)
        period, count = PERIODS[ask]
        return self._views.periods(ask, await self._reports.results_by_period(period, count))

    async def _performance(self, command: Command) -> Reply:
        days = number_of(command, Ask.PERFORMANCE)
        if days is None:
            return self._usage(Ask.PERFORMANCE)
        results = await self._reports.results_by_strategy(self._since(days), STRATEGIES_SHOWN)
        return self._views.performance(results, days)

    async def _balance(self, _: Command) -> Reply:
        (risk, risk_away), (positions, marks_away) = await asyncio.gather(self._account(), self.positions())
        return self._views.noted(self._views.balance(risk, positions), risk_away or marks_away)

    async def _risk(self, _: Command) -> Reply:
        return self._views.risk(await self._services.get("risk", "/status"))

    async def _limits(self, _: Command) -> Reply:
        return self._views.limits(await self._services.get("risk", "/status"))

    async def _health(self, _: Command) -> Reply:
        found = await asyncio.gather(*(self._services.readiness(service) for service in SERVICES))
        return self._views.health(dict(zip(SERVICES, found, strict=True)))

    async def _version(self, _: Command) -> Reply:
        line = self._say("python_line", python=platform.python_version(), mode=self._mode)
        return Reply(self._say("version_title", version=VERSION), (line,))

    def _usage(self, ask: Ask) -> Reply:
        limits = f" (1–{NUMBERS[ask][1]})" if ask in NUMBERS else ""
        return Reply(self._say("usage", example=USAGE[ask] + limits))

    def _since(self, days: int) -> datetime:
        return self._clock() - timedelta(days=days)


def named(positions: Sequence[Document], symbol: str) -> Document | None:
    """Return the position of a symbol; `BTC` finds `BTCUSDT` when that is open."""
    for spelled in (symbol, f"{symbol}USDT"):
        for one in positions:
            if one["symbol"] == spelled:
                return one
    return None


def _as_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a report as the services' documents have it: decimal text, ISO times, no marks."""
    document: dict[str, Any] = dict.fromkeys(("mark_price", "unrealised_pnl_usdt", "liquidation_price"))
    for name, value in row.items():
        if isinstance(value, Decimal):
            document[name] = plain(value)
        else:
            document[name] = value.isoformat() if isinstance(value, datetime) else value
    return document
