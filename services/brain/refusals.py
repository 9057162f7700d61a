"""How an alert that is not taken is answered: a problem document that says what was wrong and what to do.

It must never show a secret, nor say more to whoever does not have one than that it is missing.
"""

import math
from http import HTTPStatus

from services.brain.alert_body import AlertFault, MalformedBody, masked
from services.brain.doors import DoorClosed
from services.brain.rate_limit import Budget, Full
from shared.errors import BrokerUnavailable
from shared.http_api import Problem

BODY_BYTES_MAX = 16 * 1024


class BodyTooLarge(Exception):
    """More bytes than an alert may have; `start` is what came of them."""

    def __init__(self, start: bytes = b"") -> None:
        super().__init__(f"more than {BODY_BYTES_MAX} bytes")
        self.start = start


class NoSuchAddress(Exception):
    """Nothing below /webhook takes this method at this address; `allowed` are the methods it does take."""

    def __init__(self, allowed: str | None) -> None:
        super().__init__(allowed)
        self.allowed = allowed


class TooMany(Exception):
    """More requests of one sender than the limit allows."""

    def __init__(self, full: Full) -> None:
        super().__init__(f"no place for {full.claim.key} within {full.wait_s:.1f} s")
        self.full = full


FAULTS = (BodyTooLarge, DoorClosed, MalformedBody, AlertFault)
"""What is wrong with the request itself, whenever it comes."""


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
            return _unfit(error, secrets), field
        case NoSuchAddress(allowed=None):
            return Problem(HTTPStatus.NOT_FOUND, "no such address", _ADDRESSES), "address"
        case NoSuchAddress():
            return Problem(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed", _ADDRESSES), "method"
        case TooMany(full=full):
            return _too_many(full), f"rate_{full.claim.budget}"
        case BrokerUnavailable():
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "alert not durable", _AGAIN), "broker"
    raise error


DOORS_DIFFER = (
    "it carries the right secret in one place and a wrong one in another; every proof that is presented must"
    " be right."
)
_ADDRESSES = "Send alerts with POST to /webhook/tradingview or /webhook/tradingview/{secret}."
_PROOFS = (
    "Prove who you are with one of: the body field `secret`, the address /webhook/tradingview/{secret}, the"
    " header X-Signature (hex HMAC-SHA256 of X-Timestamp, a dot and the body), or the operator's X-API-Key."
    " The secret is PHOENIX_WEBHOOK_SECRET in phoenix.env."
)
_AGAIN = (
    "The message broker did not confirm the alert, so it is not accepted. Send it again: TradingView does so"
    " by itself, and an alert that was stored after all is recognised."
)
_TOO_MANY = {
    Budget.REFUSED: (
        "{limit} requests from {sender} were refused within a minute, and this one is wrong too: it is no"
        " alert that fits, or comes without the secret. What is wrong will be said again in {wait_s} s."
        " Alerts that fit and carry the secret are counted apart and are still taken."
    ),
    Budget.ENTRIES: (
        "{limit} entries came from {sender} within a minute, counted over all replicas. This one was not"
        " taken and will not be traded: TradingView does not send it again after a 429. There is a place"
        " again in {wait_s} s. Exits are counted apart and are still taken. If so many entries are meant,"
        " raise PHOENIX_RATE_LIMIT_PER_MINUTE; behind a tunnel all senders share one address."
    ),
    Budget.EXITS: (
        "{limit} exits of {symbol} were taken from {sender} within a minute. This one was not, and"
        " TradingView does not send it again after a 429. If a position of {symbol} still stands, send the"
        " exit again in {wait_s} s or close it now with `phoenix.py close {symbol}`. The exits of other"
        " symbols are counted apart."
    ),
}


def _unfit(fault: AlertFault, secrets: tuple[str, ...]) -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "alert does not fit",
        masked(str(fault), secrets),
        field=fault.field,
        given=None if fault.given is None else masked(fault.given, secrets),
        advice=fault.advice,
    )


def _too_many(full: Full) -> Problem:
    wait_s, claim = math.ceil(full.wait_s), full.claim
    detail = _TOO_MANY[claim.budget].format(
        limit=full.limit, sender=claim.sender, symbol=claim.symbol, wait_s=wait_s
    )
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many requests", detail, retry_after_s=wait_s)
