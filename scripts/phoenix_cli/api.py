"""HTTP to the services, with every bad answer turned into a failure that says what to do.

It must never re-send a request that changes something, and never show a key.
"""

from types import TracebackType
from typing import Any, Self

import httpx

from scripts.phoenix_cli.failures import Refused, Unreachable
from scripts.phoenix_cli.installation import PROCESSES, Installation

REQUEST_TIMEOUT_S = 5.0
KEY_HEADER = "X-API-Key"
WEBHOOK_PATH = "/webhook/tradingview"
VIRTUAL_HOST_IN_URL = "%2Ftrading"
DEAD_STATES = frozenset({"down", "crashed", "stopped"})


class Api:
    """The services of one installation. Open it with `with`."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._client = httpx.Client(timeout=REQUEST_TIMEOUT_S, trust_env=False)  # no proxy to our own machine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, service: str, path: str, **parameters: str | int) -> Any:
        """Return the JSON a service answers.

        Raises:
            Refused: it answered with a problem.
            Unreachable: it did not answer.
        """
        url = f"{self._installation.url(service)}{path}"
        return _checked(self._send("GET", url, service, params=parameters))

    def post(self, service: str, path: str, body: object) -> Any:
        """Post as the operator, and return the JSON the service answers. Raises as `get` does."""
        headers = {KEY_HEADER: self._installation.value("PHOENIX_API_KEY")}
        url = f"{self._installation.url(service)}{path}"
        return _checked(self._send("POST", url, service, json=body, headers=headers))

    def send_alert(self, alert: dict[str, str]) -> Any:
        """Send a webhook through the front door, as TradingView does. Raises as `get` does."""
        url = f"{self._installation.url('public')}{WEBHOOK_PATH}"
        body = alert | {"secret": self._installation.value("PHOENIX_WEBHOOK_SECRET")}
        return _checked(self._send("POST", url, "the webhook", json=body))

    def readiness(self, service: str) -> dict[str, Any]:
        """Return a service's readiness; one that does not answer is not ready, and `reached` is False."""
        assert service in PROCESSES
        try:
            answer = self._send("GET", f"{self._installation.url(service)}/ready", service)
        except Unreachable as failure:
            return {"reached": False, "ready": False, "dependencies": {"process": failure.detail}}
        found = _json_of(answer)
        if not isinstance(found, dict) or "ready" not in found:
            return {
                "reached": False,
                "ready": False,
                "dependencies": {"process": f"HTTP {answer.status_code}"},
            }
        return {"reached": True, **found}

    def queues(self) -> list[dict[str, Any]] | None:
        """Return the broker's queues with their depth; None when there is no management API to ask."""
        url = self._installation.management_url
        if url is None:
            return None
        found = _checked(self._send("GET", f"{url}/api/queues/{VIRTUAL_HOST_IN_URL}", "the broker"))
        return [
            {
                "name": queue["name"],
                "depth": queue.get("messages"),
                "consumers": queue.get("consumers"),
                "dead": _is_dead(queue),
            }
            for queue in found
        ]

    def broker_version(self) -> str | None:
        """Return the broker's version; None when there is no management API to ask. Raises as `get` does."""
        url = self._installation.management_url
        if url is None:
            return None
        return str(_checked(self._send("GET", f"{url}/api/overview", "the broker")).get("rabbitmq_version"))

    def broker_alarms(self) -> list[str]:
        """Return the alarms that stand at the broker, in words. Raises as `get` does."""
        url = self._installation.management_url
        if url is None:
            return []
        answer = self._send("GET", f"{url}/api/health/checks/alarms", "the broker")
        if answer.is_success:
            return []
        found = _json_of(answer)
        alarms = found.get("alarms") if isinstance(found, dict) else None
        named = [str(each.get("resource") or each) for each in alarms or () if isinstance(each, dict)]
        return named or [
            str(found.get("reason")) if isinstance(found, dict) else f"HTTP {answer.status_code}"
        ]

    def webhook_status(self) -> int:
        """Return the HTTP status of a GET on the webhook, which takes POST only: nothing is let in.

        Raises:
            Unreachable: nobody answers there.
        """
        url = f"{self._installation.url('public')}{WEBHOOK_PATH}"
        return self._send("GET", url, "the webhook").status_code

    def text(self, service: str, path: str) -> str:
        """Return what a service answers as text. Raises as `get` does."""
        answer = self._send("GET", f"{self._installation.url(service)}{path}", service)
        if not answer.is_success:
            raise Refused(
                f"HTTP {answer.status_code}", f"{service} does not give {path}.", answer.status_code
            )
        return answer.text

    def _send(self, method: str, url: str, who: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, url, **content)
        except httpx.TimeoutException as error:
            raise Unreachable(
                f"{who} does not answer", f"No answer within {REQUEST_TIMEOUT_S:g} s."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"{who} cannot be reached",
                f"{type(error).__name__} at {_address(url)}. Not running? ./scripts/start.sh starts Phoenix.",
            ) from error


def _is_dead(queue: dict[str, Any]) -> bool:
    """Tell whether a queue is only a name: the broker says so, or knows no replica that is online."""
    return queue.get("state") in DEAD_STATES or (queue.get("type") == "quorum" and queue.get("online") == [])


def _checked(answer: httpx.Response) -> Any:
    found = _json_of(answer)
    if answer.is_success and found is not None:
        return found
    problem = found if isinstance(found, dict) else {}
    title = str(problem.get("title") or f"HTTP {answer.status_code}")
    detail = str(problem.get("detail") or "The answer is not what this command understands.")
    for error in problem.get("errors") or ():
        detail += f"\n  {error.get('field')}: {error.get('message')}"
    raise Refused(title, detail, answer.status_code)


def _json_of(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _address(url: str) -> str:
    """Return host and port of a URL, without the credentials it may carry."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return "an address that is not a URL"
    return f"{parts.host}:{parts.port}"
