"""What an exchange error means for us, by raw code and text: the library's classes blur what we must tell
apart.

A table, first match wins. Pure. The question it answers: was the request executed — surely not, surely
refused, or unknown? Unknown is never treated as failed (P6).
"""

from dataclasses import dataclass
from enum import StrEnum

from services.execute.call_gate import BAN_S_MIN
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExecutionUnknown, PhoenixError
from shared.storable import storable


class ErrorKind(StrEnum):
    """What to do about it."""

    NOT_EXECUTED = "not_executed"  # surely not executed, may work later
    UNKNOWN = "unknown"  # may have been executed: look it up
    REFUSED = "refused"  # terminal for this request
    DUPLICATE_ID = "duplicate_id"  # an order with this client id is there: fetch it
    WOULD_TRIGGER = "would_trigger"  # the price is already past the trigger
    NOT_FOUND = "not_found"  # no such order (right after placing it may still appear)
    NOTHING_TO_REDUCE = "nothing_to_reduce"  # reduce-only without a position
    ALREADY_SO = "already_so"  # the setting is as asked
    STOP_CALLING = "stop_calling"  # rate limit or ban
    CLOCK_SKEW = "clock_skew"  # outside recvWindow: surely not executed
    STALE_RULES = "stale_rules"  # breaks a rule of the symbol: our copy of its rules is old, read them again


@dataclass(frozen=True, kw_only=True)
class VenueFailure:
    """An error answer: HTTP status, the exchange's code (0: none) and text; status 0 when no answer came.

    The text is one that can be kept and sent: no word of the exchange may stop what has to be done about it.
    """

    status: int
    code: int
    text: str
    was_sent: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", storable(self.text))


RULE_CODES = (
    -1013,  # a filter of the symbol, in the words of older endpoints
    -1111,  # more decimals than the symbol has
    -1121,  # no such symbol: delisted, or renamed
    -2027,  # the position exceeds what its leverage allows: the brackets changed
    -4001,  # price below zero
    -4002,  # price above the highest
    -4003,  # quantity below zero
    -4004,  # quantity below the least
    -4005,  # quantity above the most, or above the most of a market order
    -4006,  # trigger price below zero
    -4007,  # trigger price above the highest
    -4013,  # price below the lowest
    -4014,  # price off the tick
    -4023,  # quantity off the step
    -4028,  # leverage above what the symbol allows: the brackets changed
    -4029,  # more decimals than the tick has
    -4030,  # more decimals than the step has
    -4108,  # the symbol is being delivered or settled, or does not trade yet
    -4140,  # the symbol's status allows no new position
    -4141,  # the symbol is closed
    -4164,  # notional below the least
)
"""Refusals that say: what you know of this symbol is not so any more."""

BY_CODE: dict[int, ErrorKind] = {
    -4116: ErrorKind.DUPLICATE_ID,
    -20132: ErrorKind.DUPLICATE_ID,
    -2021: ErrorKind.WOULD_TRIGGER,
    -2011: ErrorKind.NOT_FOUND,
    -2013: ErrorKind.NOT_FOUND,
    -20124: ErrorKind.NOT_FOUND,
    -2022: ErrorKind.NOTHING_TO_REDUCE,
    -4046: ErrorKind.ALREADY_SO,
    -4059: ErrorKind.ALREADY_SO,
    -1003: ErrorKind.STOP_CALLING,
    -1015: ErrorKind.STOP_CALLING,
    -1021: ErrorKind.CLOCK_SKEW,
    -1001: ErrorKind.NOT_EXECUTED,
    -1008: ErrorKind.NOT_EXECUTED,
    -4117: ErrorKind.NOT_EXECUTED,  # the stop is firing right now: nothing to place or cancel for the moment
    -1000: ErrorKind.UNKNOWN,
    -1006: ErrorKind.UNKNOWN,
    -1007: ErrorKind.UNKNOWN,
    **dict.fromkeys(RULE_CODES, ErrorKind.STALE_RULES),
}

NOT_EXECUTED_TEXTS = frozenset(
    {"service unavailable.", "internal error; unable to process your request. please try again."}
)
"""The exchange's exact words: a gateway's error page that merely contains them proves nothing."""


def classify(failure: VenueFailure) -> ErrorKind:
    """Return what `failure` means. In doubt it is UNKNOWN."""
    if not failure.was_sent:
        return ErrorKind.NOT_EXECUTED
    if failure.status in (418, 429):
        return ErrorKind.STOP_CALLING
    if failure.code in BY_CODE:
        return BY_CODE[failure.code]
    if failure.status == 403 and failure.code == 0:
        return ErrorKind.STOP_CALLING  # the firewall in front of the exchange, not the exchange
    if failure.status == 503 and failure.text.strip().lower() in NOT_EXECUTED_TEXTS:
        return ErrorKind.NOT_EXECUTED
    if failure.status == 0 or failure.status == 408 or failure.status >= 500:
        return ErrorKind.UNKNOWN
    return ErrorKind.REFUSED


class VenueRefused(ExchangeRefused):
    """The exchange refused, and `kind` says what that means."""

    def __init__(self, kind: ErrorKind, failure: VenueFailure) -> None:
        super().__init__(failure.code, failure.text)
        self.kind = kind


class ClockSkewed(ExchangeUnavailable):
    """The exchange refused the time stamp: surely not executed. It came too late, or a clock is wrong."""


def to_exception(failure: VenueFailure, *, is_read: bool, retry_after_s: float = 0.0) -> PhoenixError:
    """Return the exception to raise. A read whose answer was lost changed nothing: it is merely
    unavailable.
    """
    kind = classify(failure)
    text = f"HTTP {failure.status} {failure.code} {failure.text}"
    if kind is ErrorKind.CLOCK_SKEW:
        return ClockSkewed(text)
    if kind is ErrorKind.STOP_CALLING:
        return ExchangeUnavailable(text, max(retry_after_s, BAN_S_MIN))
    if kind is ErrorKind.NOT_EXECUTED:
        return ExchangeUnavailable(text, retry_after_s)
    if kind is ErrorKind.UNKNOWN:
        return ExchangeUnavailable(text) if is_read else ExecutionUnknown(text)
    return VenueRefused(kind, failure)
