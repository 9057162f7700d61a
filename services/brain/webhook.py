"""The HTTP edge for alerts: size, proof, fields, rate limit, durable publish, answer. Nothing slow, no
database (P1).

200 means that the broker has confirmed the signal. Everything else is a problem document that says what was
wrong and what to do; TradingView re-sends after a 503 by itself. It must never log or keep a secret.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from services.brain import webhook_docs
from services.brain.alert_body import AlertFields, MalformedBody, fields_of
from services.brain.alerts import Receipt, signal_from, wanted
from services.brain.doors import (
    DoorClosed,
    Keys,
    body_door,
    header_doors,
    outer_doors,
    require_all,
)
from services.brain.ports import AcceptsSignals
from services.brain.rate_limit import Budget, Claim, RateLimit, claim_of
from services.brain.refusals import (
    BODY_BYTES_MAX,
    DOORS_DIFFER,
    FAULTS,
    BodyTooLarge,
    NoSuchAddress,
    TooMany,
    problem_of,
)
from services.brain.refused_alerts import Refusal
from shared import crash_points, logs, metrics
from shared.clock import Clock
from shared.errors import BrokerUnavailable
from shared.http_api import json_response, problem_response
from shared.sender import Network, sender_of
from shared.values import Signal

ROOT = "/webhook"
PATH = f"{ROOT}/tradingview"
TOO_LARGE_HEADER = "x-body-too-large"
"""nginx took the body of this request for too large and kept it; whoever claims that is refused as well."""
EVERY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What alerts are received with: proofs, limits, defaults, the symbols in force, who makes them
    durable.
    """

    keys: Keys
    instance: str
    known_symbols: Collection[str]
    confidence_default: Decimal
    dedupe_window_s: int
    clock: Clock
    publisher: AcceptsSignals
    rate_limit: RateLimit
    trusted_proxies: Collection[Network]
    note_refused: Callable[[Refusal], None]
    """Takes an alert that carried the right secret and was refused."""

    def sender(self, request: Request) -> str:
        """Return who sent a request."""
        peer = None if request.client is None else request.client.host
        return sender_of(peer, request.headers.get("x-real-ip"), self.trusted_proxies)

    def receipt(self) -> Receipt:
        """Return the circumstances of an alert that comes in now."""
        return Receipt(
            received_at=self.clock(),
            instance=self.instance,
            known_symbols=self.known_symbols,
            confidence_default=self.confidence_default,
            dedupe_window_s=self.dedupe_window_s,
            secrets=self.keys.secrets,
        )


@dataclass
class _Seen:
    """What is known of a request so far, for when it is refused."""

    tried: dict[str, bool] = field(default_factory=dict)
    body: bytes = b""
    fields: AlertFields | None = None


def add_webhook(app: FastAPI, intake: Intake) -> None:
    """Add the two addresses of the webhook to the application, and the answer of all others below it."""

    @app.post(PATH, **webhook_docs.OPEN)
    async def receive(request: Request) -> Response:
        return await _receive(request, None, intake)

    @app.post(PATH + "/{token}", **webhook_docs.WITH_TOKEN)
    async def receive_with_token(request: Request, token: str) -> Response:
        return await _receive(request, token, intake)

    @app.api_route(ROOT, methods=[*EVERY_METHOD], include_in_schema=False)
    @app.api_route(ROOT + "/{rest:path}", methods=[*EVERY_METHOD], include_in_schema=False)
    async def elsewhere(request: Request, rest: str = "") -> Response:
        return await _elsewhere(request, rest, intake)


async def read_body(request: Request) -> bytes:
    """Return the body of the request.

    Raises:
        BodyTooLarge: as soon as that is certain, by the announced length or by what has come.
    """
    announced = request.headers.get("content-length", "")
    is_too_large = announced.isascii() and announced.isdigit() and int(announced) > BODY_BYTES_MAX
    body = bytearray()
    if TOO_LARGE_HEADER in request.headers:
        raise BodyTooLarge
    async for chunk in request.stream():
        body += chunk
        if is_too_large or len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge(bytes(body[:BODY_BYTES_MAX]))
    return bytes(body)


async def _receive(request: Request, token: str | None, intake: Intake) -> Response:
    started = time.perf_counter()
    receipt, sender, seen = intake.receipt(), intake.sender(request), _Seen()
    try:
        signal = await _signal(request, token, intake, receipt, seen)
        await _accept(signal, sender, intake)
    except FAULTS as error:
        if isinstance(error, DoorClosed):
            metrics.AUTH_FAILURES.labels(door=f"webhook_{error.door}").inc()
        _note(error, seen, intake)
        full = await intake.rate_limit.take(Claim(budget=Budget.REFUSED, sender=sender))
        return _refused(error if full is None else TooMany(full), receipt)
    except (TooMany, BrokerUnavailable) as error:
        _note(error, seen, intake)
        return _refused(error, receipt)
    except ClientDisconnect:
        metrics.WEBHOOK_REQUESTS.labels(status="none", reason="client_left").inc()
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    metrics.WEBHOOK_REQUESTS.labels(status="200", reason="accepted").inc()
    _log.info(
        "signal_accepted", correlation_id=signal.signal_id, symbol=signal.symbol, side=signal.action.value
    )
    answer = json_response(_accepted(signal))
    metrics.WEBHOOK_SECONDS.observe(time.perf_counter() - started)
    return answer


def _accepted(signal: Signal) -> dict[str, object]:
    answer: dict[str, object] = {
        "status": "accepted",
        "signal_id": signal.signal_id,
        "symbol": signal.symbol,
        "action": signal.action.value,
    }
    return answer | {"dropped": signal.dropped} if signal.dropped else answer


async def _signal(
    request: Request, token: str | None, intake: Intake, receipt: Receipt, seen: _Seen
) -> Signal:
    seen.tried = header_doors(request.headers, token, intake.keys)
    try:
        body = await read_body(request)
    except BodyTooLarge as error:
        seen.body = error.start
        raise
    seen.body = body
    seen.tried = outer_doors(request.headers, token, body, receipt.received_at, intake.keys)
    require_all(seen.tried)
    seen.fields = fields_of(body)
    seen.tried |= body_door(seen.fields.named, intake.keys)
    require_all(seen.tried or {"none": False})
    return signal_from(seen.fields, receipt)


def _note(error: Exception, seen: _Seen, intake: Intake) -> None:
    """Pass on that an alert with the right secret is refused for good; after a 503 it comes again.

    A right secret beside a wrong one opens nothing, but it shows that the alert is the trader's.
    """
    if isinstance(error, BrokerUnavailable):
        return
    seen.fields = seen.fields or _readable(seen.body)
    tried = seen.tried | (body_door(seen.fields.named, intake.keys) if seen.fields else {})
    if not any(tried.values()):
        return
    problem, reason = problem_of(error)
    detail = DOORS_DIFFER if isinstance(error, DoorClosed) else problem.detail
    action, symbol = wanted(seen.fields, intake.keys.secrets) if seen.fields else (None, None)
    intake.note_refused(
        Refusal(status=problem.status, reason=reason, detail=detail, action=action, symbol=symbol)
    )


def _readable(body: bytes) -> AlertFields | None:
    try:
        return fields_of(body)
    except MalformedBody:
        return None


async def _elsewhere(request: Request, rest: str, intake: Intake) -> Response:
    """Answer what comes to no address of the webhook; a mistyped one may carry the secret as well."""
    kind, _, token = rest.partition("/")
    is_webhook = f"{ROOT}/{kind}" == PATH and "/" not in token
    error = NoSuchAddress("POST" if is_webhook else None)
    if request.method in WITH_BODY:
        seen = _Seen(tried=header_doors(request.headers, rest.rpartition("/")[2] or None, intake.keys))
        seen.body = await _start_of_body(request)
        _note(error, seen, intake)
    full = await intake.rate_limit.take(Claim(budget=Budget.REFUSED, sender=intake.sender(request)))
    response = _refused(error if full is None else TooMany(full), intake.receipt())
    if error.allowed is not None:
        response.headers["Allow"] = error.allowed
    return response


async def _start_of_body(request: Request) -> bytes:
    try:
        return await read_body(request)
    except BodyTooLarge as error:
        return error.start
    except ClientDisconnect:
        return b""


async def _accept(signal: Signal, sender: str, intake: Intake) -> None:
    claim = claim_of(signal, sender)
    full = await intake.rate_limit.take(claim)
    if full is not None:
        raise TooMany(full)
    crash_points.reach("webhook.before_publish")
    try:
        await intake.publisher.accept(signal)
    except BrokerUnavailable:
        await intake.rate_limit.give_back(claim)  # or TradingView's four sends would use up four places
        raise
    crash_points.reach("webhook.confirmed")


def _refused(error: Exception, receipt: Receipt) -> Response:
    problem, reason = problem_of(error, receipt.secrets)
    metrics.WEBHOOK_REQUESTS.labels(status=str(int(problem.status)), reason=reason).inc()
    response = problem_response(problem)
    match error:
        case TooMany(full=full):
            if full.is_news:  # a flood must not flood the log as well; the metric counts every request
                _log.warning("rate_limited", sender=full.claim.sender, key=full.claim.key, limit=full.limit)
        case _:
            _log.warning("alert_refused", status=int(problem.status), reason=reason, title=problem.title)
    if isinstance(error, BodyTooLarge):
        response.headers["Connection"] = "close"  # the rest of an endless body would be read and dropped
    return response
