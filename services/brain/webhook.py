"""The HTTP edge for alerts: size, proof, fields, rate limit, durable publish, answer. Nothing slow, no
database (P1).

200 means that the broker has confirmed the signal. Everything else is a problem document that says what was
wrong and what to do; TradingView re-sends after a 503 by itself. It must never log or keep a secret.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from services.brain import webhook_docs
from services.brain.alert_body import fields_of
from services.brain.alerts import Receipt, signal_from
from services.brain.doors import DoorClosed, Keys, body_door, outer_doors, require_all
from services.brain.ports import AcceptsSignals
from services.brain.rate_limit import Budget, Claim, RateLimit, claim_of
from services.brain.refusals import BODY_BYTES_MAX, FAULTS, BodyTooLarge, TooMany, problem_of
from shared import crash_points, logs, metrics
from shared.clock import Clock
from shared.errors import BrokerUnavailable
from shared.http_api import json_response, problem_response
from shared.sender import Network, sender_of
from shared.values import Signal

PATH = "/webhook/tradingview"

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
            secrets=(self.keys.webhook_secret, self.keys.api_key),
        )


def add_webhook(app: FastAPI, intake: Intake) -> None:
    """Add the two addresses of the webhook to the application."""

    @app.post(PATH, **webhook_docs.OPEN)
    async def receive(request: Request) -> Response:
        return await _receive(request, None, intake)

    @app.post(PATH + "/{token}", **webhook_docs.WITH_TOKEN)
    async def receive_with_token(request: Request, token: str) -> Response:
        return await _receive(request, token, intake)


async def read_body(request: Request) -> bytes:
    """Return the body of the request.

    Raises:
        BodyTooLarge: as soon as that is certain, by the announced length or by what has come.
    """
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > BODY_BYTES_MAX:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge
    return bytes(body)


async def _receive(request: Request, token: str | None, intake: Intake) -> Response:
    started = time.perf_counter()
    receipt, sender = intake.receipt(), intake.sender(request)
    try:
        signal = _signal(request, token, await read_body(request), intake, receipt)
        await _accept(signal, sender, intake)
    except FAULTS as error:
        if isinstance(error, DoorClosed):
            metrics.AUTH_FAILURES.labels(door=f"webhook_{error.door}").inc()
        full = await intake.rate_limit.take(Claim(budget=Budget.REFUSED, sender=sender))
        return _refused(error if full is None else TooMany(full), receipt)
    except (TooMany, BrokerUnavailable) as error:
        return _refused(error, receipt)
    except ClientDisconnect:
        metrics.WEBHOOK_REQUESTS.labels(status="none", reason="client_left").inc()
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    metrics.WEBHOOK_REQUESTS.labels(status="200", reason="accepted").inc()
    _log.info(
        "signal_accepted", correlation_id=signal.signal_id, symbol=signal.symbol, side=signal.action.value
    )
    answer = json_response(
        {
            "status": "accepted",
            "signal_id": signal.signal_id,
            "symbol": signal.symbol,
            "action": signal.action.value,
        }
    )
    metrics.WEBHOOK_SECONDS.observe(time.perf_counter() - started)
    return answer


def _signal(request: Request, token: str | None, body: bytes, intake: Intake, receipt: Receipt) -> Signal:
    tried = outer_doors(request.headers, token, body, receipt.received_at, intake.keys)
    require_all(tried)
    fields = fields_of(body)
    tried |= body_door(fields, intake.keys)
    require_all(tried or {"none": False})
    return signal_from(fields, receipt)


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
