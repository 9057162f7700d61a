"""The other services over HTTP, through nginx: what an operator asks of them and what only they can tell.

A request that changes something is sent once; a lost answer is reported as such. It must never show a key.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from services.notify.ports import ServiceFailure
from shared.http_api import ACTOR_HEADER, KEY_HEADER
from shared.supervision import within
from shared.values import TradingState

REQUEST_TIMEOUT_S = 5.0
"""For the whole request; the client's own time-out would begin anew with every byte that arrives."""
CONNECT_TIMEOUT_S = 2.0
"""Shorter than the whole, so that what was never reached is known as such."""
CONNECTIONS_MAX = 10


class ServiceClient:
    """The other services as their operators see them. Open it with `async with`; opening calls nobody."""

    def __init__(self, urls: Mapping[str, str], api_key: SecretStr) -> None:
        self._urls = {name: url.rstrip("/") for name, url in urls.items()}
        self._api_key = api_key
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(REQUEST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S),
            trust_env=False,  # no proxy to our own machine
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def set_state(self, state: TradingState, actor: str, reason: str) -> None:
        """Have RISK change the trading state; raises `ServiceFailure`."""
        await self._post("risk", "/update", {"state": state.value, "reason": reason}, actor)

    async def close(self, symbol: str | None, actor: str, reason: str) -> str:
        """Have EXECUTE close one position or all; return the request's id. Raises `ServiceFailure`."""
        answer = await self._post("execute", "/close", {"symbol": symbol, "reason": reason}, actor)
        if "request_id" not in answer:
            raise ServiceFailure("execute: an answer without a request id", may_be_done=True)
        return str(answer["request_id"])

    async def get(self, service: str, path: str, **parameters: str | int) -> dict[str, Any]:
        """Return the JSON document a service answers; raises `ServiceFailure`."""
        return _checked(service, await self._send("GET", service, path, params=parameters))

    async def readiness(self, service: str) -> dict[str, Any]:
        """Return a service's readiness; one that does not answer is not ready."""
        try:
            found = (await self._send("GET", service, "/ready")).json()
        except (ServiceFailure, ValueError) as failure:
            return {"ready": False, "dependencies": {"process": str(failure)}}
        return found if isinstance(found, dict) else {"ready": False, "dependencies": {}}

    async def _post(self, service: str, path: str, body: Mapping[str, object], actor: str) -> dict[str, Any]:
        headers = {KEY_HEADER: self._api_key.get_secret_value(), ACTOR_HEADER: actor}
        return _checked(service, await self._send("POST", service, path, json=body, headers=headers))

    async def _send(self, method: str, service: str, path: str, **content: Any) -> httpx.Response:
        try:
            return await within(
                REQUEST_TIMEOUT_S, self._http.request(method, f"{self._urls[service]}{path}", **content)
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ServiceFailure(f"{service} cannot be reached", may_be_done=False) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise ServiceFailure(
                f"{service} did not answer: {type(error).__name__}", may_be_done=True
            ) from error


def _checked(service: str, answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if answer.is_success and isinstance(found, dict):
        return found
    problem = found if isinstance(found, dict) else {}
    told = problem.get("detail") or problem.get("title") or f"HTTP {answer.status_code}"
    # Only a 4xx is the service's own no; anything else may come from between us and it, after it was done.
    raise ServiceFailure(f"{service}: {told}", may_be_done=not answer.is_client_error)
