"""The HTTP side for people and dashboards: signals, their stories, counts, and a score without effect. Read
only.
"""

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from services.brain import webhook_docs
from services.brain.alert_body import AlertFault, MalformedBody, fields_of
from services.brain.alerts import signal_from
from services.brain.flow import BrainFlow
from services.brain.refusals import BodyTooLarge, problem_of
from services.brain.store import BrainReads
from services.brain.webhook import Intake, read_body
from shared.clock import Clock
from shared.http_api import Problem, json_response, problem_response
from shared.symbols import NoSymbol, symbol_of
from shared.values import Action

SIGNALS_PER_PAGE_MAX = 500
STATS_HOURS_MAX = 24 * 30


def add_reads(app: FastAPI, reads: BrainReads, clock: Clock) -> None:
    """Add the GET routes to the application."""

    @app.get("/signals", summary="The newest signals, how they scored and ended", tags=["signals"])
    async def signals(
        limit: Annotated[int, Query(ge=1, le=SIGNALS_PER_PAGE_MAX)] = 50, symbol: str | None = None
    ) -> Response:
        return json_response({"signals": await reads.recent(limit, _named(symbol))})

    @app.get(
        "/signals/{signal_id}", summary="The whole story of a signal, from alert to P&L", tags=["signals"]
    )
    async def one_signal(signal_id: str) -> Response:
        found = await reads.signal(signal_id)
        if found is None:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "signal not known",
                f"No signal {signal_id!r} is recorded. One accepted a moment ago may still be on its way.",
            )
        return json_response(found)

    @app.get("/stats", summary="How signals ended, by outcome and by hour", tags=["signals"])
    async def stats(hours: Annotated[int, Query(ge=1, le=STATS_HOURS_MAX)] = 24) -> Response:
        return json_response(await reads.stats(clock() - timedelta(hours=hours)))


def _named(symbol: str | None) -> str | None:
    try:
        return symbol_of(symbol) if symbol else None
    except NoSymbol as unfit:
        raise Problem(422, "no symbol", str(unfit)) from None


def add_analyze(app: FastAPI, flow: BrainFlow, intake: Intake) -> None:
    """Add the route that scores an entry and trades nothing."""

    @app.post("/analyze", **webhook_docs.ANALYZE)
    async def analyze(request: Request) -> Response:
        receipt = intake.receipt()
        try:
            signal = signal_from(fields_of(await read_body(request)), receipt)
        except (BodyTooLarge, MalformedBody, AlertFault) as error:
            return problem_response(problem_of(error, receipt.secrets)[0])
        if signal.action is Action.EXIT:
            raise Problem(422, "nothing to score", "Exits are carried out without a score; send buy or sell.")
        assessment = await flow.assess(signal)
        if assessment is None:
            raise Problem(
                422, "no price", f"Nobody knows a price of {signal.symbol}; send the field `price`."
            )
        return json_response({"signal": signal, "analysis": assessment.analysis, "edge": assessment.edge})
