"""What every service's HTTP side has: health, readiness, metrics, problem documents, the operator's key.

It must never know a route of a particular service.
"""

import hmac
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any

import prometheus_client
from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from pydantic import AfterValidator, SecretStr
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import logs, metrics
from shared.codec import encode_value
from shared.errors import DependencyDown, ExchangeRefused
from shared.host_names import may_be_asked
from shared.lifecycle import Runtime
from shared.storable import without_surrogates

KEY_HEADER = "X-API-Key"
ACTOR_HEADER = "X-Actor"
PROBLEM_MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
HOST_CHARS_LOGGED_MAX = 100
ACTOR_CHARS_MAX = 64
DOCS_FILES = "/docs/files"
"""What the page /docs loads; nothing of it comes from the internet."""

_NO_ACTOR = re.compile(r"[^\w.:@+-]")

_log = logs.get(__name__)


Actor = Annotated[
    str,
    Header(
        alias=ACTOR_HEADER,
        pattern=r"^[\w.:@+-]{1,64}$",
        description="Who asks, for the audit log, such as telegram:42; believed, because the key is.",
    ),
]
AnyActor = Annotated[
    str,
    Header(alias=ACTOR_HEADER, description="Who asks, for the audit log; an unfit name holds up nothing."),
    AfterValidator(lambda name: _NO_ACTOR.sub("_", name)[:ACTOR_CHARS_MAX]),
]


class Problem(Exception):
    """An answer that says what was wrong and what to do (RFC 9457).

    With status 429 and 503 it also says after how many seconds to try again.
    """

    def __init__(
        self, status: int, title: str, detail: str, *, retry_after_s: int = RETRY_AFTER_S, **extra: object
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra


FOREIGN_NAME = Problem(
    HTTPStatus.MISDIRECTED_REQUEST,
    "not under this name",
    "Ask with an IP address, localhost or a local name, such as http://127.0.0.1:8100: under a domain only "
    "/webhook, /health and /dashboard answer.",
)
NUL_IN_ADDRESS = Problem(HTTPStatus.BAD_REQUEST, "unusable address", "The address holds a NUL (%00).")
_SLASHES = re.compile("/{2,}")


def problem_response(problem: Problem) -> Response:
    """Return the problem as an HTTP response."""
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **problem.extra,
    }
    headers = {"Retry-After": str(problem.retry_after_s)} if problem.status in (429, 503) else None
    return Response(
        encode_value(without_surrogates(body)),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def json_response(value: object, status: int = 200) -> Response:
    """Return any value of the vocabulary as a JSON response, money as strings."""
    return Response(encode_value(value), status_code=status, media_type="application/json")


def create_app(runtime: Runtime, title: str, description: str) -> FastAPI:
    """Return an application with the routes and error documents that every service has."""
    app = FastAPIOffline(
        title=f"Phoenix 95 {title}",
        description=description,
        version="1",
        redoc_url=None,
        static_url=DOCS_FILES,
        redirect_slashes=False,
    )
    _add_problem_handlers(app)
    app.add_middleware(LocalNamesOnly)
    app.add_middleware(OneSpelling)  # outermost: whoever looks at the path looks at this one

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Alive: the event loop answers", tags=["process"])
    async def health() -> dict[str, str]:
        return {"status": "ok", "service": runtime.name, "instance": str(runtime.instance)}

    @app.head("/ready", include_in_schema=False)
    @app.get(
        "/ready", summary="Ready: every dependency answers and consumers are registered", tags=["process"]
    )
    async def ready() -> Response:
        found = await runtime.readiness()
        is_ready = all(answer == "ok" for answer in found.values())
        told = {
            "ready": is_ready,
            "mode": runtime.mode,
            "dependencies": found,
            "degraded": runtime.degraded(),
        }
        return json_response(told, 200 if is_ready else 503)

    @app.get("/metrics", summary="Prometheus metrics of this instance", tags=["process"])
    async def scrape() -> Response:
        return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    return app


class OneSpelling:
    """Middleware: doubled and trailing slashes of a path mean nothing.

    A redirect instead would send a webhook's secret back in its `Location`, and TradingView follows none. An
    address with a NUL names nothing that a database could look for.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the one spelling of its path."""
        if scope["type"] == "http":
            path = _SLASHES.sub("/", scope["path"])
            scope["path"] = path.rstrip("/") or "/"
            if "\0" in path or b"%00" in scope["query_string"]:
                metrics.HTTP_REFUSED.labels(status="400").inc()
                await problem_response(NUL_IN_ADDRESS)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class LocalNamesOnly:
    """Middleware: a request under a name that a web page could have is not answered (`shared.host_names`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if not may_be_asked(scope["path"], host):
                _log.warning("foreign_host_name_refused", host=host[:HOST_CHARS_LOGGED_MAX])
                await problem_response(FOREIGN_NAME)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def same_secret(given: str, expected: str) -> bool:
    """Compare two secrets in constant time; `given` may hold anything that JSON can, lone surrogates too."""
    return hmac.compare_digest(given.encode(errors="surrogatepass"), expected.encode())


def api_key_guard(expected: SecretStr) -> Callable[..., Awaitable[None]]:
    """Return a FastAPI dependency that lets a request pass only with the operator's key in `X-API-Key`."""

    async def guard(request: Request, x_api_key: str | None = Header(default=None)) -> None:
        if x_api_key is None or not same_secret(x_api_key, expected.get_secret_value()):
            door = request.scope[
                "route"
            ].path  # the template: a caller must not be able to invent label values
            metrics.AUTH_FAILURES.labels(door=door).inc()
            _log.warning("operator_key_refused", path=door)
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "operator key missing or wrong",
                "Send the header X-API-Key with the value of PHOENIX_API_KEY (in phoenix.env).",
            )

    return guard


def _add_problem_handlers(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def told(_: Request, problem: Problem) -> Response:
        return problem_response(problem)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        errors: list[dict[str, Any]] = [
            {"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
            for item in error.errors()
        ]
        return problem_response(
            Problem(
                422, "request does not fit", "See `errors` for each field and what is wrong.", errors=errors
            )
        )

    @app.exception_handler(DependencyDown)
    async def dependency_down(_: Request, error: DependencyDown) -> Response:
        return problem_response(
            Problem(503, f"{error.dependency} is away", f"{error}. Nothing was changed; try again shortly.")
        )

    @app.exception_handler(ExchangeRefused)
    async def refused(_: Request, error: ExchangeRefused) -> Response:
        return problem_response(Problem(422, "the exchange refused", str(error), exchange_code=error.code))

    @app.exception_handler(StarletteHTTPException)
    async def plain_http(_: Request, error: StarletteHTTPException) -> Response:
        title = HTTPStatus(error.status_code).phrase
        detail, headers = str(error.detail), dict(error.headers or {})
        if allowed := headers.get("Allow", headers.get("allow")):
            detail = f"This address takes {allowed} only."
        elif error.status_code == HTTPStatus.NOT_FOUND and detail == title:
            detail = "Nothing has this address; /docs lists what there is."
        metrics.HTTP_REFUSED.labels(status=str(error.status_code)).inc()
        response = problem_response(Problem(error.status_code, title, detail))
        response.headers.update(headers)
        return response

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        route = request.scope.get("route")  # its template: a path may hold the webhook's secret
        _log.error("request_failed", route=getattr(route, "path", None), error=repr(error))
        return problem_response(
            Problem(
                500, "fault of ours", "What was asked may be done or not. The log of this service says more."
            )
        )
