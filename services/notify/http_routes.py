"""NOTIFY's HTTP side: alerts in, notifications out.

It must never send anything itself: an alert over HTTP takes the same way as a fact from a queue.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from pydantic import SecretStr

from services.notify.alarms import AlarmBook
from services.notify.alert_intake import AlertmanagerWebhook, OwnAlert, envelopes
from services.notify.ports import TellsFact
from services.notify.store import NotificationStore
from shared.clock import Clock
from shared.http_api import api_key_guard, json_response
from shared.values import Severity

NOTIFICATIONS_MAX = 500
SOURCE = "http"


def add_routes(
    app: FastAPI,
    tell: TellsFact,
    store: NotificationStore,
    alarms: AlarmBook,
    api_key: SecretStr,
    clock: Clock,
) -> None:
    """Add `POST /alert`, `GET /alarms` and `GET /notifications`."""

    @app.post(
        "/alert",
        status_code=202,
        summary="Tell the operator something; also takes Alertmanager's webhook",
        dependencies=[Depends(_operator_guard(api_key))],
        tags=["notifications"],
    )
    async def alert(body: OwnAlert | AlertmanagerWebhook) -> Response:
        if isinstance(body, AlertmanagerWebhook):
            await alarms.note(body)
        told = list(envelopes(body, clock()))
        for envelope in told:
            await tell(SOURCE, envelope)
        return json_response({"event_ids": [envelope.event_id for envelope in told]}, 202)

    @app.get("/alarms", summary="The alarms that are active, the most severe first", tags=["notifications"])
    async def active() -> Response:
        return json_response({"alarms": [alarm._asdict() for alarm in await alarms.active()]})

    @app.get(
        "/notifications", summary="The newest notifications and what became of them", tags=["notifications"]
    )
    async def notifications(
        limit: Annotated[int, Query(ge=1, le=NOTIFICATIONS_MAX)] = 50,
        severity: Severity | None = None,
        correlation_id: str | None = None,
    ) -> Response:
        return json_response({"notifications": await store.latest(limit, severity, correlation_id)})


def _operator_guard(api_key: SecretStr) -> Callable[..., Awaitable[None]]:
    """Take the operator's key from `X-API-Key`, or as bearer token: older Alertmanagers send nothing else."""
    by_key = api_key_guard(api_key)

    async def guard(
        request: Request,
        x_api_key: Annotated[str | None, Header()] = None,
        authorization: Annotated[str | None, Header()] = None,
    ) -> None:
        scheme, _, token = (authorization or "").partition(" ")
        await by_key(request, x_api_key or (token if scheme.lower() == "bearer" else None))

    return guard
