"""Every error of the exchange that the facts list, and what it means for us: in doubt unknown (P6)."""

import pytest

from services.execute.error_classes import (
    RULE_CODES,
    ClockSkewed,
    ErrorKind,
    VenueFailure,
    VenueRefused,
    classify,
    to_exception,
)
from shared import codec
from shared.database import jsonb
from shared.errors import ExchangeUnavailable, ExecutionUnknown, PhoenixError

UNKNOWN_TEXT = "Unknown error, please check your request or try again later."
INTERNAL_TEXT = "Internal error; unable to process your request. Please try again."
THROTTLED_TEXT = "Request throttled by system-level protection. Reduce-only/close-position orders are exempt."

KINDS = [
    # 503 and its variants, 408, gateways
    (503, 0, UNKNOWN_TEXT, ErrorKind.UNKNOWN),
    (503, -1000, UNKNOWN_TEXT, ErrorKind.UNKNOWN),
    (503, 0, "Service Unavailable.", ErrorKind.NOT_EXECUTED),
    (503, -1, "Service Unavailable.", ErrorKind.NOT_EXECUTED),
    (503, 0, INTERNAL_TEXT, ErrorKind.NOT_EXECUTED),
    (503, -1001, INTERNAL_TEXT, ErrorKind.NOT_EXECUTED),
    (503, -1008, THROTTLED_TEXT, ErrorKind.NOT_EXECUTED),
    (503, 0, "<html><h1>503 Service Unavailable</h1></html>", ErrorKind.UNKNOWN),
    (503, 0, "", ErrorKind.UNKNOWN),
    (408, -1007, "Timeout waiting for response from backend server.", ErrorKind.UNKNOWN),
    (408, 0, "", ErrorKind.UNKNOWN),
    (400, -1006, "An unexpected response was received from the message bus.", ErrorKind.UNKNOWN),
    (500, 0, "", ErrorKind.UNKNOWN),
    (502, 0, "<html>Bad Gateway</html>", ErrorKind.UNKNOWN),
    (504, 0, "<html>Gateway Time-out</html>", ErrorKind.UNKNOWN),
    # no answer at all
    (0, 0, "RequestTimeout('binanceusdm POST /fapi/v1/order')", ErrorKind.UNKNOWN),
    (0, 0, "ServerDisconnectedError()", ErrorKind.UNKNOWN),
    (0, 0, "ConnectionResetError(104)", ErrorKind.UNKNOWN),
    (0, 0, "proxy says: Service Unavailable.", ErrorKind.UNKNOWN),
    # stop calling
    (429, -1003, "Too many requests; current limit is 2400 requests per minute.", ErrorKind.STOP_CALLING),
    (418, -1003, "Way too many requests; IP banned until 1.", ErrorKind.STOP_CALLING),
    (429, -1015, "Too many new orders; current limit is 300 orders per 10s.", ErrorKind.STOP_CALLING),
    (400, -1015, "Too many new orders.", ErrorKind.STOP_CALLING),
    (403, 0, "<html>WAF</html>", ErrorKind.STOP_CALLING),
    # clock
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", ErrorKind.CLOCK_SKEW),
    # ours is there, or not
    (400, -4116, "ClientOrderId is duplicated.", ErrorKind.DUPLICATE_ID),
    (400, -20132, "client algo id is duplicated", ErrorKind.DUPLICATE_ID),
    (400, -2011, "Unknown order sent.", ErrorKind.NOT_FOUND),
    (400, -2013, "Order does not exist.", ErrorKind.NOT_FOUND),
    # the price, the position, the settings
    (400, -2021, "Order would immediately trigger.", ErrorKind.WOULD_TRIGGER),
    (400, -2022, "ReduceOnly Order is rejected.", ErrorKind.NOTHING_TO_REDUCE),
    (400, -4046, "No need to change margin type.", ErrorKind.ALREADY_SO),
    (400, -4059, "No need to change position side.", ErrorKind.ALREADY_SO),
    (400, -4117, "Stop order is triggering.", ErrorKind.NOT_EXECUTED),
]

REFUSED_CODES = [
    -1022,
    -1102,
    -1106,
    -1115,
    -1116,
    -1117,
    -1125,
    -1128,
    -1130,
    -2010,
    -2014,
    -2015,
    -2018,
    -2019,
    -2023,
    -2024,
    -2025,
    -2028,
    -4015,
    -4016,
    -4024,
    -4045,
    -4047,
    -4048,
    -4061,
    -4067,
    -4068,
    -4120,
    -4131,
    -4137,
    -4161,
    -4192,
    -4400,
    -5021,
    -5022,
]


@pytest.mark.parametrize(("status", "code", "text", "kind"), KINDS)
def test_kind(status: int, code: int, text: str, kind: ErrorKind) -> None:
    assert classify(VenueFailure(status=status, code=code, text=text)) is kind


@pytest.mark.parametrize("code", REFUSED_CODES)
def test_refusals_are_terminal(code: int) -> None:
    status = 401 if code in (-2014, -2015) else 400
    assert classify(VenueFailure(status=status, code=code, text="no")) is ErrorKind.REFUSED


def test_connection_that_was_never_made_executed_nothing() -> None:
    failure = VenueFailure(status=0, code=0, text="ClientConnectorError", was_sent=False)
    assert classify(failure) is ErrorKind.NOT_EXECUTED


@pytest.mark.parametrize(("status", "code", "text", "kind"), KINDS)
def test_an_order_is_failed_only_when_it_surely_was_not_executed(
    status: int, code: int, text: str, kind: ErrorKind
) -> None:
    failure = VenueFailure(status=status, code=code, text=text)
    expected: type[PhoenixError] = VenueRefused
    if kind is ErrorKind.CLOCK_SKEW:
        expected = ClockSkewed
    elif kind in (ErrorKind.NOT_EXECUTED, ErrorKind.STOP_CALLING):
        expected = ExchangeUnavailable
    elif kind is ErrorKind.UNKNOWN:
        expected = ExecutionUnknown
    assert type(to_exception(failure, is_read=False)) is expected


@pytest.mark.parametrize(("status", "code", "text", "kind"), KINDS)
def test_a_read_is_never_of_unknown_execution(status: int, code: int, text: str, kind: ErrorKind) -> None:
    error = to_exception(VenueFailure(status=status, code=code, text=text), is_read=True)
    assert not isinstance(error, ExecutionUnknown)


def test_refusal_keeps_the_exchanges_words() -> None:
    failure = VenueFailure(status=400, code=-2019, text="Margin is insufficient.")
    error = to_exception(failure, is_read=False)
    assert isinstance(error, VenueRefused)
    assert (error.code, error.detail, error.kind) == (-2019, "Margin is insufficient.", ErrorKind.REFUSED)


@pytest.mark.parametrize("code", RULE_CODES)
def test_what_breaks_a_rule_of_the_symbol_says_that_our_copy_is_old(code: int) -> None:
    error = to_exception(VenueFailure(status=400, code=code, text="no"), is_read=False)
    assert isinstance(error, VenueRefused)
    assert error.kind is ErrorKind.STALE_RULES


@pytest.mark.parametrize("text", ["no\0margin", "no\ud800margin", "no\x1bmargin"])
def test_words_of_the_exchange_can_always_be_kept_and_sent(text: str) -> None:
    error = to_exception(VenueFailure(status=400, code=-2019, text=text), is_read=False)
    assert isinstance(error, VenueRefused)
    assert error.detail == "no\ufffdmargin"
    codec.encode_value({"why": str(error)})
    assert "\\u0000" not in jsonb({"why": text.replace("\ud800", "")})
