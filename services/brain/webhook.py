"""The HTTP edge for alerts: size, proof, fields, durable publish, answer. Nothing slow, no database, no Redis
(P1).

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
from services.brain.alert_body import MASK, AlertFault, MalformedBody, fields_of
from services.brain.alerts import Receipt, signal_from
from services.brain.doors import DoorClosed, Keys, body_door, outer_doors, require_all
from services.brain.ports import AcceptsSignals
from shared import crash_points, logs, metrics
from shared.clock import Clock
from shared.errors import BrokerUnavailable
from shared.http_api import Problem, json_response, problem_response
from shared.values import Signal

BODY_BYTES_MAX = 16 * 1024
PATH = "/webhook/tradingview"

_log = logs.get(__name__)


class BodyTooLarge(Exception):
    """More bytes than an alert may have."""


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What alerts are received with: proofs, defaults, the symbols in force, and who makes them durable."""

    keys: Keys
    instance: str
    known_symbols: Collection[str]
    confidence_default: Decimal
    dedupe_window_s: int
    clock: Clock
    publisher: AcceptsSignals

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


def problem_of(error: Exception, secrets: tuple[str, ...] = ()) -> tuple[Problem, str]:
    """Return how a refused alert is answered, and a short reason for the metric."""
    match error:
        case BodyTooLarge():
            detail = f"An alert has at most {BODY_BYTES_MAX} bytes; shorten the message."
            return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "alert too large", detail), "too_large"
        case DoorClosed(door=door):
            return Problem(HTTPStatus.UNAUTHORIZED, "secret missing or wrong", _PROOFS), f"door_{door}"
        case MalformedBody():
            detail = f"{error}. Quote every placeholder and send one JSON object."
            return Problem(HTTPStatus.BAD_REQUEST, "not a JSON object", detail), "malformed"
        case AlertFault(field=field):
            given = None if error.given is None else _masked(error.given, secrets)
            return (
                Problem(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    "alert does not fit",
                    _masked(str(error), secrets),
                    field=field,
                    given=given,
                    advice=error.advice,
                ),
                field,
            )
        case BrokerUnavailable():
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "alert not durable", _AGAIN), "broker"
    raise error


_PROOFS = (
    "Prove who you are with one of: the body field `secret`, the address /webhook/tradingview/{secret}, the"
    " header X-Signature (hex HMAC-SHA256 of X-Timestamp, a dot and the body), or the operator's X-API-Key."
    " The secret is PHOENIX_WEBHOOK_SECRET in phoenix.env."
)
_AGAIN = (
    "The message broker did not confirm the alert, so it is not accepted. Send it again: TradingView does so"
    " by itself, and an alert that was stored after all is recognised."
)


async def _receive(request: Request, token: str | None, intake: Intake) -> Response:
    started = time.perf_counter()
    receipt = intake.receipt()
    try:
        signal = _signal(request, token, await read_body(request), intake, receipt)
        crash_points.reach("webhook.before_publish")
        await intake.publisher.accept(signal)
        crash_points.reach("webhook.confirmed")
    except (BodyTooLarge, DoorClosed, MalformedBody, AlertFault, BrokerUnavailable) as error:
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


def _refused(error: Exception, receipt: Receipt) -> Response:
    problem, reason = problem_of(error, receipt.secrets)
    metrics.WEBHOOK_REQUESTS.labels(status=str(int(problem.status)), reason=reason).inc()
    if isinstance(error, DoorClosed):
        metrics.AUTH_FAILURES.labels(door=f"webhook_{error.door}").inc()
    _log.warning("alert_refused", status=int(problem.status), reason=reason, title=problem.title)
    return problem_response(problem)


def _masked(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
