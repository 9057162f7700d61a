"""`GET /audit`: what was done and refused at NOTIFY's doors and through RISK, newest first. It reads only."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Response
from pydantic import SecretStr

from services.notify.desk_store import DeskStore
from services.notify.reports import Reports
from shared.http_api import api_key_guard, json_response

LINES_MAX = 500


def add_audit(app: FastAPI, store: DeskStore, reports: Reports, api_key: SecretStr) -> None:
    """Add the route; it needs the operator's key, for it tells who does what."""

    @app.get(
        "/audit",
        summary="Acts at the chat, the dashboard and RISK, refused ones too, newest first",
        dependencies=[Depends(api_key_guard(api_key))],
        tags=["audit"],
    )
    async def audit(limit: Annotated[int, Query(ge=1, le=LINES_MAX)] = 50) -> Response:
        doors = [{"recorded_by": "notify", **line} for line in await store.newest_acts(limit)]
        acts = [
            {"recorded_by": "risk", "result": "performed", **line} for line in await reports.risk_acts(limit)
        ]
        newest: list[dict[str, Any]] = sorted([*doors, *acts], key=_when, reverse=True)
        return json_response({"acts": newest[:limit]})


def _when(line: dict[str, Any]) -> datetime:
    at = line["at"]
    assert isinstance(at, datetime)
    return at
